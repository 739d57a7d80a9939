"""`raas-server`: serve, upgrade, doctor, and the runners' tokens.

Everything is imported where it is needed: `serve` has to patch the standard library for gevent before
anything else is imported, and the other commands start faster.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from github_app import policy_cli

if TYPE_CHECKING:
    from github_app.config import Settings
    from github_app.db import Database


class Group(click.Group):
    """Commands whose known errors are one sentence on standard error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit status 2 for settings, 1 for everything else that is known."""
        from github_app.config import ConfigError  # noqa: PLC0415 - see above

        try:
            return super().invoke(ctx)
        except ConfigError as error:
            fail(str(error), 2)
        except click.ClickException:
            raise
        except Exception as error:
            if type(error).__module__.startswith("github_app."):
                fail(str(error), 1)
            from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

            if isinstance(error, SQLAlchemyError):
                reason = str(getattr(error, "orig", None) or error).splitlines()[0]
                fail(f"the database refused: {reason}; run `raas-server doctor`", 1)
            raise


def fail(message: str, status: int) -> None:
    """Say why, and end."""
    click.echo(f"raas-server: {message}", err=True)
    sys.exit(status)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(), envvar="RAAS_CONFIG", help="File of NAME=value lines.")
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """The server of Reality as a Service."""
    if ctx.invoked_subcommand == "serve":
        from gevent import monkey  # noqa: PLC0415

        monkey.patch_all()
    ctx.obj = config


def settings_of(ctx: click.Context) -> Settings:
    """The settings, with the file that `--config` names."""
    import os  # noqa: PLC0415

    from github_app import config  # noqa: PLC0415

    named = {"RAAS_CONFIG": ctx.find_root().obj} if ctx.find_root().obj else {}
    return config.load({**os.environ, **named})


def database_of(settings: Settings) -> Database:
    """The server's database."""
    from github_app.db import Database  # noqa: PLC0415

    return Database(settings.database_url)


@main.command()
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Serve until SIGTERM."""
    settings = settings_of(ctx)
    _share_counts(settings)
    from github_app import serving  # noqa: PLC0415

    click.echo(f"raas-server: {settings.public_url} (listening on {settings.bind})", err=True)
    serving.serve(settings)


def _share_counts(settings: Settings) -> None:
    """Where worker processes put their counts together; its library looks at the name once, when imported."""
    import os  # noqa: PLC0415
    import shutil  # noqa: PLC0415

    if settings.workers == 1:
        return
    directory = settings.data_dir / "metrics"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)


@main.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Create or upgrade the database."""
    database = database_of(settings_of(ctx))
    before, wanted = database.revisions()
    database.upgrade()
    click.echo("the database is up to date" if before == wanted else f"upgraded the database to {wanted}")


@main.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check everything the server needs. Exit status 1 where something keeps it from working."""
    from github_app import diagnosis  # noqa: PLC0415
    from github_app.finding import Grade  # noqa: PLC0415

    findings = list(diagnosis.examine(settings_of(ctx)))
    for finding in findings:
        click.echo(f"{finding.grade.value:7} {finding.subject}: {finding.text}")
    if any(finding.grade is Grade.BAD for finding in findings):
        sys.exit(1)


@main.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.pass_context
def make_backup(ctx: click.Context, target: Path) -> None:
    """Copy database, local artifacts and keys into the directory TARGET; servers may run meanwhile.

    Into an earlier backup of the same server again only what is new is copied.
    """
    from github_app import backup  # noqa: PLC0415

    for line in backup.make(settings_of(ctx), target):
        click.echo(line)


@main.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--first-job",
    type=click.IntRange(min=1),
    help="Least number of the next job, where there were more jobs since the backup than before it.",
)
@click.pass_context
def restore_backup(ctx: click.Context, source: Path, first_job: int | None) -> None:
    """Put a backup back, into an empty data directory and database; then `upgrade` and `serve`."""
    from github_app import backup  # noqa: PLC0415

    for line in backup.restore(settings_of(ctx), source, first_job):
        click.echo(line)


@main.command("setup")
@click.option("--again", is_flag=True, help="Make another App although there is one; it takes its place.")
@click.pass_context
def set_up(ctx: click.Context, again: bool) -> None:
    """Print the address and a one-time token with which the GitHub App is made in a browser.

    The token counts for an hour; an older one is void from now on.
    """
    from github_app import moves, setup_state  # noqa: PLC0415

    settings = settings_of(ctx)
    if settings.credentials.from_settings:
        fail("the settings name an App (RAAS_GITHUB_…); remove that from them to make one here", 1)
    database = database_of(settings)
    database.upgrade()
    with database.write() as session:
        token = setup_state.issue(session, moves.utc_now(), again=again)
    click.echo(f"open {settings.public_url}/setup within an hour and enter:", err=True)
    click.echo(token)


@main.group()
def runner() -> None:
    """The runners that may claim jobs."""


@runner.command("add")
@click.argument("name")
@click.option("--labels", default="", help="Separated by commas; jobs name the labels they need.")
@click.pass_context
def add_runner(ctx: click.Context, name: str, labels: str) -> None:
    """Add a runner, or invite one again; prints a one-time token, once."""
    from github_app import moves, tokens  # noqa: PLC0415

    settings = settings_of(ctx)
    database = database_of(settings)
    database.upgrade()
    wanted = [label.strip() for label in labels.split(",") if label.strip()]
    with database.write() as session:
        token = tokens.invite(session, name, wanted, moves.utc_now())
    click.echo("beside the robot, within a day:", err=True)
    click.echo(f"  raas-runner register --server {settings.public_url} --token {token}", err=True)
    click.echo(token)


@runner.command("list")
@click.pass_context
def list_runners(ctx: click.Context) -> None:
    """All runners and when they were last heard of."""
    from sqlalchemy import select  # noqa: PLC0415

    from github_app.models import Runner  # noqa: PLC0415
    from github_app.tokens import describe  # noqa: PLC0415

    with database_of(settings_of(ctx)).read() as session:
        for found in session.scalars(select(Runner).order_by(Runner.name)):
            click.echo(f"{found.name:20} {','.join(found.labels) or '-':30} {describe(found)}")


@runner.command("rotate")
@click.argument("name")
@click.pass_context
def rotate_runner(ctx: click.Context, name: str) -> None:
    """Print a one-time token for another token; the runner's present one stays good for an hour after."""
    from github_app import moves, tokens  # noqa: PLC0415

    settings = settings_of(ctx)
    with database_of(settings).write() as session:
        token = tokens.rotate(session, name, moves.utc_now())
    click.echo("beside the robot, within a day; then restart raas-runner within an hour:", err=True)
    click.echo(f"  raas-runner register --server {settings.public_url} --token {token}", err=True)
    click.echo(token)


@runner.command("revoke")
@click.argument("name")
@click.pass_context
def revoke_runner(ctx: click.Context, name: str) -> None:
    """Void a runner's token at once."""
    from github_app import moves, tokens  # noqa: PLC0415

    with database_of(settings_of(ctx)).write() as session:
        tokens.revoke(session, name, moves.utc_now())
    click.echo(f"{name} may not claim jobs any more")


main.add_command(policy_cli.policy)
runner.add_command(policy_cli.runner_policy)
runner.add_command(policy_cli.drain_runner)


if __name__ == "__main__":
    main()
