"""The stand-in as a process: it starts, ends, keeps its state, and fails on demand."""

from __future__ import annotations

import json
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from standin import MANIFEST, Site, need_description, receiving, site

from demo.github import World, serve_in_thread
from demo.github.apps import new_key_pair
from demo.github.db import SchemaError
from demo.github.world import WorldError


@contextmanager
def _process(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], World]]:
    command = [sys.executable, "-m", "demo.github", "--data", str(data), *options]
    (data / "admin.json").unlink(missing_ok=True)
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, World.from_data_dir(data, timeout_s=30)
        finally:
            process.terminate()
            process.wait(10)


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    with _process(tmp_path) as (process, world):
        name = "alice/pendulum"
        world.repository(name, private=True)
        app = world.app("RaaS", manifest=MANIFEST)
        installation = world.install(app.id, name)
        sha = world.push(name, {"run.py": "1"}, user="alice")
        assert str(process.stdout and process.stdout.readline()).startswith(f"GitHub stand-in on {world.url}")
        assert stat.S_IMODE((tmp_path / "admin.json").stat().st_mode) == 0o600
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    with _process(tmp_path) as (process, world):
        assert world.install(app.id, name) == installation
        assert world.api("GET", f"/repos/{name}/commits/main", token=world.reader(name)).json()["sha"] == sha
        assert world.push(name, {"run.py": "2"}, user="alice") != sha
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_the_api_at_the_root_and_an_app_from_a_file(tmp_path: Path) -> None:
    config = {"name": "RaaS", "public_key": new_key_pair()[1], "permissions": {"checks": "write"}}
    file = tmp_path / "app.json"
    file.write_text(json.dumps(config))
    for _ in range(2):  # the second start finds the App
        with _process(tmp_path / "data", "--api-prefix", "", "--app-config", str(file)) as (_, world):
            assert world.api_url == world.url
            assert world.api("GET", "/rate_limit").ok
            world.repository("alice/pendulum")
            assert world.api("GET", "/repos/alice/pendulum").json()["url"].startswith(f"{world.url}/repos/")
            assert requests.get(f"{world.url}/alice/pendulum", timeout=10).status_code == 200


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with serve_in_thread(tmp_path / "a") as running:
        command = [sys.executable, "-m", "demo.github", "--data", str(tmp_path / "b")]
        port = str(running.server.port)
        done = subprocess.run(
            [*command, "--port", port], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 1
    assert "Choose another --port" in done.stderr


def test_a_folder_of_another_version(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "github.sqlite3") as database:
        database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(SchemaError, match="another version"), serve_in_thread(tmp_path):
        pass


def test_deliveries_that_wait_survive_a_restart(tmp_path: Path) -> None:
    with receiving() as receiver:
        with serve_in_thread(tmp_path) as running:
            app = running.world.app("RaaS", webhook_url=receiver.url, manifest=MANIFEST)
            running.world.settle()
            receiver.hold.clear()
            running.world.ping(app.id)
            running.world.ping(app.id)
            running.world.wait_deliveries(lambda _: len(receiver.received) == 2)
            # The second ping is with the receiver, the third waits behind it. Now the stand-in ends.
            receiver.hold.set()
        with serve_in_thread(tmp_path) as running:
            found = running.world.settle()
        guids = [it.headers["x-github-delivery"] for it in receiver.received]
        assert [it.status for it in found] == ["OK"] * 3
        assert guids == [it.guid for it in found], "each once, in order"


def test_a_crash_during_a_delivery_never_sends_it_twice(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        with _process(tmp_path) as (process, world):
            world.app("RaaS", webhook_url=receiver.url, manifest=MANIFEST)
            world.wait_deliveries(lambda _: bool(receiver.received))
            process.kill()
            process.wait(10)
        receiver.hold.set()
        with _process(tmp_path) as (_, world):
            assert [it.status for it in world.settle()] == ["failed to connect to host"]
        assert len(receiver.received) == 1


def test_a_receiver_has_only_so_long(tmp_path: Path) -> None:
    with site(tmp_path, hook_timeout_s=0.2) as hosted:
        hosted.world.settle()
        hosted.receiver.hold.clear()
        hosted.world.ping(hosted.app.id)
        assert hosted.world.settle()[-1].status == "timed out"


def test_trouble_on_demand(hosted: Site) -> None:
    name = hosted.repository()
    sha = hosted.world.push(name, {"a": "1"}, user="alice")
    token, path = hosted.token(name), f"/repos/{name}/check-runs"
    body = {"name": "RaaS", "head_sha": sha}

    def post() -> requests.Response:
        return hosted.world.api("POST", path, token=token, json=body)

    hosted.world.fault(method="POST", path="/check-runs$", times=2, status=502)
    assert [post().status_code for _ in range(3)] == [502, 502, 201]
    hosted.world.fault(method="POST", path="/check-runs$", status=403, headers={"Retry-After": "7"})
    assert post().headers["Retry-After"] == "7"
    hosted.world.fault(method="POST", path="/check-runs$", drop=True)
    with pytest.raises(requests.ConnectionError):
        post()
    assert len(hosted.world.check_runs(name, sha)) == 1
    # The worst kind: the work is done, and the answer lost.
    hosted.world.fault(method="POST", path="/check-runs$", drop=True, applied=True)
    with pytest.raises(requests.ConnectionError):
        post()
    assert len(hosted.world.check_runs(name, sha)) == 2
    hosted.world.fault(path="/check-runs", status=0, delay_s=0.3)
    assert post().elapsed.total_seconds() >= 0.3
    hosted.world.fault(path=".", times=5, status=500)
    hosted.world.clear_faults()
    assert post().status_code == 201


def test_rate_limits(hosted: Site) -> None:
    name = hosted.repository()
    token = hosted.token(name)
    first = hosted.world.api("GET", f"/repos/{name}", token=token)
    left = int(first.headers["X-RateLimit-Remaining"])
    assert (
        int(hosted.world.api("GET", f"/repos/{name}", token=token).headers["X-RateLimit-Remaining"])
        == left - 1
    )
    free = hosted.world.api("GET", "/rate_limit", token=token).json()["rate"]
    assert free["remaining"] == left - 1, "asking for the limit is free"
    hosted.world.rate_limit(remaining=1, reset_in_s=3600)
    assert hosted.world.api("GET", f"/repos/{name}", token=token).ok
    refused = hosted.world.api("GET", f"/repos/{name}", token=token)
    assert (refused.status_code, refused.headers["X-RateLimit-Remaining"]) == (403, "0")
    assert "API rate limit exceeded for installation ID" in refused.json()["message"]
    hosted.world.rate_limit(remaining=5000, reset_in_s=3600)
    hosted.world.content_limit(2)
    number = hosted.world.open_issue(name, user="hilda")["number"]
    hosted.world.comment(name, number, "one", user="hilda")
    limited = hosted.world.api(
        "POST",
        f"/repos/{name}/issues/{number}/comments",
        token=hosted.world.user("hilda").token,
        json={"body": "two"},
    )
    hosted.world.content_limit(0)
    assert (limited.status_code, int(limited.headers["Retry-After"]) > 50) == (403, True)
    assert "secondary rate limit" in limited.json()["message"]


def test_the_admin_interface_is_guarded(hosted: Site) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = requests.post(
            f"{hosted.github.url}/_admin/user", json={"login": "x"}, headers=headers, timeout=10
        )
        assert answer.status_code == 401


def test_a_process_that_holds_its_traffic_to_the_description(tmp_path: Path) -> None:
    need_description()
    with _process(tmp_path, "--conformance") as (_, world):
        world.repository("alice/pendulum")
        assert world.violations() == []
    with _process(tmp_path) as (_, world), pytest.raises(WorldError, match="conformance"):
        world.violations()
