"""What every plant must do, whatever moves behind it.

`PLANTS` makes one of each kind; a new kind of plant joins by one entry.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from raas_gym import MEASURED, PendulumEnv, PendulumParams
from raas_gym.plants import Measurement, Plant, SimPlant

PLANTS: dict[str, Callable[[], Plant]] = {
    "measured": SimPlant,
    "ideal": lambda: SimPlant("ideal"),
    "raw motor": lambda: SimPlant("raw_motor"),
    "delayed": lambda: SimPlant(replace(MEASURED, delay=0.12)),
    "randomized": lambda: SimPlant(randomize=True),
}

every_plant = pytest.mark.parametrize("make", PLANTS.values(), ids=PLANTS)


@every_plant
def test_a_reset_ends_hanging_at_rest(make: Callable[[], Plant]) -> None:
    with closing(make()) as plant:
        measured = plant.reset(None, {})
        assert isinstance(measured, Measurement)
        assert math.cos(measured.theta) < -0.99
        assert abs(measured.theta_dot) < 0.3
        assert plant.measure() == measured


@every_plant
@pytest.mark.parametrize(("asked", "applied"), [(0.5, 0.5), (2.0, 2.0), (7.0, 2.0), (-7.0, -2.0), (0.0, 0.0)])
def test_what_is_applied_is_limited_and_told(make: Callable[[], Plant], asked: float, applied: float) -> None:
    with closing(make()) as plant:
        plant.reset(None, {})
        assert plant.apply(asked) == applied


@every_plant
def test_torque_moves_it_the_same_way(make: Callable[[], Plant]) -> None:
    with closing(make()) as plant:
        start = plant.reset(None, {}).theta
        for _ in range(5):
            plant.apply(2.0)
            plant.advance()
        assert plant.measure().theta > start + 0.02


@every_plant
def test_stop_takes_the_torque_away_at_any_time_from_any_thread(make: Callable[[], Plant]) -> None:
    with closing(make()) as plant:
        plant.stop()
        plant.reset(None, {})
        for _ in range(10):
            plant.apply(2.0)
            plant.advance()
        thread = threading.Thread(target=plant.stop)
        thread.start()
        thread.join()
        plant.stop()
        for _ in range(2000):
            plant.advance()
        assert abs(plant.measure().theta_dot) < 0.3, "without torque it comes to rest"
        plant.close()
        plant.close()
        plant.stop()


@every_plant
def test_its_papers_are_in_order(make: Callable[[], Plant]) -> None:
    with closing(make()) as plant:
        json.dumps(dict(plant.passport))
        assert isinstance(plant.params, PendulumParams)
        assert isinstance(plant.simulated, bool)


@every_plant
def test_speed_is_the_angles_derivative(make: Callable[[], Plant]) -> None:
    with closing(make()) as plant:
        plant.reset(None, {})
        dt, readings = plant.params.dt, []
        for _ in range(40):
            plant.apply(2.0)
            plant.advance()
            readings.append(plant.measure())
        turned = readings[-1].theta - readings[0].theta
        assert turned == pytest.approx(sum(one.theta_dot for one in readings[1:]) * dt, abs=0.6)


@every_plant
def test_an_environment_runs_over_it(make: Callable[[], Plant]) -> None:
    env = PendulumEnv(plant=make())
    observation, _ = env.reset(seed=1)
    for _ in range(20):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert observation in env.observation_space
        assert reward <= 0.0
        assert not terminated
        assert not truncated
        assert -2.0 <= info["applied"] <= 2.0
    env.close()
