"""The OAuth web flow of the App, as far as it is not a page: addresses, proofs, and the exchange of the code.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/
generating-a-user-access-token-for-a-github-app. The state is a random value that a cookie of the same browser
holds too, signed and for ten minutes; PKCE's verifier is derived from it, so nothing is stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import httpx
from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import BaseModel, ValidationError

from github_app import manifest
from github_app.config import Settings
from github_app.github import ForbiddenError, GitHubUnavailableError, InvalidError

VALID_S = 600
"""GitHub's code lives as long."""
TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Attempt:
    """A sign-in that has begun.

    Attributes:
        state: What GitHub brings back.
        target: The path to go to afterwards.
    """

    state: str
    target: str


class _Answer(BaseModel):
    """GitHub answers errors with status 200 too."""

    access_token: str | None = None
    error: str | None = None


def begin(target: str) -> Attempt:
    """A new attempt that leads to a path of our own; anything else would make us an open redirect."""
    return Attempt(secrets.token_urlsafe(32), target if is_own_path(target) else "/")


def is_own_path(target: str) -> bool:
    """Whether a browser takes this for a path of this site, whatever it makes of odd characters."""
    parts = urlsplit(target)
    plain = target.isprintable() and "\\" not in target
    return plain and target.startswith("/") and not target.startswith("//") and not parts.netloc


def seal(settings: Settings, attempt: Attempt) -> str:
    """The attempt as a cookie's value."""
    return _sealer(settings).dumps([attempt.state, attempt.target])


def unseal(settings: Settings, value: str, state: str) -> Attempt | None:
    """The attempt of a cookie, if it is ours, not too old, and the one that GitHub speaks of."""
    try:
        kept, target = _sealer(settings).loads(value, max_age=VALID_S)
    except (BadData, ValueError, TypeError):
        return None
    if not isinstance(kept, str) or not hmac.compare_digest(kept.encode(), state.encode()):
        return None
    return Attempt(kept, target)


def authorize_url(settings: Settings, attempt: Attempt) -> str:
    """Where GitHub asks the person.

    Raises:
        ForbiddenError: The App's client id is not known.
    """
    client, _ = _client(settings)
    challenge = hashlib.sha256(_verifier(settings, attempt.state).encode()).digest()
    query = {
        "client_id": client,
        "redirect_uri": manifest.callback_url(settings.public_url),
        "state": attempt.state,
        "code_challenge": _base64(challenge),
        "code_challenge_method": "S256",
    }
    return f"{settings.github_web_url}/login/oauth/authorize?{urlencode(query)}"


def exchange(settings: Settings, attempt: Attempt, code: str) -> str:
    """Trade the code for a token of the person.

    Raises:
        InvalidError: The code is unknown, used, too old, or another browser's.
        ForbiddenError: GitHub does not take our client secret.
        GitHubUnavailableError: No answer, or none that makes sense.
    """
    client, secret = _client(settings)
    sent = {
        "client_id": client,
        "client_secret": secret,
        "code": code,
        "redirect_uri": manifest.callback_url(settings.public_url),
        "code_verifier": _verifier(settings, attempt.state),
    }
    url = f"{settings.github_web_url}/login/oauth/access_token"
    try:
        response = httpx.post(url, data=sent, headers={"Accept": "application/json"}, timeout=TIMEOUT_S)
        answer = _Answer.model_validate_json(response.content)
    except (httpx.HTTPError, ValidationError) as error:
        # Neither the answer nor the request goes into the message: both may hold secrets.
        raise GitHubUnavailableError(f"the token exchange failed ({type(error).__name__})") from None
    if answer.access_token:
        return answer.access_token
    if answer.error == "incorrect_client_credentials":
        raise ForbiddenError("GitHub does not take the App's client secret; the host must correct it")
    raise InvalidError("GitHub does not know this code any more")


def _client(settings: Settings) -> tuple[str, str]:
    client, secret = settings.github_client_id, settings.github_client_secret
    if client is None or secret is None:
        raise ForbiddenError("sign-in is not set up on this server: the host has to name the App's client id")
    return client, secret.reveal()


def _sealer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(settings.secret_key.reveal(), salt="raas sign-in")


def _verifier(settings: Settings, state: str) -> str:
    key = settings.secret_key.reveal().encode()
    return _base64(hmac.new(key, f"pkce:{state}".encode(), hashlib.sha256).digest())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
