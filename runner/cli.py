"""`raas-runner`, for hosts."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

from raas_gym import daemon_logs
from raas_gym.control import ControlClient, ControlError
from raas_gym.version import __version__
from runner import base_image, settings
from runner.agent import Agent
from runner.client import Client, ServerError
from runner.completion import completion
from runner.doctor import examine
from runner.engine_errors import SandboxError
from runner.held import BusyError, Store
from runner.program import Tools
from runner.sandbox import Engine
from runner.settings import CONFIG_VARIABLE, Settings, SettingsError
from runner.trial import job_uid
from runner.watchdog import Watchdog


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=CONFIG_VARIABLE,
    help="The settings file. Default: /etc/raas/runner.yml for root, else below ~/.config/raas.",
)
@click.pass_context
def raas_runner(context: click.Context, config: Path | None) -> None:
    """Claim jobs from a server and run them on the robot beside this machine."""
    context.obj = (config or settings.default_path()).absolute()


@raas_runner.command()
@click.option("--server", required=True, help="The server's URL.")
@click.option("--token", required=True, help="The one-time token of `raas-server runner add`.")
@click.option(
    "--controller",
    type=click.Path(path_type=Path),
    default=Path("/run/raas/controller.sock"),
    show_default=True,
    envvar="RAAS_CONTROLLER_SOCKET",
    help="The controller's socket.",
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where held jobs are kept."
)
@click.pass_obj
def register(config: Path, server: str, token: str, controller: Path, data_dir: Path | None) -> None:
    """Make this machine a runner: exchange the one-time token for its own."""
    client = Client(server)
    try:
        _check_writable(config)
        identity = client.register(token)
        chosen = Settings(
            server=server.rstrip("/"),
            name=identity.name,
            labels=identity.labels,
            controller=controller.absolute(),
            data_dir=(data_dir or settings.default_data_dir()).absolute(),
        )
        settings.write(config, chosen, identity.token)
    except ServerError as error:
        _fail(str(error))
    except (OSError, ValueError) as error:
        _fail(f"the settings cannot be written to {config}: {error}")
    finally:
        client.close()
    click.echo(
        f"registered as {identity.name} with labels {', '.join(identity.labels)}; settings in {config}"
    )
    click.echo("next: `raas-runner doctor`, then `raas-runner run`")


def _check_writable(config: Path) -> None:
    """Before the one-time token is spent."""
    config.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not os.access(config.parent, os.W_OK):
        raise PermissionError(f"{config.parent} is not writable by this user")


@raas_runner.command()
@click.option(
    "--log-format",
    type=click.Choice(daemon_logs.FORMATS),
    default="text",
    envvar=daemon_logs.VARIABLE,
    show_envvar=True,
    help="How the log is written.",
)
@click.pass_obj
def run(config: Path, log_format: daemon_logs.Format) -> None:
    """Claim and run jobs until SIGTERM, which drains; a second one, or SIGINT, stops the job at hand."""
    daemon_logs.configure(log_format, "%(levelname)s %(message)s")
    try:
        chosen, token = settings.read(config), settings.read_token(config)
        store = Store(chosen.data_dir)
        with store.lock():
            _run(chosen, token, store)
    except (SettingsError, BusyError, SandboxError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"the data folder cannot be used: {error}")


def _run(chosen: Settings, token: str, store: Store) -> None:
    log = logging.getLogger("runner")
    watchdog = Watchdog()
    watchdog.tell("STATUS=making the image that jobs run in")
    engine = Engine()
    client = Client(chosen.server, token)
    try:
        images: dict[str, str] = {
            kind: base_image.ensure(engine, chosen.recipe(kind), log.info) for kind in chosen.images
        }
        uid = job_uid(engine, images[chosen.default_image], chosen)
        control = ControlClient(str(chosen.controller))
        agent = Agent(
            Tools(chosen, store, engine, control, client, lambda: Client(chosen.server, token), images, uid)
        )
        with agent.signals(), watchdog.watching(lambda: agent.moved_at):
            watchdog.tell(f"STATUS=runner {chosen.name} of {chosen.server}")
            log.info("runner %s of %s is ready", chosen.name, chosen.server)
            agent.run()
    finally:
        client.close()
        engine.close()


@raas_runner.command()
@click.pass_obj
def drain(config: Path) -> None:
    """Let the running runner end its job and stop; the same as SIGTERM."""
    try:
        pid = Store(settings.read(config).data_dir).running_pid()
    except (SettingsError, OSError) as error:
        _fail(str(error))
    if pid is None:
        _fail("no runner is running here")
    os.kill(pid, signal.SIGTERM)
    click.echo(f"runner (process {pid}) is draining: its job ends, no new one is taken")


@raas_runner.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def status(config: Path, as_json: bool) -> None:
    """What this runner is doing. Exit status 1 where it is not running."""
    try:
        chosen = settings.read(config)
        store = Store(chosen.data_dir)
        pid, held = store.running_pid(), store.held()
    except (SettingsError, OSError) as error:
        _fail(str(error))
    answer = {
        "runner": chosen.name,
        "server": chosen.server,
        "process": pid,
        "robot": _robot(chosen),
        "jobs": [{"id": h.job.id, "attempt": h.job.attempt, "phase": h.phase.value} for h in held],
    }
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(f"{chosen.name} of {chosen.server}: {f'running, process {pid}' if pid else 'not running'}")
        click.echo(f"  robot: {answer['robot']}")
        for h in held:
            click.echo(f"  job {h.job.id} ({h.job.repository}): {h.phase.value}")
    sys.exit(0 if pid else 1)


def _robot(chosen: Settings) -> str:
    try:
        found = ControlClient(str(chosen.controller), timeout_s=5.0).status()
    except ControlError as error:
        return str(error)
    return f"{found.robot}: {found.state}. {found.message}"


@raas_runner.command()
@click.pass_obj
def doctor(config: Path) -> None:
    """Check everything a job needs; say what to do about what is missing."""
    bad = 0
    for finding in examine(config):
        bad += not finding.good
        click.echo(f"{'ok  ' if finding.good else 'FIX '} {finding.text}")
    sys.exit(1 if bad else 0)


@raas_runner.group()
def image() -> None:
    """The image that jobs run in."""


@image.command("build")
@click.option("--kind", type=click.Choice(base_image.KINDS), default="slim", show_default=True)
@click.option("--tensorflow", is_flag=True, help="TensorFlow too, in the ml image.")
@click.option(
    "--wheels",
    multiple=True,
    help="A further place to look for packages: a folder of wheels, or the URL of an index. Repeatable.",
)
@click.option(
    "--base", help="An image with Python to build on. Default: a public one, else made from Debian."
)
def image_build(kind: str, tensorflow: bool, wheels: tuple[str, ...], base: str | None) -> None:
    """Make the image, unless it is there.

    \b
    Examples:
      raas-runner image build
      raas-runner image build --kind ml --wheels URL_OF_THE_INDEX_OF_PYTORCH_FOR_PROCESSORS
    """
    recipe = base_image.Recipe(kind, tensorflow and kind == "ml", (*wheels, *base_image.places()), base)
    with _engine() as engine:
        click.echo(base_image.ensure(engine, recipe, lambda line: click.echo(f"  {line}", err=True)))


@image.command("list")
def image_list() -> None:
    """The images of this and earlier versions."""
    with _engine() as engine:
        current = {base_image.tag(recipe) for recipe in base_image.RECIPES}
        for name, size in sorted(engine.images(base_image.REPOSITORY).items()):
            click.echo(f"{name}  {size / 1e6:.0f} MB{'  (in use)' if name in current else ''}")


@image.command("prune")
def image_prune() -> None:
    """Remove images of earlier versions."""
    with _engine() as engine:
        for name in base_image.prune(engine):
            click.echo(f"removed {name}")


@contextmanager
def _engine() -> Iterator[Engine]:
    """Docker for one command; its errors are one sentence."""
    try:
        engine = Engine()
        try:
            yield engine
        finally:
            engine.close()
    except SandboxError as error:
        _fail(str(error))


raas_runner.add_command(completion)
