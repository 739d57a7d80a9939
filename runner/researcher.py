"""`raas trigger` and `raas status`: ask a robot from the terminal, and see what became of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from runner import completion, exit_codes

if TYPE_CHECKING:
    from runner.researcher_github import Check, Conversation

POLL_S = 3.0
"""Pause between two looks at GitHub: 5,000 requests an hour are a person's, and a job takes a minute."""
ANSWER_S = 300.0
"""A command that has no check run after so long was not heard [s]."""
FAILURES_MAX = 10

_Command = TypeVar("_Command", bound=Callable[..., Any])


def common(command: _Command) -> _Command:
    """The options of every command that may ask GitHub."""
    for option in (
        click.option("--repo", help="owner/name, or HOST/owner/name. Default: git's remote `origin`."),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Holds the token. Default: GITHUB_TOKEN, GH_TOKEN, or what `gh auth token` says.",
        ),
        click.option(
            "--api-url", envvar="GITHUB_API_URL", help="Of GitHub's API, where it is not the usual one."
        ),
        click.option("--json", "as_json", is_flag=True, help="JSON, for programs."),
    ):
        command = option(command)
    return command


def _fail(message: str, status: int = exit_codes.UNUSABLE) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(status)


def checks_here(given: dict[str, Any]) -> list[Check]:
    """Our check runs at the commit that is checked out, newest last; an error ends the command."""
    try:
        from runner.researcher_github import ResearcherError  # noqa: PLC0415 - see `_open`
    except ImportError as error:
        _fail(f"{error.name or 'PyGithub'} is missing: pip install 'raas-gym[cli]'")
    try:
        github = _open(given["repo"], given["token_file"], given["api_url"])
        return github.checks(_checked_out())
    except ResearcherError as error:
        _fail(f"{error}. Or name job and server: `raas watch 12 --server https://HOST`")


def _open(repo: str | None, token_file: Path | None, api_url: str | None) -> Conversation:
    try:
        from runner import researcher_github  # noqa: PLC0415 - PyGithub takes half a second to import
    except ImportError as error:
        _fail(f"{error.name or 'PyGithub'} is missing: pip install 'raas-gym[cli]'")
    where = researcher_github.place(repo, Path())
    return researcher_github.Conversation(where, researcher_github.token(token_file, where.host), api_url)


@click.command(short_help="Have a pull request run on a robot.")
@click.option("--pr", "number", type=click.IntRange(1), required=True, help="The pull request.")
@click.option("--sha", help="Exactly this commit; a pull request from a fork needs the whole SHA.")
@click.option(
    "--robot",
    multiple=True,
    shell_complete=completion.labels,
    help="A label the robot must have. May be repeated.",
)
@click.option("--sim", is_flag=True, help="On a simulated robot.")
@click.option("--timeout", type=click.FloatRange(1), help="Longest time on the robot [s].")
@click.option("-n", "--sessions", type=click.IntRange(1), help="Sessions in one job.")
@click.option("--ref", help="The head of another branch or tag of the repository.")
@click.option("--watch", is_flag=True, help="Follow the job; the exit status is its conclusion.")
@common
def trigger(number: int, watch: bool, as_json: bool, **given: Any) -> None:
    """Have a pull request run on a robot: comments `/raas run` with your own GitHub token.

    \b
    Examples:
      raas trigger --pr 7 --watch
      raas trigger --pr 7 --robot goose -n 3

    \b
    Exit status with --watch: the job's conclusion, as `raas watch --help` lists it. Without: 0.
    2: it could not be asked.
    """
    from runner.researcher_github import ResearcherError  # noqa: PLC0415 - see `_open`

    try:
        github = _open(given["repo"], given["token_file"], given["api_url"])
        result = _trigger(github, number, watch, given)
    except ResearcherError as error:
        _fail(str(error))
    if as_json:
        click.echo(json.dumps(result, indent=2))
    check = result["check_run"]
    sys.exit(0 if check is None else exit_codes.of_conclusion(check["conclusion"]))


def _trigger(github: Conversation, number: int, watch: bool, given: dict[str, Any]) -> dict[str, Any]:
    from runner.researcher_github import ResearcherError  # noqa: PLC0415

    head, elsewhere = github.head(number)
    if elsewhere and given["sha"] is None and given["ref"] is None:
        raise ResearcherError(
            f"pull request {number} comes from another repository: look at its commit, then name it whole,"
            f" `--sha {head}` if that is the one"
        )
    before = {check.id for check in github.checks(head)}
    comment, url = github.say(number, command(**given))
    click.echo(f"asked: {url}", err=True)
    result = {"repository": github.where.full_name, "pull_request": number, "sha": head, "comment": url}
    check = _watch(github, number, comment, head, before) if watch else None
    return {**result, "check_run": None if check is None else asdict(check)}


def command(
    *,
    sha: str | None = None,
    robot: tuple[str, ...] = (),
    sim: bool = False,
    timeout: float | None = None,
    sessions: int | None = None,
    ref: str | None = None,
    **_: object,
) -> str:
    """The comment that asks for this."""
    words = ["/raas run", *([sha] if sha else []), *(f"--robot {label}" for label in robot)]
    words += ["--sim"] if sim else []
    words += [f"--timeout {timeout:g}"] if timeout is not None else []
    words += [f"-n {sessions}"] if sessions is not None else []
    words += [f"--ref {ref}"] if ref else []
    return " ".join(words)


def _watch(github: Conversation, number: int, comment: int, sha: str, before: set[int]) -> Check:
    """Follow the new check run to its end; what changes is shown.

    Raises:
        ResearcherError: The command was refused, not heard, or GitHub is away for long.
    """
    from runner.researcher_github import ResearcherError, TryAgainError  # noqa: PLC0415

    shown, failures, deadline = "", 0, time.monotonic() + ANSWER_S
    while True:
        try:
            check = next((it for it in github.checks(sha) if it.id not in before), None)
            refused = github.refusal(number, comment) if check is None else None
            failures = 0
        except TryAgainError:
            failures += 1
            if failures >= FAILURES_MAX:
                raise
            time.sleep(POLL_S)
            continue
        if refused is not None:
            raise ResearcherError(refused)
        if check is None and time.monotonic() > deadline:
            raise ResearcherError("nobody has heard the command: is the App installed on this repository?")
        if check is not None and (line := _line(check)) != shown:
            click.echo(line, err=True)
            shown = line
        if check is not None and check.status == "completed":
            return check
        time.sleep(POLL_S)


@click.command(short_help="Say how a commit's jobs stand.")
@click.argument("job", required=False, type=click.IntRange(1))
@click.option("--pr", "number", type=click.IntRange(1), help="Of this pull request's head.")
@common
def status(job: int | None, number: int | None, as_json: bool, **given: Any) -> None:
    """Say how the jobs stand at a pull request's head, or at the commit that is checked out here.

    With JOB only that one.

    \b
    Examples:
      raas status --pr 7
      raas status
      raas status --json | jq -r '.[].conclusion'

    \b
    Exit status: 0 there are jobs; 1 there are none; 2 GitHub could not be asked.
    """
    from runner.researcher_github import ResearcherError  # noqa: PLC0415 - see `_open`

    try:
        github = _open(given["repo"], given["token_file"], given["api_url"])
        sha = github.head(number)[0] if number is not None else _checked_out()
        checks = [it for it in github.checks(sha) if job is None or it.job == str(job)]
    except ResearcherError as error:
        _fail(str(error))
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            click.echo(f"{_line(check)}\n    {check.url}")
    if not checks and not as_json:
        click.echo(
            f"there is no {'such ' if job else ''}job at {sha[:10]}; push it, or `raas trigger --pr N`"
        )
    sys.exit(0 if checks else 1)


def _checked_out() -> str:
    from runner.researcher_github import ResearcherError  # noqa: PLC0415

    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResearcherError("no commit is checked out here; name a pull request with --pr")
    return done.stdout.strip()


def _line(check: Check) -> str:
    return f"job {check.job or '?'} {check.conclusion or check.status}: {check.title}"
