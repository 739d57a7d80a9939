"""The documentation's plots, snippets and numbers come from the code as it is."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raas_gym.dynamics import IDEAL, MEASURED, WORST_COST, PendulumParams, make_step

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def test_plots_can_be_made_and_are_those_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    subprocess.run([sys.executable, DOCS / "plots.py", tmp_path], check=True, capture_output=True)
    made = {path.name for path in tmp_path.glob("*.svg")}
    assert made == set(re.findall(r"images/(physics-[\w-]+\.svg)", (DOCS / "physics.md").read_text()))
    for name in made:
        assert 5_000 < (tmp_path / name).stat().st_size < 60_000
        assert (DOCS / "images" / name).exists(), "run docs/plots.py and commit what it makes"


def test_snippets_of_sim_to_real_run(tmp_path: Path) -> None:
    snippets = re.findall(r"^```python\n(.*?)^```$", (DOCS / "sim-to-real.md").read_text(), re.M | re.S)
    assert len(snippets) == 4
    for snippet in snippets:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", snippet],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("column", [1, 2])
def test_parameter_table(column: int) -> None:
    params: PendulumParams = {1: IDEAL, 2: MEASURED}[column]
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]* \| ([^|]*) \| ([^|]*) \|", (DOCS / "physics.md").read_text(), re.M
    )
    assert {row[0] for row in rows} == set(params.as_dict()) - {"dt"}
    for row in rows:
        text, value = row[column].strip(" `"), getattr(params, row[0])
        written = {"∞": math.inf, "2π/480": 2 * math.pi / 480}.get(text)
        assert value == (written if written is not None else type(value)(text)), row


def test_numbers_in_the_text() -> None:
    text = (DOCS / "physics.md").read_text()
    assert f"{MEASURED.coulomb / MEASURED.gravity:.3f} rad (2°)" in text
    assert f"{MEASURED.encoder_count:.4f} rad" in text
    assert f"steps of {MEASURED.encoder_count / MEASURED.velocity_window:.2f} rad/s" in text
    assert f"the worst {WORST_COST:.2f}" in text
    assert f"{math.pi**2:.2f} a step, {400 * math.pi**2:.0f} an episode" in text
    assert IDEAL.viscous / MEASURED.viscous == 8


def test_ten_times_the_sub_steps_change_less_than_half_a_count() -> None:
    def angle(params: PendulumParams, start: float) -> float:
        step, state = make_step(params), (start, 0.0, start, 0.0)
        for _ in range(20):
            state = step(state, 0.0)
        return state[0]

    fine = replace(MEASURED, substeps=50)
    worst = max(
        abs(angle(MEASURED, start) - angle(fine, start)) for start in np.linspace(1.0, 5.0, 41).tolist()
    )
    assert worst < MEASURED.encoder_count / 2


def test_api_reference_builds_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("pdoc") is None:
        pytest.skip("pdoc is missing: pip install 'raas-gym[docs]'")
    done = subprocess.run(
        ["make", "--silent", "docs", f"DOCS={tmp_path}"],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONWARNINGS": "error",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    index = (tmp_path / "raas_gym.html").read_text(encoding="utf-8")
    assert "RaasPendulum-v1" in index
    assert (tmp_path / "raas_gym" / "vector.html").exists()
