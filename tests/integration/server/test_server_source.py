"""A job's source, from the stand-in for GitHub through the server to the runner."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from server_world import MakeSettings, Robot
from server_world import World as ServerWorld

from demo.github import Running, serve_in_thread
from github_app import app as application
from github_app.models import Repository
from runner.protocol import FENCE_HEADER, PREFIX

NAME = "alice/spoon"


@dataclass
class Lab:
    github: Running
    server: ServerWorld
    robot: Robot

    def fetch(self, sha: str) -> tuple[int, bytes]:
        """Submit a job for that commit, claim it and ask for its source."""
        self.server.submit(sha=sha)
        job = self.robot.claim().get_json()
        headers = self.robot.headers | {FENCE_HEADER: job["fence"]}
        answer = self.robot.client.get(f"{PREFIX}/jobs/{job['id']}/source", headers=headers)
        found = answer.status_code, answer.data
        answer.close()
        return found


@pytest.fixture
def lab(tmp_path: Path, make_settings: MakeSettings, sqlite_template: Path) -> Iterator[Lab]:
    with serve_in_thread(tmp_path / "github") as github:
        github.world.user("alice")
        repository = github.world.repository(NAME, private=True)
        manifest = Path(__file__).parents[3] / "app.yml"
        hook = "http://127.0.0.1:9/webhooks/github"
        app = github.world.app("raas", webhook_url=hook, webhook_secret="s", manifest=manifest)
        installation = github.world.install(app.id, NAME)
        settings = make_settings(
            GITHUB_API_URL=github.api_url,
            GITHUB_WEB_URL=github.url,
            GITHUB_APP_ID=str(app.id),
            GITHUB_PRIVATE_KEY=app.private_key,
            SOURCE_BYTES_MAX="50K",
        )
        (settings.data_dir / "raas.sqlite3").write_bytes(sqlite_template.read_bytes())
        server = ServerWorld(application.create_app(settings))
        with server.database.write() as session:
            row = session.get_one(Repository, 1)
            session.delete(row)
            session.flush()
            session.add(
                Repository(
                    id=repository["id"],
                    installation_id=installation,
                    owner="alice",
                    name="spoon",
                    private=True,
                    default_branch="main",
                )
            )
        server.repository = repository["id"]
        yield Lab(github, server, server.robot())
        application.close(server.app)


def test_exactly_that_commit(lab: Lab) -> None:
    first = lab.github.world.push(NAME, {"run.py": "print(1)\n"}, user="alice")
    lab.github.world.push(NAME, {"run.py": "print(2)\n"}, user="alice")
    status, data = lab.fetch(first)
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (name,) = [name for name in archive.getnames() if name.endswith("run.py")]
        program = archive.extractfile(name)
        assert program is not None
        assert program.read() == b"print(1)\n"


def test_a_commit_that_is_gone(lab: Lab) -> None:
    lab.github.world.push(NAME, {"run.py": ""}, user="alice")
    status, data = lab.fetch("0" * 40)
    assert status == 422
    assert b"no_source" in data


def test_a_repository_that_is_too_large(lab: Lab) -> None:
    sha = lab.github.world.push(NAME, {"run.py": "", "big.bin": secrets.token_bytes(200_000)}, user="alice")
    status, data = lab.fetch(sha)
    assert status == 422
    assert b"larger than" in data


def test_a_stale_fence_gets_no_source(lab: Lab) -> None:
    sha = lab.github.world.push(NAME, {"run.py": ""}, user="alice")
    lab.server.submit(sha=sha)
    job = lab.robot.claim().get_json()
    headers = lab.robot.headers | {FENCE_HEADER: "f" * 32}
    answer = lab.robot.client.get(f"{PREFIX}/jobs/{job['id']}/source", headers=headers)
    assert answer.status_code == 409


def test_github_is_away(lab: Lab) -> None:
    sha = lab.github.world.push(NAME, {"run.py": ""}, user="alice")
    lab.github.world.fault(method="GET", path="/tarball", times=20, status=502)
    status, data = lab.fetch(sha)
    assert status == 503
    assert b"github_unavailable" in data
