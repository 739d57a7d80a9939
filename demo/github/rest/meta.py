"""Reference: Meta, Rate limit, Users."""

from demo.github import access
from demo.github.errors import not_accessible, not_found, requires_authentication
from demo.github.rest.api import Answer, Api, Call
from demo.github.shapes import accounts


def add(api: Api) -> None:
    """Register the chapter."""
    api.route("GET", "/meta")(get_meta)
    api.route("GET", "/zen")(get_zen)
    api.route("GET", "/rate_limit")(get_rate_limit)
    api.route("GET", "/user")(get_user)
    api.route("GET", "/users/<username>")(get_account)


def get_meta(call: Call) -> Answer:
    """Tell what this is."""
    return Answer({"verifiable_password_authentication": False, "installed_version": "3.99.0"})


def get_zen(call: Call) -> Answer:
    """Say something wise."""
    return Answer("Practicality beats purity.")


def get_rate_limit(call: Call) -> Answer:
    """Tell how much of the hour is left; asking is free."""
    limits = call.hub.limits
    limits.refund(call.who.key)
    window = limits.window(call.who.key)
    core = {
        "limit": limits.hourly,
        "remaining": max(0, limits.hourly - window.used),
        "reset": window.reset_at,
        "used": window.used,
    }
    search = {"limit": 30, "remaining": 30, "reset": window.reset_at, "used": 0}
    return Answer({"resources": {"core": core, "search": search}, "rate": core})


def get_user(call: Call) -> Answer:
    """Tell a person who they are."""
    if isinstance(call.who, access.Anonymous):
        raise requires_authentication()
    if not isinstance(call.who, access.Person):
        raise not_accessible()
    return Answer(accounts.profile(call.scope, call.who.account))


def get_account(call: Call, username: str) -> Answer:
    """Tell of an account."""
    row = call.scope.account(username)
    if row is None:
        raise not_found()
    return Answer(accounts.profile(call.scope, row))
