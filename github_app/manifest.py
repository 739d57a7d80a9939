"""The App's manifest: `app.yml` with the addresses of this server, as GitHub's manifest flow wants it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel

NAME_MAX = 34
"""GitHub refuses longer names of Apps."""


class Declared(BaseModel):
    """What `app.yml` says: permissions (`read` or `write` by name) and events."""

    name: str
    description: str
    public: bool
    default_permissions: dict[str, str]
    default_events: list[str]


@cache
def declared() -> Declared:
    """`app.yml`."""
    text = resources.files("github_app").joinpath("app.yml").read_text("utf-8")
    return Declared.model_validate(yaml.safe_load(text))


def document(public_url: str) -> dict[str, Any]:
    """The manifest of an App that belongs to the server at this address.

    https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
    """
    return {
        **declared().model_dump(),
        "url": public_url,
        "hook_attributes": {"url": webhook_url(public_url), "active": True},
        "redirect_url": f"{public_url}/setup/created",
        "callback_urls": [callback_url(public_url)],
        "setup_url": f"{public_url}/setup/installed",
        "request_oauth_on_install": False,
    }


def webhook_url(public_url: str) -> str:
    """Where GitHub sends deliveries."""
    return f"{public_url}/webhooks/github"


def callback_url(public_url: str) -> str:
    """Where GitHub sends people who signed in."""
    return f"{public_url}/sign-in/done"
