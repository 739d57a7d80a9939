"""Between server and GitHub lies a line that drops, cuts and stalls: everything comes right in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from faulty_proxy import FaultyProxy, Trouble, faulty_proxy
from github_lab import PROGRAM, SPOON, Lab, open_lab

from github_app import github, redelivery
from github_app.models import Delivery
from github_app.moves import utc_now

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


def until(lab: Lab, agreed: Callable[[], bool], each: Callable[[], object] = lambda: None) -> None:
    """Turn the loops, as if every pause were over, until that is so."""
    deadline = time.monotonic() + LONGEST_S
    while not agreed():
        assert time.monotonic() < deadline, (lab.outcomes, [job.report_tries for job in lab.jobs])
        lab.make_due()
        each()
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


def test_deliveries_that_the_line_swallowed_are_asked_for_until_all_are_there_once(
    lab: Lab, line: FaultyProxy
) -> None:
    lab.work()
    with faulty_proxy(seed=7, silence_s=1.0) as way_in:
        way_in.upstream = lab.url
        lab.world.app_webhook(lab.app_id, f"{way_in.url}/webhooks/github")
        way_in.share, line.share = 0.6, 0.2
        shas = [
            lab.world.push(SPOON, {**PROGRAM, "n": f"{n}"}, user="alice", branch=f"b{n}") for n in range(4)
        ]
        minutes = iter(range(5, 2000, 90))  # the pauses between attempts double
        ask = lambda: redelivery.redeliver(lab.here, now=utc_now() + timedelta(minutes=next(minutes)))  # noqa: E731
        until(lab, lambda: len(lab.jobs) == 2 and all_shown(lab), ask)
        assert way_in.met[Trouble.UNHEARD] + way_in.met[Trouble.LOST] > 0
    assert sorted(job.sha for job in lab.jobs) == sorted(shas)
    assert [len(lab.check_runs(sha)) for sha in shas] == [1] * 2
    guids = [row.guid for row in lab.rows(Delivery)]
    assert len(guids) == len(set(guids))
