"""Parts killed at bad moments: no job stuck, lost or run twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from e2e_lab import FAST, Lab, running

from demo.processes import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

Stepping = Callable[[int], dict[str, str]]


@pytest.fixture(scope="module")
def lab_of_all(base_image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from running(tmp_path_factory.mktemp("killed"), FAST)


@pytest.fixture
def own_lab(lab_of_all: Lab) -> Lab:
    """A lab to kill parts of; what the test before has left dead lives again."""
    stack = lab_of_all.stack
    starts = {
        "server": stack.start_server,
        "controller": stack.start_controller,
        "runner": stack.start_runner,
    }
    for part, start in starts.items():
        if not stack.processes[part].running:
            start()
    return lab_of_all


def _in_phase(lab: Lab, name: str, sha: str, status: str) -> bool:
    return [lab.status(run) for run in lab.check_runs(name, sha)] == [status]


def test_server_killed_between_webhook_and_claim(own_lab: Lab, stepping: Stepping) -> None:
    lab = own_lab
    lab.stack.processes["runner"].stop()
    name, sha = lab.repository(stepping(5))
    lab.stack.world.settle()
    lab.stack.processes["server"].kill()
    lab.stack.start_server()
    lab.stack.start_runner()
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "success"
    assert [job["repository"] for job in lab.jobs()].count(name) == 1
    assert len(lab.sessions(run)) == 1


def test_server_killed_during_a_run(own_lab: Lab, stepping: Stepping) -> None:
    lab = own_lab
    name, sha = lab.repository(stepping(60))
    wait_until(lambda: _in_phase(lab, name, sha, "running"), 30, "the job to run")
    lab.stack.processes["server"].kill()
    lab.stack.start_server()
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "success"
    assert len(lab.sessions(run)) == 1


def test_runner_killed_before_the_run_leaves_the_job_to_the_next(own_lab: Lab, stepping: Stepping) -> None:
    lab = own_lab
    lab.stack.world.fault(method="GET", path="/tarball", times=1, delay_s=5)
    name, sha = lab.repository(stepping(5))
    wait_until(lambda: _in_phase(lab, name, sha, "claimed"), 30, "the job to be claimed")
    lab.stack.processes["runner"].kill()
    assert [lab.sessions(run) for run in lab.check_runs(name, sha)] == [[]]
    lab.stack.start_runner()
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "success"
    assert len(lab.sessions(run)) == 1


def test_runner_killed_during_the_run_concludes_it_and_never_repeats_it(
    own_lab: Lab, stepping: Stepping
) -> None:
    lab = own_lab
    name, sha = lab.repository(stepping(200))
    wait_until(lambda: _in_phase(lab, name, sha, "running"), 30, "the job to run")
    lab.stack.processes["runner"].kill()
    lab.stack.start_runner()
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] in {"neutral", "failure"}
    assert len(lab.sessions(run)) == 1
    later, sha_later = lab.repository(stepping(5))
    assert [one["conclusion"] for one in lab.finished(later, sha_later)] == ["success"]


def test_runner_gone_for_good_leaves_no_job_stuck(own_lab: Lab, stepping: Stepping) -> None:
    lab = own_lab
    name, sha = lab.repository(stepping(200))
    wait_until(lambda: _in_phase(lab, name, sha, "running"), 30, "the job to run")
    lab.stack.processes["runner"].kill()
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] == "neutral"
    assert len(lab.sessions(run)) == 1
    assert lab.leftovers()
    lab.stack.start_runner()
    wait_until(lambda: not lab.leftovers(), 30, "the runner to clean up after its former self")


def test_controller_killed_during_the_run_keeps_what_it_recorded(own_lab: Lab, stepping: Stepping) -> None:
    lab = own_lab
    name, sha = lab.repository(stepping(200))
    wait_until(lambda: _in_phase(lab, name, sha, "running"), 30, "the job to run")
    lab.stack.processes["controller"].kill()
    lab.stack.start_controller()
    (run,) = lab.finished(name, sha)
    assert run["conclusion"] in {"neutral", "failure"}
    assert len(lab.sessions(run)) == 1
