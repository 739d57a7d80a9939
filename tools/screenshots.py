"""The pictures of the README, taken from a running demo: `make demo` in one terminal, this in another.

    python tools/screenshots.py [--server http://127.0.0.1:8000]

The job is the newest that succeeded. Everything is written to `docs/images`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import requests
from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = {"width": 1200, "height": 860}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MOMENT = "#t=6"


def main() -> int:
    """Take them all; 1 where there is nothing to take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8000", help="as `make demo` printed it")
    parser.add_argument(
        "--check-run", help="address of a check run at the stand-in, as `make demo` printed it"
    )
    options = parser.parse_args()
    jobs = requests.get(f"{options.server}/api/v1/jobs", timeout=30).json()["jobs"]
    done = [job["id"] for job in jobs if job["conclusion"] == "success"]
    if not done:
        print(
            f"no job at {options.server} has succeeded yet; wait for `make demo` to say so", file=sys.stderr
        )
        return 1
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        job = f"{options.server}/jobs/{max(done)}"
        take(browser, job + MOMENT, "job", ready="#charts canvas")
        take(browser, job + MOMENT, "job-dark", ready="#charts canvas", dark=True)
        if options.check_run:
            take(browser, options.check_run, "check-run")
        browser.close()
    return 0


def take(browser: Browser, url: str, name: str, *, ready: str = "main", dark: bool = False) -> None:
    """One picture of the top of a page, once `ready` is there."""
    scheme = "dark" if dark else "light"
    page = browser.new_page(viewport=SIZE, color_scheme=scheme, device_scale_factor=1)  # type: ignore[arg-type]
    page.goto(url)
    page.wait_for_selector(ready)
    page.evaluate("document.fonts.ready")
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()
    print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
