"""How often one address may ask. Whoever asks too often gets 429 and is told when to come back.

Counted in each server process by itself, over all its addresses together, known or not: a limit keeps one
client from taking a process away from all others, it is no quota. Requests of this machine itself
(monitoring, the operator) are not counted, nor is what a runner or GitHub sends with the right credentials (a
token, a signature, a signed address): it is bounded by what it does.
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response, request
from flask_limiter import Limiter

from github_app import addresses, services

REFUSALS_PER_MINUTE = 60
"""Requests with wrong credentials, by address: guessing is hopeless anyway, and should not cost us work."""
FORMS_PER_MINUTE = 30
"""Forms that are sent (sign-in, submit, set-up), by address."""
REGISTER = "api.register"
UNCOUNTED = frozenset({"static", "alive", "ready"})


def install(app: Flask, *, programs: tuple[Blueprint, ...], forms: tuple[Blueprint, ...]) -> None:
    """Count requests.

    Args:
        app: Its services are there, its blueprints are not registered yet.
        programs: What authenticates every request by itself: only refused ones count.
        forms: Where people send forms: those are counted apart, too.
    """
    usual = f"{services.of(app).settings.requests_per_minute} per minute"
    by_themselves = {blueprint.name for blueprint in programs}
    limiter = Limiter(
        _client,
        app=app,
        application_limits=[usual],
        application_limits_exempt_when=lambda: request.blueprint in by_themselves,
        request_identifier=lambda: request.endpoint or "nothing",  # what is not there counts, too
        headers_enabled=True,
        strategy="sliding-window-counter",
        storage_uri="memory://",
    )
    limiter.request_filter(_uncounted)
    for blueprint in programs:
        limiter.limit(f"{REFUSALS_PER_MINUTE} per minute", deduct_when=_refused)(blueprint)
    for blueprint in forms:
        limiter.limit(f"{FORMS_PER_MINUTE} per minute", methods=["POST"])(blueprint)


def _client() -> str:
    return addresses.client(request)


def _uncounted() -> bool:
    return request.endpoint in UNCOUNTED or addresses.is_loopback(_client())


def _refused(response: Response) -> bool:
    """Whether it was somebody without credentials; a runner that registers has none before it has."""
    nobody = request.endpoint == REGISTER and response.status_code >= 400
    return nobody or response.status_code in {401, 403}
