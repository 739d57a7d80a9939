"""Apps as a person makes and installs them: from a manifest that another site's page sends, and by choosing.

https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest says how it goes:
a form with `manifest` and `state` comes in, the person confirms (and may change the name), and the browser
is sent to the manifest's `redirect_url` with a code and the same `state`.
"""

import json
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, abort, redirect, request
from sqlalchemy import select
from werkzeug.wrappers import Response

from demo.github import access, apps, grants
from demo.github.errors import ApiError
from demo.github.hub import Hub
from demo.github.models import Account, App, Repository
from demo.github.scope import Scope
from demo.github.web import viewer
from demo.github.web.pages import guard_leading_out, render

Json = dict[str, Any]
NAME_MAX = 34
"""GitHub refuses longer names of Apps."""


def blueprint(hub: Hub) -> Blueprint:
    """Return the pages and their forms' targets."""
    routes = Blueprint("registration", __name__)
    routes.after_request(guard_leading_out)

    @routes.post("/settings/apps/new")
    @routes.post("/organizations/<organization>/settings/apps/new")
    def propose(organization: str | None = None) -> str:
        # The one form that another site may send: nothing happens until a person confirms it here.
        document = _manifest(request.form.get("manifest", ""))
        with hub.read() as scope:
            values = {"manifest": document, "text": json.dumps(document), "organization": organization}
            return render(scope, "new_app.html", state=request.args.get("state", ""), **values)

    @routes.post("/settings/apps/new/confirmed")
    def confirm() -> Response:
        viewer.refuse_foreign_forms()
        document = _manifest(request.form.get("manifest", ""))
        with hub.write() as scope:
            owner = _owner(scope, request.form.get("organization", ""))
            code = _register(scope, owner, document, request.form.get("name", ""))
        query = {"code": code, "state": request.form.get("state", "")}
        return redirect(_with_query(document["redirect_url"], query))

    @routes.get("/apps/<slug>/installations/new")
    def choose(slug: str) -> str:
        with hub.read() as scope:
            who = viewer.viewer(scope)
            rows = [] if who is None else _administered(scope, who)
            return render(scope, "install.html", app=_app(scope, slug), repositories=rows)

    @routes.post("/apps/<slug>/installations")
    def install(slug: str) -> Response:
        viewer.refuse_foreign_forms()
        with hub.write() as scope:
            app, who = _app(scope, slug), viewer.signed_in(scope)
            wanted = request.form.getlist("repository")
            chosen = [row for row in _administered(scope, who) if row.full_name in wanted]
            if not chosen or len({row.owner_id for row in chosen}) != 1:
                abort(400, "Choose repositories of one owner.")
            installation = apps.install(scope, app, chosen[0].owner, chosen)
        query = {"installation_id": installation.id, "setup_action": "install"}
        return redirect(_with_query(app.setup_url, query) if app.setup_url else f"/apps/{slug}")

    @routes.errorhandler(ApiError)
    def refused(error: ApiError) -> tuple[str, int]:
        return error.message, error.status

    return routes


def _manifest(text: str) -> Json:
    """The manifest, with what GitHub insists on."""
    try:
        document = json.loads(text)
    except ValueError:
        abort(400, "The manifest is not JSON.")
    if not isinstance(document, dict):
        abort(400, "The manifest is not an object.")
    addresses = [document.get("url"), document.get("redirect_url"), *document.get("callback_urls", [])]
    addresses.append((document.get("hook_attributes") or {}).get("url"))
    if not all(isinstance(it, str) and urlsplit(it).scheme in ("http", "https") for it in addresses):
        abort(400, "url, redirect_url, hook_attributes.url and callback_urls must be http(s) addresses.")
    if len(document.get("callback_urls", [])) > 10:
        abort(400, "An App has at most ten callback URLs.")
    return document


def _owner(scope: Scope, organization: str) -> Account:
    who = viewer.signed_in(scope)
    if not organization:
        return who
    account = scope.account(organization)
    probe = Repository(owner=account, owner_id=account.id) if account else None
    if account is None or probe is None or access.role(scope, who, probe) != "admin":
        abort(404, "Only its owners register an organization's Apps.")
    return account


def _register(scope: Scope, owner: Account, document: Json, name: str) -> str:
    name = name.strip() or str(document.get("name", ""))
    if len(name) > NAME_MAX:
        raise ApiError(422, f"Name is too long (maximum is {NAME_MAX} characters)")
    settings = {
        "webhook_url": document["hook_attributes"]["url"],
        "webhook_secret": secrets.token_hex(20),
        "permissions": document.get("default_permissions"),
        "events": document.get("default_events"),
        "callback_urls": document.get("callback_urls"),
        "setup_url": document.get("setup_url"),
        "external_url": document["url"],
    }
    app, private_key, client_secret = apps.create_app(scope, owner, name, settings)
    return grants.manifest_code(scope, app, private_key or "", client_secret)


def _app(scope: Scope, slug: str) -> App:
    found: App = scope.session.scalar(select(App).where(App.slug == slug)) or abort(404)
    return found


def _administered(scope: Scope, who: Account) -> list[Repository]:
    rows = scope.session.scalars(select(Repository).order_by(Repository.id))
    return [row for row in rows if access.role(scope, who, row) == "admin"]


def _with_query(address: str, query: Json) -> str:
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}"
