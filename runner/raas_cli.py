"""`raas`, for researchers: write, check and run a repository here, before a push runs it on a robot."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from raas_gym.version import __version__
from runner import researcher, starter
from runner.completion import completion
from runner.exit_codes import INTERRUPTED, UNUSABLE
from runner.repo_config import (
    FILE_NAME,
    TIMEOUT_MAX_S,
    RepoConfig,
    RepoConfigError,
    json_schema,
    parse,
)
from runner.screen import Screen
from runner.sim import sim
from runner.starter import RESULTS_FOLDER
from runner.watch import watch

if TYPE_CHECKING:
    from runner.local_server import LocalServer

SESSIONS_MAX = 100
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


class _ConfigError(Exception):
    """The repository cannot be run as it is; one sentence, with the place.

    Attributes:
        line: Of `.raas.yml`, where it is one's fault.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def _fail(message: str, status: int = 1) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(status)


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def raas() -> None:
    """Run reinforcement-learning and control code on real robots from a git push.

    \b
    A first repository:
      raas init spoon
      raas run spoon         in a container, on a simulated robot, in real time
      raas sim               a pendulum to play with, here in the terminal

    Colours follow the terminal and NO_COLOR. `raas completion bash` makes a shell complete all this.
    """


@raas.command(short_help="Write a starter repository.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> None:
    """Write a starter repository to FOLDER; files that are there stay as they are.

    \b
    Examples:
      raas init              here
      raas init spoon        in a new folder

    \b
    Exit status: 0 everything is there; 1 it cannot be written.
    """
    try:
        for name, written in starter.write(folder):
            click.echo(f"{'wrote' if written else 'kept '} {folder / name}")
    except OSError as error:
        _fail(f"{error.filename or folder} cannot be written ({error.strerror}): name another folder")
    click.echo(
        f"next: `raas run {folder}`; then commit and push it to a repository that has the App installed"
    )


@raas.command(short_help="Is .raas.yml right?")
@click.argument("folder", type=_FOLDER, default=Path())
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def check(folder: Path, as_json: bool) -> None:
    """Check the .raas.yml of the repository in FOLDER.

    \b
    Examples:
      raas check
      raas check spoon
      raas check --json | jq .config.timeout

    \b
    Exit status: 0 it is right, or there is none; 1 it is wrong; 2 a wrong option.
    """
    place = folder / FILE_NAME
    try:
        config = _config(folder)
    except _ConfigError as error:
        if as_json:
            _print_json({"ok": False, "file": str(place), "line": error.line, "error": str(error)})
            sys.exit(1)
        _fail(str(error))
    if as_json:
        _print_json({"ok": True, "file": str(place), "config": config.model_dump(mode="json")})
        return
    click.echo(f"{place if place.exists() else 'no ' + FILE_NAME + ', the defaults hold'}: ok")
    click.echo(f"  runs `{config.run}` on {' + '.join(config.robot)} for at most {config.timeout:g} s")


@raas.command(short_help="Print the JSON Schema of .raas.yml.")
@click.option("--json", "as_json", is_flag=True, help="Changes nothing: a schema is JSON anyway.")
def schema(as_json: bool) -> None:
    """Print the JSON Schema of .raas.yml, for editors. Every server has it too, at /schema/raas.yml.json.

    \b
    Example:
      raas schema > .raas.schema.json
    """
    _print_json(json_schema())


@raas.command(short_help="Execute a repository as a robot's host would, simulated.")
@click.argument("folder", type=_FOLDER, default=Path())
@click.option(
    "-n",
    "--sessions",
    type=click.IntRange(1, SESSIONS_MAX),
    default=1,
    show_default=True,
    help="How many sessions; with more than one, scores come with mean and spread.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Where the artifacts go; new or empty. Default: {RESULTS_FOLDER}/ and the time.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1, TIMEOUT_MAX_S),
    help="Longest time of a session [s]. Default: what .raas.yml says.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs; the output goes to stderr.")
def run(folder: Path, sessions: int, out: Path | None, timeout_s: float | None, as_json: bool) -> None:
    """Execute the repository in FOLDER as a runner would, on a simulated robot in real time.

    Same image, same container, `.raas.yml` with its precheck and requirements honoured, same verdict, same
    artifacts. Needs Docker; what git ignores stays out, what is not committed yet comes along.

    \b
    Examples:
      raas run
      raas run -n 5 --out runs/first
      raas run --timeout 30 --json | jq .scores

    \b
    Exit status: 0 success; 1 failure; 124 timed out; 130 stopped by Ctrl-C;
    2 it could not be run: a wrong option or .raas.yml, no Docker, a failure of this machine.
    """
    try:
        # the other commands need neither Docker's library nor its half second
        from runner import local, local_report  # noqa: PLC0415
        from runner.engine_errors import SandboxError  # noqa: PLC0415
        from runner.local_host import LocalError  # noqa: PLC0415
        from runner.local_server import LocalServer  # noqa: PLC0415
    except ImportError as error:
        _fail(f"{error.name} is missing: pip install 'raas-gym[cli]'", UNUSABLE)

    screen = Screen(output=sys.stderr if as_json else sys.stdout, progress=sys.stderr)
    server = LocalServer(folder, screen.show, screen.say, screen.ticked)
    try:
        wanted = local.LocalRun(folder, _timed(_config(folder), timeout_s), sessions, _fresh(out))
        with _stopping(server):
            result = local.run(wanted, server, screen.say)
    except (_ConfigError, LocalError, SandboxError) as error:
        screen.end()
        _fail(str(error), UNUSABLE)
    except KeyboardInterrupt:
        screen.end()
        _fail("stopped before there was a result", INTERRUPTED)
    screen.end()
    lines = [json.dumps(local_report.as_json(result), indent=2)] if as_json else local_report.as_text(result)
    for line in lines:
        click.echo(line)
    sys.exit(local_report.exit_code(result))


@raas.command(short_help="Write a trajectory in another tool's format.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--format", "kind", required=True, type=click.Choice(["csv", "parquet", "mcap", "minari"]))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: beside FILE.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def export(file: Path, kind: str, out: Path | None, as_json: bool) -> None:
    """Write the trajectory FILE (.npz or .traj) in the format of another tool. Nothing is overwritten.

    \b
    Examples:
      raas export trajectory.npz --format parquet
      raas export trajectory.npz --format minari -o data/raas-pendulum-v0

    \b
    Exit status: 0 it is written; 1 it is no trajectory, or cannot be written; 2 a wrong option.
    """
    # NumPy and Gymnasium take half a second that no other command needs
    from raas_gym.export import ExportError  # noqa: PLC0415
    from raas_gym.export import export as write  # noqa: PLC0415
    from raas_gym.trajectory import TrajectoryError  # noqa: PLC0415

    try:
        written = write(file, kind, out)
    except (ExportError, TrajectoryError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or out or file} cannot be written ({error.strerror}): name another with -o")
    if as_json:
        _print_json({"wrote": str(written), "format": kind})
    else:
        click.echo(f"wrote {written}")


def _config(folder: Path) -> RepoConfig:
    """The repository's settings."""
    place = folder / FILE_NAME
    try:
        config = parse(place.read_bytes() if place.exists() else b"")
    except RepoConfigError as error:
        raise _ConfigError(f"{place}:{error.line}: {error.message}", error.line) from error
    except OSError as error:
        raise _ConfigError(f"{place} cannot be read: {error.strerror}") from error
    if config.run == parse("").run and not (folder / "run.py").is_file():
        what = f"`raas init` writes one, or name your program as `run` in {FILE_NAME}"
        raise _ConfigError(f"{folder / 'run.py'} is missing: {what}")
    wish = config.requirements
    if isinstance(wish, str) and not (folder / wish).is_file():
        raise _ConfigError(f"{place}: `requirements` names {wish}, which is no file here: add or correct it")
    return config


def _timed(config: RepoConfig, timeout_s: float | None) -> RepoConfig:
    return config if timeout_s is None else config.model_copy(update={"timeout": timeout_s})


def _fresh(out: Path | None) -> Path:
    """Where results go: nothing is there yet that they could overwrite."""
    if out is None:
        return Path(RESULTS_FOLDER, f"{datetime.now(UTC):%Y-%m-%d_%H%M%S_%f}"[:-3])
    if out.exists() and any(out.iterdir()):
        raise _ConfigError(f"{out} holds files already: name a new or empty folder with --out")
    return out


@contextmanager
def _stopping(server: LocalServer) -> Iterator[None]:
    """Ctrl-C and SIGTERM have the run ended and concluded; the second one leaves at once, cleaning up."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if server.cancelled or not server.asked:
            raise KeyboardInterrupt
        server.cancel("You stopped it.")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


raas.add_command(researcher.trigger)
raas.add_command(researcher.status)
raas.add_command(watch)
raas.add_command(sim)
raas.add_command(completion)
