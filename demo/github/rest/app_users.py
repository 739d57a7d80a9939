"""Reference: an App made from a manifest, and what the tokens that people grant an App may ask."""

from sqlalchemy import select

from demo.github import access, auth, grants
from demo.github.access import Person
from demo.github.errors import ApiError, invalid, not_found
from demo.github.models import Installation, Repository
from demo.github.rest import paging
from demo.github.rest.api import Answer, Api, Call
from demo.github.shapes import accounts, repositories


def add(api: Api) -> None:
    """Register the chapter."""
    api.route("POST", "/app-manifests/<code>/conversions")(convert_manifest)
    api.route("GET", "/user/installations")(list_installations)
    api.route("GET", "/user/installations/<int:installation_id>/repositories")(list_repositories)
    api.route("DELETE", "/applications/<client_id>/token")(delete_token)


def convert_manifest(call: Call, code: str) -> Answer:
    """Trade the manifest flow's code for the new App's secrets; nobody needs to say who they are."""
    made = grants.convert(call.scope, code)
    if made is None:
        raise not_found()
    document = {
        **accounts.app(call.scope, made.app),
        "client_secret": made.client_secret,
        "webhook_secret": made.app.webhook_secret,
        "pem": made.private_key,
    }
    return Answer(document, 201)


def _granted(call: Call) -> Person:
    person = call.person()
    if person.app is None:
        raise ApiError(403, "You must authenticate with an access token authorized to a GitHub App")
    return person


def list_installations(call: Call) -> Answer:
    """List the App's installations of which the person may see something."""
    person = _granted(call)
    query = select(Installation).where(Installation.app == person.app).order_by(Installation.id)
    rows = [row for row in call.scope.session.scalars(query) if _seen(call, person, row)]
    shown, headers = paging.page(call.hub.settings, rows)
    found = [accounts.installation(call.scope, row) for row in shown]
    return Answer({"total_count": len(rows), "installations": found}, headers=headers)


def _seen(call: Call, person: Person, row: Installation) -> list[Repository]:
    """The repositories of an installation on which the person has a role of their own."""
    return [
        repository
        for repository in access.covered_repositories(call.scope, row)
        if access.role(call.scope, person.account, repository) != "none"
    ]


def list_repositories(call: Call, installation_id: int) -> Answer:
    """List an installation's repositories on which the person has a role."""
    person = _granted(call)
    row = call.scope.session.get(Installation, installation_id)
    if row is None or row.app != person.app or not (rows := _seen(call, person, row)):
        raise not_found()
    shown, headers = paging.page(call.hub.settings, rows)
    found = [repositories.repository(call.scope, it) for it in shown]
    document = {"total_count": len(rows), "repository_selection": row.selection, "repositories": found}
    return Answer(document, headers=headers)


def delete_token(call: Call, client_id: str) -> Answer:
    """Forget a token that a person granted to the App, which shows its client id and secret."""
    if not isinstance(call.who, access.Client) or call.who.app.client_id != client_id:
        raise not_found()
    if not auth.revoke_user_token(call.scope, call.who.app, str(call.body().get("access_token", ""))):
        raise invalid("Validation Failed")
    return Answer(None, 204)
