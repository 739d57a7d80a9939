"""One environment through `gymnasium.make`, against Gymnasium's own `Pendulum-v1`: steps a second.

Turns are short and interleaved, timed in the process's own CPU time; the figure is the median ratio.
Resets count: they are part of training.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import gymnasium
import numpy as np

import raas_gym  # noqa: F401 - registers RaasPendulum-v1
from tests.bench.report import Report

ROUNDS, STEPS = 25, 4000
BARS = {"ideal": 8.0, "measured": 4.0}


def turn(env: gymnasium.Env[Any, Any], actions: list[Any]) -> float:
    """Steps a second of one turn."""
    env.reset(seed=0)
    begin = time.process_time()
    for action in actions:
        if env.step(action)[3]:
            env.reset()
    return len(actions) / (time.process_time() - begin)


def main() -> None:
    """Measure, print, keep."""
    torques = np.random.default_rng(0).uniform(-2, 2, (STEPS, 1)).astype(np.float32)
    actions = list(torques)
    peer = gymnasium.make("Pendulum-v1")
    ours = {name: gymnasium.make("RaasPendulum-v1", params=name) for name in BARS}
    rounds = [
        (turn(peer, actions), {n: turn(env, actions) for n, env in ours.items()}) for _ in range(ROUNDS)
    ]
    report = Report("gym_single")
    middle = statistics.median(one for one, _ in rounds)
    for name, bar in BARS.items():
        ratio = statistics.median(mine[name] / one for one, mine in rounds)
        what = f"single env, {name}, steps/s"
        report.add(
            what, ratio * middle, peer=middle, peer_name="Pendulum-v1", bar=f">= {bar}x", met=ratio >= bar
        )
    report.close()


if __name__ == "__main__":
    main()
