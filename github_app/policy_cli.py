"""`raas-server policy` and `raas-server runner policy`: the host's rules, set and shown.

As in `cli`, everything is imported where it is needed. Without options both only show.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from github_app.models import Runner

NOBODY_MEANS = "`any` lifts it"


@click.command()
@click.option("--owners", help=f"Whose repositories may use robots, separated by commas; {NOBODY_MEANS}.")
@click.option("--timeout-max", metavar="S", help=f"Longest time on a robot, per session [s]; {NOBODY_MEANS}.")
@click.option("--sessions-max", metavar="N", help=f"Most sessions of one job; {NOBODY_MEANS}.")
@click.option("--minutes-a-day", metavar="M", help=f"Robot-minutes of one owner in a day; {NOBODY_MEANS}.")
@click.option("--time-zone", help="Where the day begins, like Europe/Berlin.")
@click.pass_context
def policy(ctx: click.Context, /, **given: str | None) -> None:
    """Show the rules of the whole server; with options, change them first."""
    from github_app import allowance, cli, rules  # noqa: PLC0415

    settings = cli.settings_of(ctx)
    with closing(cli.database_of(settings)) as database, database.write() as session:
        known = allowance.server_rules(session)
        if changes := _changes(given, timeout_max="timeout_max_s"):
            known = rules.server_rules(**{**known.model_dump(), **changes})
            allowance.set_server_rules(session, known)
    _show([*known.words(), ("settings let in", ", ".join(sorted(settings.owners)))])


@click.command("policy")
@click.argument("name")
@click.option("--owners", help=f"Whose repositories may use this robot, separated by commas; {NOBODY_MEANS}.")
@click.option(
    "--hours",
    multiple=True,
    help=f"When a job may begin, like 'mon-fri 08:00-18:00'; may be repeated; {NOBODY_MEANS}.",
)
@click.option("--time-zone", help="Of the hours, like Europe/Berlin.")
@click.option("--private/--no-private", default=None, help="Whether it runs sources of private repositories.")
@click.option(
    "--camera",
    metavar="URL",
    help="A picture or MJPEG stream that visitors of its page load from there; `none` removes it.",
)
@click.pass_context
def runner_policy(
    ctx: click.Context,
    /,
    name: str,
    hours: tuple[str, ...],
    private: bool | None,
    camera: str | None,
    **given: str | None,
) -> None:
    """Show the rules of one robot; with options, change them first. Waiting jobs follow at once."""
    from github_app import allowance, cli, robot_switches, rules  # noqa: PLC0415

    with closing(cli.database_of(cli.settings_of(ctx))) as database, database.write() as session:
        runner = _runner(session, name)
        known = allowance.robot_rules(runner)
        changes = _changes(given)
        if hours:
            changes["hours"] = () if hours == ("any",) else hours
        if private is not None:
            changes["private"] = private
        if changes:
            known = rules.robot_rules(**{**known.model_dump(), **changes})
            allowance.set_robot_rules(session, runner, None if known == rules.RobotRules() else known)
        if camera is not None:
            robot_switches.set_camera(session, name, None if camera.lower() == "none" else camera)
        shown = [*known.words(), ("camera", runner.camera_url or "none")]
    _show(shown)


@click.command("drain")
@click.argument("name")
@click.option("--resume", is_flag=True, help="Let it take jobs again.")
@click.pass_context
def drain_runner(ctx: click.Context, name: str, resume: bool) -> None:
    """Let a robot end its job and take no more, from the next claim on."""
    from github_app import cli, moves, robot_switches  # noqa: PLC0415

    with closing(cli.database_of(cli.settings_of(ctx))) as database, database.write() as session:
        robot_switches.set_drained(session, name, None if resume else "its host", moves.utc_now())
    click.echo(f"{name} takes jobs again" if resume else f"{name} takes no more jobs; --resume undoes it")


def _show(words: list[tuple[str, str]]) -> None:
    for name, value in words:
        click.echo(f"{name + ':':22} {value}")


def _runner(session: Session, name: str) -> Runner:
    from sqlalchemy import select  # noqa: PLC0415

    from github_app.models import Runner  # noqa: PLC0415
    from github_app.tokens import RunnerError  # noqa: PLC0415

    found = session.scalar(select(Runner).where(Runner.name == name).with_for_update())
    if found is None:
        raise RunnerError(f"there is no runner {name}; `raas-server runner list` shows them")
    return found


def _changes(given: dict[str, str | None], **renamed: str) -> dict[str, Any]:
    """What was given, for the rules: `any` is no rule, owners are a list."""
    changes: dict[str, Any] = {}
    for option, value in given.items():
        if value is None:
            continue
        name = renamed.get(option, option)
        changes[name] = None if value.strip().lower() == "any" else value
        if name == "owners" and changes[name] is not None:
            changes[name] = [login for login in value.split(",") if login.strip()]
        if name == "time_zone" and changes[name] is None:
            changes[name] = "UTC"
    return changes
