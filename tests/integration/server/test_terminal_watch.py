"""`raas watch` on a terminal and on a pipe, with a real server that comes and goes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from live_world import LiveWorld
from server_process import ServerProcess
from server_world import add_repository, submit
from terminal import Terminal

from demo.processes import script, wait_until
from github_app.db import Database

pytestmark = pytest.mark.timeout(240)

COLUMNS = ["tick", "t", "theta", "theta_dot", "action", "applied", "applied_at", "reward", "late", "episode"]
LOG = b"begun\n\x1b[31mred\x1b[0m and plain\n::group::training\nepoch 1\n::endgroup::\nraas: our own words\n"
SESSION = {
    "number": 0,
    "steps": 400,
    "late": 0,
    "reason": "client_left",
    "message": "",
    "ticks": 400,
    "episodes": 1,
    "duration_s": 20.0,
    "robot": "goose",
    "passport": "simulated",
    "scores": {"episode_return": -222.4, "upright": 0.91, "upright_time": 18.2, "swing_up_time": 1.8},
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    folder = tmp_path_factory.mktemp("watched")
    url = f"sqlite:///{folder}/raas.sqlite3"
    database = Database(url)
    database.upgrade()
    settings = {"DATABASE_URL": url, "WORKERS": "1", "LIVE_MAX_PER_ADDRESS": "30"}
    world = LiveWorld([ServerProcess(folder / "data", **settings)], database)
    try:
        world.start()
        yield world
    finally:
        world.servers[0].close()
        database.close()


def raas(live: LiveWorld, *arguments: str) -> list[str]:
    return [script("raas"), "watch", *arguments, "--server", live.servers[0].url]


def tick(live: LiveWorld, job: dict[str, Any], theta: float = 0.79) -> None:
    row = [64, 3.2, theta, -1.2, 1.3, 1.3, 0.0, -0.62, 0, 0]
    live.call(job, "telemetry", session=0, columns=COLUMNS, rows=[row])


def running(live: LiveWorld) -> tuple[int, dict[str, Any]]:
    number = submit(live.database)
    job = live.claim()
    assert live.call(job, "running").status_code == 204
    return number, job


def finish(live: LiveWorld, job: dict[str, Any], conclusion: str = "success", **more: Any) -> None:
    answer = live.call(job, "finish", conclusion=conclusion, reason=more.pop("reason", "done"), **more)
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_person_sees_states_log_robot_and_verdict(live: LiveWorld, columns: int) -> None:
    number = submit(live.database)
    with Terminal(raas(live, str(number)), columns=columns) as seen:
        seen.until("waiting: place 1 in the queue"[: columns - 12])
        job = live.claim()
        seen.until("claimed on goose")
        live.call(job, "running")
        seen.until("running")
        live.say(job, 0, LOG)
        seen.until("raas: our own words")
        tick(live, job)
        seen.until(lambda: "↖" in seen.text and "θ +0.79 rad" in seen.text)
        robot = next(line for line in seen.text.splitlines() if line.startswith("↖"))
        assert ("●" in robot) == (columns > 40)
        assert "  u +1.30" in robot
        finish(live, job, sessions=[SESSION])
        assert seen.wait() == 0, seen.text
        text = seen.text
    assert "▸ training" in text
    assert "::endgroup::" not in text
    assert b"\x1b[31mred\x1b[0m and plain" in seen.raw
    assert "success: Balanced 18.2 s" in text
    assert "swing-up time [s]    1.8" in text
    assert "↖" not in text  # the line that changes is gone
    assert "…" not in text


def test_no_color_is_honoured(live: LiveWorld) -> None:
    number, job = running(live)
    live.say(job, 0, LOG)
    finish(live, job)
    with Terminal(raas(live, str(number)), environment={"NO_COLOR": "1"}) as seen:
        assert seen.wait() == 0
    assert "red and plain" in seen.text
    assert b"\x1b[3" not in seen.raw
    assert b"\x1b[2m" not in seen.raw


def piped(live: LiveWorld, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(raas(live, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("conclusion", "status"),
    [("success", 0), ("failure", 1), ("neutral", 3), ("cancelled", 4), ("timed_out", 124)],
)
def test_a_pipe_gets_plain_words_and_the_conclusion_s_status(
    live: LiveWorld, conclusion: str, status: int
) -> None:
    number, job = running(live)
    live.say(job, 0, LOG)
    tick(live, job)
    finish(live, job, conclusion, reason="It fell over.")
    with piped(live, str(number)) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "\nred and plain\n▸ training\nepoch 1\nraas: our own words\n" in out
    assert "\x1b" not in out + err
    assert "↖" not in out + err
    assert out.splitlines()[-2].startswith(f"{conclusion}: ")
    assert out.splitlines()[-1].endswith(f"/jobs/{number}")


def test_json_lines_say_everything_once_through_a_server_that_is_killed(live: LiveWorld) -> None:
    number, job = running(live)
    first, second = b"one\ntwo\n", b"three\nfour, without a line feed"
    live.say(job, 0, first)
    with piped(live, str(number), "--json") as process:
        assert process.stdout is not None
        heard = []
        while not heard or heard[-1]["event"] != "log":
            heard.append(json.loads(process.stdout.readline()))
        live.servers[0].kill()
        live.servers[0].start()
        live.say(job, len(first), second)
        finish(live, job, sessions=[SESSION])
        rest, err = process.communicate(timeout=120)
    heard += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0, err
    assert [it["data"]["kind"] for it in heard if it["event"] == "state"] == [
        "queued",
        "claimed",
        "running",
        "finished",
    ]
    lines = [line for it in heard if it["event"] == "log" for line in it["data"]["lines"]]
    assert lines == ["one", "two", "three", "four, without a line feed"]
    assert heard[0]["event"] == "job"
    assert heard[-1]["event"] == "end"
    assert heard[-1]["data"]["sessions"][0]["scores"]["upright_time"] == 18.2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_watching_and_not_the_job(
    live: LiveWorld, number: signal.Signals, status: int
) -> None:
    job_id, job = running(live)
    tick(live, job)
    with Terminal(raas(live, str(job_id))) as seen:
        seen.until("↖")
        seen.signal(number)
        assert seen.wait() == status
        assert "stopped watching; the job goes on" in seen.text
        assert "↖" not in seen.text
        assert "Traceback" not in seen.text
    with live.database.read() as session:
        from github_app.models import Job  # noqa: PLC0415

        found = session.get(Job, job_id)
        assert found is not None
        assert found.status == "running"
    finish(live, job)


def test_a_private_job_is_not_there(live: LiveWorld) -> None:
    add_repository(live.database, private=True, number=2)
    number = submit(live.database, repository_id=2)
    for asked in (str(number), "999999"):
        with piped(live, asked) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert out == ""
        assert f"shows nobody a job {asked}" in err
        assert "sign in there" in err
    live.drain()


def test_an_address_works_as_well_as_a_number(live: LiveWorld) -> None:
    number, job = running(live)
    finish(live, job)
    for address in (f"/jobs/{number}", f"/jobs/{number}#t=3.4", f"/api/v1/jobs/{number}"):
        command = [script("raas"), "watch", live.servers[0].url + address]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"job {number}: alice/pendulum-1" in done.stdout


def test_nobody_there_is_one_sentence() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        command = [script("raas"), "watch", "1", "--server", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {url} cannot be reached (nobody answers): check the address and the network\n"
    )


def test_a_server_that_stays_away_is_given_up(live: LiveWorld) -> None:
    number, job = running(live)
    with Terminal(raas(live, str(number), "--patience", "1")) as seen:
        seen.until("running")
        live.servers[0].kill()
        try:
            seen.until(lambda: b"trying again" in seen.raw)
            assert seen.wait() == 2
            assert "did not answer for 1 s" in " ".join(seen.text.split())
        finally:
            live.servers[0].start()
    finish(live, job)
    wait_until(live.servers[0].ready, 60, "the server")
