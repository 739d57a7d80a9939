"""A stranger and a private job: every route there is answers as if it did not exist.

The routes are read from the application, so one added tomorrow is tested tomorrow.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from server_world import World, add_repository
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from github_app.models import Artifact, Job, Repository
from github_app.moves import utc_now

HIDDEN, MISSING = "secret-project", "nothing-at-all"
SHA = "beef" * 10
SECRET = "words that only readers may see"
READER = "rita-who-may-read"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ENDLESS = {"live.queue", "live.job"}
"""Streams: what they begin with is looked at."""


# Who sees what does not depend on the kind of database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def hidden(world: World) -> int:
    """A private repository's job that has run, left a log and a file, and another one that waits."""
    number = add_repository(world.database, private=True, number=2)
    with world.database.write() as session:
        session.get_one(Repository, number).name = HIDDEN
    job_id = world.submit(repository_id=number, sha=SHA, ref=f"{HIDDEN}-branch", requested_by=READER)
    robot = world.robot("goose", "pendulum")
    job = robot.running_job()
    log = {"offset": 0, "data": base64.b64encode(f"{SECRET}\n".encode()).decode()}
    done = robot.call(job, "finish", conclusion="failure", reason=f"{SECRET}.", log=log)
    assert done.status_code == 204
    with world.database.write() as session:
        session.add(
            Artifact(job_id=job_id, attempt=1, name="a.txt", size=1, sha256="0" * 64, stored_at=utc_now())
        )
    world.submit(repository_id=number, sha=SHA, ref=f"{HIDDEN}-branch", requested_by=READER)
    return job_id


def routes(world: World) -> Iterator[tuple[Rule, str]]:
    """Every route and method that a stranger may try."""
    for rule in world.app.url_map.iter_rules():
        for method in METHODS:
            if method in (rule.methods or ()):
                yield rule, method


def address(rule: Rule, job: int, repository: str) -> str:
    """The route's address with what it asks for: a job, an owner, a repository, a file."""
    values = {
        "job_id": str(job),
        "artifact_id": "1",
        "owner": "alice",
        "repo": repository,
        "repository": repository,
    }
    found = re.sub(r"<(?:[^<>]*:)?([a-z_]+)>", lambda match: values.get(match[1], "a.txt"), rule.rule)
    return found.replace("alice/a.txt", f"alice/{repository}")


def seen(world: World, method: str, path: str, endpoint: str) -> tuple[int, str]:
    """Status and body (of a stream the beginning)."""
    client = world.app.test_client()
    answer: TestResponse = client.open(path, method=method, buffered=endpoint not in ENDLESS)
    streaming = answer.mimetype == "text/event-stream"
    body = next(iter(answer.response), b"") if streaming else answer.get_data()
    answer.close()
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return answer.status_code, text


def test_every_route_about_a_private_job_answers_as_for_none(world: World, hidden: int) -> None:
    tried = 0
    for rule, method in routes(world):
        if not {"job_id", "repo", "repository"} & rule.arguments:
            continue
        there = seen(world, method, address(rule, hidden, HIDDEN), rule.endpoint)
        none = seen(world, method, address(rule, 987_654, MISSING), rule.endpoint)
        same = there[1].replace(HIDDEN, MISSING).replace(str(hidden), "987654")
        assert (there[0], _steady(same)) == (none[0], _steady(none[1].replace(str(hidden), "987654"))), rule
        assert there[0] >= 400 or "badge" in rule.rule, f"{method} {rule} shows a stranger a private job"
        tried += 1
    assert tried >= 12


def _steady(body: str) -> str:
    """Without what differs from one answer to the next."""
    body = re.sub(r'(name="csrf"[^>]*value="|nonce-|nonce=")[^"\' ]*', r"\1", body)
    return re.sub(r"under request [0-9a-z-]+", "", body)


def test_no_page_lets_a_stranger_see_a_word_of_a_private_repository(world: World, hidden: int) -> None:
    words = (HIDDEN, SHA, SHA[:10], SECRET, READER)
    pages = 0
    for rule, method in routes(world):
        if method != "GET":
            continue
        for job, repository in ((hidden, HIDDEN), (hidden + 1, HIDDEN)):
            status, body = seen(world, method, address(rule, job, repository), rule.endpoint)
            shown = [word for word in words if word in body and word not in address(rule, job, repository)]
            assert not shown, f"{rule} ({status}) shows {shown}"
        pages += 1
    for query in (f"repository=alice/{HIDDEN}", f"repo=alice/{HIDDEN}", f"q={HIDDEN}", "limit=100"):
        for path in ("/api/v1/jobs", "/", "/leaderboard"):
            answer = world.app.test_client().get(f"{path}?{query}").get_data(as_text=True)
            assert SHA not in answer
            assert SECRET not in answer
    assert pages >= 15


def test_the_same_routes_show_a_public_job(world: World, hidden: int) -> None:
    """So that the tests above could fail."""
    with world.database.write() as session:
        for job in session.query(Job):
            job.repository.private = False
    shown = 0
    for rule, method in routes(world):
        if method == "GET" and "job_id" in rule.arguments and "/runner/" not in rule.rule:
            shown += seen(world, method, address(rule, hidden, HIDDEN), rule.endpoint)[0] == 200
    assert shown >= 4
