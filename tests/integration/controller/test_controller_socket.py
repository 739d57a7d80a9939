"""The control socket: streams, slow followers, malformed lines, second controllers."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from controller_lab import COMMAND, Daemon, until

from hardware.control_server import ControlServer
from hardware.controller import Controller
from hardware.robot import SimulatedRobot
from raas_gym import control
from raas_gym.control import ControlClient, ControlError, SessionOpened, SessionRequest
from raas_gym.remote import RemoteEnv

Connect = Callable[[SessionOpened], RemoteEnv]


@contextmanager
def raw(daemon: Daemon) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A bare connection and its lines."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(daemon.socket))
        with connection.makefile("rb") as lines:
            yield connection, lines


def driven(env: RemoteEnv, steps: int) -> None:
    env.reset(seed=0)
    for _ in range(steps):
        env.step(np.array([1.0], dtype=np.float32))


OPEN = control.encode(
    {"op": "open", "request": asdict(SessionRequest(1, 1, 0, "RaasPendulum-v1", 60.0, os.getuid()))}
)

MALFORMED = {
    b"hello": "not JSON",
    b"\xff\xfe": "not JSON",
    b"[]": "not a JSON object",
    b"[" * 100_000: "not JSON",
    b"{}": "op None is not one of open, follow, status",
    b'{"op": ["open"]}': "is not one of",
    b'{"op": "open"}': "SessionRequest must be a JSON object",
    b'{"op": "open", "request": {"job": "1"}}': "SessionRequest.job must be int",
    b'{"op": "open", "request": {"jobs": 1}}': "has no field 'jobs'",
    b'{"op": "open", "request": {"job": 1}}': "missing",
    b'{"op": "close", "job": true, "attempt": 1, "number": 0}': "whole numbers",
    b'{"op": "close", "job": -1, "attempt": 1, "number": 0}': "whole numbers",
    b'{"op": "follow"}': "whole numbers",
    b'{"op": "result", "job": 1, "attempt": 1, "number": 0, "server": "../up"}': "server must match",
    b'{"op": "status", "x": NaN}': "not JSON",
}


def test_a_malformed_line_is_refused_and_the_connection_goes_on(daemon: Daemon) -> None:
    with raw(daemon) as (connection, lines):
        for line, says in MALFORMED.items():
            connection.sendall(line + b'\n\n{"op": "status"}\n')
            refusal, status = json.loads(lines.readline()), json.loads(lines.readline())
            assert (refusal["ok"], refusal["error"]["code"]) == (False, "bad_request")
            assert says in refusal["error"]["message"]
            assert status["status"]["robot"] == "goose"


def test_an_endless_line_ends_the_connection_and_nothing_else(daemon: Daemon) -> None:
    with raw(daemon) as (connection, lines):
        connection.sendall(b"x" * (control.MAX_LINE + 1))
        assert "longer than" in json.loads(lines.readline())["error"]["message"]
        assert lines.read() == b""
    assert daemon.client.status().state == "idle"


def test_the_socket_is_for_its_group_alone(daemon: Daemon) -> None:
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660


def test_another_version_of_the_contract_is_named(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CONTROL_VERSION", 1)  # as in a runner from before servers had names
    both = r"speaks version 2 of the control contract, .* version 1: install the same .* and restart both"
    with pytest.raises(ControlError, match=both) as refused:
        daemon.client.status()
    assert refused.value.code == "version"


def test_too_many_connections_are_told_so(daemon: Daemon) -> None:
    held = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(64)]
    try:
        for connection in held:
            connection.connect(str(daemon.socket))
        with pytest.raises(ControlError, match="64 connections are open"):
            daemon.client.status()
    finally:
        for connection in held:
            connection.close()
    until(daemon.answers)


def test_who_hung_up_while_the_controller_was_held_up_gets_no_session(daemon: Daemon) -> None:
    """A runner that died, or lost patience: its session would be open with nobody there."""
    daemon.process.send_signal(signal.SIGSTOP)
    with raw(daemon) as (connection, _):
        connection.sendall(OPEN)
    daemon.process.send_signal(signal.SIGCONT)
    daemon.open(1)  # as its next attempt would, or another runner's
    daemon.client.close(1, 1, 0, "")
    assert "job 1-1-0: not opened, for who asked has hung up" in daemon.end()


class SlowlyResting(SimulatedRobot):
    """A robot that swings on until `still` is set."""

    def __init__(self) -> None:
        super().__init__("goose", 0.05, ["RaasPendulum-v1"])
        self.swinging, self.still, self.stopped = (threading.Event() for _ in range(3))

    def rest(self) -> None:
        self.swinging.set()
        assert self.still.wait(20)
        super().rest()

    def stop(self) -> None:
        self.stopped.set()
        super().stop()


def test_who_hangs_up_while_the_robot_comes_to_rest_has_a_session_that_is_over(home: Path) -> None:
    robot = SlowlyResting()
    (home / "sessions").mkdir()
    controller = Controller(robot, home / "data", home / "sessions")
    robot.still.set()
    controller.settle()
    for event in (robot.still, robot.swinging):
        event.clear()
    server = ControlServer(home / "c.sock", controller)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(server.path))
            connection.sendall(OPEN)
            assert robot.swinging.wait(20)
        assert robot.stopped.wait(20)
        robot.still.set()
        client = ControlClient(str(server.path))
        until(lambda: client.status().state == "idle")
        summary = client.result(1, 1, 0)
        assert (summary.reason, summary.ticks) == ("closed", 0)
        assert "hung up before it was open" in summary.message
    finally:
        robot.still.set()
        server.close()
        controller.shutdown("the test is over")


def test_follow_streams_every_row_and_then_the_summary(daemon: Daemon, connect: Connect) -> None:
    env = connect(daemon.open())
    with raw(daemon) as (connection, lines):
        connection.sendall(b'{"op": "follow", "job": 1, "attempt": 1, "number": 0}\n')
        assert json.loads(lines.readline()) == {"ok": True}
        driven(env, 20)
        env.close()
        *telemetry, ended = _until_ended(lines)
        connection.sendall(b'{"op": "status"}\n')
        assert json.loads(lines.readline())["ok"], "the connection goes on after the stream"

    assert {event["event"] for event in telemetry} == {"telemetry"}
    summary = daemon.client.result(1, 1, 0)
    assert ended["summary"]["scores"] == summary.scores
    columns = telemetry[0]["columns"]
    rows = [row for event in telemetry for row in event["rows"]]
    assert [row[columns.index("tick")] for row in rows] == list(range(summary.ticks))
    assert all(math.isfinite(value) for row in rows for value in row)
    assert 8 <= len(telemetry) <= 22, "about ten events a second, for one second"


def test_following_an_ended_session_gives_its_summary(daemon: Daemon) -> None:
    daemon.open()
    summary = daemon.client.close(1, 1, 0, "over")
    assert [event["summary"]["message"] for event in daemon.client.follow(1, 1, 0)] == [summary.message]
    with pytest.raises(ControlError, match="never opened"):
        list(daemon.client.follow(9, 1, 0))


def test_a_follower_that_does_not_read_loses_telemetry_but_not_the_end(
    start: Callable[..., Daemon], connect: Connect
) -> None:
    daemon = start("--dt", "0.005")  # 200 rows a second fill a socket's buffer soon
    with raw(daemon) as (connection, lines):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        env = connect(daemon.open())
        connection.sendall(b'{"op": "follow", "job": 1, "attempt": 1, "number": 0}\n')
        assert json.loads(lines.readline()) == {"ok": True}
        driven(env, 1600)
        env.close()
        summary = daemon.client.close(1, 1, 0, "")
        events = _until_ended(lines)
    told = sum(len(event.get("rows", [])) for event in events)
    assert events[-1]["summary"]["ticks"] == summary.ticks >= 1600
    assert told < summary.ticks, "it did lose telemetry"
    assert summary.duration_s == pytest.approx(summary.ticks * 0.005, abs=0.2), "and did not slow the clock"


def _until_ended(lines: BinaryIO) -> list[dict[str, Any]]:
    events = [json.loads(lines.readline())]
    while events[-1]["event"] != "ended":
        events.append(json.loads(lines.readline()))
    return events


def test_a_follower_hears_the_end_even_when_the_controller_is_stopped(daemon: Daemon) -> None:
    daemon.open()
    with raw(daemon) as (connection, lines):
        connection.sendall(b'{"op": "follow", "job": 1, "attempt": 1, "number": 0}\n')
        assert json.loads(lines.readline()) == {"ok": True}
        daemon.end()
        assert _until_ended(lines)[-1]["summary"]["reason"] == "controller_lost"


def test_a_follower_that_hangs_up_is_forgotten(daemon: Daemon) -> None:
    daemon.open()
    for _ in range(40):  # more than may follow at once
        with raw(daemon) as (connection, lines):
            connection.sendall(b'{"op": "follow", "job": 1, "attempt": 1, "number": 0}\n')
            answer = json.loads(lines.readline())
            if not answer["ok"]:
                assert answer["error"]["code"] == "busy"
                break
    until(lambda: _may_follow(daemon))


def _may_follow(daemon: Daemon) -> bool:
    with raw(daemon) as (connection, lines):
        connection.sendall(b'{"op": "follow", "job": 1, "attempt": 1, "number": 0}\n')
        return bool(json.loads(lines.readline())["ok"])


def refusal(*arguments: str) -> str:
    """What `serve` says when it refuses to start."""
    command = [COMMAND, "serve", "--plant", "simulated", "--name", "goose", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_two_controllers_never_share(daemon: Daemon) -> None:
    home, other = daemon.home, daemon.home / "other"
    same_data = refusal("--data-dir", str(home / "data"), "--socket", str(home / "d.sock"))
    assert f"another controller (process {daemon.process.pid}) uses the data directory" in same_data
    same_socket = refusal("--data-dir", str(other), "--socket", str(daemon.socket))
    assert "another controller answers at" in same_socket
    assert daemon.answers()


def test_it_refuses_what_it_cannot_use(home: Path) -> None:
    file = home / "file"
    file.write_text("precious")
    assert "is no socket" in refusal("--data-dir", str(home / "data"), "--socket", str(file))
    assert file.read_text() == "precious"
    assert "cannot be used" in refusal("--data-dir", str(file / "x"), "--socket", str(home / "c.sock"))
    assert "too long" in refusal("--data-dir", str(home / "data"), "--socket", str(home / ("x" * 120)))
    (home / "data" / "ledger.jsonl").write_text('broken\n{"job": 1, "attempt": 1, "number": 0}\n')
    assert "line 1 of the ledger" in refusal("--data-dir", str(home / "data"), "--socket", str(home / "c"))


def test_wrong_pin_numbers_are_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["--data-dir", str(home / "data"), "--socket", str(home / "c.sock")]
    rig = ["--plant", "hardware", "--pins", "simulated", *where]
    for name, value, says in (
        ("RAAS_PIN_IN1", "99", "the Pi's header has GPIO 0 to 27"),
        ("RAAS_PIN_ENABLE", "thirteen", "is no GPIO number"),
        ("RAAS_PIN_IN2", "13", "are both 13: one pin, one wire"),
    ):
        with monkeypatch.context() as environment:
            environment.setenv(name, value)
            message = refusal(*rig)
        assert says in message
        assert message.count("\n") == 1


def test_a_dead_controllers_socket_is_taken_over(daemon: Daemon) -> None:
    daemon.kill()
    assert daemon.socket.exists()
    with pytest.raises(ControlError, match="no controller answers"):
        ControlClient(str(daemon.socket)).status()
    daemon.start()
    assert daemon.answers()
