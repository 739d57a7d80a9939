"""PendulumEnv: Gymnasium's rules, Pendulum-v1's conventions, and clear errors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import raas_gym
from raas_gym.dynamics import cost
from raas_gym.env import PendulumEnv
from raas_gym.plants import SimPlant


def import_quietly(name: str) -> Any:
    """An optional module, without its warnings at import; the test is skipped where it is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def push(torque: float) -> np.ndarray:
    return np.array([torque], dtype=np.float32)


@contextmanager
def no_warning_but_pendulum_v1s_own() -> Iterator[None]:
    """Both checkers advise against any action range but ±1, Pendulum-v1's ±2 included."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        yield


@pytest.mark.parametrize("params", ["measured", "ideal", "raw_motor"])
def test_gymnasiums_checker_is_content(params: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import_quietly("pygame")
    with no_warning_but_pendulum_v1s_own():
        check_env(gymnasium.make("RaasPendulum-v1", params=params).unwrapped)
        check_env(gymnasium.make("RaasPendulum-v1", params=params, render_mode="rgb_array").unwrapped)


def test_stable_baselines_checker_is_content() -> None:
    checker = import_quietly("stable_baselines3.common.env_checker")
    with no_warning_but_pendulum_v1s_own():
        checker.check_env(gymnasium.make("RaasPendulum-v1"))
        checker.check_env(PendulumEnv("ideal"))


def test_gym_make_by_both_names_ends_after_400_steps() -> None:
    for name in ("RaasPendulum-v1", "raas_gym:RaasPendulum-v1"):
        env = gymnasium.make(name)
        env.reset(seed=0)
        ends = [env.step(push(0.0))[2:4] for _ in range(400)]
        assert ends == [(False, False)] * 399 + [(False, True)]
        env.close()


def test_registering_twice_changes_nothing() -> None:
    before = gymnasium.registry["RaasPendulum-v1"]
    raas_gym.register_envs()
    assert gymnasium.registry["RaasPendulum-v1"] is before


def test_it_starts_hanging_at_rest() -> None:
    env = PendulumEnv()
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        assert observation[0] < -0.999
        assert observation[2] == 0.0
        assert info["theta_dot"] == 0.0
        after = env.step(push(0.0))
        assert after[0][2] == 0.0, "friction holds it"


def test_a_seed_decides_everything() -> None:
    def episode(env: gymnasium.Env[Any, Any], seed: int | None) -> list[float]:
        env.reset(seed=seed)
        env.action_space.seed(1)
        return [float(x) for _ in range(50) for x in env.step(env.action_space.sample())[0]]

    one, two = PendulumEnv(randomize=True, start="random"), PendulumEnv(randomize=True, start="random")
    assert episode(one, 5) == episode(two, 5)
    assert episode(one, None) == episode(two, None), "the stream goes on"
    assert episode(one, 5) != episode(one, 6)


def test_observations_actions_and_rewards_are_pendulum_v1s() -> None:
    ours, theirs = PendulumEnv("ideal"), gymnasium.make("Pendulum-v1")
    assert ours.action_space == theirs.action_space
    assert ours.observation_space.shape == theirs.observation_space.shape
    assert ours.observation_space.dtype == theirs.observation_space.dtype
    observation, _ = ours.reset(options={"theta": 0.5, "theta_dot": -1.0})
    assert observation == pytest.approx([math.cos(0.5), math.sin(0.5), -1.0])
    observation, reward, terminated, truncated, info = ours.step(push(1.0))
    assert reward == pytest.approx(-(0.25 + 0.1 + 0.001)), "charged on the state before"
    assert (terminated, truncated) == (False, False)
    assert isinstance(reward, float)
    assert observation in ours.observation_space
    # 2020: positive torque accelerates positively
    assert info["theta_dot"] == pytest.approx(-1.0 + (27 * math.sin(0.5) + 8 + 2) * 0.05)


def test_info_says_time_torque_and_truth() -> None:
    env = PendulumEnv()
    env.reset(seed=0)
    env.step(push(9.0))
    _, _, _, _, info = env.step(push(-0.5))
    assert info["t"] == pytest.approx(0.1)
    assert info["applied"] == -0.5
    assert (info["late"], info["missed_ticks"]) == (False, 0)
    plant = env.plant
    assert isinstance(plant, SimPlant)
    assert (info["theta"], info["theta_dot"]) == plant.state[:2]


def test_every_answer_is_fresh() -> None:
    env = PendulumEnv()
    first, first_info = env.reset(seed=0)
    second, *_, second_info = env.step(push(2.0))
    third, *_, third_info = env.step(push(2.0))
    assert not np.shares_memory(second, third)
    assert not np.shares_memory(first, second)
    assert len({id(one) for one in (first_info, second_info, third_info)}) == 3
    second[:] = 0.0
    assert third.any()
    assert second.flags.writeable
    assert second.flags.owndata


WRONG: list[Any] = [[], [1.0, 2.0], 0.5, "left", None, [None], np.zeros((1, 1)), np.zeros(2), np.float32(1)]
WRONG += [[math.nan], push(math.nan), push(math.inf), push(-math.inf)]


@pytest.mark.parametrize("action", WRONG, ids=repr)
def test_a_wrong_action_is_refused_and_changes_nothing(action: Any) -> None:
    env = PendulumEnv()
    env.reset(seed=0)
    env.step(push(1.0))
    before = env.plant.measure()
    for step in (env.step, env.begin_step):
        with pytest.raises(InvalidAction):
            step(action)
    assert env.plant.measure() == before
    env.step(push(1.0))


@pytest.mark.parametrize("action", [[1], (1.0,), [np.float64(1)], np.array([1]), np.array([1.0])], ids=repr)
def test_what_is_one_number_is_taken(action: Any) -> None:
    env = PendulumEnv()
    env.reset(seed=0)
    assert env.step(action)[4]["applied"] == 1.0


@pytest.mark.parametrize(("asked", "applied"), [(5.0, 2.0), (-2.5, -2.0), (1e30, 2.0)])
def test_a_torque_out_of_range_is_limited(asked: float, applied: float) -> None:
    env = PendulumEnv("ideal")
    env.reset(options={"theta": 0.0})
    _, reward, _, _, info = env.step(push(asked))
    assert info["applied"] == applied
    assert reward == pytest.approx(-0.001 * applied**2)


def test_step_before_reset_and_use_after_close() -> None:
    env = PendulumEnv()
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(push(0.0))
    env.reset()
    env.close()
    env.close()
    with pytest.raises(ClosedEnvironmentError, match="closed"):
        env.step(push(0.0))
    with pytest.raises(ClosedEnvironmentError, match="closed"):
        env.reset()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"gravity": 1}, "gravity"),
        ({"start": "up"}, "up"),
        ({"theta": math.nan}, "theta"),
        ({"randomize": {"size": 0.1}}, "size"),
        ({"params": "moon"}, "moon"),
        ({"params": 3}, "int"),
        ({"params": {"gravity": -1.0}}, "gravity"),
    ],
)
def test_a_wrong_reset_option_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        PendulumEnv().reset(options=options)


def test_reset_options() -> None:
    env = PendulumEnv()
    assert env.reset(options={"theta": 0.3, "theta_dot": 2.0})[1]["theta"] == 0.3
    assert env.reset(options={"theta": 0.3, "theta_dot": 2.0})[0][2] == pytest.approx(2.0, abs=0.25)
    angles = [env.reset(seed=s, options={"start": "random"})[1]["theta"] for s in range(50)]
    assert min(angles) < -2
    assert max(angles) > 2
    small = [env.reset(seed=s, options={"x_init": 0.1, "y_init": 0.2})[1] for s in range(50)]
    assert max(abs(one["theta"]) for one in small) <= 0.1
    assert 0 < max(abs(one["theta_dot"]) for one in small) <= 0.2
    env.reset(options={"params": "ideal"})
    assert env.plant.params == raas_gym.IDEAL
    env.reset()
    assert env.plant.params == raas_gym.MEASURED
    env.reset(seed=1, options={"randomize": {"gravity": 0.1}})
    assert env.plant.params.gravity != raas_gym.MEASURED.gravity
    assert env.plant.params.coulomb == raas_gym.MEASURED.coulomb


def test_wrong_constructor_arguments() -> None:
    with pytest.raises(ValueError, match="render_mode"):
        PendulumEnv(render_mode="ascii")
    with pytest.raises(ValueError, match="'hanging' or 'random'"):
        PendulumEnv(start="upright")


@settings(max_examples=30)
@given(
    st.integers(0, 1000),
    st.sampled_from(["measured", "ideal", "raw_motor"]),
    st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=60),
)
def test_a_step_is_its_two_halves_with_a_period_between(seed: int, params: str, actions: list[float]) -> None:
    """What trains fast and what a real-time host runs are the same environment."""
    whole, halves = PendulumEnv(params, randomize=True), PendulumEnv(params, randomize=True)
    whole.reset(seed=seed)
    halves.reset(seed=seed)
    for action in actions:
        before = whole.recorded_observation()
        one = whole.step(push(action))
        halves.begin_step(push(action))
        halves.plant.advance()
        two = halves.end_step()
        assert one[0].tolist() == two[0].tolist()
        assert one[1] == pytest.approx(two[1], rel=1e-12)
        assert one[2:] == two[2:]
        assert one[1] == pytest.approx(-cost(*before, one[4]["applied"]), rel=1e-12)
        assert one[0] in whole.observation_space


def test_frames_need_no_display() -> None:
    env = gymnasium.make("RaasPendulum-v1", render_mode="rgb_array")
    env.reset(options={"theta": 0.0})
    frame = env.render()
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (500, 500, 3)
    assert frame.dtype == np.uint8
    # upright: the rod is above the axle, and nothing below
    assert tuple(frame[180, 250]) == (204, 77, 77)
    assert tuple(frame[320, 250]) == (255, 255, 255)
    env.reset(options={"theta": math.pi / 2})
    turned = env.render()
    assert tuple(turned[250, 180]) == (204, 77, 77), (
        "positive angles lean to the left, as Pendulum-v1 draws them"
    )


def test_a_window_shows_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import_quietly("pygame")
    env = PendulumEnv(render_mode="human")
    env.reset(seed=0)
    assert env.step(push(1.0))[4]["applied"] == 1.0
    assert env.render() is None
    env.close()
