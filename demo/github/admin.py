"""The admin interface: what on GitHub happens by clicking, and what only a test wants (faults, expiry).

JSON over HTTP below /_admin, guarded by the admin token as a bearer. `world.World` is its client; its
methods say what each call does.
"""

import hmac
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import select, update

from demo.github import accounts, apps, auth, events, pulls, repositories
from demo.github.errors import ApiError, not_found
from demo.github.faults import Fault
from demo.github.hub import Hub
from demo.github.models import (
    Account,
    App,
    CheckRun,
    CheckSuite,
    Delivery,
    InstallationToken,
    Issue,
    Membership,
    Pull,
    Repository,
)
from demo.github.rest.apps import delivery_document
from demo.github.scope import Scope, now
from demo.github.shapes import repositories as repository_shapes

Body = dict[str, Any]
Action = Callable[[Hub, Scope, Body], Any]


def blueprint(hub: Hub) -> Blueprint:
    """Return the admin routes: one POST for each action."""
    routes = Blueprint("admin", __name__, url_prefix="/_admin")

    @routes.before_request
    def guard() -> Response | None:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(sent.encode(), hub.settings.admin_token.encode()):
            return None
        return Response('{"message": "Wrong admin token."}', 401, content_type="application/json")

    @routes.post("/merge")
    def merge() -> Response:
        return jsonify(_merge(hub, request.get_json()))

    for name, action in ACTIONS.items():
        routes.add_url_rule(f"/{name}", name, _view(hub, action), methods=["POST"])

    @routes.errorhandler(ApiError)
    def refused(error: ApiError) -> tuple[Response, int]:
        return jsonify(error.body()), error.status

    return routes


def _view(hub: Hub, action: Action) -> Callable[[], Response]:
    def respond() -> Response:
        with hub.write() as scope:
            return jsonify(action(hub, scope, request.get_json()))

    return respond


def _user(scope: Scope, login: str) -> Account:
    row = scope.account(login)
    if row is None:
        raise ApiError(404, f"There is no account {login!r}.")
    return row


def _repository(scope: Scope, full_name: str) -> Repository:
    row = scope.repository(*full_name.split("/", 1))
    if row is None:
        raise ApiError(404, f"There is no repository {full_name!r}.")
    return row


def _make_user(_: Hub, scope: Scope, body: Body) -> Body:
    user = accounts.ensure_account(scope, body["login"])
    return {"login": user.login, "id": user.id, "token": auth.mint_user_token(scope, user)}


def _make_reader(_: Hub, scope: Scope, body: Body) -> Body:
    owner = _repository(scope, body["full_name"]).owner
    if owner.kind == "Organization":
        query = select(Account).join(Membership, Membership.user_id == Account.id)
        query = query.where(Membership.organization_id == owner.id, Membership.role == "admin")
        owner = scope.session.scalars(query).first() or owner
    return {"token": auth.mint_user_token(scope, owner)}


def _health(_: Hub, __: Scope, ___: Body) -> Body:
    return {"status": "ok"}


def _app_exists(_: Hub, scope: Scope, body: Body) -> Body:
    return {"exists": scope.session.scalar(select(App).where(App.name == body["name"])) is not None}


def _make_organization(_: Hub, scope: Scope, body: Body) -> Body:
    row = accounts.ensure_account(scope, body["login"], "Organization")
    accounts.set_membership(scope, row, _user(scope, body["owner"]), "admin")
    return {"login": row.login, "id": row.id}


def _set_membership(_: Hub, scope: Scope, body: Body) -> Body:
    organization, user = _user(scope, body["organization"]), _user(scope, body["user"])
    accounts.set_membership(scope, organization, user, body["role"])
    return {}


def _make_repository(_: Hub, scope: Scope, body: Body) -> Body:
    row = repositories.ensure(scope, body["full_name"], private=body["private"])
    return repository_shapes.repository(scope, row)


def _fork(_: Hub, scope: Scope, body: Body) -> Body:
    row = repositories.fork(scope, _repository(scope, body["full_name"]), _user(scope, body["owner"]))
    return repository_shapes.repository(scope, row)


def _change_repository(_: Hub, scope: Scope, body: Body) -> Body:
    row, actor = _repository(scope, body["full_name"]), _user(scope, body["user"])
    for flag in ("archived", "private"):
        if body.get(flag) is not None:
            repositories.set_flag(scope, row, actor, flag, body[flag])
    if body.get("name"):
        repositories.rename(scope, row, actor, body["name"])
    if body.get("owner"):
        repositories.transfer(scope, row, actor, _user(scope, body["owner"]))
    return repository_shapes.repository(scope, row)


def _delete_repository(_: Hub, scope: Scope, body: Body) -> Body:
    repositories.delete(scope, _repository(scope, body["full_name"]), _user(scope, body["user"]))
    return {}


def _set_role(_: Hub, scope: Scope, body: Body) -> Body:
    repositories.set_role(
        scope, _repository(scope, body["full_name"]), _user(scope, body["user"]), body["role"]
    )
    return {}


def _make_app(_: Hub, scope: Scope, body: Body) -> Body:
    owner = accounts.ensure_account(scope, body["owner"])
    app, private_key, client_secret = apps.create_app(scope, owner, body["name"], body)
    return {
        "id": app.id,
        "slug": app.slug,
        "private_key": private_key or "",
        "webhook_secret": app.webhook_secret or "",
        "client_id": app.client_id,
        "client_secret": client_secret,
    }


def _set_webhook(_: Hub, scope: Scope, body: Body) -> Body:
    app = apps.find_app(scope, body["app_id"])
    app.webhook_url, app.updated_at = body["url"], now()
    return {}


def _ping(_: Hub, scope: Scope, body: Body) -> Body:
    events.ping(scope, apps.find_app(scope, body["app_id"]))
    return {}


def _install(_: Hub, scope: Scope, body: Body) -> Body:
    app = apps.find_app(scope, body["app_id"])
    chosen = None if body["repositories"] is None else [_repository(scope, it) for it in body["repositories"]]
    account = chosen[0].owner if chosen else _user(scope, body["account"])
    if any(row.owner_id != account.id for row in chosen or ()):
        raise ApiError(422, "An installation is on one account: name repositories of one owner.")
    return {"id": apps.install(scope, app, account, chosen).id}


def _uninstall(_: Hub, scope: Scope, body: Body) -> Body:
    row = apps.find_installation(scope, body["installation_id"])
    if body.get("repository"):
        apps.remove_from_installation(scope, row, _repository(scope, body["repository"]))
    else:
        apps.uninstall(scope, row)
    return {}


def _suspend(_: Hub, scope: Scope, body: Body) -> Body:
    row = apps.find_installation(scope, body["installation_id"])
    apps.set_suspended(scope, row, body["suspended"])
    return {}


def _merge(hub: Hub, body: Body) -> Body:
    with hub.read() as scope:
        repository, actor = _repository(scope, body["full_name"]), _user(scope, body["user"])
    merged: list[str] = []

    def move() -> None:
        with hub.read() as scope:
            query = select(Pull).join(Pull.issue)
            query = query.where(Issue.repository_id == repository.id, Issue.number == body["number"])
            pull = scope.session.scalar(query)
            if pull is None:
                raise not_found()
            merged.append(pulls.merge(scope, pull))

    hub.receive(repository.id, actor.id, move)
    return {"sha": merged[0]}


def _rerequest(_: Hub, scope: Scope, body: Body) -> Body:
    actor = _user(scope, body["user"])
    if body.get("check_suite_id"):
        events.check_suite_rerequested(
            scope, scope.session.get_one(CheckSuite, body["check_suite_id"]), actor
        )
    else:
        run = scope.session.get_one(CheckRun, body["check_run_id"])
        events.check_run(scope, run, actor, "rerequested")
    return {}


def _press(_: Hub, scope: Scope, body: Body) -> Body:
    run = scope.session.get_one(CheckRun, body["check_run_id"])
    if body["identifier"] not in [action["identifier"] for action in run.actions]:
        raise ApiError(404, f"Check run {run.id} has no button {body['identifier']!r}.")
    events.check_run(scope, run, _user(scope, body["user"]), "requested_action", body["identifier"])
    return {}


def _deliveries(_: Hub, scope: Scope, body: Body) -> list[Body]:
    query = select(Delivery).order_by(Delivery.id)
    if body.get("event"):
        query = query.where(Delivery.event == body["event"])
    return [delivery_document(row) for row in scope.session.scalars(query)]


def _redeliver(_: Hub, scope: Scope, body: Body) -> Body:
    events.redeliver(scope, scope.session.get_one(Delivery, body["delivery_id"]))
    return {}


def _expire_tokens(_: Hub, scope: Scope, __: Body) -> Body:
    scope.session.execute(update(InstallationToken).values(expires_at=now() - 1))
    return {}


def _add_fault(hub: Hub, _: Scope, body: Body) -> Body:
    hub.faults.add(Fault(**body))
    return {}


def _clear_faults(hub: Hub, _: Scope, __: Body) -> Body:
    hub.faults.clear()
    return {}


def _violations(hub: Hub, _: Scope, __: Body) -> list[str]:
    if hub.conformance is None:
        raise ApiError(409, "Start the stand-in with conformance to ask for violations.")
    return [str(it) for it in hub.conformance.violations]


def _limit(hub: Hub, _: Scope, body: Body) -> Body:
    if body.get("content_per_minute") is not None:
        hub.limits.content_per_minute = body["content_per_minute"]
    if body.get("remaining") is not None:
        hub.limits.exhaust(body["remaining"], body["reset_in_s"])
    return {}


ACTIONS: dict[str, Action] = {
    "health": _health,
    "reader": _make_reader,
    "app-exists": _app_exists,
    "user": _make_user,
    "organization": _make_organization,
    "membership": _set_membership,
    "repository": _make_repository,
    "fork": _fork,
    "change": _change_repository,
    "delete": _delete_repository,
    "role": _set_role,
    "app": _make_app,
    "webhook": _set_webhook,
    "ping": _ping,
    "install": _install,
    "uninstall": _uninstall,
    "suspend": _suspend,
    "rerequest": _rerequest,
    "press": _press,
    "deliveries": _deliveries,
    "redeliver": _redeliver,
    "expire-tokens": _expire_tokens,
    "fault": _add_fault,
    "clear-faults": _clear_faults,
    "limit": _limit,
    "violations": _violations,
}
