"""Vectorised simulation against EnvPool's `Pendulum-v1` and against bare NumPy: million steps a second.

Peers and ours take turns within one process, and the figure is the median of five turns. A turn is ten
slices of 50 ms, of which the fastest counts: in the others the machine did something else as well, which
would punish whoever uses fewer threads. All are driven by the same random actions, and autoresets count:
they are part of the work. EnvPool runs in every way that was ever its fastest here, and the best one counts.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import gymnasium
import numpy as np
from numpy.typing import NDArray

import raas_gym  # noqa: F401 - registers RaasPendulum-v1
from tests.bench.report import Report

ROUNDS = 5
SLICES, SLICE_S = 10, 0.05
Floats = NDArray[np.float32]
Turn = Callable[[], float]


def actions_for(count: int) -> list[Floats]:
    """Random torques, the same for everybody."""
    rng = np.random.default_rng(0)
    return [rng.uniform(-2, 2, (count, 1)).astype(np.float32) for _ in range(16)]


def turn(step: Callable[[Floats], object], count: int) -> Turn:
    """A turn of `step`, answering in million steps a second."""
    actions = actions_for(count)

    def rate() -> float:
        done, begin = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < SLICE_S:
            for action in actions:
                step(action)
            done += len(actions)
        return done * count / elapsed / 1e6

    return lambda: max(rate() for _ in range(SLICES))


def ours(params: str, num_envs: int) -> Turn:
    """Our vector environment, float32."""
    envs = gymnasium.make_vec("RaasPendulum-v1", num_envs=num_envs, params=params, dtype="float32")
    envs.reset(seed=0)
    return turn(envs.step, num_envs)


def envpool_turns(num_envs: int) -> list[Turn]:
    """EnvPool, synchronous and asynchronous with a half and a quarter of the batch."""
    try:
        import envpool  # noqa: PLC0415 - an extra that only this benchmark needs
    except ImportError:
        sys.exit("EnvPool is missing; pip install 'raas-gym[bench]'")
    # Its spaces are float64 bounds of float32 boxes, of which Gymnasium complains each time.
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    turns = []
    for threads in (1, 2):
        sync = envpool.make_gymnasium("Pendulum-v1", num_envs=num_envs, num_threads=threads)
        sync.reset()
        turns.append(turn(sync.step, num_envs))
        for batch in (num_envs // 2, num_envs // 4):
            pool = envpool.make_gymnasium(
                "Pendulum-v1", num_envs=num_envs, batch_size=batch, num_threads=threads
            )
            pool.async_reset()

            def exchange(action: Floats, pool: object = pool) -> None:
                *_, info = pool.recv()  # type: ignore[attr-defined]
                pool.send(action, info["env_id"])  # type: ignore[attr-defined]

            turns.append(turn(exchange, batch))
    return turns


def kernel(count: int) -> Turn:
    """What NumPy allows: `ideal` physics, observation and reward in float32, by hand, and nothing else."""
    rng = np.random.default_rng(0)
    theta, speed = rng.uniform(-3, 3, count).astype(np.float32), np.zeros(count, np.float32)
    observation, sine, work, reward, torque = (
        np.empty((count, 3), np.float32),
        *np.empty((4, count), np.float32),
    )
    dt, gravity, gain, damping, limit, high, turn_angle, per_turn, speed_weight, torque_weight = (
        np.array(value, np.float32)
        for value in (0.05, 27 * 0.05, 8 * 0.05, 1 - 2 * 0.05, 20, 2, 2 * np.pi, 1 / (2 * np.pi), 0.1, 0.001)
    )
    low, minus_limit = -high, -limit
    columns = [observation[:, number] for number in range(3)]
    np.sin(theta, sine)

    def step(actions: Floats) -> None:
        np.minimum(actions[:, 0], high, out=torque)
        np.maximum(torque, low, out=torque)
        np.multiply(theta, per_turn, work)
        np.rint(work, work)
        np.multiply(work, turn_angle, work)
        np.subtract(theta, work, theta)
        np.multiply(theta, theta, reward)
        np.multiply(speed, speed, work)
        np.multiply(work, speed_weight, work)
        np.add(reward, work, reward)
        np.multiply(torque, torque, work)
        np.multiply(work, torque_weight, work)
        np.add(reward, work, reward)
        np.negative(reward, reward)
        np.multiply(speed, damping, speed)
        np.multiply(sine, gravity, work)
        np.add(speed, work, speed)
        np.multiply(torque, gain, work)
        np.add(speed, work, speed)
        np.minimum(speed, limit, out=speed)
        np.maximum(speed, minus_limit, out=speed)
        np.multiply(speed, dt, work)
        np.add(theta, work, theta)
        np.sin(theta, sine)
        np.cos(theta, columns[0])
        columns[1][:] = sine
        columns[2][:] = speed

    return turn(step, count)


def compare(turns: dict[str, Turn]) -> dict[str, float]:
    """Medians of `ROUNDS` interleaved turns, by name; the first round only warms up."""
    results: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(ROUNDS + 1):
        for name, take in turns.items():
            rate = take()
            if number:
                results[name].append(rate)
    return {name: statistics.median(rates) for name, rates in results.items()}


def main() -> None:
    report = Report("vector")
    pools = {f"EnvPool {number}": take for number, take in enumerate(envpool_turns(1024))}
    medians = compare({"ideal": ours("ideal", 1024), "measured": ours("measured", 1024), **pools})
    best = max(medians[name] for name in pools)
    for params, factor in (("ideal", 25), ("measured", 8)):
        report.add(
            f"1,024 pendulums, float32, {params}, M steps/s",
            medians[params],
            peer=best,
            peer_name="best EnvPool Pendulum-v1",
            bar=f">= {factor}x",
            met=medians[params] >= factor * best,
        )
    medians = compare(
        {"ideal": ours("ideal", 8192), "kernel": kernel(8192), "measured": ours("measured", 8192)}
    )
    report.add(
        "8,192 pendulums, float32, ideal, M steps/s",
        medians["ideal"],
        peer=medians["kernel"],
        peer_name="NumPy kernel",
        bar="within 2x",
        met=2 * medians["ideal"] >= medians["kernel"],
    )
    report.add("8,192 pendulums, float32, measured, M steps/s", medians["measured"])
    report.close()


if __name__ == "__main__":
    main()
