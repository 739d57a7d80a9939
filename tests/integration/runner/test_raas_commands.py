"""`raas init`, `check`, `schema` and `export`: no engine, no robot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from raas_gym.trajectory import Header, Tick, TrajectoryWriter
from runner.raas_cli import raas

HEADER = Header(
    env_id="RaasPendulum-v1",
    dt=0.05,
    horizon=400,
    observation_columns=("theta", "theta_dot"),
    action_columns=("action",),
)


def _raas(*arguments: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(raas, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def trajectory(tmp_path: Path) -> Path:
    path = tmp_path / "trajectory.traj"
    writer = TrajectoryWriter(path, HEADER)
    for tick in range(3):
        writer.append(Tick(tick, 0.05 * tick, (3.1, 0.0), (1.0,), (1.0,), 0.0, -9.9, False, 0))
    writer.close()
    return path


def test_init_writes_what_passes_check(tmp_path: Path) -> None:
    _raas("init", tmp_path / "spoon")
    names = {path.name for path in (tmp_path / "spoon").iterdir()}
    assert names == {"run.py", ".raas.yml", "README.md", ".gitignore"}
    assert "ok" in _raas("check", tmp_path / "spoon").output


def test_init_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text("mine")
    assert "kept  " in _raas("init", tmp_path).output
    assert (tmp_path / "run.py").read_text() == "mine"
    assert (tmp_path / ".raas.yml").exists()


def test_init_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in _raas("init", tmp_path / "file" / "spoon", status=1).output


def test_check_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / ".raas.yml").write_text("version: 1\n\ntimeuot: 3\n")
    output = _raas("check", tmp_path, status=1).output
    assert f"{tmp_path}/.raas.yml:3: unknown key `timeuot`; did you mean `timeout`?" in output


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"run.py": ""}, 0, "the defaults hold"),
        ({}, 1, "run.py is missing: `raas init` writes one, or name your program as `run` in .raas.yml"),
        (
            {"run.py": "", ".raas.yml": "requirements: needs.txt\n"},
            1,
            "`requirements` names needs.txt, which is no file here",
        ),
        (
            {"run.py": "", ".raas.yml": "require: {upright: high}\n"},
            1,
            "a number, or a mapping of min and max",
        ),
        ({"run.py": "", ".raas.yml": "timeout: 60\nimge: ml\n"}, 1, ".raas.yml:2: unknown key `imge`"),
        ({".raas.yml": "run: python main.py\n"}, 0, "runs `python main.py` on pendulum"),
    ],
)
def test_raas_check(tmp_path: Path, files: dict[str, str], code: int, words: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert words in _raas("check", tmp_path, status=code).output


def test_schema_is_json() -> None:
    assert json.loads(_raas("schema").output)["title"] == ".raas.yml"


@pytest.mark.parametrize("kind", ["csv", "parquet", "mcap"])
def test_export_writes_beside_the_file(trajectory: Path, kind: str) -> None:
    _raas("export", trajectory, "--format", kind)
    assert trajectory.with_suffix(f".{kind}").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet", "mcap", "minari"])
def test_export_writes_where_told(trajectory: Path, tmp_path: Path, kind: str) -> None:
    _raas("export", trajectory, "--format", kind, "-o", tmp_path / "elsewhere" / "raas-pendulum-v0")
    assert (tmp_path / "elsewhere" / "raas-pendulum-v0").exists()


def test_export_never_overwrites(trajectory: Path) -> None:
    trajectory.with_suffix(".csv").write_text("mine")
    assert "exists already" in _raas("export", trajectory, "--format", "csv", status=1).output
    assert trajectory.with_suffix(".csv").read_text() == "mine"


def test_export_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "trajectory.npz").write_bytes(b"no trajectory")
    result = _raas("export", tmp_path / "trajectory.npz", "--format", "csv", status=1)
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("command", ["init", "check", "run", "export"])
def test_help_has_examples(command: str) -> None:
    assert "Example" in _raas(command, "--help").output
