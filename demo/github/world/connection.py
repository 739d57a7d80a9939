"""How a world talks to its stand-in."""

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

Json = dict[str, Any]
_TIMEOUT_S = 60
POLL_S = 0.02

Self = TypeVar("Self", bound="Connection")


class WorldError(Exception):
    """The stand-in, or git, refused what was asked of it."""


@dataclass(frozen=True)
class Account:
    """A person with a personal access token."""

    login: str
    id: int
    token: str


class Connection:
    """HTTP to the API as a person, and to the admin interface."""

    def __init__(self, url: str, admin_token: str, *, api_url: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.api_url = api_url or f"{self.url}/api/v3"
        self._admin_token = admin_token
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._readers: dict[str, str] = {}

    @classmethod
    def from_data_dir(cls: type[Self], data_dir: Path, timeout_s: float = 10) -> Self:
        """Wait for the stand-in over a data folder and return its client."""
        deadline = time.monotonic() + timeout_s
        while (world := cls._answering(Path(data_dir, "admin.json"))) is None:
            if time.monotonic() > deadline:
                raise WorldError(f"No stand-in answers over {data_dir} after {timeout_s} s; is it running?")
            time.sleep(POLL_S)
        return world

    @classmethod
    def _answering(cls: type[Self], file: Path) -> Self | None:
        try:
            found = json.loads(file.read_text())
            world = cls(found["url"], found["admin_token"], api_url=found["api_url"])
            world.admin("health")
        except (OSError, ValueError, WorldError):
            return None
        return world

    def _send(self, method: str, url: str, token: str | None, **options: Any) -> requests.Response:
        headers = {"Accept": "application/vnd.github+json", **options.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with requests.Session() as session:
            session.trust_env = False  # neither a proxy nor a netrc file has a say here
            return session.request(method, url, headers=headers, timeout=_TIMEOUT_S, **options)

    def admin(self, action: str, /, **body: Any) -> Any:
        """Ask the admin interface for something."""
        response = self._send("POST", f"{self.url}/_admin/{action}", self._admin_token, json=body)
        if not response.ok:
            raise WorldError(f"{action} {body}: {response.status_code} {response.text[:500]}")
        return response.json()

    def api(self, method: str, path: str, *, token: str | None = None, **options: Any) -> requests.Response:
        """Send any REST request and return the answer, good or bad; `options` are those of `requests`."""
        return self._send(method, self.api_url + path, token, **options)

    def call(self, token: str, method: str, path: str, **body: Any) -> Any:
        """Send a REST request and return its JSON; raise unless it succeeded."""
        options: Json = {"json": body} if body else {}
        response = self.api(method, path, token=token, **options)
        if not response.ok:
            raise WorldError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response.json() if response.content else None

    def every(self, full_name: str, path: str, key: str | None = None) -> list[Json]:
        """Return all pages of a list below a repository, as its owner sees it."""
        found: list[Json] = []
        joint, page = "&" if "?" in path else "?", 0
        while page == len(found) / 100:
            page += 1
            address = f"/repos/{full_name}{path}{joint}per_page=100&page={page}"
            items = self.call(self.reader(full_name), "GET", address)
            found += items[key] if key else items
        return found

    def user(self, login: str) -> Account:
        """Find or make a person."""
        with self._lock:
            if login not in self._accounts:
                self._accounts[login] = Account(**self.admin("user", login=login))
            return self._accounts[login]

    def reader(self, full_name: str) -> str:
        """Return a token of somebody who owns the repository."""
        with self._lock:
            if full_name not in self._readers:
                self._readers[full_name] = self.admin("reader", full_name=full_name)["token"]
            return self._readers[full_name]

    def web_url(self, path: str) -> str:
        """Return the address of a page."""
        return self.url + path
