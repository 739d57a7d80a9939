"""The host's side of `bench_link` and `bench_pacing`, a process of its own as the controller is.

step_host.py bare FOLDER            answers each 13 bytes with 85
step_host.py step FOLDER DT         the pendulum, recorded; DT 0: no pacing
step_host.py busy                   a neighbour that keeps a core busy
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from raas_gym import PendulumEnv
from raas_gym.host import EnvHost
from raas_gym.trajectory import Header, TrajectoryWriter
from runner.hardening import spare_cpuset
from tests.bench.contained import UID
from tests.bench.step_client import ANSWER, QUESTION


def _keep_first_core() -> None:
    """Where the controller runs: the runner leaves it the first core (`runner.hardening.spare_cpuset`)."""
    if spare_cpuset():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def bare(folder: Path) -> None:
    """Serve one client until it leaves."""
    _keep_first_core()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "bare.sock"))
        (folder / "bare.sock").chmod(0o666)
        listener.listen(1)
        print("ready", flush=True)
        peer, _ = listener.accept()
        answer = bytes(ANSWER)
        with peer:
            while data := peer.recv(QUESTION):
                for _ in range(QUESTION - len(data)):
                    peer.recv(1)
                peer.sendall(answer)


def step(folder: Path, dt: float) -> None:
    """Serve the pendulum to one client, recording it as the controller does."""
    _keep_first_core()
    header = Header("RaasPendulum-v1", dt or 0.05, 400, ("theta", "theta_dot"), ("action",))
    recording = folder / "run.traj"
    recording.unlink(missing_ok=True)
    with TrajectoryWriter(recording, header) as writer:
        host = EnvHost(
            PendulumEnv(),
            folder / "step.sock",
            dt=dt or None,
            realtime=dt > 0,
            allowed_uids={0, UID},
            on_tick=writer.append,
        )
        print("ready", flush=True)
        print(host.serve(), flush=True)


def busy() -> None:
    """Work until killed."""
    print("ready", flush=True)
    while True:
        sum(range(1000))


if __name__ == "__main__":
    match sys.argv[1]:
        case "bare":
            bare(Path(sys.argv[2]))
        case "step":
            step(Path(sys.argv[2]), float(sys.argv[3]))
        case "busy":
            busy()
