"""`PendulumVectorEnv` is many `PendulumEnv`s: same seeds and actions, same trajectories."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from raas_gym.dynamics import IDEAL, MEASURED, PendulumParams
from raas_gym.env import PendulumEnv
from raas_gym.vector import PendulumVectorEnv

ID = "RaasPendulum-v1"
SLOW = PendulumParams(delay=0.12)
GRID = np.linspace(-50, 50, 9999)
SAME_SINE = np.sin(GRID).tolist() == [math.sin(angle) for angle in GRID.tolist()]
"""NumPy's sine is the C library's on this machine, so that equal means equal to the bit."""


def make(count: int = 2, **kwargs: Any) -> PendulumVectorEnv:
    envs = gymnasium.make_vec(ID, num_envs=count, **kwargs)
    assert isinstance(envs, PendulumVectorEnv)
    return envs


def reference(count: int, mode: AutoresetMode, steps: int, **kwargs: Any) -> SyncVectorEnv:
    """Gymnasium's own vectorisation of the single environment."""

    def one() -> gymnasium.Env[Any, Any]:
        return gymnasium.wrappers.TimeLimit(PendulumEnv(**kwargs), steps)

    return SyncVectorEnv([one] * count, autoreset_mode=mode)


def same_info(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert set(got) == set(wanted)
    for key, value in wanted.items():
        if isinstance(value, dict):
            same_info(got[key], value)
            continue
        relevant = np.ones(len(value), bool) if key.startswith("_") else wanted["_" + key]
        for one, other in zip(got[key][relevant], np.asarray(value)[relevant], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=key)


CASES = st.fixed_dictionaries(
    {
        "params": st.sampled_from(["measured", "ideal", "raw_motor", SLOW]),
        "randomize": st.sampled_from([None, True, {"delay": 1.0, "gravity": 0.1}]),
        "start": st.sampled_from(["hanging", "random"]),
    }
)


@given(
    case=CASES,
    mode=st.sampled_from(["NextStep", "SameStep"]),
    seed=st.integers(0, 2**31),
    steps=st.integers(1, 40),
)
@settings(max_examples=60)
def test_same_trajectories_as_single_environments(
    case: dict[str, Any], mode: str, seed: int, steps: int
) -> None:
    count = 3
    ours = make(count, max_episode_steps=steps, autoreset_mode=mode, **case)
    theirs = reference(count, AutoresetMode(mode), steps, **case)
    got, wanted = ours.reset(seed=seed), theirs.reset(seed=seed)
    np.testing.assert_array_equal(got[0], wanted[0])
    same_info(got[1], wanted[1])
    rng = np.random.default_rng(seed)
    for _ in range(60):
        actions = rng.uniform(-2.4, 2.4, (count, 1)).astype(np.float32)
        observations, rewards, terminated, truncated, info = ours.step(actions)
        their_observations, their_rewards, their_terminated, their_truncated, their_info = theirs.step(
            actions
        )
        np.testing.assert_allclose(rewards, their_rewards, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(terminated, their_terminated)
        np.testing.assert_array_equal(truncated, their_truncated)
        if SAME_SINE:
            np.testing.assert_array_equal(observations, their_observations)
            same_info(info, their_info)
        else:
            np.testing.assert_allclose(observations, their_observations, atol=1e-6)


def test_float32_follows_float64() -> None:
    """Without a rounding encoder and away from the unstable point errors stay small for a second."""
    params = PendulumParams(encoder_count=0.0, velocity_window=0.0)
    fine, coarse = (make(256, params=params, dtype=dtype, randomize=True) for dtype in ("float64", "float32"))
    rng = np.random.default_rng(0)
    first, second = fine.reset(seed=1)[0], coarse.reset(seed=1)[0]
    for _ in range(20):
        np.testing.assert_allclose(first, second, atol=2e-4)
        actions = rng.uniform(-1, 1, (256, 1)).astype(np.float32)
        first, rewards, *_ = fine.step(actions)
        second, coarse_rewards, *_ = coarse.step(actions)
        assert (rewards.dtype, coarse_rewards.dtype) == (np.float64, np.float32)
        np.testing.assert_allclose(rewards, coarse_rewards, rtol=1e-3)


def test_spaces_and_metadata() -> None:
    envs, single = make(7, autoreset_mode="SameStep"), gymnasium.make(ID)
    assert envs.single_observation_space == single.observation_space
    assert envs.single_action_space == single.action_space
    assert envs.observation_space.shape == (7, 3)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.spec is not None
    assert envs.spec.id == ID
    observation, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observation)
    assert envs.observation_space.contains(envs.step(envs.action_space.sample())[0])


def test_every_answer_is_fresh() -> None:
    envs = make(4)
    kept = [envs.reset(seed=0)[0]]
    for _ in range(5):
        observations, rewards, *_, info = envs.step(np.ones((4, 1), np.float32))
        kept += [observations, rewards, info["applied"], info["theta"], info["t"]]
    copies = [one.copy() for one in kept]
    envs.step(-np.ones((4, 1), np.float32))
    envs.reset()
    for one, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(one, copy)
    with pytest.raises(ValueError, match="read-only"):
        info["theta"][0] = 0.0


def test_default_autoreset_is_gymnasiums() -> None:
    envs = make(2, max_episode_steps=2)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs.reset(seed=0)
    action = np.full((2, 1), 2.0, np.float32)
    envs.step(action)
    assert envs.step(action)[3].all()
    _, rewards, _, truncated, info = envs.step(np.full((2, 1), np.nan, np.float32))
    assert not rewards.any()
    assert not truncated.any()
    assert info["t"].tolist() == [0.0, 0.0]


def test_disabled_autoreset_waits_for_the_mask() -> None:
    envs = make(3, max_episode_steps=4, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    action = np.ones((3, 1), np.float32)
    for _ in range(2):
        envs.step(action)
    before = envs.reset(options={"reset_mask": np.array([False, True, False])})[1]
    assert before["_theta"].tolist() == [False, True, False]
    envs.step(action)
    truncated, info = envs.step(action)[3:]
    assert truncated.tolist() == [True, False, True]
    np.testing.assert_allclose(info["t"], [0.2, 0.1, 0.2])
    with pytest.raises(ResetNeeded, match="2 pendulums have ended"):
        envs.step(action)
    envs.reset(options={"reset_mask": truncated})
    assert not envs.step(action)[3].any()


def test_reset_of_some_leaves_the_others() -> None:
    whole, partial = make(3), make(3)
    whole.reset(seed=0)
    partial.reset(seed=0)
    rng = np.random.default_rng(0)
    for number in range(30):
        actions = rng.uniform(-2, 2, (3, 1)).astype(np.float32)
        if number == 10:
            partial.reset(seed=99, options={"reset_mask": np.array([True, False, False])})
        one, other = whole.step(actions)[0], partial.step(actions)[0]
        np.testing.assert_array_equal(one[1:], other[1:])


def test_reset_options() -> None:
    envs = make(3)
    angles = np.array([0.0, 1.0, -2.0])
    observation, info = envs.reset(seed=0, options={"theta": angles, "theta_dot": 0.5})
    np.testing.assert_array_equal(info["theta"], angles)
    assert info["theta_dot"].tolist() == [0.5] * 3
    assert np.abs(np.arctan2(observation[:, 1], observation[:, 0]) - angles).max() < 0.007
    single = PendulumEnv()
    for options in ({"x_init": 0.3, "y_init": 0.2}, {"start": "random"}, {"randomize": True}):
        got, wanted = envs.reset(seed=4, options=options)[0], single.reset(seed=4, options=options)[0]
        np.testing.assert_array_equal(got[0], wanted)
    heavy = {"params": {"gravity": 40.0}}
    envs.reset(seed=4, options=heavy)
    single.reset(seed=4, options=heavy)
    action = np.full((3, 1), 2.0, np.float32)
    np.testing.assert_array_equal(envs.step(action)[0][0], single.step(action[0])[0])


def test_parameters_of_one_reset_do_not_outlive_it() -> None:
    envs, plain = make(2), make(2)
    envs.reset(seed=0, options={"params": {"gravity": 40.0}})
    with pytest.raises(ValueError, match="between 0 and 1"):
        envs.reset(seed=0, options={"randomize": {"coulomb": 0.5, "gravity": 2.0}})
    envs.reset(seed=0)
    plain.reset(seed=0)
    action = np.full((2, 1), 2.0, np.float32)
    np.testing.assert_array_equal(envs.step(action)[0], plain.step(action)[0])


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([[np.nan], [0.0]]), "action 0 is nan"),
        (np.array([[0.0], [np.inf]]), "action 1 is inf"),
        (np.zeros(2), r"shape \(2, 1\)"),
        (np.zeros((3, 1)), r"shape \(2, 1\)"),
        ([["a"], ["b"]], "must be numbers"),
        (None, "must be numbers"),
    ],
)
def test_bad_actions_change_nothing(actions: Any, message: str) -> None:
    envs, untouched = make(2), make(2)
    envs.reset(seed=0)
    untouched.reset(seed=0)
    with pytest.raises(InvalidAction, match=message):
        envs.step(actions)
    good = np.ones((2, 1), np.float32)
    np.testing.assert_array_equal(envs.step(good)[0], untouched.step(good)[0])


def test_huge_actions_are_clipped() -> None:
    for dtype in ("float32", "float64"):
        envs = make(2, dtype=dtype)
        envs.reset(seed=0)
        info = envs.step(np.array([[1e300], [-3e38]]))[4]
        assert info["applied"].tolist() == [2.0, -2.0]
        info = envs.step(np.array([[2e38], [-3e38]], np.float32))[4]
        assert info["applied"].tolist() == [2.0, -2.0]
        assert envs.step(np.array([[1], [-1]]))[4]["applied"].tolist() == [1.0, -1.0]


def test_misuse_is_explained() -> None:
    envs = make(2)
    with pytest.raises(ResetNeeded, match="call reset"):
        envs.step(np.zeros((2, 1)))
    with pytest.raises(ResetNeeded, match="leave reset_mask out"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    for mask in ([True, False], np.ones(3, bool), np.ones(2), np.zeros(2, bool)):
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="unknown reset option 'speed'"):
        envs.reset(options={"speed": 1})
    with pytest.raises(ValueError, match="finite number, or 2"):
        envs.reset(options={"theta": np.nan})
    with pytest.raises(ValueError, match="share substeps"):
        envs.reset(options={"params": IDEAL})
    with pytest.raises(ValueError, match="3 seeds"):
        envs.reset(seed=[1, 2, 3])
    envs.close()
    for call in (envs.reset, lambda: envs.step(np.zeros((2, 1)))):
        with pytest.raises(ClosedEnvironmentError, match="was closed"):
            call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "at least 1"),
        ({"max_episode_steps": 0}, "at least 1"),
        ({"dtype": "int32"}, "choose float32 or float64"),
        ({"render_mode": "human"}, "not rendered"),
        ({"params": "unknown"}, "no parameter set"),
        ({"start": "lying"}, "choose 'hanging' or 'random'"),
        ({"autoreset_mode": "Never"}, "Never"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PendulumVectorEnv(**arguments)


def test_seeds_in_a_list_and_unseeded_resets_go_on() -> None:
    envs, single = make(2), PendulumEnv()
    envs.reset(seed=[7, 8])
    single.reset(seed=8)
    for _ in range(3):
        np.testing.assert_array_equal(envs.reset()[0][1], single.reset()[0])
    assert MEASURED.dt == single.dt
