"""The display, drawn by luma onto its stand-in for a device and onto its emulated LED matrix."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import pytest

core = pytest.importorskip("luma.core.device", reason="needs the extra `display`")

import PIL.Image  # noqa: E402 - luma brings it

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


def test_on_the_emulated_matrix_each_led_is_the_one_of_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """luma.emulator renders what the four blocks would show, LED by LED, into a picture file."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pygame's import of pkg_resources
        pytest.importorskip("pygame")
        emulator = pytest.importorskip("luma.emulator.device", reason="needs luma.emulator")
    files = str(tmp_path / "{0:04}.png")
    matrix = emulator.capture(
        width=32, height=8, mode="1", transform="led_matrix", scale=LED, file_template=files
    )
    display = Display(matrix)
    display.show("goose")
    wanted = frames_of("goose", 32, 8, "1")[0]
    wait(lambda: matrix._last_image is not None and matrix._last_image.tobytes() == wanted.tobytes())
    display.close()  # the picture is written when the drawing thread has ended
    shown = max((leds(path) for path in sorted(tmp_path.glob("*.png"))), key=len)
    assert shown == {(x, y) for x in range(32) for y in range(8) if wanted.getpixel((x, y))}
    assert len(shown) > 20


LED = 16
"""Pixels of an emulated LED."""


def leds(path: Path) -> set[tuple[int, int]]:
    """The LEDs that shine in a picture of the emulator."""
    with PIL.Image.open(path) as picture:
        assert picture.size == (32 * LED, 8 * LED)
        red = picture.convert("RGB").getchannel("R")
        middle = LED // 2
        return {
            (x, y)
            for x in range(32)
            for y in range(8)
            if red.getpixel((x * LED + middle, y * LED + middle)) > 128
        }


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
