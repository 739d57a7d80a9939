"""`/submit`: run a commit of a public repository, in two steps: see what it is, then queue it.

The first step finds the commit that a branch or tag is at, and shows it; the second queues exactly that
commit, sealed for ten minutes for the person who looked. The job counts for that person, who has to be on the
host's list; its result is shown on our pages only, because they may have no right to write at GitHub there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import select

from github_app import allowance, auth, github_site, plans, queue, records, requests, services
from github_app.commands import Run
from github_app.github import GitHubError, GitHubUnavailableError, NotFoundError, RateLimitedError
from github_app.models import Repository, Runner, WebSession
from github_app.requests import Wanted
from github_app.submission import Asked, AskedError

blueprint = Blueprint("submit", __name__)

SEALED_S = 600
"""So long may one look at the commit before it is queued [s]."""


@dataclass(frozen=True)
class Found:
    """What the first step found: exactly this would run."""

    repository: Repository
    sha: str
    message: str
    wanted: Wanted


class RefusedError(Exception):
    """It cannot be queued; the message is for the person who asked."""


@blueprint.get("/submit")
def page() -> ResponseReturnValue:
    """The form."""
    return _form({"url": request.args.get("url", ""), "ref": request.args.get("ref", "")})


@blueprint.post("/submit/look")
def look() -> ResponseReturnValue:
    """First step: what is there, and what would run?"""
    who = auth.signed_in()
    if who is None:
        return redirect(url_for("auth.begin", next=url_for("submit.page")), 303)
    try:
        asked = Asked.of(request.form, services.current().settings.github_web_url)
        found = _find(asked, who)
    except (AskedError, RefusedError) as error:
        return _form(request.form, str(error)), 422
    sealed = _sealer().dumps([secrets.token_hex(8), who.person_id, found.sha, asdict(asked)])
    return render_template("submit_look.html", found=found, asked=asked, sealed=sealed)


@blueprint.post("/submit")
def submit() -> ResponseReturnValue:
    """Second step: queue what was shown. The same form again is the same job."""
    here, who = services.current(), auth.signed_in()
    if who is None:
        return redirect(url_for("auth.begin", next=url_for("submit.page")), 303)
    try:
        nonce, person, sha, values = _sealer().loads(request.form.get("sealed", ""), max_age=SEALED_S)
    except BadData:
        return _form({}, "That was shown more than ten minutes ago. Look at the commit again."), 403
    if person != who.person_id:
        return _form({}, "That was shown to somebody else. Look at the commit yourself."), 403
    asked = Asked(**values)
    try:
        found = _find(replace(asked, ref=sha), who)
    except RefusedError as error:
        return _form(values, str(error)), 422
    wanted = found.wanted
    job = replace(
        wanted.wish.request(
            trigger=plans.WEB,
            trigger_key=f"web:{person}:{nonce}",
            requested_by=who.login,
            ref=asked.ref or found.repository.default_branch,
            sessions=wanted.sessions,
        ),
        owner=who.login,
    )
    with here.db.write() as session:
        records.remember(session, here.settings, found.repository)
        made = queue.submit(session, job, queued_max=here.settings.queued_max).id
    return redirect(url_for("pages.job", job_id=made), 303)


def _find(asked: Asked, who: WebSession) -> Found:
    """What the request comes to at this moment.

    Raises:
        RefusedError: It may not run, or there is nothing to run.
    """
    here = services.current()
    with here.db.read() as session:
        if not allowance.lets_in(session, here.settings, who.login):
            raise RefusedError(
                f"{who.login} may not use the robots of this host. Ask the host to add you to its list."
            )
        known = _known(session.scalars(select(Repository).where(*asked.names())).all())
        most = allowance.limits(session, here.settings)
    try:
        repository = github_site.public_repository(here.github, known or asked.stranger())
        if repository is None:
            raise RefusedError(f"There is no public repository {asked.repository}. Is its name right?")
        commit = here.github.commit(repository, asked.ref or repository.default_branch)
        if commit is None:
            where = f"`{asked.ref}`" if asked.ref else "a commit"
            raise RefusedError(f"{repository.full_name} has no branch, tag or commit {where}.")
        command = Run(
            labels=asked.labels,
            simulated=asked.simulated,
            timeout_s=asked.timeout_s,
            sessions=asked.sessions,
        )
        wanted = requests.of_command(here.github, most, repository, command, commit.sha)
    except RateLimitedError as error:
        raise RefusedError(
            f"GitHub answers no more questions until {error.until:%H:%M} UTC. Try again then."
        ) from error
    except GitHubUnavailableError as error:
        raise RefusedError("GitHub could not be asked. Try again in a while.") from error
    except (NotFoundError, GitHubError) as error:
        raise RefusedError(f"GitHub refuses to show {asked.repository}. Is it public?") from error
    if isinstance(wanted, str):
        raise RefusedError(wanted)
    if wanted.wish.error is not None:
        raise RefusedError(f"Its .raas.yml is wrong: {wanted.wish.error}")
    return Found(repository, commit.sha, commit.commit.message.split("\n")[0], wanted)


def _known(rows: Sequence[Repository]) -> Repository | None:
    """The one that the App is installed on; an old name may have been left to another repository."""
    return next((row for row in rows if row.installation_id != records.UNINSTALLED), None)


def _form(values: Mapping[str, str], problem: str = "") -> str:
    """The form, filled in as before."""
    here = services.current()
    with here.db.read() as session:
        runners = session.scalars(select(Runner).where(Runner.revoked_at.is_(None)).order_by(Runner.name))
        labels = sorted({label for runner in runners for label in (runner.name, *runner.labels)})
    shown = {name: str(value or "") for name, value in values.items()}
    return render_template(
        "submit.html", values=shown, problem=problem.replace("`", ""), labels=labels, who=auth.login_name()
    )


def _sealer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(services.current().settings.secret_key.reveal(), salt="raas submit")
