"""The source of a job: exactly its commit, bounded, and no token for anybody but GitHub."""

from __future__ import annotations

import dataclasses
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from github_lab import PROGRAM, SPOON, Lab, open_lab

from github_app import github, source
from github_app.credentials import AppCredentials, Credentials
from github_app.github import GitHub, GitHubUnavailableError, NotFoundError
from github_app.github_errors import SourceError
from github_app.models import Job, Repository


def a_job(lab: Lab) -> Job:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    (job,) = lab.jobs
    return job


def test_it_is_exactly_the_commit(lab: Lab) -> None:
    job = a_job(lab)
    lab.world.push(SPOON, {"run.py": "print('newer')"}, user="alice")
    with source.open_source(lab.here.github, job) as chunks:
        packed = b"".join(chunks)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        assert archive.pax_headers["comment"] == job.sha  # git writes the commit into the archive
        (program,) = [member for member in archive if member.name.endswith("/run.py")]
        content = archive.extractfile(program)
        assert content is not None
        assert content.read() == PROGRAM["run.py"].encode()


def test_a_fork_s_commit_comes_from_the_repository_of_the_pull_request(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    lab.world.fork(SPOON, "bob")
    sha = lab.world.push("bob/spoon", {"run.py": "print('bob')"}, user="bob", branch="better")
    pull = lab.world.open_pull(SPOON, head="bob:better", user="bob")
    lab.world.comment(SPOON, pull["number"], f"/raas run {sha}", user="alice")
    lab.work()
    job = next(it for it in lab.jobs if it.trigger == "comment")  # the other one waits for approval
    with source.open_source(lab.here.github, job) as chunks:
        assert b"".join(chunks)[:2] == b"\x1f\x8b"


def test_a_commit_that_is_gone_is_explained(lab: Lab) -> None:
    job = a_job(lab)
    job.sha = "0" * 40
    with pytest.raises(SourceError, match="push it again"), source.open_source(lab.here.github, job):
        pass


def test_a_source_that_is_too_long_is_explained(tmp_path: Path) -> None:
    with open_lab(tmp_path, RAAS_SOURCE_BYTES_MAX="1k") as lab:
        lab.world.push(SPOON, {**PROGRAM, "big": os.urandom(10_000)}, user="alice")
        lab.work()
        with (
            pytest.raises(SourceError, match="larger than"),
            source.open_source(lab.here.github, lab.jobs[0]) as chunks,
        ):
            list(chunks)


def test_github_away_is_not_the_source_s_fault(lab: Lab) -> None:
    job = a_job(lab)
    lab.world.fault(method="GET", path="/tarball/", times=1, status=502)
    with pytest.raises(GitHubUnavailableError), source.open_source(lab.here.github, job):
        pass


class _Other(BaseHTTPRequestHandler):
    """Another host: notes the headers it gets, and sends a few bytes."""

    seen: list[dict[str, str]]

    def do_GET(self) -> None:  # the name http.server wants
        self.seen.append({key.lower(): value for key, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"data")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def other_host() -> Iterator[tuple[str, list[dict[str, str]]]]:
    handler = type("Handler", (_Other,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/archive", handler.seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_token_stays_with_github(lab: Lab) -> None:
    job = a_job(lab)
    with other_host() as (url, seen):
        lab.world.fault(method="GET", path="/tarball/", times=1, status=302, headers={"location": url})
        with source.open_source(lab.here.github, job) as chunks:
            assert b"".join(chunks) == b"data"
    (headers,) = seen
    assert "authorization" not in headers
    assert not any("ghs_" in value for value in headers.values())


def test_tokens_are_narrowed_to_the_repository(lab: Lab) -> None:
    """A token asked for one repository cannot read another one of the same installation."""
    lab.world.repository("alice/other", private=True)
    lab.world.install(lab.app_id, "alice/other")
    lab.work()
    mixed = Repository(
        id=lab.repository().id,
        installation_id=lab.installation,
        owner="alice",
        name="other",
        private=True,
        default_branch="main",
    )
    with pytest.raises(NotFoundError):
        lab.here.github.repository(mixed)


def test_without_credentials_the_error_says_what_to_do(lab: Lab, tmp_path: Path) -> None:
    settings = dataclasses.replace(lab.here.settings, credentials=Credentials(AppCredentials(), tmp_path))
    with pytest.raises(github.ForbiddenError, match="raas-server setup"):
        GitHub(settings).repository(a_job(lab).repository)
