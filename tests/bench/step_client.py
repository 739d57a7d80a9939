"""What runs inside the container for `bench_link` and `bench_pacing`; prints one line of JSON.

step_client.py bare STEPS        bare ping-pong over a Unix stream, of a step's sizes
step_client.py step STEPS        steps of RemoteEnv
step_client.py pace STEPS        the time of each step, in seconds
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable

FOLDER = os.environ.get("STEP_FOLDER", "")
QUESTION, ANSWER = 13, 85
"""Bytes of a STEP and of a STATE message of the pendulum."""
WARM_UP = 200


def timed(call: Callable[[], object], count: int) -> list[float]:
    """Seconds of each call, after a warm-up."""
    for _ in range(WARM_UP):
        call()
    clock, taken = time.perf_counter, []
    for _ in range(count):
        begin = clock()
        call()
        taken.append(clock() - begin)
    return taken


def bare(count: int) -> list[float]:
    """A request and its answer, nothing else."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(f"{FOLDER}/bare.sock")
        question = bytes(QUESTION)

        def exchange() -> None:
            sock.sendall(question)
            got = 0
            while got < ANSWER:
                got += len(sock.recv(ANSWER - got))

        return timed(exchange, count)


def step(count: int) -> list[float]:
    """A step of the hosted pendulum."""
    import numpy as np  # noqa: PLC0415 - the bare client has none

    from raas_gym.remote import RemoteEnv  # noqa: PLC0415

    env = RemoteEnv(f"{FOLDER}/step.sock")
    env.reset(seed=0)
    action = np.array([0.5], dtype=np.float32)
    taken = timed(lambda: env.step(action), count)
    env.close()
    return taken


def pace(count: int) -> dict[str, object]:
    """When each step of a real-time session was answered, and how many ticks were missed."""
    import numpy as np  # noqa: PLC0415

    from raas_gym.remote import RemoteEnv  # noqa: PLC0415

    env = RemoteEnv(f"{FOLDER}/step.sock")
    env.reset(seed=0)
    action, times, missed = np.array([0.0], dtype=np.float32), [], 0
    for _ in range(count):
        info = env.step(action)[4]
        times.append(time.monotonic())
        missed += info["missed_ticks"]
    env.close()
    return {"times": times, "missed": missed}


if __name__ == "__main__":
    kind, number = sys.argv[1], int(sys.argv[2])
    print(json.dumps({"bare": bare, "step": step, "pace": pace}[kind](number)))
