"""Programs written for the system of 2020, and for gym 0.26, run unmodified: in simulation and on a host.

Each runs in a process of its own, as a user's would: gym warns at import, which is not ours to hide.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gym_hosting import Hosted

from raas_gym import PendulumEnv

RESET_OFTEN = """
import gym
import gym_raas
import numpy as np

env = gym.make("raaspendulum-v0")
print("on a robot:", env.hardware)
low_points = 0
while low_points < 2:
    env.reset()
    x, y, speed = env.step([0.0])[0]
    angle, angular_speed = env.state
    assert np.isclose(np.cos(angle), x) and np.isclose(angular_speed, speed)
    low_points += x < -0.8
for tick in range(40):
    _, reward, done, _ = env.step([np.sign(np.cos(0.3 * tick))])
    assert reward <= 0 and done is False
env.reset()
"""

STEP_FIRST = """
import gym
import gym_raas
import numpy as np

env = gym.make("RaasPendulum-v0")
rows = [env.step([2])[0] for _ in range(60)]
rows += [env.step(np.array([-3.0]))[0] for _ in range(40)]
env.render()
rows = np.array(rows)
assert rows.shape == (100, 3) and rows.dtype == np.float64
assert np.allclose(np.hypot(rows[:, 0], rows[:, 1]), 1)
assert len(env._get_obs()) == 3
assert env.max_torque == 2.0 and env.dt == 0.05 and env.max_speed == 20
assert len(env.obs) == len(env.actions) == len(env.costs) == len(env.ts) == 100
assert env.actions[-1] == -2.0
assert env.observation_space.shape == (3,) and isinstance(env.action_space, gym.spaces.Box)
assert env.unwrapped is env
env.close()
"""

WITHOUT_OUR_IMPORT = """
import gym
env = gym.make("RaasPendulum-v0")
observation = env.reset()
total = 0
for _ in range(500):
    observation, reward, done, info = env.step(env.action_space.sample())
    total += reward
    assert not done
print("total", total)
"""

GYM_026 = """
import gym
env = gym.make("RaasPendulum-v1")
observation, info = env.reset(seed=1)
steps, truncated = 0, False
while not truncated:
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert observation in env.observation_space
    steps += 1
assert steps == 400, steps
print(info["applied"])
env.close()
"""

BY_CLASS = """
from gym_raas.envs import PendulumEnv

env = PendulumEnv()
for _ in range(41):
    env.step([1.0])
assert not env.step([0.5])[2]
"""

PROGRAMS = {
    "reset often": RESET_OFTEN,
    "step first": STEP_FIRST,
    "gym only": WITHOUT_OUR_IMPORT,
    "0.26": GYM_026,
    "by class": BY_CLASS,
}


def run(program: str, folder: Path, **environment: str) -> str:
    (folder / "run.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "out of date" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_in_simulation(tmp_path: Path, program: str) -> None:
    out = run(program, tmp_path)
    assert "robot" not in out or "on a robot: False" in out


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_on_a_robot(tmp_path: Path, program: str) -> None:
    with Hosted(PendulumEnv(), tmp_path, realtime=False) as hosted:
        out = run(program, tmp_path, RAAS_STEP_SOCKET=hosted.path)
        outcome = hosted.outcome()
    assert "robot" not in out or "on a robot: True" in out
    assert (outcome.reason, outcome.episodes) == ("left", 1), "the whole run is one episode"
    assert outcome.ticks == outcome.steps > 40


def test_the_local_physics_is_that_of_2020(tmp_path: Path) -> None:
    program = """
import gym, gym_raas
import numpy as np
env = gym.make("RaasPendulum-v0")
env.seed(3)
env.reset()
th, thdot = env.state
for u in np.linspace(-2.5, 2.5, 100):
    clipped = np.clip(u, -2, 2)
    expected = ((th + np.pi) % (2 * np.pi) - np.pi) ** 2 + 0.1 * thdot**2 + 0.001 * clipped**2
    obs, rew, done, info = env.step([u])
    assert abs(rew + expected) < 1e-9
    thdot = np.clip(thdot + (27 * np.sin(th) + 8 * clipped - 2 * thdot) * 0.05, -20, 20)
    th = th + thdot * 0.05
    assert np.allclose(env.state, [th, thdot], rtol=1e-9, atol=1e-9)
    assert np.allclose(obs, [np.cos(th), np.sin(th), thdot])
assert env.render(mode="rgb_array").shape == (500, 500, 3)
"""
    run(program, tmp_path)


def test_wrappers_and_vectors_of_gym_take_v1(tmp_path: Path) -> None:
    program = """
import gym
envs = gym.vector.SyncVectorEnv([lambda: gym.make("RaasPendulum-v1", params="ideal")] * 3)
observations, _ = envs.reset(seed=1)
assert observations.shape == (3, 3)
observations, rewards, *_ = envs.step(envs.action_space.sample())
assert rewards.shape == (3,)
wrapped = gym.wrappers.RescaleAction(gym.make("RaasPendulum-v1"), -1, 1)
wrapped.reset()
assert wrapped.step(wrapped.action_space.high)[4]["applied"] == 2.0
"""
    run(program, tmp_path)


def test_importing_our_library_does_not_import_gym() -> None:
    code = "import sys, raas_gym, raas_gym.classic; sys.exit('gym' in sys.modules or 'pygame' in sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_importing_needs_numpy_and_gymnasium_alone() -> None:
    code = (
        "import sys, raas_gym\n"
        "known = {'numpy', 'gymnasium', 'raas_gym', 'farama_notifications', 'typing_extensions'}\n"
        "known |= set(sys.stdlib_module_names) | {'cython_runtime', 'site', '__main__'}\n"
        "found = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(name for name in found - known if not name.startswith('_')))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"


def test_without_gym_the_old_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['gym'] = None; import gym_raas"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "raas-gym[classic]"' in done.stderr
