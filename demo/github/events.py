"""What happened, told to the Apps: who hears of it, and in which words.

Every function stores deliveries in the running transaction; `hookshot` sends them after the commit.
"""

import json
import uuid
from collections.abc import Mapping

from sqlalchemy import select

from demo.github.access import covered_repositories, installations_on, permits
from demo.github.models import (
    Account,
    App,
    CheckRun,
    CheckSuite,
    Comment,
    Delivery,
    Installation,
    Issue,
    Pull,
    Repository,
)
from demo.github.scope import Scope, iso, now
from demo.github.shapes import accounts, checks, conversations, repositories
from demo.github.shapes.accounts import Json

# The permission without which an App does not hear of an event. Installation events need none.
NEEDS: dict[str, Mapping[str, str]] = {
    "push": {"contents": "read"},
    "create": {"contents": "read"},
    "delete": {"contents": "read"},
    "pull_request": {"pull_requests": "read"},
    "issue_comment": {"issues": "read"},
    "issues": {"issues": "read"},
    "check_run": {"checks": "read"},
    "check_suite": {"checks": "read"},
    "repository": {"metadata": "read"},
    "installation": {},
    "installation_repositories": {},
    "installation_target": {},
    "github_app_authorization": {},
}

# Checks tells these to the App that owns the check only, and only if it may write checks.
_OWN_CHECK_ACTIONS = {"requested", "rerequested", "requested_action"}


def hears(app_events: list[str], permissions: Mapping[str, str], event: str) -> bool:
    """Whether an installation's App gets an event: subscribed (checks: by writing them), and permitted."""
    needs = NEEDS[event]
    if not needs:
        return True
    automatic = event in ("check_run", "check_suite") and permits(permissions, {"checks": "write"})
    return (automatic or event in app_events) and permits(permissions, needs)


def _store(
    scope: Scope,
    app: App,
    event: str,
    payload: Json,
    *,
    installation_id: int | None = None,
    repository_id: int | None = None,
) -> None:
    if app.webhook_url is None:
        return
    scope.session.add(
        Delivery(
            guid=str(uuid.uuid1()),
            app_id=app.id,
            event=event,
            action=payload.get("action"),
            installation_id=installation_id,
            repository_id=repository_id,
            payload=json.dumps(payload, separators=(",", ":")).encode(),
            created_at=now(),
            url=app.webhook_url,
        )
    )


def _tell(
    scope: Scope, event: str, row: Repository, sender: Account, payload: Json, *, only: App | None = None
) -> None:
    """Store one delivery for every App that hears of an event in a repository, or for `only` one."""
    document = {
        **payload,
        "repository": payload.get("repository") or repositories.repository(scope, row),
        **repositories.owner_fields(scope, row),
        "sender": accounts.account(scope, sender),
    }
    for installation in installations_on(scope, row):
        if only is not None and installation.app_id != only.id:
            continue
        if hears(installation.events, installation.permissions, event):
            signed = {**document, "installation": accounts.simple_installation(installation)}
            _store(
                scope, installation.app, event, signed, installation_id=installation.id, repository_id=row.id
            )


def push(scope: Scope, row: Repository, pusher: Account, payload: Json) -> None:
    """Tell of a moved, created or deleted branch or tag; `payload` comes from `pushes`."""
    _tell(scope, "push", row, pusher, {**payload, "repository": repositories.push_repository(scope, row)})


def check_suite_requested(
    scope: Scope, row: Repository, sender: Account, *, branch: str, before: str, after: str
) -> None:
    """Open a check suite of each App that writes checks for a pushed commit, and ask the App for checks.

    A commit that had a suite already, from another branch, gets no second one.
    """
    for installation in list(installations_on(scope, row)):
        app = installation.app
        if permits(installation.permissions, {"checks": "write"}) and not _known_suite(
            scope, row, app, after
        ):
            suite = check_suite(scope, row, app, after, branch=branch, before=before)
            _check_suite(scope, suite, sender, "requested")


def _known_suite(scope: Scope, row: Repository, app: App, sha: str) -> CheckSuite | None:
    query = select(CheckSuite).where(
        CheckSuite.repository_id == row.id, CheckSuite.app_id == app.id, CheckSuite.head_sha == sha
    )
    return scope.session.scalar(query)


def check_suite(
    scope: Scope, row: Repository, app: App, sha: str, *, branch: str | None = None, before: str | None = None
) -> CheckSuite:
    """Find or open the suite of an App for a commit; `branch` is None where no push announced it."""
    suite = _known_suite(scope, row, app, sha)
    if suite is None:
        suite = CheckSuite(
            repository=row, app=app, head_sha=sha, head_branch=branch, created_at=now(), updated_at=now()
        )
        suite.before, suite.after = before, sha if branch else None
        scope.session.add(suite)
        scope.session.flush()
    return suite


def _check_suite(scope: Scope, suite: CheckSuite, sender: Account, action: str) -> None:
    payload = {"action": action, "check_suite": checks.suite_event(scope, suite)}
    only = suite.app if action in _OWN_CHECK_ACTIONS else None
    _tell(scope, "check_suite", suite.repository, sender, payload, only=only)


def check_suite_rerequested(scope: Scope, suite: CheckSuite, sender: Account) -> None:
    """Tell the App that somebody pressed "Re-run all checks"."""
    _check_suite(scope, suite, sender, "rerequested")


def check_suite_completed(scope: Scope, suite: CheckSuite, sender: Account) -> None:
    """Tell that the last check run of a suite is complete."""
    _check_suite(scope, suite, sender, "completed")


def check_run(
    scope: Scope, run: CheckRun, sender: Account, action: str, identifier: str | None = None
) -> None:
    """Tell of a check run: created, completed, rerequested; requested_action has a button's identifier."""
    payload: Json = {"action": action, "check_run": checks.run_event(scope, run)}
    if identifier is not None:
        payload["requested_action"] = {"identifier": identifier}
    only = run.suite.app if action in _OWN_CHECK_ACTIONS else None
    _tell(scope, "check_run", run.suite.repository, sender, payload, only=only)


def pull_request(scope: Scope, pull: Pull, sender: Account, action: str, extra: Json | None = None) -> None:
    """Tell of a pull request: opened, synchronize (with before and after), reopened, closed, edited."""
    payload = {
        "action": action,
        "number": pull.issue.number,
        "pull_request": conversations.pull(scope, pull),
        **(extra or {}),
    }
    _tell(scope, "pull_request", pull.issue.repository, sender, payload)


def issue_comment(
    scope: Scope, comment: Comment, sender: Account, action: str, extra: Json | None = None
) -> None:
    """Tell of a comment: created, edited or deleted."""
    payload = {
        "action": action,
        "issue": conversations.issue(scope, comment.issue),
        "comment": conversations.comment(scope, comment),
        **(extra or {}),
    }
    _tell(scope, "issue_comment", comment.issue.repository, sender, payload)


def issues(scope: Scope, issue: Issue, sender: Account, action: str) -> None:
    """Tell of an issue that is not a pull request."""
    _tell(
        scope,
        "issues",
        issue.repository,
        sender,
        {"action": action, "issue": conversations.issue(scope, issue)},
    )


def repository(
    scope: Scope, row: Repository, sender: Account, action: str, changes: Json | None = None
) -> None:
    """Tell of a repository: renamed, transferred, privatized, publicized, archived, unarchived, deleted."""
    payload = {"action": action, **({"changes": changes} if changes else {})}
    _tell(scope, "repository", row, sender, payload)


def installation(scope: Scope, row: Installation, sender: Account, action: str) -> None:
    """Tell an App of its installation: created, deleted, suspend, unsuspend, new_permissions_accepted."""
    listed = [repositories.reference(it) for it in covered_repositories(scope, row)]
    payload = {
        "action": action,
        "installation": accounts.installation(scope, row),
        "repositories": listed,
        "requester": None,
        "sender": accounts.account(scope, sender),
    }
    _store(scope, row.app, "installation", payload, installation_id=row.id)


def installation_repositories(
    scope: Scope, row: Installation, sender: Account, added: list[Repository], removed: list[Repository]
) -> None:
    """Tell an App that repositories joined or left its installation."""
    payload = {
        "action": "added" if added else "removed",
        "installation": accounts.installation(scope, row),
        "repository_selection": row.selection,
        "repositories_added": [repositories.reference(it) for it in added],
        "repositories_removed": [repositories.reference(it) for it in removed],
        "requester": None,
        "sender": accounts.account(scope, sender),
    }
    _store(scope, row.app, "installation_repositories", payload, installation_id=row.id)


def ping(scope: Scope, app: App) -> None:
    """Send an App's webhook its first, friendly message."""
    hook = {
        "type": "App",
        "id": app.hook_id,
        "name": "web",
        "active": True,
        "events": app.events,
        "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": app.webhook_url},
        "created_at": iso(app.created_at),
        "updated_at": iso(app.updated_at),
        "app_id": app.id,
        "deliveries_url": f"{scope.settings.api_url}/app/hook/deliveries",
    }
    payload: Json = {"zen": "Practicality beats purity.", "hook_id": app.hook_id, "hook": hook}
    _store(scope, app, "ping", payload)


def redeliver(scope: Scope, row: Delivery) -> None:
    """Send a delivery again, under the same GUID, to wherever the App's webhook is now."""
    again = Delivery(
        guid=row.guid,
        app_id=row.app_id,
        event=row.event,
        action=row.action,
        installation_id=row.installation_id,
        repository_id=row.repository_id,
        payload=row.payload,
        url=row.app.webhook_url or row.url,
        redelivery=True,
        created_at=now(),
    )
    scope.session.add(again)
