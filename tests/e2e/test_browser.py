"""What a person sees after a push: the check run at GitHub and the job's page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import Lab
from needs import need_chromium
from playwright.sync_api import Page, sync_playwright

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.timeout(240)]

# Chromium refuses its sandbox to root, and would otherwise look for updates.
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need_chromium(), args=[*FLAGS, "--no-first-run"])
        yield browser.new_page()
        browser.close()


def test_check_run_leads_to_a_job_page_with_verdict_log_and_artifacts(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    program = "import gymnasium, raas_gym\nenv = gymnasium.make('RaasPendulum-v1')\nenv.reset()\n"
    program += "for _ in range(20): env.step([1.0])\nprint('hello from <b>the robot</b>')\n"
    name, sha = lab.repository({"run.py": program})
    (run,) = lab.finished(name, sha)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.goto(run["html_url"])
    assert page.get_by_text(run["output"]["title"]).first.is_visible()
    page.get_by_role("link", name="Details").click()
    assert page.url == run["details_url"]
    assert page.get_by_role("heading", level=1).inner_text() == run["output"]["title"]
    assert page.get_by_text("hello from <b>the robot</b>").first.is_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="trajectory.csv").click()
    download.value.save_as(tmp_path / "trajectory.csv")
    assert "theta_dot" in (tmp_path / "trajectory.csv").read_text()
    page.goto(f"{lab.stack.url}/")
    assert page.get_by_text(name).filter(visible=True).first.is_visible()
    assert problems == []
