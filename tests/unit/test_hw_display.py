"""The display, drawn by luma onto its own stand-in for a device."""

from __future__ import annotations

import time

import pytest

core = pytest.importorskip("luma.core.device", reason="needs the extra `display`")

from hardware.display import Display, frames_of  # noqa: E402 - after the check for luma


def lit(frame: object) -> int:
    return sum(frame.convert("L").histogram()[1:])  # type: ignore[attr-defined]


def test_short_text_stands_still_and_long_text_walks_by() -> None:
    assert len(frames_of("spoon", 32, 8, "1")) == 1
    frames = frames_of("octocat/a-very-long-repository", 32, 8, "1")
    assert len(frames) > 100
    assert lit(frames[0]) == 0
    assert max(map(lit, frames)) > 40
    assert {frame.size for frame in frames} == {(32, 8)}


def test_it_shows_changes_and_clears() -> None:
    device = core.dummy(width=32, height=8, mode="1")
    display = Display(device)
    display.show("goose")
    wait(lambda: device.image is not None and lit(device.image) > 20)
    display.show("octocat/a-very-long-repository é")
    seen = set()
    wait(lambda: seen.add(device.image.tobytes()) or len(seen) > 5)
    display.show("")
    wait(lambda: lit(device.image) == 0)
    display.close()


def test_a_display_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    device = core.dummy(width=32, height=8, mode="1")

    def broken(_image: object) -> None:
        raise OSError("SPI is gone")

    device.display = broken
    display = Display(device)
    wait(lambda: "the display failed" in caplog.text)
    display.show("goose")
    display.close()


def wait(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)
