"""Pages in a real Chromium, which notes everything that should not happen: errors, and requests elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from needs import need_chromium
from playwright.sync_api import Browser, Page, sync_playwright

# Chromium refuses its sandbox to root, and would otherwise look for updates.
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Visitor:
    """Opens pages and keeps what went wrong in any of them."""

    browser: Browser
    url: str
    problems: list[str] = field(default_factory=list)

    def page(self, *, size: dict[str, int] | None = None, script: bool = True, **options: Any) -> Page:
        """A page of its own; options as Playwright's `new_context` takes them."""
        context = self.browser.new_context(viewport=size or DESKTOP, java_script_enabled=script, **options)
        page = context.new_page()
        page.on("console", lambda message: self._note(message.type == "error", message.text))
        page.on("pageerror", lambda error: self._note(True, str(error)))
        page.on("request", lambda request: self._note(not request.url.startswith(self.url), request.url))
        return page

    def _note(self, wrong: bool, what: str) -> None:
        if wrong:
            self.problems.append(what)


@contextmanager
def visiting(url: str) -> Iterator[Visitor]:
    """A visitor of the server at `url`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need_chromium(), args=FLAGS)
        yield Visitor(browser, url)
        browser.close()
