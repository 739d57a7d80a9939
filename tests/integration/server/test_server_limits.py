"""One address cannot take a server for itself; proxies, runners and this machine are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from server_world import ROBOT, MakeSettings, World
from werkzeug.test import TestResponse

from github_app import app as application
from github_app.config import ConfigError
from github_app.db import Database
from github_app.stores import Blob
from runner.protocol import PREFIX

STRANGER, OTHER, THIRD, PROXY = "203.0.113.5", "203.0.113.6", "203.0.113.7", "10.1.2.3"


@pytest.fixture
def world(make_settings: MakeSettings) -> Iterator[World]:
    settings = make_settings(REQUESTS_PER_MINUTE="20", TRUSTED_PROXIES="10.0.0.0/8")
    database = Database(settings.database_url)
    database.upgrade()
    database.close()
    app = application.create_app(settings)
    yield World(app)
    application.close(app)


def get(world: World, path: str, peer: str, forwarded: str | None = None) -> TestResponse:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return world.app.test_client().get(path, headers=headers, environ_overrides={"REMOTE_ADDR": peer})


def exhaust(world: World, path: str, peer: str, forwarded: str | None = None) -> TestResponse:
    for _ in range(20):
        assert get(world, path, peer, forwarded).status_code == 200
    return get(world, path, peer, forwarded)


def test_too_many_requests_are_refused_with_a_time_to_come_back(world: World) -> None:
    page = exhaust(world, "/", STRANGER)
    assert page.status_code == 429
    assert 1 <= int(page.headers["Retry-After"]) <= 61
    assert "You ask too often" in page.text
    as_json = exhaust(world, "/api/v1/jobs", OTHER)
    assert as_json.status_code == 429
    assert as_json.get_json()["error"] == "too_many_requests"
    assert get(world, "/", THIRD).status_code == 200


@pytest.mark.parametrize("path", ["/leaderboard", "/nothing/here", "/api/v1/jobs", "/jobs/1"])
def test_all_addresses_of_the_server_count_together(world: World, path: str) -> None:
    exhaust(world, "/", STRANGER)
    assert get(world, path, STRANGER).status_code == 429


def test_a_network_of_one_customer_counts_as_one(world: World) -> None:
    for number in range(20):
        assert get(world, "/", f"2001:db8:0:7::{number:x}").status_code == 200
    assert get(world, "/", "2001:db8:0:7:ffff::1").status_code == 429
    assert get(world, "/", "2001:db8:0:8::1").status_code == 200
    exhaust(world, "/", STRANGER)
    assert get(world, "/", f"::ffff:{STRANGER}").status_code == 429, "the same one, as some systems write it"


def test_who_has_an_address_for_uploads_may_upload_as_many(world: World) -> None:
    client, content = world.app.test_client(), b"x"
    sha256 = hashlib.sha256(content).hexdigest()
    for number in range(100):
        upload = world.services.store.upload(Blob(f"jobs/1/{number}", 1, sha256))
        answer = client.put(
            upload.url, data=content, headers=upload.headers, environ_overrides={"REMOTE_ADDR": STRANGER}
        )
        assert answer.status_code == 204, answer.text
    forged = {
        client.put("/uploads/x", environ_overrides={"REMOTE_ADDR": OTHER}).status_code for _ in range(80)
    }
    assert forged == {403, 429}


def test_this_machine_and_health_checks_are_not_counted(world: World) -> None:
    assert exhaust(world, "/", "127.0.0.1").status_code == 200
    assert exhaust(world, "/healthz", STRANGER).status_code == 200


@pytest.mark.parametrize("proxy", ["127.0.0.1", "::1", PROXY])
def test_who_is_behind_a_trusted_proxy_counts(world: World, proxy: str) -> None:
    assert exhaust(world, "/", proxy, STRANGER).status_code == 429
    assert get(world, "/", proxy, OTHER).status_code == 200
    assert get(world, "/", proxy, f"{STRANGER}, {PROXY}").status_code == 429, "two proxies in a row"


def test_an_invented_forwarding_does_not_help(world: World) -> None:
    for number in range(20):
        assert get(world, "/", STRANGER, f"198.51.100.{number}").status_code == 200
    assert get(world, "/", STRANGER, "198.51.100.99").status_code == 429
    assert get(world, "/", "127.0.0.1", f"198.51.100.99, {STRANGER}").status_code == 429


def test_a_runner_may_call_as_often_as_it_needs(world: World) -> None:
    robot = world.robot()
    behind = {"REMOTE_ADDR": STRANGER}
    for number in range(100):
        answer = robot.client.post(
            f"{PREFIX}/claim",
            json={"key": f"{number:032x}", "wait_s": 0, "robot": ROBOT, "software": "1"},
            headers=robot.headers,
            environ_overrides=behind,
        )
        assert answer.status_code == 204


def test_registering_without_a_token_ends_soon(world: World) -> None:
    client, behind = world.app.test_client(), {"REMOTE_ADDR": STRANGER}
    headers = {"RAAS-Protocol": "1"}
    found = [
        client.post(f"{PREFIX}/register", json={}, headers=headers, environ_overrides=behind).status_code
        for _ in range(80)
    ]
    assert set(found) == {422, 429}


def test_guessing_tokens_ends_soon(world: World) -> None:
    found = set()
    for number in range(80):
        answer = world.app.test_client().post(
            f"{PREFIX}/claim",
            json={},
            headers={"Authorization": f"Bearer {number}", "RAAS-Protocol": "1"},
            environ_overrides={"REMOTE_ADDR": STRANGER},
        )
        found.add(answer.status_code)
    assert found == {401, 429}


def test_a_wrong_network_is_said(make_settings: MakeSettings) -> None:
    with pytest.raises(ConfigError, match="RAAS_TRUSTED_PROXIES is no list of networks"):
        make_settings(TRUSTED_PROXIES="everybody")
