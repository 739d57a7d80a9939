"""`raas-server`: serve, upgrade, doctor, and the runners' tokens.

Everything is imported where it is needed: `serve` has to patch the standard library for gevent before
anything else is imported, and the other commands start faster.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

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


def _settings(ctx: click.Context) -> Settings:
    import os  # noqa: PLC0415

    from github_app import config  # noqa: PLC0415

    named = {"RAAS_CONFIG": ctx.find_root().obj} if ctx.find_root().obj else {}
    return config.load({**os.environ, **named})


def _database(settings: Settings) -> Database:
    from github_app.db import Database  # noqa: PLC0415

    return Database(settings.database_url)


@main.command()
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Serve until SIGTERM."""
    from github_app import serving  # noqa: PLC0415

    settings = _settings(ctx)
    click.echo(f"raas-server: {settings.public_url} (listening on {settings.bind})", err=True)
    serving.serve(settings)


@main.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Create or upgrade the database."""
    database = _database(_settings(ctx))
    before, wanted = database.revisions()
    database.upgrade()
    click.echo("the database is up to date" if before == wanted else f"upgraded the database to {wanted}")


@main.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check everything the server needs."""
    from github_app import diagnosis  # noqa: PLC0415

    findings = list(diagnosis.examine(_settings(ctx)))
    for finding in findings:
        click.echo(f"{finding.grade.value:7} {finding.subject}: {finding.text}")
    if any(finding.grade is diagnosis.Grade.BAD for finding in findings):
        sys.exit(1)


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

    settings = _settings(ctx)
    database = _database(settings)
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

    with _database(_settings(ctx)).read() as session:
        for found in session.scalars(select(Runner).order_by(Runner.name)):
            click.echo(f"{found.name:20} {','.join(found.labels) or '-':30} {describe(found)}")


@runner.command("revoke")
@click.argument("name")
@click.pass_context
def revoke_runner(ctx: click.Context, name: str) -> None:
    """Void a runner's token at once."""
    from github_app import moves, tokens  # noqa: PLC0415

    with _database(_settings(ctx)).write() as session:
        tokens.revoke(session, name, moves.utc_now())
    click.echo(f"{name} may not claim jobs any more")


if __name__ == "__main__":
    main()
