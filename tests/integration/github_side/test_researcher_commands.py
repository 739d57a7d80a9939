"""`raas trigger` and `raas status` against the stand-in for GitHub and a server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from github_lab import PROGRAM, SPOON, Lab
from standin import until

from demo.processes import script
from runner.raas_cli import raas as commands


def raas(lab: Lab, *arguments: str, user: str = "alice") -> subprocess.Popen[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("GH_TOKEN", "GITHUB_TOKEN")},
        "GITHUB_TOKEN": lab.world.user(user).token,
        "GITHUB_API_URL": lab.github.api_url,
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([script("raas"), *arguments], env=environment, **pipes)


def done(lab: Lab, *arguments: str, user: str = "alice", **changed: str) -> tuple[int, str, str]:
    """The same in this process: exit status, standard output and error."""
    environment = {"GITHUB_TOKEN": lab.world.user(user).token, "GITHUB_API_URL": lab.github.api_url}
    run = CliRunner().invoke(commands, arguments, env=environment | {"GH_TOKEN": ""} | changed)
    assert run.exception is None or isinstance(run.exception, SystemExit)
    return run.exit_code, run.stdout, run.stderr


def a_pull(lab: Lab) -> tuple[int, str]:
    """A pull request of alice's own branch, its first job over; number and head."""
    lab.world.push(SPOON, PROGRAM, user="alice")
    sha = lab.world.push(SPOON, {"a": "1"}, user="alice", branch="topic")
    number = lab.world.open_pull(SPOON, head="topic", user="alice")["number"]
    lab.work()
    for _ in lab.jobs:
        finish(lab)
    return number, sha


def finish(lab: Lab, **fields: Any) -> None:
    holder = lab.claim()
    lab.start(holder)
    lab.finish(holder, **fields)
    lab.work()


def test_asking_following_and_looking(lab: Lab) -> None:
    number, sha = a_pull(lab)
    before = len(lab.jobs)
    options = ("--repo", SPOON, "--pr", str(number))
    with raas(lab, "trigger", *options, "--timeout", "30", "-n", "2", "--watch", "--json") as asked:

        def arrived() -> bool:
            lab.work()
            return len(lab.jobs) > before or asked.poll() is not None

        until(arrived, 60)
        job = lab.jobs[-1]
        assert (job.timeout_s, job.sessions, job.requested_by) == (30.0, 2, "alice")
        finish(lab, conclusion="failure", reason="It fell.")
        out, err = asked.communicate(timeout=100)
    assert asked.returncode == 1, err
    told = json.loads(out)
    assert told["check_run"]["job"] == str(job.id)
    assert told["check_run"]["conclusion"] == "failure"
    assert told["sha"] == sha
    assert "asked: http" in err

    code, out, _ = done(lab, "status", *options)
    assert code == 0
    assert f"job {job.id} failure:" in out
    code, out, _ = done(lab, "status", str(job.id), *options, "--json")
    assert [it["job"] for it in json.loads(out)] == [str(job.id)]
    assert json.loads(out)[0]["details_url"].endswith(f"/jobs/{job.id}")  # what `raas watch` follows
    assert done(lab, "status", "999", *options)[0] == 1


def test_a_refusal_is_told(lab: Lab) -> None:
    number, _ = a_pull(lab)
    lab.world.user("mallory")
    with raas(lab, "trigger", "--repo", SPOON, "--pr", str(number), "--watch", user="mallory") as asked:

        def refused() -> bool:
            lab.work()
            return asked.poll() is not None

        until(refused, 60)
        _, err = asked.communicate()
    assert asked.returncode == 2
    assert "Only people with write permission" in err


def test_a_fork_s_commit_has_to_be_named(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.world.fork(SPOON, "bob")
    sha = lab.world.push("bob/spoon", {"a": "1"}, user="bob")
    number = lab.world.open_pull(SPOON, head="bob:main", user="bob")["number"]
    code, _, err = done(lab, "trigger", "--repo", SPOON, "--pr", str(number))
    assert code == 2
    assert f"--sha {sha}" in err
    assert done(lab, "trigger", "--repo", SPOON, "--pr", str(number), "--sha", sha)[0] == 0
    assert lab.world.comments(SPOON, number)[-1]["body"] == f"/raas run {sha}"


def test_errors_say_what_to_do(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--repo", SPOON, "--pr", "1")
    cases: list[tuple[tuple[str, ...], dict[str, str], str]] = [
        (options, {"GITHUB_TOKEN": "wrong"}, "does not know this token"),
        (options, {"GITHUB_TOKEN": "", "PATH": ""}, "gh auth login"),
        (("--repo", "alice/none", "--pr", "1"), {}, "may not see it: the repository alice/none"),
        (options, {}, "may not see it: pull request 1"),
        (("--repo", "x", "--pr", "1"), {}, "write owner/name"),
        (("--pr", "1"), {}, "no remote `origin`"),
        (options, {"GITHUB_API_URL": "http://127.0.0.1:9"}, "cannot be reached"),
    ]
    for arguments, changed, words in cases:
        code, _, err = done(lab, "trigger", *arguments, **changed)
        assert (code, words in err) == (2, True), err
    limit = {"message": "API rate limit exceeded for user ID 1.", "headers": {"retry-after": "7"}}
    for fault, words in (
        ({"status": 502}, "502; try again"),
        ({"status": 403, "message": "Resource not accessible by personal access token"}, "may not do that"),
        ({"status": 403, **limit}, "rate limit is reached; try again in 7 s"),
    ):
        lab.world.fault(method="GET", path=f"/repos/{SPOON}$", times=1, **fault)
        code, _, err = done(lab, "status", *options)
        assert (code, words in err) == (2, True), err


def test_the_schema_has_an_address(lab: Lab) -> None:
    answer = lab.app.test_client().get("/schema/raas.yml.json")
    assert answer.content_type == "application/schema+json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    shown = answer.get_json()
    printed = json.loads(done(lab, "schema")[1])
    assert shown.pop("$id") == "http://raas.test/schema/raas.yml.json"
    assert shown == printed
