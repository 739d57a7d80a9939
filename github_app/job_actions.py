"""Cancel, Run again and Approve run on a job's page: the check run's buttons, with the same rules.

Who may: people whose collaborator permission on the job's repository is `admin` or `write`, asked of GitHub
at that moment; and for a job from `/submit`, whoever submitted it.
"""

from __future__ import annotations

import secrets

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from github_app import allowance, auth, buttons, payloads, plans, policy, presses, services
from github_app.buttons import Button, Press
from github_app.github import GitHubError
from github_app.models import Job, WebSession
from github_app.moves import state_of
from github_app.presses import Pressed

blueprint = Blueprint("job_actions", __name__)


def offered(job: Job) -> list[Button]:
    """The buttons of a job's page."""
    state = state_of(job)
    return buttons.shown(state.status, state.conclusion)


@blueprint.post("/jobs/<int:job_id>/press")
def press(job_id: int) -> ResponseReturnValue:
    """Do what the button says, or say why not."""
    here, who = services.current(), auth.signed_in()
    with here.db.read() as session:
        job = session.get(Job, job_id)
    if job is None or not policy.visible(job, policy.viewer()):
        abort(404)
    if who is None:
        return redirect(url_for("auth.begin", next=url_for("pages.job", job_id=job_id)), 303)
    identifier = request.form.get("press", "")
    if (reason := _not_let_in(job, who, identifier)) is not None:
        return _refused(reason, 403)
    try:
        permission = permission_of(job, who)
    except GitHubError:
        return _refused("GitHub could not be asked what you may do. Try again in a while.", 502)
    sender = payloads.Account(login=who.login, type=policy.PERSON)
    pressed = Pressed(f"web-{secrets.token_hex(8)}", sender, permission, identifier)
    with here.db.write() as session:
        told = presses.on_our_page(session, here.settings, job_id, pressed)
        newest = session.scalar(select(func.max(Job.id)).where(Job.rerun_of == job_id))
    _, _, refused = told.partition(": refused: ")
    if refused:
        return _refused(refused, 403)
    return redirect(url_for("pages.job", job_id=job_id if identifier == Press.CANCEL.value else newest), 303)


def permission_of(job: Job, who: WebSession) -> str:
    """What this person may do with this job, in the words of the collaborator API.

    Raises:
        GitHubError: GitHub could not be asked.
    """
    if job.trigger == plans.WEB and job.requested_by.lower() == who.login.lower():
        return "write"
    if not job.repository.installation_id:
        return "none"
    return services.current().github.permission(job.repository, who.login, who.person_id)


def _not_let_in(job: Job, who: WebSession, identifier: str) -> str | None:
    """Why nothing may run for whom the job counts; cancelling is always possible."""
    if identifier == Press.CANCEL.value:
        return None
    here = services.current()
    owner = who.login if job.trigger == plans.WEB else job.repository.owner
    with here.db.read() as session:
        allowed = allowance.lets_in(session, here.settings, owner)
    return None if allowed else allowance.not_let_in(owner)


def _refused(reason: str, status: int) -> ResponseReturnValue:
    advice = reason.replace("`", "")
    return render_template("error.html", status=status, title="That was not done", advice=advice), status
