"""Reference: Apps (the App itself, its installations and tokens) and the deliveries of its webhook."""

import json
from typing import Any

from flask import request
from sqlalchemy import select

from demo.github import access, auth, events
from demo.github.errors import ApiError, invalid, not_accessible, not_found
from demo.github.models import Delivery, Installation, Repository
from demo.github.rest import paging
from demo.github.rest.api import Answer, Api, Call
from demo.github.scope import iso
from demo.github.shapes import accounts, repositories
from demo.github.shapes.accounts import Json


def add(api: Api) -> None:
    """Register the chapter."""
    api.route("GET", "/app")(get_app)
    api.route("GET", "/app/hook/config")(get_hook_config)
    api.route("GET", "/app/hook/deliveries")(list_deliveries)
    api.route("GET", "/app/hook/deliveries/<int:delivery_id>")(get_delivery)
    api.route("POST", "/app/hook/deliveries/<int:delivery_id>/attempts")(redeliver)
    api.route("GET", "/app/installations")(list_installations)
    api.route("GET", "/app/installations/<int:installation_id>")(get_installation)
    api.route("POST", "/app/installations/<int:installation_id>/access_tokens")(create_token)
    api.route("DELETE", "/installation/token")(revoke_token)
    api.route("GET", "/installation/repositories")(list_repositories)
    api.route("GET", "/repos/<owner>/<repo>/installation")(get_repository_installation)


def get_app(call: Call) -> Answer:
    """Tell an App who it is."""
    return Answer(accounts.app_with_count(call.scope, call.app()))


def get_hook_config(call: Call) -> Answer:
    """Tell an App where its webhooks go."""
    app = call.app()
    config: Json = {"content_type": "json", "insecure_ssl": "0"}
    if app.webhook_url:
        config["url"] = app.webhook_url
    if app.webhook_secret:
        config["secret"] = "********"  # noqa: S105  -- GitHub's own mask
    return Answer(config)


def list_installations(call: Call) -> Answer:
    """List an App's installations."""
    query = select(Installation).where(Installation.app_id == call.app().id).order_by(Installation.id)
    rows, headers = paging.page(call.hub.settings, call.scope.session.scalars(query).all())
    return Answer([accounts.installation(call.scope, row) for row in rows], headers=headers)


def _installation(call: Call, installation_id: int) -> Installation:
    app = call.app()
    row = call.scope.session.get(Installation, installation_id)
    if row is None or row.app_id != app.id:
        raise not_found()
    return row


def get_installation(call: Call, installation_id: int) -> Answer:
    """Tell of one installation."""
    return Answer(accounts.installation(call.scope, _installation(call, installation_id)))


def get_repository_installation(call: Call, owner: str, repo: str) -> Answer:
    """Find an App's installation by a repository."""
    app, row = call.app(), call.scope.repository(owner, repo)
    query = select(Installation).where(Installation.app_id == app.id)
    for installation in call.scope.session.scalars(query):
        if row is not None and access.covers(call.scope, installation, row):
            return Answer(accounts.installation(call.scope, installation))
    raise not_found()


def create_token(call: Call, installation_id: int) -> Answer:
    """Give an App a token for one of its installations, narrowed as it asks."""
    installation = _installation(call, installation_id)
    if installation.suspended_at is not None:
        raise ApiError(403, "This installation has been suspended")
    body = call.body()
    permissions = _narrow_permissions(installation, body.get("permissions"))
    chosen = _narrow_repositories(call, installation, body)
    ids = [row.id for row in chosen] if chosen is not None else None
    token, row = auth.mint_installation_token(call.scope, installation, permissions, ids)
    document: Json = {
        "token": token,
        "expires_at": iso(row.expires_at),
        "permissions": permissions,
        "repository_selection": "selected" if chosen is not None else installation.selection,
    }
    if chosen is not None:
        document["repositories"] = [repositories.repository(call.scope, it) for it in chosen]
    return Answer(document, 201)


def _narrow_permissions(installation: Installation, wanted: object) -> dict[str, str]:
    if wanted is None:
        return dict(installation.permissions)
    if not isinstance(wanted, dict) or not all(isinstance(level, str) for level in wanted.values()):
        raise invalid("Invalid request.\n\n`permissions` must be an object of strings.")
    for name, level in wanted.items():
        if level not in ("read", "write", "admin") or not access.permits(
            installation.permissions, {name: level}
        ):
            raise invalid("The permissions requested are not granted to this installation.")
    # Every token can read metadata.
    return {"metadata": "read", **wanted}


def _narrow_repositories(
    call: Call, installation: Installation, body: dict[str, Any]
) -> list[Repository] | None:
    names, ids = body.get("repositories"), body.get("repository_ids")
    if names is None and ids is None:
        return None
    covered = access.covered_repositories(call.scope, installation)
    by_key: dict[object, Repository] = {row.id: row for row in covered} | {
        row.name.lower(): row for row in covered
    }
    wanted = [*(str(name).lower() for name in names or ()), *(ids or ())]
    if not all(key in by_key for key in wanted):
        reason = (
            "There is at least one repository that does not exist or is not accessible "
            "to the parent installation."
        )
        raise invalid(reason)
    return list({by_key[key].id: by_key[key] for key in wanted}.values())


def revoke_token(call: Call) -> Answer:
    """Forget the token with which the request came."""
    if not isinstance(call.who, access.Installed):
        raise not_accessible()
    auth.revoke_installation_token(call.scope, call.who.token)
    return Answer(None, 204)


def list_repositories(call: Call) -> Answer:
    """List the repositories a token reaches."""
    if not isinstance(call.who, access.Installed):
        raise not_accessible()
    token = call.who.token
    rows = access.covered_repositories(call.scope, token.installation)
    chosen = [row for row in rows if token.repository_ids is None or row.id in token.repository_ids]
    shown, headers = paging.page(call.hub.settings, chosen)
    document = {
        "total_count": len(chosen),
        "repository_selection": token.installation.selection,
        "repositories": [repositories.repository(call.scope, row) for row in shown],
    }
    return Answer(document, headers=headers)


def list_deliveries(call: Call) -> Answer:
    """List the deliveries of an App's webhook, newest first, by cursor."""
    app, per_page = call.app(), min(paging.number("per_page", 30), paging.MAX_PER_PAGE)
    query = select(Delivery).where(Delivery.app_id == app.id, Delivery.status.is_not(None))
    cursor, wanted = request.args.get("cursor", ""), request.args.get("status")
    if cursor:
        if not cursor.removeprefix("v1_").isdigit():
            raise ApiError(400, "Invalid cursor")
        query = query.where(Delivery.id <= int(cursor.removeprefix("v1_")))
    if wanted == "success":
        query = query.where(Delivery.status == "OK")
    elif wanted == "failure":
        query = query.where(Delivery.status != "OK")
    rows = call.scope.session.scalars(query.order_by(Delivery.id.desc()).limit(per_page + 1)).all()
    headers = {}
    if len(rows) > per_page:
        address = f"{call.hub.settings.public_url}{request.path}"
        status = f"&status={wanted}" if wanted else ""
        headers["Link"] = f'<{address}?per_page={per_page}{status}&cursor=v1_{rows[per_page].id}>; rel="next"'
    return Answer([_delivery(row) for row in rows[:per_page]], headers=headers)


def _delivery(row: Delivery) -> Json:
    return {
        "id": row.id,
        "guid": row.guid,
        "delivered_at": iso(row.attempted_at or row.created_at),
        "redelivery": row.redelivery,
        "duration": row.duration_s or 0.0,
        "status": row.status,
        "status_code": row.status_code,
        "event": row.event,
        "action": row.action,
        "installation_id": row.installation_id,
        "repository_id": row.repository_id,
        "throttled_at": None,
    }


def _find_delivery(call: Call, delivery_id: int) -> Delivery:
    row = call.scope.session.get(Delivery, delivery_id)
    if row is None or row.app_id != call.app().id or row.status is None:
        raise not_found()
    return row


def get_delivery(call: Call, delivery_id: int) -> Answer:
    """Tell all about one attempt to deliver."""
    return Answer(delivery_document(_find_delivery(call, delivery_id)))


def delivery_document(row: Delivery) -> Json:
    """Return the `hook-delivery` document; `status` is None while it waits to be sent."""
    return {
        **_delivery(row),
        "url": row.url,
        "request": {"headers": row.request_headers, "payload": json.loads(row.payload)},
        "response": {"headers": row.response_headers, "payload": row.response_body},
    }


def redeliver(call: Call, delivery_id: int) -> Answer:
    """Send a delivery again, under the same GUID."""
    events.redeliver(call.scope, _find_delivery(call, delivery_id))
    return Answer({}, 202)
