"""Every page in a real browser: light on a desktop, dark on a phone, and without a script.

Nothing may be wrong for axe or in the console, nothing asked of another host, nothing wider than the screen.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from axe import findings
from needs import need_chromium
from playwright.sync_api import Browser, Page, sync_playwright
from server_world import MakeSettings, World, session_result
from werkzeug.serving import make_server

from github_app import app as application
from github_app.db import Database

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LOOKS: list[dict[str, Any]] = [
    {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"},
    {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
]
PAGES = (
    "/",
    "/robots",
    "/robots/goose",
    "/leaderboard",
    "/api/docs",
    "/submit",
    "/robots/goose/policy",
    "/jobs/1",
)
EMPTY = ("/", "/robots", "/leaderboard")
CHROMIUM = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
WAIT_MS = 60_000


@pytest.fixture
def site(make_settings: MakeSettings) -> Iterator[tuple[World, str]]:
    """A server at an address of its own, with nothing in it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = make_settings(PUBLIC_URL=url)
    database = Database(settings.database_url)
    database.upgrade()
    database.close()
    app = application.create_app(settings)
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield World(app), url
    server.shutdown()
    server.server_close()
    thread.join(30)
    application.close(app)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=need_chromium(), args=CHROMIUM)
        yield opened
        opened.close()


def populate(world: World) -> None:
    """A robot that has run something, and a job that waits."""
    goose = world.robot("goose", "pendulum")
    world.submit()
    job = goose.running_job()
    session = session_result(scores={"episode_return": -312.0, "swing_up_time": 3.1, "composite": 0.4})
    goose.call(job, "finish", conclusion="success", reason="", sessions=[session])
    world.submit()


def watched(page: Page, url: str) -> list[str]:
    """What goes wrong in the page from now on."""
    wrong: list[str] = []

    def said(message: Any) -> None:
        if message.type == "error":
            wrong.append(message.text)

    def asked(request: Any) -> None:
        if not request.url.startswith(url):
            wrong.append(request.url)

    page.on("console", said)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", asked)
    return wrong


def look(page: Page, url: str, paths: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for path in paths:
        page.goto(url + path, timeout=WAIT_MS, wait_until="load")
        found += [f"{path}: {finding}" for finding in findings(page)]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{path}: wider than the screen")
    return found


def test_every_page_is_sound_in_light_and_dark_empty_and_full(
    site: tuple[World, str], browser: Browser
) -> None:
    world, url = site
    pages = [browser.new_context(**options).new_page() for options in LOOKS]
    wrong = [watched(page, url) for page in pages]
    found = look(pages[0], url, EMPTY)
    populate(world)
    for page in pages:
        found += look(page, url, PAGES)
    assert found == []
    assert wrong == [[], []]


def test_pages_are_whole_without_a_script_and_by_keyboard(site: tuple[World, str], browser: Browser) -> None:
    world, url = site
    populate(world)
    page = browser.new_context(java_script_enabled=False).new_page()
    expected = {"/": "1 waiting", "/robots": "goose", "/robots/goose": "Passports", "/leaderboard": "-312"}
    for path, words in expected.items():
        page.goto(url + path, timeout=WAIT_MS)
        assert words in page.locator("main").inner_text()
        assert page.locator("nav.pages [aria-current]").count() == 1
    page.keyboard.press("Tab")
    assert page.locator(".skip:focus").count() == 1, "the first stop skips to the content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    assert page.goto(url + "/nothing", timeout=WAIT_MS).status == 404  # type: ignore[union-attr]
    page.get_by_role("link", name="To the queue").click(timeout=WAIT_MS)
    assert page.url == url + "/"
