"""`raas-controller`: serve a robot, ask how it is, check what it needs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from hardware import daemon
from hardware.doctor import examine
from hardware.errors import HardwareError
from hardware.robot import PENDULUM_ENV_IDS, Robot, SimulatedRobot
from raas_gym import control
from raas_gym.version import __version__

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")

_F = TypeVar("_F", bound=Callable[..., Any])


def _socket_option(command: _F) -> _F:
    return click.option(
        "--socket",
        "socket",
        type=click.Path(path_type=Path),
        default=Path("/run/raas/controller.sock"),
        show_default=True,
        envvar="RAAS_CONTROLLER_SOCKET",
        help="The control socket.",
    )(command)


def _data_option(command: _F) -> _F:
    return click.option(
        "--data-dir",
        "data_dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("/var/lib/raas-controller"),
        show_default=True,
        envvar="RAAS_CONTROLLER_DATA_DIR",
        help="Ledger and results.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Own a robot: its motor, clock, limits, recording and score."""


@main.command()
@click.option(
    "--plant", type=click.Choice(["simulated"]), required=True, help="What turns torque into motion."
)
@click.option("--name", required=True, help="The robot's name, as spectators see it.")
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
def serve(
    *, plant: str, name: str, env_ids: tuple[str, ...], dt: float, data_dir: Path, socket: Path
) -> None:
    """Serve the robot until SIGTERM."""
    _log_to_stderr()
    if not NAME.fullmatch(name):
        _fail(f"--name {name!r}: use 1 to 40 lower-case letters, digits, - or _, beginning with a letter")
    robot: Robot = SimulatedRobot(name, dt, env_ids)
    try:
        daemon.serve(daemon.Settings(data_dir.absolute(), socket.absolute()), robot)
    except HardwareError as error:
        _fail(str(error))


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


def _log_to_stderr() -> None:
    """One line a message; under systemd the journal adds the time itself."""
    when = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"{when}%(levelname)s %(message)s")


def _fail(message: str) -> NoReturn:
    click.echo(f"raas-controller: {message}", err=True)
    sys.exit(2)
