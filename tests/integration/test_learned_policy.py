"""examples/learned-policy: it holds the pendulum up, runs on NumPy alone and can be trained again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from raas_gym.vector import PendulumVectorEnv

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "learned-policy"


def run(code: str, directory: Path = EXAMPLE) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [{}, {"randomize": True}, {"params": "raw_motor"}], ids=str)
def test_it_swings_up_and_holds_on_fifty_pendulums(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.delitem(sys.modules, "run", raising=False)
    import run as example  # noqa: PLC0415 - the example is a program beside its own modules

    layers = example.load(EXAMPLE / "policy.npz")
    envs = gymnasium.make_vec("RaasPendulum-v1", num_envs=50, **options)
    assert isinstance(envs, PendulumVectorEnv)
    observations, _ = envs.reset(seed=2_000_000)
    actions, upright = np.zeros((50, 1)), []
    for _ in range(400):
        actions = example.torque(layers, observations, actions)
        observations, *_ = envs.step(actions)
        upright.append(observations[:, 0] > np.cos(0.2))
    held = np.all(upright[-200:], axis=0)
    assert held.sum() >= 48
    assert np.mean(upright) > 0.8


def test_the_program_runs_on_numpy_alone() -> None:
    code = "import runpy, sys; runpy.run_path('run.py', run_name='__main__'); print('torch' in sys.modules)"
    printed = run(code).splitlines()
    assert printed[-1] == "False"
    assert int(re.search(r"upright (\d+)%", printed[-2])[1]) > 80  # type: ignore[index]
    assert {path.name for path in EXAMPLE.iterdir() if path.suffix == ".npz"} == {"policy.npz"}
    assert (EXAMPLE / "policy.npz").stat().st_size < 40_000


@pytest.mark.timeout(300)
def test_it_can_be_trained_and_the_export_is_the_trained_policy(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3", reason="pip install 'raas-gym[train]'")
    short, fresh = tmp_path / "short.npz", tmp_path / "fresh.npz"
    code = f"""
import sys, numpy as np, stable_baselines3, train
from run import load, torque
sys.argv = ["train.py", "--steps", "1200", "--envs", "2", "--out", "{short}"]
train.main()
layers = {{"net_arch": [64, 64]}}
model = stable_baselines3.SAC("MlpPolicy", train.PendulumVec(4, 0), policy_kwargs=layers, seed=3)
train.save(train.layers_of(model), "{fresh}")
seen, last = np.split(np.random.default_rng(0).uniform(-1, 1, (100, 4)) * [1, 1, 20, 2], [3], axis=1)
wanted, _ = model.predict(train.with_last(seen, last), deterministic=True)
print(np.abs(wanted - torque(load("{fresh}"), seen, last)).max())
"""
    assert float(run(code).splitlines()[-1]) < 1e-5
    with np.load(short) as trained:
        assert trained["W0"].shape == (4, 64)
