"""Tokens: minted, stored as hashes, and really verified on every request."""

import base64
import binascii
import secrets
import time
from typing import Any

import jwt
from sqlalchemy import delete, select

from demo.github.access import Anonymous, AppItself, Client, Installed, Person, Principal
from demo.github.errors import ApiError, bad_credentials
from demo.github.models import Account, App, Installation, InstallationToken, UserToken
from demo.github.scope import Scope, now, sha256
from demo.github.settings import TOKEN_LIFETIME_S

MAX_JWT_LIFETIME_S = 600
_CLOCK_LEEWAY_S = 5


def mint_user_token(scope: Scope, user: Account, app: App | None = None) -> str:
    """Make a personal access token, or with `app` a token that a person grants to an App."""
    token = ("ghu_" if app else "ghp_") + secrets.token_urlsafe(27)
    scope.session.add(UserToken(token_hash=sha256(token), user_id=user.id, app_id=app.id if app else None))
    return token


def revoke_user_token(scope: Scope, app: App, token: str) -> bool:
    """Forget a token that a person granted this App; False if there is none."""
    row = scope.session.get(UserToken, sha256(token))
    if row is None or row.app_id != app.id:
        return False
    scope.session.delete(row)
    return True


def mint_installation_token(
    scope: Scope, installation: Installation, permissions: dict[str, str], repository_ids: list[int] | None
) -> tuple[str, InstallationToken]:
    """Make an installation token, as long as GitHub's newer ones are (no 40-character column holds it)."""
    token = f"ghs_{installation.app_id}_{secrets.token_urlsafe(96)}"
    row = InstallationToken(
        token_hash=sha256(token),
        installation_id=installation.id,
        permissions=permissions,
        repository_ids=repository_ids,
        expires_at=now() + TOKEN_LIFETIME_S,
    )
    scope.session.add(row)
    scope.session.flush()
    return token, row


def revoke_installation_token(scope: Scope, token: InstallationToken) -> None:
    """Forget a token: from now on it is unknown."""
    scope.session.execute(delete(InstallationToken).where(InstallationToken.token_hash == token.token_hash))


def credential(header: str | None) -> str | None:
    """Take the secret out of an Authorization header: `Bearer`, `token`, or the password of `Basic`."""
    if not header:
        return None
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip()
    if scheme.lower() == "basic":
        return _basic_secret(value)
    raise bad_credentials()


def _basic_secret(value: str) -> str:
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise bad_credentials() from error
    # `https://TOKEN@host/` and `TOKEN:x-oauth-basic` put the token where the name goes.
    return password if password not in ("", "x-oauth-basic") else user


def principal(scope: Scope, header: str | None) -> Principal:
    """Say who sends a request, from its Authorization header. Raise 401 for a token that is not good."""
    secret = credential(header)
    if secret is None:
        return Anonymous()
    if (client := _client(scope, header or "")) is not None:
        return client
    if secret.startswith("ghs_"):
        return _installed(scope, secret)
    if secret.count(".") == 2:
        return AppItself(verify_jwt(scope, secret))
    user_token = scope.session.get(UserToken, sha256(secret))
    if user_token is None:
        raise bad_credentials()
    app = scope.session.get(App, user_token.app_id) if user_token.app_id else None
    return Person(user_token.user, app)


def _client(scope: Scope, header: str) -> Client | None:
    """An App by its client id and secret, which come as name and password of `Basic`."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    name, _, password = base64.b64decode(value).decode().partition(":")
    app = find_client(scope, name, password)
    return None if app is None else Client(app)


def find_client(scope: Scope, client_id: str, client_secret: str) -> App | None:
    """The App with this client id, if the secret is its own."""
    app = scope.session.scalar(select(App).where(App.client_id == client_id))
    if app is None or not secrets.compare_digest(app.client_secret_hash, sha256(client_secret)):
        return None
    return app


def _installed(scope: Scope, secret: str) -> Installed:
    token = scope.session.get(InstallationToken, sha256(secret))
    if token is None or token.expires_at <= now():
        raise bad_credentials()
    if token.installation.suspended_at is not None:
        raise ApiError(403, "This installation has been suspended")
    return Installed(token)


def verify_jwt(scope: Scope, encoded: str) -> App:
    """Return the App that signed a JWT; raise 401 (404 for an unknown App) with GitHub's reason."""
    claims = _unverified_claims(encoded)
    app = _issuer(scope, claims.get("iss"))
    try:
        jwt.decode(
            encoded, app.public_key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
        )
    except jwt.InvalidTokenError as error:
        raise ApiError(401, "A JSON web token could not be decoded") from error
    _check_times(claims)
    return app


def _unverified_claims(encoded: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(encoded, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise ApiError(401, "A JSON web token could not be decoded") from error
    return claims


def _issuer(scope: Scope, issuer: object) -> App:
    app = None
    if str(issuer).isdigit():
        app = scope.session.get(App, int(str(issuer)))
    elif isinstance(issuer, str):
        app = scope.session.scalar(select(App).where(App.client_id == issuer))
    if app is None:
        raise ApiError(404, "Integration not found")
    return app


def _check_times(claims: dict[str, Any]) -> None:
    current = time.time()
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or issued > current:
        reason = (
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
        raise ApiError(401, reason)
    if not isinstance(expires, int) or expires <= current:
        reason = (
            "'Expiration time' claim ('exp') must be a numeric value representing the future time "
            "at which the assertion expires"
        )
        raise ApiError(401, reason)
    if expires - current > MAX_JWT_LIFETIME_S + _CLOCK_LEEWAY_S:
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")
