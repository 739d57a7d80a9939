"""The public JSON, the OpenAPI document, health and the form of errors."""

from __future__ import annotations

import re

import psycopg
import pytest
from openapi_spec_validator import validate
from server_world import World, add_repository

from github_app import openapi
from github_app.db import Database
from github_app.readiness import Probe


def test_jobs_come_newest_first_and_in_pages(world: World) -> None:
    ids = [world.submit() for _ in range(5)]
    client = world.app.test_client()
    found: list[int] = []
    url = "/api/v1/jobs?limit=2&repository=alice/pendulum-1"
    while url:
        page = client.get(url).get_json()
        found += [job["id"] for job in page["jobs"]]
        url = (page["next"] or "").removeprefix("http://raas.test")
    assert found == ids[::-1]


def test_a_queued_job_knows_its_place(world: World) -> None:
    world.submit()
    job_id = world.submit()
    shown = world.app.test_client().get(f"/api/v1/jobs/{job_id}").get_json()
    assert (shown["status"], shown["step"], shown["position"]) == ("queued", "queued", 2)
    assert shown["created_at"].endswith("Z")


def test_claimed_and_running_are_in_progress(world: World) -> None:
    job_id = world.submit()
    robot = world.robot()
    job = robot.claim().get_json()
    client = world.app.test_client()
    shown = client.get(f"/api/v1/jobs/{job_id}").get_json()
    assert (shown["status"], shown["step"], shown["position"]) == ("in_progress", "claimed", None)
    robot.call(job, "running")
    assert client.get(f"/api/v1/jobs/{job_id}").get_json()["step"] == "running"


def test_strangers_page_past_hidden_jobs(world: World) -> None:
    shown = world.submit()
    hidden = add_repository(world.database, private=True, number=2)
    for _ in range(120):
        world.submit(repository_id=hidden)
    page = world.app.test_client().get("/api/v1/jobs?limit=5").get_json()
    assert [job["id"] for job in page["jobs"]] == [shown]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "before=-1", "before=99999999999999999999", "repository=x"]
)
def test_wrong_questions(world: World, query: str) -> None:
    answer = world.app.test_client().get(f"/api/v1/jobs?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.get_json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/jobs?repository=alice/%00",
        "/badge/alice/%00.svg",
        "/leaderboard?robot=%00",
        "/robots/%00",
        "/sign-in/done?state=%00",
        "/submit?url=%00",
    ],
)
def test_a_nul_in_an_address_is_a_character_like_others(world: World, path: str) -> None:
    answer = world.app.test_client().get(path)
    usual = world.app.test_client().get(path.replace("%00", "x"))
    assert answer.status_code == usual.status_code
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs/7", "/api/v1/nothing", "/api/v1/jobs/99999999999999999999999"]
)
def test_errors_have_one_form(world: World, path: str) -> None:
    answer = world.app.test_client().get(path)
    assert answer.status_code == 404
    assert set(answer.get_json()) == {"error", "message"}


def test_the_document_is_openapi_and_tells_of_every_route(world: World) -> None:
    document = world.app.test_client().get("/api/v1/openapi.json").get_json()
    validate(document)
    told = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in world.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert told == routes
    assert len(openapi.operations()) == len(routes)


def test_health(world: World) -> None:
    client = world.app.test_client()
    assert client.get("/healthz").get_json() == {"status": "ok"}
    assert client.get("/readyz").get_json() == {"status": "ready"}
    world.services.dispatcher.close()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_not_ready_without_tables(world: World) -> None:
    world.database.downgrade("base")
    try:
        assert world.app.test_client().get("/readyz").get_json()["error"] == "database"
    finally:
        world.database.upgrade()


def test_every_answer_carries_the_headers_that_protect(world: World) -> None:
    headers = world.app.test_client().get("/api/v1/jobs").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert re.fullmatch("[0-9a-f]{8}", headers["X-Request-Id"])


@pytest.mark.postgres
def test_a_database_that_hangs_is_not_ready_and_takes_one_connection(postgres_url: str) -> None:
    database = Database(postgres_url)
    probe = Probe(database, patience_s=0.1)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        assert [probe.ask() for _ in range(5)] == [False] * 5
        waiting = other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        assert waiting == (1,)
    patient = Probe(database, patience_s=30)
    assert patient.ask()
    database.close()
