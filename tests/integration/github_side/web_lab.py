"""A server at its own public address beside a stand-in for GitHub, without an App at first; and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from flask import Flask
from github_lab import MANIFEST, SECRET, free_port, serving

from demo.github import Running, World, serve_in_thread
from github_app import checks, config, manifest, services, setup_state, triggers
from github_app.app import close, create_app
from github_app.credentials import AppCredentials
from github_app.moves import utc_now
from github_app.parsers import Secret
from github_app.services import Services


@dataclass
class WebLab:
    """What a test of pages works with."""

    github: Running
    world: World
    app: Flask
    here: Services
    url: str
    environment: dict[str, str]

    def token(self, *, again: bool = False) -> str:
        """The one-time token that the console would show."""
        with self.here.db.write() as session:
            return setup_state.issue(session, utc_now(), again=again)

    def make_app(self) -> None:
        """An App at the stand-in, its credentials in the server's file."""
        made = self.world.app(
            f"raas {urlsplit(self.url).port}",
            manifest=MANIFEST,
            webhook_secret=SECRET,
            webhook_url=manifest.webhook_url(self.url),
            callback_urls=[manifest.callback_url(self.url)],
        )
        hook, client, key = Secret(SECRET), Secret(made.client_secret), Secret(made.private_key)
        page = self.world.web_url(f"/apps/{made.slug}")
        found = AppCredentials(made.id, key, hook, made.client_id, client, page)
        self.here.settings.credentials.save(found)

    def work(self) -> None:
        """Let every delivery arrive, and do what is due until nothing is."""
        self.world.settle()
        while triggers.process_pending(self.app) or checks.reconcile(self.app):
            pass


@contextmanager
def open_github(folder: Path) -> Iterator[Running]:
    """A stand-in that is held to GitHub's description, for many tests."""
    with serve_in_thread(folder, conformance=True) as github:
        yield github
        assert github.hub.conformance is not None
        assert [str(violation) for violation in github.hub.conformance.violations] == []


@contextmanager
def open_web_lab(folder: Path, github: Running, **more: str) -> Iterator[WebLab]:
    """A fresh server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "RAAS_DATA_DIR": str(folder / "raas"),
        "RAAS_PUBLIC_URL": url,
        "RAAS_GITHUB_API_URL": github.api_url,
        "RAAS_GITHUB_WEB_URL": github.url,
        **more,
    }
    app = create_app(config.load(environment))
    services.of(app).db.upgrade()
    try:
        with serving(app, port):
            yield WebLab(github, github.world, app, services.of(app), url, environment)
    finally:
        close(app)


@dataclass
class Form:
    """A form of a page: where it goes and what it would send."""

    method: str
    action: str
    fields: dict[str, str]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(found.get("method", "get"), found.get("action", ""), {}))
        elif tag in ("input", "button", "select") and self.forms and found.get("name"):
            if found.get("type") in ("checkbox", "radio"):
                return
            self.forms[-1].fields.setdefault(found["name"], found.get("value", ""))


class Browser:
    """Follows links, fills in forms, keeps cookies and sends `Origin`, as a browser without scripts does."""

    def __init__(self) -> None:
        self.http = requests.Session()
        self.http.trust_env = False
        self.page = requests.Response()

    def open(self, url: str, *, follow: bool = True) -> requests.Response:
        """GET."""
        self.page = self.http.get(url, timeout=30, allow_redirects=follow)
        return self.page

    def form(self, action: str) -> Form:
        """The form of the page that goes to an address that contains `action`."""
        parsed = _Forms()
        parsed.feed(self.page.text)
        found = next((it for it in parsed.forms if action in it.action), None)
        assert found is not None, f"no form to {action} on {self.page.url}:\n{self.page.text}"
        return found

    def send(self, action: str, *, follow: bool = True, **fields: str) -> requests.Response:
        """Fill the form in and press its button."""
        form = self.form(action)
        here = urlsplit(self.page.url)
        self.page = self.http.request(
            form.method,
            urljoin(self.page.url, form.action),
            data={**form.fields, **fields},
            headers={"Origin": f"{here.scheme}://{here.netloc}"},
            timeout=30,
            allow_redirects=follow,
        )
        return self.page

    def press(self, button: str) -> requests.Response:
        """Press one of a job's buttons."""
        return self.send("/press", press=button)

    def become(self, lab: WebLab, login: str) -> None:
        """Choose who one is at the stand-in."""
        self.http.cookies.set("viewer", login, domain="127.0.0.1")
        lab.world.user(login)


def signed_in(lab: WebLab, login: str, path: str = "/") -> Browser:
    """A browser whose person has said yes at the stand-in, on its way back to `path`."""
    browser = Browser()
    browser.become(lab, login)
    browser.open(f"{lab.url}/sign-in?next={path}")
    browser.send("/login/oauth/authorize", decision="authorize")
    return browser
