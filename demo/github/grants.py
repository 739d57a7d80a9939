"""What is shown once and traded once: the codes of the manifest flow and of the OAuth web flow."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from demo.github import auth
from demo.github.models import Account, App, AuthorizationCode, ManifestCode
from demo.github.scope import Scope, now, sha256

MANIFEST_CODE_LIFETIME_S = 3600
"""GitHub gives an hour to complete the manifest flow."""
AUTHORIZATION_CODE_LIFETIME_S = 600
"""GitHub's code of the OAuth web flow expires after ten minutes."""
USER_TOKEN_LIFETIME_S = 8 * 3600
REFRESH_TOKEN_LIFETIME_S = 15_897_600


@dataclass(frozen=True)
class NewApp:
    """An App with what only its conversion tells."""

    app: App
    private_key: str
    client_secret: str


def manifest_code(scope: Scope, app: App, private_key: str, client_secret: str) -> str:
    """Return a code that is worth this App's secrets, once."""
    code = secrets.token_hex(20)
    scope.session.add(
        ManifestCode(
            code_hash=sha256(code),
            app_id=app.id,
            private_key=private_key,
            client_secret=client_secret,
            expires_at=now() + MANIFEST_CODE_LIFETIME_S,
        )
    )
    return code


def convert(scope: Scope, code: str) -> NewApp | None:
    """Trade a manifest's code; None where it is unknown, used or too old."""
    row = scope.session.get(ManifestCode, sha256(code))
    if row is None or row.expires_at <= now():
        return None
    scope.session.delete(row)
    return NewApp(row.app, row.private_key, row.client_secret)


def authorization_code(
    scope: Scope, app: App, user: Account, redirect_uri: str, challenge: str | None
) -> str:
    """Return a code with which the App gets a token of this person, once."""
    code = secrets.token_hex(10)
    scope.session.add(
        AuthorizationCode(
            code_hash=sha256(code),
            app_id=app.id,
            user_id=user.id,
            redirect_uri=redirect_uri,
            challenge=challenge,
            expires_at=now() + AUTHORIZATION_CODE_LIFETIME_S,
        )
    )
    return code


def exchange(scope: Scope, sent: dict[str, str]) -> dict[str, str | int]:
    """Answer the token exchange: a token, or an `error` of GitHub's, which comes with status 200 too."""
    app = auth.find_client(scope, sent.get("client_id", ""), sent.get("client_secret", ""))
    if app is None:
        return _error(
            "incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."
        )
    row = scope.session.get(AuthorizationCode, sha256(sent.get("code", "")))
    if row is None or row.app_id != app.id or row.expires_at <= now():
        return _error("bad_verification_code", "The code passed is incorrect or expired.")
    scope.session.delete(row)  # good once, even if what follows is wrong
    if sent.get("redirect_uri", row.redirect_uri) != row.redirect_uri:
        return _error("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL.")
    if not _proves(row.challenge, sent.get("code_verifier")):
        return _error("bad_verification_code", "The code passed is incorrect or expired.")
    return {
        "access_token": auth.mint_user_token(scope, row.user, app),
        "expires_in": USER_TOKEN_LIFETIME_S,
        "refresh_token": "ghr_" + secrets.token_urlsafe(54),
        "refresh_token_expires_in": REFRESH_TOKEN_LIFETIME_S,
        "scope": "",
        "token_type": "bearer",
    }


def _proves(challenge: str | None, verifier: str | None) -> bool:
    """PKCE (RFC 7636, S256): the verifier's hash is the challenge that came with the authorization."""
    if challenge is None:
        return True
    digest = hashlib.sha256((verifier or "").encode()).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)


def _error(code: str, description: str) -> dict[str, str | int]:
    return {"error": code, "error_description": description, "error_uri": "https://docs.github.com/apps"}
