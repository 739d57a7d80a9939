"""What is asked of GitHub that is not about one repository: the App itself, its webhook, and people.

Small tolerant models of the fields that are used, and one function for each question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, TypeAdapter

from github_app import github_shapes as shapes
from github_app.credentials import AppCredentials
from github_app.github import GitHub, InvalidError, NotFoundError
from github_app.models import Repository
from github_app.parsers import Secret

PAGES_MAX = 10
"""Pages of 100 read of a list."""
_CODE = re.compile(r"[A-Za-z0-9._-]{1,200}")


class AppFacts(BaseModel):
    """The App as it is registered."""

    id: int
    name: str
    html_url: str
    permissions: dict[str, str] = {}
    events: list[str] = []


class HookConfig(BaseModel):
    """Where the App's webhook goes."""

    url: str | None = None


class DeliveryFacts(BaseModel):
    """An attempt to deliver an event; `status_code` is what we answered, 0 for no answer."""

    id: int
    guid: str
    delivered_at: AwareDatetime
    event: str
    status: str
    status_code: int


class InstallationFacts(BaseModel):
    """The App on an account."""

    id: int
    account: shapes.Account | None = None


class PersonFacts(BaseModel):
    """Somebody who signed in; the login may change, the id does not."""

    id: int
    login: str


class _Converted(BaseModel):
    id: int
    pem: str
    webhook_secret: str
    client_id: str
    client_secret: str
    html_url: str


class _Installations(BaseModel):
    installations: list[InstallationFacts]


class _Reached(BaseModel):
    class Repository(BaseModel):
        id: int
        private: bool

    repositories: list[Repository]


_APP = TypeAdapter(AppFacts)
_HOOK = TypeAdapter(HookConfig)
_DELIVERIES = TypeAdapter(list[DeliveryFacts])
_INSTALLATIONS = TypeAdapter(list[InstallationFacts])
_CONVERTED = TypeAdapter(_Converted)
_PERSON = TypeAdapter(PersonFacts)
_OF_PERSON = TypeAdapter(_Installations)
_REACHED = TypeAdapter(_Reached)


def app(github: GitHub) -> AppFacts:
    """The App, as its credentials prove."""
    return github.as_app("GET /app", "GET", "/app", _APP)


def hook(github: GitHub) -> HookConfig:
    """Its webhook."""
    return github.as_app("GET /app/hook/config", "GET", "/app/hook/config", _HOOK)


def deliveries(github: GitHub, count: int = 30) -> list[DeliveryFacts]:
    """The latest attempts to deliver, newest first."""
    path, params = "/app/hook/deliveries", {"per_page": count}
    return github.as_app(f"GET {path}", "GET", path, _DELIVERIES, params=params)


def failed_deliveries(github: GitHub, since: datetime) -> Iterator[DeliveryFacts]:
    """The attempts since then that came to nothing, newest first."""
    path, params = "/app/hook/deliveries", {"per_page": 100, "status": "failure"}
    for page in github.as_app_pages(path, _DELIVERIES, params):
        for attempt in page:
            if attempt.delivered_at < since:
                return
            # Older GitHub Enterprise Servers do not know `status` and list all of them.
            if not 200 <= attempt.status_code < 300:
                yield attempt


def redeliver(github: GitHub, delivery: int) -> None:
    """Have a delivery sent again, under its own GUID."""
    path = f"/app/hook/deliveries/{delivery}/attempts"
    github.as_app(f"POST {path}", "POST", path, shapes.ANYTHING)


def installations(github: GitHub) -> list[InstallationFacts]:
    """Where the App is installed: the first hundred."""
    path, params = "/app/installations", {"per_page": 100}
    return github.as_app(f"GET {path}", "GET", path, _INSTALLATIONS, params=params)


def convert(github: GitHub, code: str) -> AppCredentials:
    """Trade the manifest flow's code for the new App's credentials; GitHub takes it once, within an hour.

    Raises:
        GitHubError: The code is unknown, used or too old, or GitHub could not be asked.
    """
    if not _CODE.fullmatch(code):
        raise InvalidError("that is no code of GitHub's")
    what = "POST /app-manifests/…/conversions"  # the code is a secret until it is used
    made = github.as_nobody(what, "POST", f"/app-manifests/{code}/conversions", _CONVERTED)
    return AppCredentials(
        app_id=made.id,
        private_key=Secret(made.pem),
        webhook_secret=Secret(made.webhook_secret),
        client_id=made.client_id,
        client_secret=Secret(made.client_secret),
        html_url=made.html_url,
    )


def person(github: GitHub, token: str) -> PersonFacts:
    """Whose token this is."""
    return github.as_user(token, "GET /user", "GET", "/user", _PERSON)


def private_repositories(github: GitHub, token: str) -> list[int]:
    """Ids of the private repositories that the App is installed on and this person can read."""
    found: list[int] = []
    for installation in _installations_of(github, token):
        path = f"/user/installations/{installation.id}/repositories"
        for page in range(1, PAGES_MAX + 1):
            reached = github.as_user(token, f"GET {path}", "GET", path, _REACHED, params=_page(page))
            found += [it.id for it in reached.repositories if it.private]
            if len(reached.repositories) < 100:
                break
    return found


def _installations_of(github: GitHub, token: str) -> Iterator[InstallationFacts]:
    path = "/user/installations"
    for page in range(1, PAGES_MAX + 1):
        found = github.as_user(token, f"GET {path}", "GET", path, _OF_PERSON, params=_page(page))
        yield from found.installations
        if len(found.installations) < 100:
            return


def _page(number: int) -> dict[str, Any]:
    return {"per_page": 100, "page": number}


def revoke(github: GitHub, token: str) -> None:
    """Have a person's token forgotten."""
    path = f"/applications/{quote(github.settings.github_client_id or '', safe='')}/token"
    github.as_client("DELETE /applications/…/token", "DELETE", path, json={"access_token": token})


def public_repository(github: GitHub, named: Repository) -> Repository | None:
    """A repository as it is now, by its name; None where there is none that everybody may see.

    Raises:
        GitHubError: GitHub could not be asked.
    """
    try:
        facts = github.repository(named)
    except NotFoundError:
        return None
    if facts.private:
        return None
    return Repository(
        id=facts.id,
        installation_id=named.installation_id,
        owner=facts.owner.login,
        name=facts.name,
        private=False,
        default_branch=facts.default_branch,
    )
