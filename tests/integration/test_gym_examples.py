"""Each example is a repository one could push: it runs in simulation, and unchanged on a host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gym_hosting import Hosted

from raas_gym import PendulumEnv
from raas_gym.scores import pendulum_scores
from raas_gym.trajectory import Header, TrajectoryWriter, load

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=EXAMPLES / name,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def number_after(word: str, text: str) -> float:
    found = re.search(rf"{word} (-?[\d.]+)", text)
    assert found, text
    return float(found[1])


def test_random_is_bad() -> None:
    assert number_after("return", run("random")) < -2000


def test_pd_alone_does_not_lift_it() -> None:
    assert number_after("return", run("pd")) < -2000


def test_energy_shaping_swings_up_and_balances() -> None:
    out = run("energy-shaping")
    assert number_after("return", out) > -260
    assert number_after("upright", out) > 85
    assert number_after("first upright:", out) < 5


def test_the_repository_of_2020() -> None:
    assert "hardware: False" in run("original-2020")


@pytest.mark.parametrize("name", ["random", "pd", "energy-shaping", "original-2020"])
def test_on_a_host(name: str, tmp_path: Path) -> None:
    with Hosted(PendulumEnv(), tmp_path, realtime=False) as hosted:
        out = run(name, RAAS_STEP_SOCKET=hosted.path)
        assert hosted.outcome().reason == "left"
    if name == "original-2020":
        assert "hardware: True" in out
        return
    assert len(hosted.ticks) == 400
    assert sum(tick.reward for tick in hosted.ticks) == pytest.approx(number_after("return", out), abs=0.1)


def test_energy_shaping_scores_as_it_says(tmp_path: Path) -> None:
    with Hosted(PendulumEnv(), tmp_path, realtime=False) as hosted:
        out = run("energy-shaping", RAAS_STEP_SOCKET=hosted.path)
        hosted.outcome()
    spec = hosted.host.spec
    header = Header(spec.env_id, spec.dt, spec.horizon, spec.columns, spec.action_columns)
    with TrajectoryWriter(tmp_path / "run.traj", header) as writer:
        for tick in hosted.ticks:
            writer.append(tick)
    scores = pendulum_scores(load(tmp_path / "run.traj"))
    assert scores.ticks == 400
    assert scores.episode_return == pytest.approx(number_after("return", out), abs=0.1)
    assert scores.upright * 100 == pytest.approx(number_after("upright", out), abs=0.6)
    assert scores.swing_up_time < 5
    assert 0.3 < scores.composite < 1.0
