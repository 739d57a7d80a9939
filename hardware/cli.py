"""`raas-controller`: serve a robot, ask how it is, check what it needs."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from hardware import assembly, daemon, pins
from hardware.control_server import ask
from hardware.doctor import examine
from hardware.errors import HardwareError
from hardware.passport import schema
from hardware.robot import PENDULUM_ENV_IDS
from raas_gym import control, daemon_logs
from raas_gym.version import __version__

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
LOG_LINE = "%(levelname)s %(message)s"

_F = TypeVar("_F", bound=Callable[..., Any])


def _path_option(
    flag: str, default: str, variable: str, help_: str, *, folder: bool = False
) -> Callable[[_F], _F]:
    """An option for one of the daemon's places, also settable by an environment variable."""
    return click.option(
        flag,
        type=click.Path(path_type=Path, file_okay=not folder),
        default=Path(default),
        show_default=True,
        envvar=variable,
        help=help_,
    )


_socket_option = _path_option(
    "--socket", "/run/raas/controller.sock", "RAAS_CONTROLLER_SOCKET", "The control socket."
)
_data_option = _path_option(
    "--data-dir", "/var/lib/raas-controller", "RAAS_CONTROLLER_DATA_DIR", "Ledger and results.", folder=True
)
_guardian_option = _path_option(
    "--guardian", "/run/raas-guardian/guardian.sock", "RAAS_GUARDIAN_SOCKET", "The guardian's socket."
)


_log_option = click.option(
    "--log-format",
    type=click.Choice(daemon_logs.FORMATS),
    default="text",
    envvar=daemon_logs.VARIABLE,
    show_envvar=True,
    help="How the log is written.",
)


def _levels_option(command: _F) -> _F:
    return click.option(
        "--levels",
        type=click.Path(path_type=Path),
        envvar="RAAS_SIMULATED_LEVELS",
        help="Simulated pins: the file with their levels, shared by controller and guardian.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Own a robot: its motor, clock, limits, recording and score."""


@main.command()
@click.option(
    "--plant",
    type=click.Choice(["simulated", "hardware"]),
    required=True,
    help="What turns torque into motion: a simulation, or pins.",
)
@click.option(
    "--name",
    envvar="RAAS_ROBOT_NAME",
    default=lambda: _name_of(platform.node()),
    show_default="this host's",
    help="The robot's name, as spectators see it.",
)
@click.option(
    "--pins",
    type=click.Choice(pins.KINDS),
    default="auto",
    show_default=True,
    help="auto: what this machine has. simulated: a rig behind simulated pins.",
)
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME[=VALUE]", help="A fault of the simulated rig."
)
@click.option(
    "--env-id",
    "env_ids",
    multiple=True,
    type=click.Choice(PENDULUM_ENV_IDS),
    default=PENDULUM_ENV_IDS,
    help="An environment to host; may be repeated. Default: all of them.",
)
@click.option(
    "--dt", type=click.FloatRange(0.001, 0.5), default=0.05, show_default=True, help="Control period [s]."
)
@_data_option
@_socket_option
@_guardian_option
@_levels_option
@_log_option
def serve(*, name: str, data_dir: Path, socket: Path, log_format: daemon_logs.Format, **choices: Any) -> None:
    """Serve the robot until SIGTERM."""
    daemon_logs.configure(log_format, LOG_LINE)
    if not NAME.fullmatch(name):
        _fail(f"--name {name!r}: use 1 to 40 lower-case letters, digits, - or _, beginning with a letter")
    settings = daemon.Settings(data_dir.absolute(), socket.absolute())
    with _plainly():
        daemon.serve(settings, lambda: assembly.robot(name, settings.data, **choices))


@main.command()
@click.option("--pins", type=click.Choice(pins.KINDS), default="auto", show_default=True)
@_guardian_option
@_levels_option
@_log_option
def guardian(pins: str, guardian: Path, levels: Path | None, log_format: daemon_logs.Format) -> None:
    """Own the motor's enable line; drop it when the controller falls silent."""
    daemon_logs.configure(log_format, LOG_LINE)
    with _plainly():
        assembly.guard(pins, guardian.absolute(), levels)


@main.command()
@_socket_option
def selftest(socket: Path) -> None:
    """Move visibly to both sides; passing it clears a trip."""
    _maintain(socket, "selftest", "passed")


@main.command()
@_socket_option
def calibrate(socket: Path) -> None:
    """Identify the robot and put a new passport in force. It moves for about two minutes."""
    _maintain(socket, "calibrate", "calibrated")


@main.command()
def passport_schema() -> None:
    """Print the JSON Schema of a passport's file."""
    click.echo(json.dumps(schema(), indent=2))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("torque", type=click.FloatRange(-2.0, 2.0))
@click.argument("seconds", type=click.FloatRange(0.0, 5.0), default=0.5)
@_socket_option
def jog(torque: float, seconds: float, socket: Path) -> None:
    """Hold TORQUE (an action within ±2) for SECONDS."""
    _maintain(socket, "jog", "done", torque=torque, seconds=seconds)


@main.command()
@click.argument("why", default="stopped by hand")
@_socket_option
def stop(why: str, socket: Path) -> None:
    """Stop the motor now, whatever is running."""
    try:
        control.ControlClient(str(socket), timeout_s=5.0).stop(why)
    except control.ControlError as error:
        _fail(str(error))


def _name_of(host: str) -> str:
    """A robot's name from a host's."""
    return re.sub(r"[^a-z0-9_-]", "-", host.partition(".")[0].lower().lstrip("0123456789-_"))[:40] or "robot"


def _maintain(socket: Path, task: str, done: str, **options: float) -> None:
    request = {"op": "maintain", "task": task, "options": options}
    try:
        for sentence in ask(socket, request, timeout_s=600.0)["said"]:
            click.echo(sentence)
    except control.ControlError as error:
        _fail(str(error))
    click.echo(done)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_socket_option
def status(as_json: bool, socket: Path) -> None:
    """What the controller says of itself. Exit status 1 where the robot is not fit to run."""
    try:
        answer = control.ControlClient(str(socket), timeout_s=5.0).status()
    except control.ControlError as error:
        _fail(str(error))
    if as_json:
        click.echo(json.dumps(asdict(answer), indent=2))
    else:
        click.echo(
            f"{answer.robot} ({answer.plant} {answer.kind}, passport {answer.passport}): {answer.state}"
        )
        click.echo(f"  {answer.message}")
        click.echo(f"  hosts {', '.join(answer.env_ids)}; software {answer.software}")
        for warning in answer.warnings:
            click.echo(f"  warning: {warning}")
    sys.exit(1 if answer.state == "unhealthy" else 0)


@main.command()
@_data_option
@_socket_option
def doctor(data_dir: Path, socket: Path) -> None:
    """Check everything the controller needs; say what to do about what is missing."""
    findings = examine(data_dir.absolute(), socket.absolute())
    for finding in findings:
        click.echo(f"{'ok  ' if finding.good else 'FIX '} {finding.text}")
    sys.exit(0 if all(finding.good for finding in findings) else 1)


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn our errors into one sentence and exit status 2."""
    try:
        yield
    except HardwareError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"raas-controller: {message}", err=True)
    sys.exit(2)
