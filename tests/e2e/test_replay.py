"""The replay as people use it: by clock, keys, pointer, address; in every light, with scripts and without."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
import requests
from axe import findings
from browsing import PHONE, Visitor, visiting
from e2e_lab import Lab
from PIL import Image
from playwright.sync_api import Page, expect

from demo.processes import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.timeout(240)]

STEPS = 80
PROGRAM = """\
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
for step in range({steps}):
    if step % 10 == 0:
        print(f"step {{step}} \\x1b[31m<b data-t=9>\\x1b[0m", flush=True)
    env.step([1.9 if step % 30 < 15 else -1.9])
print("finished", flush=True)
env.close()
"""
EARLY = re.compile(r"step (0|10|20) ")
"""What was printed last a second after the start: how soon the program begins is the machine's matter."""
EVENTLY_MS = 40_000


@pytest.fixture(scope="module")
def job(lab: Lab) -> int:
    """A job that has swung for four seconds."""
    name, sha = lab.repository({"run.py": PROGRAM.format(steps=STEPS)})
    (run,) = lab.finished(name, sha)
    return int(run["external_id"])


def opened(visitor: Visitor, job: int, moment: str = "#t=0", **options: Any) -> Page:
    """The job's page, when its charts are drawn."""
    page = visitor.page(**options)
    page.goto(f"{visitor.url}/jobs/{job}{moment}")
    expect(page.locator("#charts canvas")).to_have_count(4, timeout=EVENTLY_MS)
    return page


def shown_at(page: Page, clock: str) -> None:
    """Clock, pendulum and charts show this moment."""
    expect(page.locator("#clock")).to_have_text(clock, timeout=EVENTLY_MS)
    assert float(page.locator("#pendulum").get_attribute("data-t") or "nan") == pytest.approx(
        float(clock), abs=0.006
    )
    lines = page.eval_on_selector_all(
        "#charts .moment", "lines => lines.map(line => line.getBoundingClientRect().left)"
    )
    assert len(lines) == 4
    assert max(lines) - min(lines) < 2, "one line through all charts"
    over = page.locator("#charts .u-over").first.bounding_box()
    assert over is not None
    share = (lines[0] + 1 - over["x"]) / over["width"]
    assert share == pytest.approx(float(clock) / float(whole(page)), abs=0.01)


def whole(page: Page) -> str:
    """How long the recording is: its program ends a few ticks before it."""
    return page.locator("#whole").inner_text()


def test_the_cursor_marks_the_log_and_a_lines_time_moves_the_cursor(lab: Lab, job: int) -> None:
    with visiting(lab.stack.url) as visitor:
        page = opened(visitor, job, "#t=2.90")
        shown_at(page, "2.90")
        line = page.locator("#log .now")
        expect(line).to_contain_text("step 50 <b data-t=9>")
        assert page.locator("#log [data-t='9']").count() == 0, "what a program prints is no time"
        page.locator("#player").focus()
        page.keyboard.press("Home")
        page.keyboard.press("Shift+ArrowRight")
        shown_at(page, "1.00")
        expect(line.first).to_contain_text(EARLY)
        page.keyboard.press("End")
        expect(line).to_contain_text("finished")
        at = page.locator("#log .line", has_text="step 30").locator("a.at")
        assert float(at.inner_text()) == pytest.approx(1.5, abs=0.2)
        clock = at.inner_text()
        at.click()
        shown_at(page, clock)
        expect(line).to_contain_text("step 30")
        page.wait_for_url(re.compile(rf"#t={clock}$"), timeout=EVENTLY_MS)
        # Who scrolls by hand is left alone, until they follow again.
        page.set_viewport_size({"width": 800, "height": 200})
        page.locator("#log").evaluate("log => { log.scrollTop = log.scrollHeight; }")
        expect(page.locator("#log-follow")).to_have_attribute("aria-pressed", "false")
        page.locator("#player").focus()
        page.keyboard.press("Home")
        page.keyboard.press("Shift+ArrowRight")
        expect(line.first).to_contain_text(EARLY)
        assert page.locator("#log").evaluate("log => log.scrollTop") > 0
        page.locator("#log-follow").click()
        expect(line.first).to_be_in_viewport()
        assert findings(page) == []


def test_keys_move_everything_and_the_address_follows(lab: Lab, job: int) -> None:
    with visiting(lab.stack.url) as visitor:
        page = opened(visitor, job, "#t=1.50")
        shown_at(page, "1.50")
        end = whole(page)
        page.locator("#player").focus()
        rod = page.locator("#rod").get_attribute("transform")
        for key, clock in (
            ("ArrowRight", "1.55"),
            ("ArrowLeft", "1.50"),
            ("Shift+ArrowRight", "2.50"),
            ("Shift+ArrowLeft", "1.50"),
            ("End", end),
            ("ArrowRight", end),
            ("Home", "0.00"),
            ("ArrowLeft", "0.00"),
        ):
            page.keyboard.press(key)
            shown_at(page, clock)
        assert page.locator("#rod").get_attribute("transform") != rod
        page.wait_for_url(re.compile(r"#t=0\.00$"), timeout=EVENTLY_MS)
        page.keyboard.press("Space")
        expect(page.locator("#play-label")).to_have_text("Pause")
        page.wait_for_function(
            "() => Number(document.getElementById('clock').textContent) > 0.3", timeout=EVENTLY_MS
        )
        page.keyboard.press("Space")
        expect(page.locator("#play-label")).to_have_text("Play")
        clock = page.locator("#clock").inner_text()
        page.wait_for_url(re.compile(rf"#t={re.escape(clock)}$"), timeout=EVENTLY_MS)
        page.evaluate("location.hash = '#t=2.25'")
        shown_at(page, "2.25")
        page.locator("#speed").select_option("4")
        page.locator("#speed").focus()
        page.keyboard.press("Home")
        assert page.locator("#speed").input_value() == "0.25", "a list keeps its own keys"
        assert visitor.problems == []


def test_a_press_on_a_chart_chooses_the_moment_and_it_plays_to_the_end(lab: Lab, job: int) -> None:
    with visiting(lab.stack.url) as visitor:
        page = opened(visitor, job)
        box = page.locator("#charts .u-over").nth(2).bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 4, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
        page.mouse.up()
        half = float(page.locator("#clock").inner_text())
        assert half == pytest.approx(float(whole(page)) / 2, abs=0.05)
        shown_at(page, f"{half:.2f}")
        page.locator("#speed").select_option("4")
        page.get_by_role("button", name="Play").click()
        expect(page.locator("#clock")).to_have_text(whole(page), timeout=EVENTLY_MS)
        expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=EVENTLY_MS)
        assert visitor.problems == []


def test_the_ghost_is_where_the_server_says(lab: Lab, job: int) -> None:
    data = requests.get(f"{lab.stack.url}/api/v1/jobs/{job}/trajectory", timeout=10).json()
    theta, ghost = data["columns"]["theta"], data["ghost"]["theta"]
    assert data["ticks"] >= STEPS
    assert ghost[::10] == pytest.approx(theta[::10], abs=1e-4), "begun anew every half second"
    off = [abs(a - b) for a, b in zip(theta, ghost, strict=True) if abs(a - b) < 3]
    row = next(at for at in range(5, STEPS) if ghost[at] is not None and at % 10 == 9)
    with visiting(lab.stack.url) as visitor:
        page = opened(visitor, job, f"#t={data['columns']['t'][row]:.2f}")
        place = page.locator("#ghost")
        expect(place).to_be_visible()
        turned = re.fullmatch(r"rotate\((.*)\)", place.get_attribute("transform") or "")
        assert turned is not None
        assert float(turned[1]) == pytest.approx(-ghost[row] * 57.29578, abs=0.5)
        assert float(page.locator("#read-gap").inner_text().replace("−", "-")) == pytest.approx(
            data["ghost"]["error"][row], abs=0.001
        )
        expect(page.locator("#about")).to_contain_text("ghost")
    assert max(off) > 0, "a simulation is never exactly right"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_everybody(lab: Lab, job: int, scheme: str) -> None:
    with visiting(lab.stack.url) as visitor:
        wide = opened(visitor, job, "", color_scheme=scheme, reduced_motion="reduce")
        assert wide.locator("#clock").inner_text() == "0.00", "nothing moves by itself for who asked for that"
        assert findings(wide) == []
        narrow = opened(visitor, job, size=PHONE, color_scheme=scheme)
        assert findings(narrow) == []
        assert narrow.evaluate("document.documentElement.scrollWidth <= innerWidth")
        plain = visitor.page(script=False, color_scheme=scheme)
        plain.goto(f"{lab.stack.url}/jobs/{job}")
        picture = plain.locator("img.plot")
        expect(picture).to_be_visible()
        assert plain.locator("table.scores").is_visible()
        assert plain.locator("#player").is_hidden()
        wanted = "plot.svg?dark=1" if scheme == "dark" else "plot.svg"
        assert requests.get(f"{lab.stack.url}/jobs/{job}/{wanted}", timeout=10).ok
        assert visitor.problems == []


def test_a_run_that_was_watched_becomes_its_replay(lab: Lab) -> None:
    name, sha = lab.repository({"run.py": PROGRAM.format(steps=STEPS)})
    wait_until(lambda: bool(lab.check_runs(name, sha)), 30, "the check run")
    job = int(lab.check_runs(name, sha)[0]["external_id"])
    with visiting(lab.stack.url) as visitor:
        page = visitor.page()
        page.goto(f"{lab.stack.url}/jobs/{job}")
        expect(page.locator("#motion-title")).to_have_text("Replay", timeout=2 * EVENTLY_MS)
        expect(page.locator("#charts canvas")).to_have_count(4, timeout=EVENTLY_MS)
        shown_at(page, whole(page))
        page.reload()
        # It plays by itself; whoever looks late on a busy machine finds it at its end.
        expect(page.locator("#clock")).not_to_have_text("0.00", timeout=EVENTLY_MS)
        assert visitor.problems == []


def test_the_check_run_leads_to_an_animation(lab: Lab, job: int) -> None:
    shown = lab.jobs()
    url = next(one["url"] for one in shown if one["id"] == job)
    answer = requests.get(f"{url}/replay.gif", timeout=30)
    assert answer.headers["Content-Type"] == "image/gif"
    assert Image.open(io.BytesIO(answer.content)).n_frames > 20
    summaries = [run["output"]["summary"] for run in _runs(lab, job)]
    assert f"{url}/replay.gif" in summaries[0]


def _runs(lab: Lab, job: int) -> list[dict[str, dict[str, str]]]:
    found = requests.get(f"{lab.stack.url}/api/v1/jobs/{job}", timeout=10).json()
    return lab.check_runs(found["repository"], found["sha"])
