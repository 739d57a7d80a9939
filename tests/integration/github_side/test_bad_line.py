"""Between server and GitHub lies a line that drops, cuts and stalls: everything comes right in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from faulty_proxy import FaultyProxy, faulty_proxy
from github_lab import PROGRAM, SPOON, Lab, open_lab

from github_app import github
from github_app.models import Delivery

LONGEST_S = 180.0
SHARE = 0.3


@pytest.fixture
def line() -> Iterator[FaultyProxy]:
    with faulty_proxy(seed=6) as proxy:
        yield proxy


@pytest.fixture
def lab(line: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A server that reaches GitHub over the line, and loses patience sooner than usual."""
    monkeypatch.setattr(github, "TIMEOUT", httpx.Timeout(2.0, connect=20.0))
    with open_lab(tmp_path, RAAS_GITHUB_API_URL=f"{line.url}/api/v3") as opened:
        line.upstream = opened.github.api_url
        yield opened


def until(lab: Lab, agreed: Callable[[], bool]) -> None:
    """Turn the loops, as if every pause were over, until that is so."""
    deadline = time.monotonic() + LONGEST_S
    while not agreed():
        assert time.monotonic() < deadline, (lab.outcomes, [job.report_tries for job in lab.jobs])
        lab.make_due()
        lab.work()


def all_shown(lab: Lab) -> bool:
    done = all(row.processed_at is not None for row in lab.rows(Delivery))
    return done and all(job.reported_event == job.latest_event for job in lab.jobs)


def test_jobs_replies_and_check_runs_are_there_once(lab: Lab, line: FaultyProxy) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice", message="[skip raas]")
    shas = [lab.world.push(SPOON, {"n": f"{n}"}, user="alice", branch=f"b{n}") for n in range(2)]
    pull = lab.world.open_pull(SPOON, head="b0", user="alice")
    lab.world.settle()
    line.share = SHARE
    lab.world.comment(SPOON, pull["number"], "/raas run\n/raas status", user="alice")
    until(lab, lambda: len(lab.jobs) == 3 and all_shown(lab))
    holder = lab.claim()
    lab.start(holder)
    lab.finish(holder)
    until(lab, lambda: all_shown(lab))
    assert len(line.met) >= 3, f"it was no bad line: {line.met}"
    line.share = 0.0
    made = Counter(job.sha for job in lab.jobs)
    assert made == Counter([*shas, shas[0]])
    for sha in shas:
        shown = {run["external_id"]: run["status"] for run in lab.check_runs(sha)}
        assert shown == {str(job.id): job.status for job in lab.jobs if job.sha == sha}
        assert len(lab.check_runs(sha)) == made[sha]
    replies = [said for said in lab.world.comments(SPOON, pull["number"]) if said["user"]["type"] == "Bot"]
    assert len(replies) == 1
