"""From a push to a check run, through every real part."""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import github
import pytest
import requests
from e2e_lab import Lab

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "energy-shaping"
Stepping = Callable[[int], dict[str, str]]
CRASHING = """\
import gymnasium, raas_gym
env = gymnasium.make("RaasPendulum-v1")
env.reset()
env.step([0.5])
1 / 0
"""


def test_a_person_with_another_client_reads_the_same(lab: Lab, stepping: Stepping) -> None:
    """PyGithub, with the token of the pull request's author: nothing of ours is between."""
    name, _ = lab.repository({"README.md": "nothing to run yet"})
    world = lab.stack.world
    sha = world.push(name, {**stepping(5), "run.py": CRASHING}, user="ada", branch="idea")
    api_url, token = world.web_url("/api/v3"), world.user("ada").token
    with github.Github(base_url=api_url, auth=github.Auth.Token(token), retry=None) as client:
        repository = client.get_repo(name)
        pull = repository.create_pull(base="main", head="idea", title="An idea", body="")
        lab.finished(name, sha)
        comment = pull.create_issue_comment("/raas run")
        first, second = sorted(lab.finished(name, sha, 2), key=lambda run: int(run["id"]))
        shown = {run.id: run for run in repository.get_commit(sha).get_check_runs(filter="all")}
        assert shown.keys() == {first["id"], second["id"]}
        for run in shown.values():
            assert (run.status, run.conclusion) == ("completed", "failure")
            assert "ZeroDivisionError" in run.output.title + run.output.summary
            (mark,) = run.get_annotations()
            assert (mark.path, mark.start_line) == ("run.py", 5)
            assert run.details_url == f"{lab.stack.url}/jobs/{run.external_id}"
        assert {found.content for found in comment.get_reactions()} >= {"rocket"}


def test_push_of_the_example_balances_and_says_so(lab: Lab) -> None:
    name, _ = lab.repository()
    sha = lab.stack.world.push(name, tree=EXAMPLE, user="ada")
    (run,) = lab.finished(name, sha, timeout_s=90)
    assert run["conclusion"] == "success"
    assert "20 s" in run["output"]["title"]
    job = lab.job(run)
    assert (job["status"], job["conclusion"], job["sha"]) == ("completed", "success", sha)
    (session,) = job["sessions"]
    assert (session["reason"], session["steps"]) == ("client_left", 400)
    assert session["scores"]["upright"] > 0.7
    assert session["scores"]["sim_gap"] < 0.2  # rad: the robot is its passport's simulation, but for time
    page = requests.get(run["details_url"], timeout=10)
    assert page.status_code == 200
    assert sha[:7] in page.text


def test_trajectory_is_complete_and_from_the_controller(lab: Lab, stepping: Stepping) -> None:
    name, sha = lab.repository(stepping(30))
    (run,) = lab.finished(name, sha)
    table = requests.get(f"{lab.stack.url}/jobs/{run['external_id']}/artifacts/trajectory.csv", timeout=10)
    rows = list(csv.DictReader(line for line in StringIO(table.text) if not line.startswith("#")))
    assert len(rows) >= 30
    assert {"tick", "theta", "theta_dot", "action", "applied", "reward"} <= set(rows[0])


def test_comment_of_a_writer_runs_the_pull_request(lab: Lab, stepping: Stepping) -> None:
    name, _ = lab.repository({"README.md": "nothing to run yet"})
    world = lab.stack.world
    files = {**stepping(5), ".raas.yml": "version: 1\non: {push: {branches: [main]}, pull_request: false}\n"}
    sha = world.push(name, files, user="ada", branch="idea")
    pull = world.open_pull(name, head="idea", user="ada", title="An idea")
    world.comment(name, pull["number"], "/raas run", user="ada")
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "success"
    comment = world.comments(name, pull["number"])[0]
    assert "rocket" in [reaction["content"] for reaction in world.reactions(name, comment["id"])]


def test_comment_of_a_stranger_moves_nothing_and_says_why(lab: Lab, stepping: Stepping) -> None:
    name, _ = lab.repository({"README.md": "nothing to run yet"})
    world = lab.stack.world
    world.user("mallory")
    files = {**stepping(5), ".raas.yml": "version: 1\non: {push: {branches: [main]}, pull_request: false}\n"}
    sha = world.push(name, files, user="ada", branch="idea")
    pull = world.open_pull(name, head="idea", user="ada", title="An idea")
    world.comment(name, pull["number"], "/raas run", user="mallory")
    lab.wait_for_reply(name, pull["number"], "write")
    assert lab.check_runs(name, sha) == []


def test_fork_runs_only_the_commit_that_was_named(lab: Lab, stepping: Stepping) -> None:
    name, _ = lab.repository({"README.md": "nothing to run yet"})
    world = lab.stack.world
    world.user("bob")
    fork = world.fork(name, "bob")["full_name"]
    files = {**stepping(5), ".raas.yml": "version: 1\non: {pull_request: false}\n"}  # only a comment runs it
    sha = world.push(fork, files, user="bob", branch="gift")
    pull = world.open_pull(name, head="bob:gift", user="bob", title="A gift")
    world.comment(name, pull["number"], "/raas run", user="ada")
    lab.wait_for_reply(name, pull["number"], "/raas run")
    assert lab.check_runs(name, sha) == []
    world.comment(name, pull["number"], f"/raas run {sha}", user="ada")
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "success"


def test_crash_is_a_failure_with_log_annotation_and_data(lab: Lab) -> None:
    name, sha = lab.repository({"run.py": CRASHING})
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "failure"
    assert "ZeroDivisionError" in run["output"]["title"] + run["output"]["summary"]
    (annotation,) = lab.stack.world.annotations(name, run["id"])
    assert (annotation["path"], annotation["start_line"]) == ("run.py", 5)
    log = requests.get(f"{lab.stack.url}/jobs/{run['external_id']}/log", timeout=10).text
    assert "ZeroDivisionError: division by zero" in log
    artifact = f"{lab.stack.url}/jobs/{run['external_id']}/artifacts/trajectory.csv"
    assert requests.get(artifact, timeout=10).status_code == 200


def test_endless_loop_is_timed_out_with_its_data(lab: Lab, stepping: Stepping) -> None:
    name, sha = lab.repository({**stepping(10**9), ".raas.yml": "version: 1\ntimeout: 3\n"})
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "timed_out"
    artifact = f"{lab.stack.url}/jobs/{run['external_id']}/artifacts/trajectory.csv"
    assert len(requests.get(artifact, timeout=10).text.splitlines()) > 40


def test_repository_without_a_program_is_left_alone(lab: Lab) -> None:
    name, sha = lab.repository({"README.md": "only words"})
    lab.settled()
    assert lab.check_runs(name, sha) == []


def test_bad_configuration_is_annotated_on_its_line(lab: Lab, stepping: Stepping) -> None:
    name, sha = lab.repository({**stepping(1), ".raas.yml": "version: 1\ntimeuot: 3\n"})
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "failure"
    (annotation,) = lab.stack.world.annotations(name, run["id"])
    assert (annotation["path"], annotation["start_line"]) == (".raas.yml", 2)
    assert "timeout" in annotation["message"]


def test_private_repository_is_run_and_hidden(lab: Lab, stepping: Stepping) -> None:
    name, _ = lab.repository(private=True)
    sha = lab.stack.world.push(name, stepping(2), user="ada")
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "success"
    for path in ("jobs/{}", "jobs/{}/log", "jobs/{}/artifacts/trajectory.csv", "api/v1/jobs/{}"):
        url = f"{lab.stack.url}/{path.format(run['external_id'])}"
        assert requests.get(url, timeout=10).status_code == 404, url
    assert name not in requests.get(f"{lab.stack.url}/", timeout=10).text


def test_program_of_2020_runs_unmodified(lab: Lab) -> None:
    name, _ = lab.repository()
    tree = EXAMPLE.parent / "original-2020"
    sha = lab.stack.world.push(name, tree=tree, user="ada")
    (run,) = lab.finished(name, sha, timeout_s=150)
    assert run["conclusion"] == "success", run["output"]
