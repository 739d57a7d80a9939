"""The live pages as people see them: motion, log and verdict as they come, also through a server's death."""

from __future__ import annotations

import re

import pytest
import requests
from axe import findings
from browsing import PHONE, visiting
from e2e_lab import Lab
from playwright.sync_api import Locator, Page, expect

from demo.processes import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.timeout(240)]

PROGRAM = """\
import time
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
print("\\x1b[1;32mready\\x1b[0m <b>to go</b>")
print("::group::Steps", flush=True)
for step in range({steps}):
    env.step([1.5 if step % 40 < 20 else -1.5])
    if step % 5 == 0:
        print("step", step, flush=True)
print("::endgroup::")
print("finished", flush=True)
env.close()
"""
STEPS = 240
EVENTLY_MS = 40_000
READY = "ready <b>to go</b>"


def running_job(lab: Lab) -> int:
    """A job that runs for a while; its id."""
    name, sha = lab.repository({"run.py": PROGRAM.format(steps=STEPS)})
    wait_until(lambda: bool(lab.check_runs(name, sha)), 30, "the check run")
    run = lab.check_runs(name, sha)[0]
    wait_until(lambda: lab.status(run) == "running", 60, "the job to run")
    return int(run["external_id"])


def lines(page: Page) -> list[str]:
    """The log's lines, without their numbers and times, as the page shows them."""
    said = "[...line.childNodes].filter(node => node.nodeName !== 'A').map(node => node.textContent).join('')"
    return list(page.eval_on_selector_all("#log .line", f"lines => lines.map(line => {said})"))


def line(page: Page, text: str) -> Locator:
    """The log's line that ends so."""
    return page.locator("#log .line").filter(has_text=re.compile(rf"{re.escape(text)}$"))


def test_a_job_is_followed_live_from_its_start_and_by_who_comes_late(lab: Lab) -> None:
    job = running_job(lab)
    url = f"{lab.stack.url}/jobs/{job}"
    with visiting(lab.stack.url) as visitor:
        early = visitor.page()
        early.goto(url)
        expect(early.get_by_text(READY)).to_be_visible(timeout=EVENTLY_MS)
        expect(early.locator("#link")).to_have_text("Live", timeout=EVENTLY_MS)
        expect(early.locator("#motion")).to_be_visible(timeout=EVENTLY_MS)
        first = early.locator("#rod").get_attribute("transform")
        moved = "first => document.getElementById('rod').getAttribute('transform') !== first"
        early.wait_for_function(moved, arg=first, timeout=EVENTLY_MS)
        assert findings(early) == []
        late = visitor.page(size=PHONE, color_scheme="dark", reduced_motion="reduce")
        late.goto(url)
        plain = visitor.page(script=False)
        plain.goto(url)
        assert READY in plain.locator("#log").inner_text()
        for page in (early, late):
            expect(page.get_by_text("finished success")).to_be_visible(timeout=2 * EVENTLY_MS)
            expect(page.get_by_role("link", name="trajectory.csv")).to_be_visible()
            assert (
                page.locator("h1").inner_text().startswith(("Balanced", "Upright", "Never", "Swung", "The"))
            )
        expected = [READY, "Steps", *(f"step {step}" for step in range(0, STEPS, 5)), "", "finished"]
        for page in (early, late):
            assert lines(page)[: len(expected)] == expected, "nothing lost, nothing twice"
            assert findings(page) == []
        plain.reload()
        assert plain.get_by_role("link", name="trajectory.csv").is_visible()
        assert visitor.problems == []


def test_the_log_is_searched_folded_and_linked_to(lab: Lab) -> None:
    name, sha = lab.repository({"run.py": PROGRAM.format(steps=20)})
    (run,) = lab.finished(name, sha)
    with visiting(lab.stack.url) as visitor:
        page = visitor.page()
        page.goto(f"{run['details_url']}#L3")
        target = page.locator("#L3")
        assert target.evaluate("line => line.matches(':target')")
        page.get_by_role("searchbox").fill("STEP 1")
        expect(page.locator("#log-count")).to_have_text("2 lines")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        expect(page.locator("#log-count")).to_have_text("2 of 2")
        group = page.get_by_role("button", name="Steps")
        group.press("Enter")
        expect(group).to_have_attribute("aria-expanded", "false")
        expect(target).to_be_hidden()
        expect(line(page, "finished")).to_be_visible()
        colour = page.locator("#log .c2").first
        assert colour.inner_text() == "ready"
        assert visitor.problems == []


def test_the_page_goes_on_after_the_server_was_killed(lab: Lab) -> None:
    job = running_job(lab)
    with visiting(lab.stack.url) as visitor:
        page = visitor.page()
        page.goto(f"{lab.stack.url}/jobs/{job}")
        expect(line(page, "step 10")).to_be_visible(timeout=EVENTLY_MS)
        lab.stack.processes["server"].kill()
        expect(page.locator("#link")).to_have_text("Reconnecting…", timeout=EVENTLY_MS)
        lab.stack.start_server()
        expect(line(page, "finished")).to_be_visible(timeout=2 * EVENTLY_MS)
        expect(page.get_by_role("link", name="trajectory.csv")).to_be_visible(timeout=2 * EVENTLY_MS)
        steps = [line for line in lines(page) if line.startswith("step ")]
        assert steps == [f"step {step}" for step in range(0, STEPS, 5)]


def test_the_queue_s_page_is_live(lab: Lab) -> None:
    with visiting(lab.stack.url) as visitor:
        page = visitor.page()
        page.goto(lab.stack.url)
        expect(page.locator("#link")).to_have_text("Live", timeout=EVENTLY_MS)
        name, sha = lab.repository({"run.py": PROGRAM.format(steps=100)})
        expect(page.get_by_text(name).filter(visible=True).first).to_be_visible(timeout=EVENTLY_MS)
        assert findings(page) == []
        dark = visitor.page(size=PHONE, color_scheme="dark")
        dark.goto(lab.stack.url)
        assert findings(dark) == []
        lab.finished(name, sha)
        row = page.get_by_role("row").filter(has_text=name)
        expect(row).to_contain_text("success", timeout=EVENTLY_MS)
        assert visitor.problems == []


def test_no_page_may_run_what_is_not_ours(lab: Lab) -> None:
    policy = requests.get(lab.stack.url, timeout=10).headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
