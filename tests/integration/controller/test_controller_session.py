"""The life of a session, over real sockets with a real controller process."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from controller_lab import COMMAND, Daemon, until

from raas_gym.control import ControlError, SessionOpened
from raas_gym.dynamics import WORST_COST
from raas_gym.remote import RemoteEnv, SessionError
from raas_gym.trajectory import load

Connect = Callable[[SessionOpened], RemoteEnv]


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ControlError) as caught:
        call()
    assert len(str(caught.value)) > 20, "an error is a sentence"
    return caught.value.code


def driven(env: RemoteEnv, steps: int, torque: float = 1.0) -> None:
    env.reset(seed=0)
    for _ in range(steps):
        env.step(np.array([torque], dtype=np.float32))


def test_open_drive_close_result_forget(daemon: Daemon, connect: Connect) -> None:
    client = daemon.client
    opened = daemon.open(7, display="octocat/spoon", header={"commit": "abc123", "image": "sha256:1"})
    assert (opened.dt, opened.horizon, opened.env_id) == (0.05, 400, "RaasPendulum-v1")
    status = client.status()
    assert (status.state, status.session) == ("session", {"job": 7, "attempt": 1, "number": 0})
    assert "octocat/spoon" in status.message

    env = connect(opened)
    driven(env, 10)
    env.close()
    summary = client.close(7, 1, 0, "the container exited")
    assert (summary.reason, summary.steps, summary.ticks, summary.episodes) == ("client_left", 10, 10, 1)
    assert client.close(7, 1, 0, "again") == client.result(7, 1, 0) == summary
    assert not Path(opened.directory).exists()

    trajectory = load(summary.files["trajectory.npz"])
    assert (trajectory.header.commit, trajectory.header.image) == ("abc123", "sha256:1")
    assert (trajectory.header.robot, trajectory.header.passport["plant"]) == ("goose", "simulated")
    assert trajectory["applied"].tolist() == [1.0] * 10
    assert Path(summary.files["trajectory.csv"]).read_text().count("\n") == 11

    client.forget(7, 1, 0)
    assert not Path(summary.files["trajectory.npz"]).exists()
    assert code_of(lambda: client.result(7, 1, 0)) == "unknown_session"
    assert code_of(lambda: daemon.open(7)) == "already_opened"
    assert client.status().state == "idle"


def test_one_session_at_a_time_and_each_once(daemon: Daemon) -> None:
    client = daemon.client
    daemon.open(1)
    assert code_of(lambda: daemon.open(1)) == "already_opened"
    assert code_of(lambda: daemon.open(2)) == "busy"
    assert code_of(lambda: client.result(1, 1, 0)) == "busy"
    assert code_of(lambda: client.forget(1, 1, 0)) == "busy"
    assert client.close(1, 1, 0, "cancelled by octocat").message == "cancelled by octocat"
    assert code_of(lambda: daemon.open(1)) == "already_opened"
    daemon.open(2)
    client.close(2, 1, 0, "")
    daemon.open(2, attempt=2)
    client.close(2, 2, 0, "")
    daemon.kill()
    daemon.start()
    for refused in ((1, 1, 0), (2, 1, 0), (2, 2, 0)):
        assert code_of(lambda refused=refused: daemon.open(*refused)) == "already_opened"


def test_the_same_number_of_another_server_is_another_job(daemon: Daemon) -> None:
    home, moved = "5eed5eed5eed5eed", "ace0ace0ace0ace0"
    for server in (home, moved):
        daemon.open(1, server=server)
        assert daemon.client.close(1, 1, 0, server, server).server == server
    daemon.kill()
    daemon.start()
    for server in (home, moved, ""):
        assert code_of(lambda server=server: daemon.open(1, server=server)) == "already_opened"
    daemon.client.forget(1, 1, 0, home)
    assert code_of(lambda: daemon.client.result(1, 1, 0, home)) == "unknown_session"
    assert daemon.client.result(1, 1, 0, moved).message == moved
    assert code_of(lambda: daemon.client.result(1, 1, 0)) == "unknown_session"


def test_what_an_older_controller_wrote_down_still_counts(daemon: Daemon) -> None:
    """Its ledger knows no servers, nor does the session that was open when it was stopped for the upgrade."""
    home, moved = "5eed5eed5eed5eed", "ace0ace0ace0ace0"
    daemon.open(1)
    daemon.kill()
    data = daemon.home / "data"
    _without_server(data / "ledger.jsonl")
    _without_server(data / "results" / "1-1-0" / "request.json")
    daemon.start()
    assert daemon.client.close(1, 1, 0, "restarted").reason == "controller_lost"
    assert code_of(lambda: daemon.open(1, server=home)) == "already_opened"
    daemon.open(2, server=home)
    daemon.client.close(2, 1, 0, "", home)
    assert code_of(lambda: daemon.open(1, server=home)) == "already_opened"
    daemon.open(1, server=moved)


def _without_server(file: Path) -> None:
    entry = json.loads(file.read_text())
    assert entry.pop("server") == ""
    file.write_text(json.dumps(entry) + "\n")


def test_refused_requests(daemon: Daemon) -> None:
    assert code_of(lambda: daemon.open(env_id="CartPole-v1")) == "unsupported"
    for wrong in (
        {"timeout_s": 0.0},
        {"timeout_s": 1e9},
        {"client_uid": -1},
        {"display": "x" * 1000},
        {"header": {"commit": "x" * 10_000}},
        {"server": "../up"},
    ):
        assert code_of(lambda wrong=wrong: daemon.open(**wrong)) == "bad_request"
    assert code_of(lambda: daemon.open(job=0)) == "bad_request"
    assert code_of(lambda: daemon.client.close(5, 1, 0, "")) == "unknown_session"
    assert list((daemon.home / "data" / "results").iterdir()) == [], "a refused request leaves nothing"


def test_the_session_ends_at_its_time_limit(daemon: Daemon, connect: Connect) -> None:
    env = connect(daemon.open(timeout_s=0.4))
    with pytest.raises(SessionError, match=r"0\.4 s are over"):
        driven(env, 100)
    summary = daemon.client.close(1, 1, 0, "too late to matter")
    assert (summary.reason, summary.message) == ("limit", "the session's 0.4 s are over")
    assert 2 <= summary.ticks <= 8


def test_a_session_nobody_drives_has_no_score(daemon: Daemon) -> None:
    daemon.open(timeout_s=0.1)
    summary = list(daemon.client.follow(1, 1, 0))[-1]["summary"]
    assert (summary["reason"], summary["ticks"], summary["scores"], summary["files"]) == ("limit", 0, {}, {})


def test_stop_ends_it_at_once(daemon: Daemon, connect: Connect) -> None:
    env = connect(daemon.open())
    driven(env, 3)
    daemon.client.stop("smoke")
    with pytest.raises(SessionError, match="smoke"):
        driven(env, 5)
    summary = daemon.client.result(1, 1, 0)
    assert (summary.reason, summary.message) == ("emergency_stop", "smoke")


def test_only_the_named_user_may_connect(daemon: Daemon, connect: Connect) -> None:
    opened = daemon.open(client_uid=os.getuid() + 12345)
    mode = stat.S_IMODE(Path(opened.directory).stat().st_mode)
    if os.getuid() == 0:
        assert (mode, Path(opened.directory).stat().st_uid) == (0o700, 12345)
    with pytest.raises(SessionError, match="forbidden"):
        connect(opened)
    assert daemon.client.status().state == "session", "a refused stranger does not end the session"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")
def test_another_user_cannot_even_reach_the_socket(daemon: Daemon) -> None:
    opened = daemon.open(client_uid=12345)
    daemon.home.chmod(0o755)
    listing = subprocess.run(
        ["ls", opened.directory], user=65534, group=65534, capture_output=True, text=True, check=False
    )
    assert "Permission denied" in listing.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be root")
def test_root_comes_for_a_user_who_passes_through_the_folder_too(daemon: Daemon, connect: Connect) -> None:
    """As under gVisor, whose helper connects; the folder is passable then, and still nobody can list it."""
    opened = daemon.open(client_uid=0)
    assert stat.S_IMODE(Path(opened.directory).stat().st_mode) == 0o711
    driven(connect(opened), 1)


def test_idling_and_leaving_early_do_not_pay(daemon: Daemon, connect: Connect) -> None:
    env = connect(daemon.open(1))
    env.reset(seed=0)
    until(lambda: env.observe() is not None and _ticks(daemon) >= 6)
    env.close()
    idle = daemon.client.close(1, 1, 0, "")
    assert idle.steps == 0
    assert idle.ticks >= 6

    env = connect(daemon.open(2))
    driven(env, 4, torque=0.0)
    env.close()
    early = daemon.client.close(2, 1, 0, "")
    for summary, kept in ((idle, idle.ticks), (early, 4)):
        rewards = load(summary.files["trajectory.npz"])["reward"]
        expected = float(rewards.sum()) - (400 - kept) * WORST_COST
        assert summary.scores["episode_return"] == pytest.approx(expected)
        assert summary.scores["upright"] == 0.0
    assert early.scores["episode_return"] < idle.scores["episode_return"] < -400 * np.pi**2


def _ticks(daemon: Daemon) -> int:
    recording = daemon.home / "data" / "results" / "1-1-0" / "recording.traj"
    return len(load(recording))


def test_kill_9_keeps_the_rows_and_never_runs_it_again(daemon: Daemon, connect: Connect) -> None:
    env = connect(daemon.open(3, display="octocat/spoon"))
    driven(env, 8)
    daemon.kill()
    with pytest.raises(SessionError):
        driven(env, 1)
    daemon.start()
    summary = daemon.client.result(3, 1, 0)
    assert summary.reason == "controller_lost"
    assert summary.steps >= 7
    assert len(load(summary.files["trajectory.npz"])) == summary.ticks
    assert summary.scores["episode_return"] < 0
    assert code_of(lambda: daemon.open(3)) == "already_opened"
    assert [p.name for p in (daemon.home / "c-sessions").iterdir()] == []


def test_sigterm_concludes_the_session_and_exits(daemon: Daemon, connect: Connect) -> None:
    env = connect(daemon.open(4))
    driven(env, 5)
    log = daemon.end(signal.SIGTERM)
    assert daemon.process.returncode == 0
    assert "job 4-1-0: ended" in log
    assert not daemon.socket.exists()
    daemon.start()
    summary = daemon.client.result(4, 1, 0)
    assert (summary.reason, summary.steps) == ("controller_lost", 5)


def test_a_full_disk_stops_the_motor_and_keeps_the_rows(
    start: Callable[..., Daemon], connect: Connect
) -> None:
    small = (3000, resource.RLIM_INFINITY)
    daemon = start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small))
    env = connect(daemon.open())
    with pytest.raises(SessionError, match="free space"):
        driven(env, 100)
    summary = daemon.client.close(1, 1, 0, "")
    assert summary.reason == "safety"
    assert list(summary.files) == ["trajectory.traj"]
    assert len(load(summary.files["trajectory.traj"])) == summary.ticks > 10


def test_status_and_doctor_commands(daemon: Daemon) -> None:
    socket, data = ["--socket", str(daemon.socket)], ["--data-dir", str(daemon.home / "data")]
    status = subprocess.run(
        [COMMAND, "status", "--json", *socket], capture_output=True, text=True, check=True
    )
    assert json.loads(status.stdout)["robot"] == "goose"
    doctor = subprocess.run([COMMAND, "doctor", *socket, *data], capture_output=True, text=True, check=False)
    assert "goose is idle" in doctor.stdout
    daemon.end()
    for command in (["status", *socket], ["doctor", *socket, *data]):
        gone = subprocess.run([COMMAND, *command], capture_output=True, text=True, check=False)
        assert gone.returncode != 0
        assert "start it with `raas-controller serve`" in gone.stdout + gone.stderr
