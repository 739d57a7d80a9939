"""People and organizations."""

import re

from demo.github.errors import invalid
from demo.github.models import Account, Membership
from demo.github.scope import Scope, now

# These begin the stand-in's own addresses, or the API's when it has no prefix.
RESERVED = {
    "admin", "api", "app", "app-manifests", "applications", "apps", "codeload", "installation", "login",
    "meta", "organizations", "orgs", "rate_limit", "repos", "settings", "user", "users", "zen",
}  # fmt: skip

_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}")


def ensure_account(scope: Scope, login: str, kind: str = "User") -> Account:
    """Find or make a person or an organization."""
    row = scope.account(login)
    if row is not None:
        if row.kind != kind:
            raise invalid(f"{login} exists and is not of the kind {kind}.")
        return row
    if not _LOGIN.fullmatch(login) or login.lower() in RESERVED:
        raise invalid(f"{login!r} cannot be a login: use letters, digits and single hyphens, at most 39.")
    return add_account(scope, login, kind)


def add_account(scope: Scope, login: str, kind: str) -> Account:
    """Make an account; a bot's login is not one that a person could choose."""
    row = Account(login=login, kind=kind, created_at=now())
    scope.session.add(row)
    scope.session.flush()
    return row


def set_membership(scope: Scope, organization: Account, user: Account, role: str) -> None:
    """Put a person into an organization as `admin` (owner) or `member`."""
    if role not in ("admin", "member") or organization.kind != "Organization":
        raise invalid("An organization's members are of the role admin or member.")
    row = Membership(organization_id=organization.id, user_id=user.id, role=role)
    scope.session.merge(row)
