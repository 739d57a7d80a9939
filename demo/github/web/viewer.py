"""Who looks at the pages: a local account chosen in the page's head, remembered in a cookie.

The stand-in has no passwords: whoever reaches it may be anybody. It therefore binds to this machine only,
and refuses forms that another site's page sends.
"""

from urllib.parse import urlsplit

from flask import abort, request

from demo.github import access
from demo.github.models import ROLES, Account, Repository
from demo.github.scope import Scope

COOKIE = "viewer"


def viewer(scope: Scope) -> Account | None:
    """Return the chosen account, None for an anonymous visitor."""
    account = scope.account(request.cookies.get(COOKIE, ""))
    return account if account is not None and account.kind == "User" else None


def signed_in(scope: Scope) -> Account:
    """Return the chosen account, or answer 403."""
    account = viewer(scope)
    if account is None:
        abort(403, "Choose who you are in the page's head first.")
    return account


def visible(scope: Scope, who: Account | None, row: Repository) -> bool:
    """Whether a visitor may see a repository."""
    return not row.private or (who is not None and access.role(scope, who, row) != "none")


def may_write(scope: Scope, who: Account | None, row: Repository) -> bool:
    """Whether a visitor may press an App's buttons."""
    return who is not None and ROLES.index(access.role(scope, who, row)) >= ROLES.index("write")


def find_repository(scope: Scope, owner: str, name: str) -> Repository:
    """Return a repository the visitor may see, or answer 404."""
    row = scope.repository(owner, name)
    if row is None or not visible(scope, viewer(scope), row):
        abort(404)
    return row


def refuse_foreign_forms() -> None:
    """Answer 403 to a form that does not come from the stand-in's own pages."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        abort(403, "This form was sent by another site.")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        abort(403, "This form was sent by another site.")
