"""GitHub's REST API, as far as the server needs it. The only module that names githubkit.

Each call states the permission it needs and gets an installation token for that one repository with that
permission and no other. Tokens are kept in memory until shortly before they expire, and never leave here.

Reading is retried a little at once; whatever creates something is not, because a lost answer does not mean
that nothing happened: callers look before they try again. Errors are the small family below. A repository's
rate limit is remembered, and calls fail by themselves until it is over: GitHub bans clients that go on.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import githubkit
import httpx
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException, RateLimitExceeded, RequestError, RequestFailed
from pydantic import TypeAdapter, ValidationError

from github_app import github_shapes as shapes
from github_app.config import Settings
from github_app.github_errors import (
    ForbiddenError,
    GitHubError,
    GitHubUnavailableError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
    of_status,
)
from github_app.github_transport import KeptTransport
from github_app.models import Repository
from github_app.policy import PullRequestFacts
from github_app.rate_limits import RateLimits

__all__ = [
    "ForbiddenError",
    "GitHub",
    "GitHubError",
    "GitHubUnavailableError",
    "InvalidError",
    "NotFoundError",
    "RateLimitedError",
]

TIMEOUT = httpx.Timeout(20.0, connect=5.0)
"""Longest silence [s] on a connection; GitHub itself gives up on a request after ten seconds."""
READ_PAUSES_S = (0.3, 1.0)
"""Pauses before the second and third try of a request that only reads [s]."""
TOKEN_MARGIN = timedelta(minutes=5)
"""A token this near its end is not used any more: a call and a slow clock must fit in."""
RATE_LIMIT_MAX = timedelta(hours=1)
"""Longest time a rate limit is believed; GitHub's windows last an hour."""
PAGES_MAX = 10
"""Pages of 100 read of a list: GitHub keeps at most 1,000 check runs of one name in a suite."""

_NO_INSTALLATION = -1
"""Under which the rate limit of what is not about one repository is remembered."""

_T = TypeVar("_T")
_Auth = str | githubkit.BaseAuthStrategy | None


class GitHub:
    """The App at one GitHub. Thread- and greenlet-safe; one for the whole process.

    Args:
        settings: Where GitHub is, and the App's credentials.
        limits: Kept together with other processes; None: for a program that asks a few things and ends.
    """

    def __init__(self, settings: Settings, limits: RateLimits | None = None) -> None:
        self.settings = settings
        self._limits = limits
        self._transport = KeptTransport(settings.github_api_url)
        self._cache = MemCacheStrategy()  # githubkit's own is shared by all Apps of a process
        self._tokens: dict[tuple[int, int, str], tuple[str, datetime]] = {}

    def close(self) -> None:
        """Give up the connections."""
        self._transport.shut()

    # What is asked of GitHub, one method each.

    def repository(self, repository: Repository) -> shapes.RepositoryFacts:
        """The repository as it is now: names and visibility change."""
        return self._read(repository, "metadata:read", _path(repository), shapes.REPOSITORY)

    def permission(self, repository: Repository, login: str, person: int | None = None) -> str:
        """The collaborator permission of a person: `admin`, `write`, `read` or `none`.

        Where `person` is given and that login is somebody else's by now, it is `none`.
        """
        path = f"{_path(repository)}/collaborators/{quote(login, safe='')}/permission"
        try:
            found = self._read(repository, "metadata:read", path, shapes.PERMISSION)
        except NotFoundError:
            return "none"
        if person is not None and (found.user is None or found.user.id != person):
            return "none"
        return found.permission

    def pull_request(self, repository: Repository, number: int) -> PullRequestFacts:
        """A pull request as it is now."""
        path = f"{_path(repository)}/pulls/{number}"
        pull = self._read(repository, "pull_requests:write", path, shapes.PULL)
        return PullRequestFacts(
            open=pull.state == "open",
            head_sha=pull.head.sha,
            head_repository_id=pull.head.repo.id if pull.head.repo else None,
            head_repository=pull.head.repo.full_name if pull.head.repo else None,
            base_repository_id=pull.base.repo.id,
            base_branch=pull.base.ref,
        )

    def file(self, repository: Repository, name: str, sha: str) -> bytes | None:
        """The content of a file at a commit; None where there is no such file.

        Raises:
            InvalidError: It is longer than a megabyte: GitHub does not hand it out this way.
        """
        path = f"{_path(repository)}/contents/{quote(name)}"
        try:
            found = self._read(repository, "contents:read", path, shapes.FILE, params={"ref": sha})
        except NotFoundError:
            return None
        if isinstance(found, list) or found.type != "file":
            return None
        if found.encoding != "base64":
            raise InvalidError(f"{name} is longer than a megabyte")
        try:
            return base64.b64decode(found.content)
        except binascii.Error as error:
            raise GitHubUnavailableError(f"GitHub sent {name} damaged") from error

    def commit(self, repository: Repository, ref: str) -> shapes.Commit | None:
        """A commit by its SHA, or by `heads/BRANCH` or `tags/TAG`; None where GitHub has none (yet)."""
        path, params = f"{_path(repository)}/commits/{quote(ref)}", {"per_page": 1}  # of its files
        try:
            return self._read(repository, "contents:read", path, shapes.COMMIT, params=params)
        except (NotFoundError, InvalidError):
            return None

    def find_check_run(self, repository: Repository, sha: str, external_id: str) -> int | None:
        """This App's check run with that external id at a commit."""
        path = f"{_path(repository)}/commits/{sha}/check-runs"
        for page in range(1, PAGES_MAX + 1):
            params = {
                "app_id": self.settings.github_app_id,
                "filter": "all",
                "per_page": 100,
                "page": page,
            }
            runs = self._read(repository, "checks:write", path, shapes.CHECK_RUNS, params=params).check_runs
            found = next((run.id for run in runs if run.external_id == external_id), None)
            if found is not None or len(runs) < 100:
                return found
        return None

    def has_annotations(self, repository: Repository, check_run: int) -> bool:
        """Whether a check run carries annotations: every request would add them once more."""
        path = f"{_path(repository)}/check-runs/{check_run}"
        return self._read(repository, "checks:write", path, shapes.CHECK_RUN).output.annotations_count > 0

    def create_check_run(self, repository: Repository, body: dict[str, Any]) -> int:
        """A new check run; not idempotent, so `find_check_run` comes before a second try."""
        path = f"{_path(repository)}/check-runs"
        return self._call(repository, "checks:write", "POST", path, shapes.CHECK_RUN, json=body).id

    def update_check_run(self, repository: Repository, check_run: int, body: dict[str, Any]) -> None:
        """Show a new state."""
        path = f"{_path(repository)}/check-runs/{check_run}"
        self._call(repository, "checks:write", "PATCH", path, shapes.ANYTHING, json=body)

    def react(self, repository: Repository, comment: int, content: str) -> None:
        """React to a comment; the same reaction again changes nothing."""
        path = f"{_path(repository)}/issues/comments/{comment}/reactions"
        self._call(
            repository, "pull_requests:write", "POST", path, shapes.ANYTHING, json={"content": content}
        )

    def reply(self, repository: Repository, number: int, body: str) -> None:
        """Comment on a pull request; not idempotent, see `replied`."""
        path = f"{_path(repository)}/issues/{number}/comments"
        self._call(repository, "pull_requests:write", "POST", path, shapes.ANYTHING, json={"body": body})

    def replied(self, repository: Repository, number: int, marker: str, since: datetime) -> bool:
        """Whether a comment that holds `marker` was written since then."""
        path = f"{_path(repository)}/issues/{number}/comments"
        for page in range(1, PAGES_MAX + 1):
            params = {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}", "per_page": 100, "page": page}
            comments = self._read(repository, "pull_requests:write", path, shapes.COMMENTS, params=params)
            if any(marker in (comment.body or "") for comment in comments):
                return True
            if len(comments) < 100:
                return False
        return False

    @contextmanager
    def tarball(self, repository: Repository, sha: str) -> Iterator[Iterator[bytes]]:
        """The gzipped source at a commit. GitHub redirects to another host, which gets no token."""
        path = f"{_path(repository)}/tarball/{sha}"
        response = self._send(repository, "contents:read", "GET", path, stream=True)
        try:
            yield response.iter_bytes(1 << 16)
        except RequestError as error:
            raise GitHubUnavailableError(f"GitHub broke off in the middle of the source: {error}") from error
        finally:
            response.raw_response.close()

    # What is not about one repository: `github_app.github_site` says what is asked.

    def as_app(self, what: str, method: str, path: str, shape: TypeAdapter[_T], **request: Any) -> _T:
        """Ask as the App itself; `what` names the request in errors, where its path may hold a secret."""
        return _shaped(self._ask(None, what, method, path, **request), what, shape)

    def as_app_pages(self, path: str, shape: TypeAdapter[_T], params: dict[str, Any]) -> Iterator[_T]:
        """The pages of a list that goes on by cursor, at most `PAGES_MAX`."""
        for _ in range(PAGES_MAX):
            response = self._ask(None, f"GET {path}", "GET", path, params=params)
            yield _shaped(response, f"GET {path}", shape)
            following = httpx.Response(200, headers=response.headers).links.get("next")
            if following is None:
                return
            params = {**params, **dict(parse_qsl(urlsplit(following["url"]).query))}

    def as_user(
        self, token: str, what: str, method: str, path: str, shape: TypeAdapter[_T], **request: Any
    ) -> _T:
        """Ask with a token that a person granted the App."""
        return _shaped(self._ask(token, what, method, path, **request), what, shape)

    def as_nobody(self, what: str, method: str, path: str, shape: TypeAdapter[_T], **request: Any) -> _T:
        """Ask without saying who asks."""
        response = self._ask(githubkit.UnauthAuthStrategy(), what, method, path, **request)
        return _shaped(response, what, shape)

    def as_client(self, what: str, method: str, path: str, **request: Any) -> None:
        """Ask with the App's client id and secret, for an answer that says nothing."""
        client, secret = self.settings.github_client_id, self.settings.github_client_secret
        if client is None or secret is None:
            raise ForbiddenError("the GitHub App's client id and secret are not set")
        self._ask(githubkit.OAuthAppAuthStrategy(client, secret.reveal()), what, method, path, **request)

    def clock(self) -> datetime:
        """GitHub's time, from the head of an answer; to the second."""
        response = self._ask(githubkit.UnauthAuthStrategy(), "GET /meta", "GET", "/meta")
        try:
            # A proxy may have added one of its own; GitHub's comes first.
            return parsedate_to_datetime(response.headers.get_list("Date")[0]).astimezone(UTC)
        except (IndexError, ValueError) as error:
            raise GitHubUnavailableError("GET /meta was answered without a time") from error

    def _ask(self, auth: _Auth, what: str, method: str, path: str, **request: Any) -> githubkit.Response[Any]:
        self._check_blocked(_NO_INSTALLATION)
        with self._family(_NO_INSTALLATION, what):
            return self._client(auth).request(method, path, **request)

    # How it is asked.

    def _read(
        self,
        repository: Repository,
        needs: str,
        path: str,
        shape: TypeAdapter[_T],
        params: dict[str, Any] | None = None,
    ) -> _T:
        """A GET, tried again where that may help."""
        for pause_s in READ_PAUSES_S:
            try:
                return self._call(repository, needs, "GET", path, shape, params=params)
            except GitHubUnavailableError as error:  # the loop is for retries
                if isinstance(error, RateLimitedError):
                    raise
                time.sleep(pause_s)
        return self._call(repository, needs, "GET", path, shape, params=params)

    def _call(
        self,
        repository: Repository,
        needs: str,
        method: str,
        path: str,
        shape: TypeAdapter[_T],
        **request: Any,
    ) -> _T:
        return _shaped(self._send(repository, needs, method, path, **request), f"{method} {path}", shape)

    def _send(
        self, repository: Repository, needs: str, method: str, path: str, **request: Any
    ) -> githubkit.Response[Any]:
        """One request with the right token; with a new one where GitHub has revoked it.

        Where the App is not installed it asks as nobody, who can read what is public.
        """
        self._check_blocked(repository.installation_id)
        if not repository.installation_id:
            with self._family(repository.installation_id, f"{method} {path}"):
                return self._client(githubkit.UnauthAuthStrategy()).request(method, path, **request)
        key = (repository.installation_id, repository.id, needs)
        with self._family(repository.installation_id, f"{method} {path}"):
            token = self._token(key)
            try:
                return self._client(token).request(method, path, **request)
            except RequestFailed as error:
                if error.response.status_code != 401:
                    raise
            if self._tokens.get(key, ("", None))[0] == token:  # else somebody beside us has a new one already
                self._tokens.pop(key, None)
            return self._client(self._token(key)).request(method, path, **request)

    def _token(self, key: tuple[int, int, str]) -> str:
        """A token for one installation, repository and permission."""
        now = datetime.now(UTC)
        known = self._tokens.get(key)
        if known is not None and known[1] - TOKEN_MARGIN > now:
            return known[0]
        installation, repository, needs = key
        permission, level = needs.split(":")
        body = {"repository_ids": [repository], "permissions": {permission: level}}
        url = f"/app/installations/{installation}/access_tokens"
        answer = shapes.TOKEN.validate_json(self._client(None).request("POST", url, json=body).content)
        self._tokens = {k: v for k, v in self._tokens.items() if v[1] > now}
        self._tokens[key] = (answer.token, answer.expires_at)
        return answer.token

    def _client(self, auth: _Auth) -> githubkit.GitHub[Any]:
        """githubkit with a token, another way of saying who asks, or (None) as the App itself."""
        return githubkit.GitHub(
            auth or self._app_auth(),
            base_url=self.settings.github_api_url,
            user_agent="raas-server",
            timeout=TIMEOUT,
            transport=self._transport,
            cache_strategy=self._cache,
            auto_retry=False,
            http_cache=False,
        )

    def _app_auth(self) -> githubkit.AppAuthStrategy:
        app, key = self.settings.github_app_id, self.settings.github_private_key
        if app is None or key is None:
            raise ForbiddenError(
                "the GitHub App is not set up; `raas-server setup` says how",
            )
        return githubkit.AppAuthStrategy(str(app), key.reveal())

    def _check_blocked(self, installation: int) -> None:
        until = self._limits.blocked_until(installation) if self._limits else None
        if until is not None:
            raise RateLimitedError("GitHub's rate limit is not over yet", until)

    @contextmanager
    def _family(self, installation: int, what: str) -> Iterator[None]:
        """githubkit's exceptions as ours."""
        try:
            yield
        except RateLimitExceeded as error:
            until = datetime.now(UTC) + min(error.retry_after, RATE_LIMIT_MAX)
            if self._limits is not None:
                self._limits.block(installation, until)
            raise RateLimitedError(f"{what}: GitHub's rate limit is reached", until) from error
        except RequestFailed as error:
            raise of_status(error.response.status_code)(f"{what}: {_words(error)}") from error
        except RequestError as error:
            raise GitHubUnavailableError(f"{what}: {error.exc!r}") from error
        except (GitHubException, ValueError) as error:
            raise GitHubUnavailableError(f"{what}: {error!r}") from error


def _shaped(response: githubkit.Response[Any], what: str, shape: TypeAdapter[_T]) -> _T:
    try:
        return shape.validate_json(response.content or b"null")
    except ValidationError as error:
        raise GitHubUnavailableError(f"{what} was answered with something else") from error


def _path(repository: Repository) -> str:
    return f"/repos/{quote(repository.full_name)}"


def _words(error: RequestFailed) -> str:
    """GitHub's own message, without anything the request carried."""
    try:
        message = error.response.json().get("message", "")
    except (ValueError, AttributeError):
        message = ""
    return f"{error.response.status_code} {message}"[:500]
