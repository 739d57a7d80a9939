"""Forms are heard only from our own pages.

Every unsafe request to a page must name our own origin (`Origin`, or `Sec-Fetch-Site` where a browser
sends no `Origin`) and carry a token that is bound to the browser's session or set-up cookie: the HMAC of the
cookie's value, so nothing has to be stored. What programs call (`answers.wants_json`) has its own
authentication, takes no cookies and is left out.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from flask import abort, request

from github_app import answers, services

FIELD = "csrf"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
WITHOUT_COOKIE = frozenset({"setup.redeem"})
"""Where there is no cookie yet: the form carries a secret of its own instead."""


def session_cookie() -> str:
    """The name of the cookie of a signed-in browser."""
    return cookie("session")


def setup_cookie() -> str:
    """The name of the cookie of the browser that sets the server up."""
    return cookie("setup")


def cookie(name: str) -> str:
    """A cookie's name; `__Host-` makes browsers refuse one that a neighbouring host or plain HTTP has set."""
    return f"__Host-raas-{name}" if over_tls() else f"raas-{name}"


def over_tls() -> bool:
    """Whether browsers come by https."""
    return services.current().settings.public_url.startswith("https://")


def token() -> str:
    """What a form of this browser's pages carries; empty where it has no cookie of ours."""
    found = _bindings()
    return _bound(found[0]) if found else ""


def check() -> None:
    """Refuse (403) an unsafe request to a page that does not come from one of our forms."""
    if request.method in SAFE or answers.wants_json():
        return
    if not _from_here():
        abort(403, "This form was sent by another site, or not by a browser.")
    if request.endpoint in WITHOUT_COOKIE:
        return
    sent = request.form.get(FIELD, "")
    if not any(hmac.compare_digest(_bound(it).encode(), sent.encode()) for it in _bindings()):
        abort(403, "This form is out of date: go back, load the page again and repeat it.")


def _from_here() -> bool:
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is not None:
        parts = urlsplit(services.current().settings.public_url)
        return origin == f"{parts.scheme}://{parts.netloc}"
    return site == "same-origin"


def _bindings() -> list[str]:
    names = (session_cookie(), setup_cookie())
    return [value for name in names if (value := request.cookies.get(name))]


def _bound(value: str) -> str:
    key = services.current().settings.secret_key.reveal()
    return hmac.new(key.encode(), f"csrf:{value}".encode(), hashlib.sha256).hexdigest()
