"""Whose code is driving, on four MAX7219 blocks (32 x 8 LEDs). Optional: without a matrix nothing is missing.

Text that fits stands still; longer text walks by. A thread of ordinary priority draws, so that the display
never costs the tick loop anything; a display that fails is switched off with a line in the log.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from typing import Any

BLOCKS = 4
FRAME_S = 0.08
CONTRAST = 32
"""2 of 15: the four blocks then draw 200 mA."""
IDLE_TEXT = ""

log = logging.getLogger(__name__)


def open_matrix() -> Any | None:
    """The LED matrix on SPI0 as a luma device, or None where there is none."""
    try:
        spi = importlib.import_module("luma.core.interface.serial").spi(port=0, device=0)
        matrix = importlib.import_module("luma.led_matrix.device").max7219(
            spi, cascaded=BLOCKS, block_orientation=-90
        )
    except Exception as error:  # the library missing, SPI off, no right: all mean "no display"
        log.info("no LED matrix (%s)", error)
        return None
    matrix.contrast(CONTRAST)
    return matrix


class Display:
    """Shows one text at a time on a luma `device`; every call returns at once."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._text = IDLE_TEXT
        self._changed = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._draw, name="display", daemon=True)
        self._thread.start()

    def show(self, text: str) -> None:
        """Show `text` (what is not ASCII becomes a question mark); an empty one clears."""
        self._text = text.encode("ascii", "replace").decode()
        self._changed.set()

    def close(self) -> None:
        """Clear and stop."""
        self._closed = True
        self._changed.set()
        self._thread.join(2.0)

    def _draw(self) -> None:
        try:
            while not self._closed:
                self._changed.clear()
                self._show_until_changed(self._text)
            self._device.clear()
        except Exception:  # the robot goes on without its display
            log.warning("the display failed and is off", exc_info=True)

    def _show_until_changed(self, text: str) -> None:
        frames = frames_of(text, self._device.width, self._device.height, self._device.mode)
        while not self._changed.is_set():
            for frame in frames:
                self._device.display(frame)
                if self._changed.wait(FRAME_S if len(frames) > 1 else None):
                    return


def frames_of(text: str, width: int, height: int, mode: str) -> list[Any]:
    """The pictures, one for standing text, or one for each step of a text that walks by."""
    image = importlib.import_module("PIL.Image")
    draw = importlib.import_module("PIL.ImageDraw")
    legacy = importlib.import_module("luma.core.legacy")
    font = importlib.import_module("luma.core.legacy.font").proportional(
        importlib.import_module("luma.core.legacy.font").TINY_FONT
    )
    length = legacy.textsize(text, font)[0]
    gap = 0 if length <= width else width
    band = image.new(mode, (gap + max(length, width) + gap, height))
    with contextlib.suppress(IndexError):  # a character that the font lacks ends the text
        legacy.text(draw.Draw(band), (gap, 1), text, fill="white", font=font)
    steps = 1 if not gap else gap + length
    return [band.crop((step, 0, step + width, height)) for step in range(steps)]
