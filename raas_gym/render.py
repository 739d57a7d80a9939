"""Pictures of the pendulum: drawn with NumPy, so that a frame needs no display and no graphics library.

`Window` shows frames on a screen; it alone needs pygame.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from raas_gym.dynamics import MAX_TORQUE

SIZE = 500
"""Width and height of a frame in pixels."""
_EXTENT = 2.2  # rod lengths from the axle to the border, as Pendulum-v1 draws it
_ROD, _TORQUE, _AXLE = (204, 77, 77), (40, 90, 160), (0, 0, 0)

Frame = NDArray[np.uint8]
Plane = NDArray[np.floating[Any]]


def draw(theta: float, torque: float) -> Frame:
    """A frame (500, 500, 3): the rod at θ (rad, 0 upright, counter-clockwise positive), and the torque.

    The torque is an arc that runs the way it turns, a quarter turn long at full torque.
    """
    x, y, radius, angle = _grid()
    frame = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
    sine, cosine = np.float32(-math.sin(theta)), np.float32(math.cos(theta))
    along = np.clip(x * sine + y * cosine, 0.0, 1.0)
    _paint(frame, 0.1 - np.sqrt((x - along * sine) ** 2 + (y - along * cosine) ** 2), _ROD)
    sweep = torque / MAX_TORQUE * math.pi / 2
    # The angle past upright, in the direction of the torque.
    turned = angle if torque > 0 else -angle
    on_arc = np.where((turned > 0.0) & (turned < abs(sweep)), 0.03 - np.abs(radius - 1.3), -1.0)
    _paint(frame, on_arc, _TORQUE)
    _paint(frame, 0.05 - radius, _AXLE)
    return frame


def _paint(frame: Frame, inside: Plane, colour: tuple[int, int, int]) -> None:
    """Blend a shape in; `inside` is the distance from its edge, positive within, and smooths the border."""
    share = 0.5 + inside * (SIZE / (2 * _EXTENT))
    touched = share > 0.0
    weight = np.minimum(share[touched], 1.0)[:, None]
    frame[touched] = frame[touched] * (1.0 - weight) + np.array(colour) * weight


@lru_cache(maxsize=1)
def _grid() -> tuple[Plane, Plane, Plane, Plane]:
    """For each pixel: x to the right and y up in rod lengths, distance from the axle, angle past upright."""
    steps = ((np.arange(SIZE) + 0.5) / SIZE * 2.0 - 1.0).astype(np.float32) * _EXTENT
    x, y = np.meshgrid(steps, -steps)
    return x, y, np.hypot(x, y), np.arctan2(-x, y)


class Window:
    """A window that shows frames at a fixed rate."""

    def __init__(self, frames_per_second: int) -> None:
        try:
            import pygame  # noqa: PLC0415 - optional
        except ImportError as error:
            raise gymnasium.error.DependencyNotInstalled(
                'a window needs pygame: run `pip install "raas-gym[render]"`, or use render_mode="rgb_array"'
            ) from error
        self._pygame: Any = pygame
        self._rate = frames_per_second
        try:
            pygame.display.init()
            pygame.display.set_caption("RaaS pendulum")
            self._screen = pygame.display.set_mode((SIZE, SIZE))
        except pygame.error as error:
            raise gymnasium.error.Error(
                f'no window can be opened here ({error}); use render_mode="rgb_array"'
            ) from error
        self._clock = pygame.time.Clock()

    def show(self, frame: Frame) -> None:
        """Show a frame, then wait as long as the frame rate asks."""
        pygame = self._pygame
        self._screen.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._rate)

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()

    def pressed(self) -> frozenset[str]:
        """Keys that are down, of `left`, `right` and `q`; `q` also where the window was closed."""
        pygame = self._pygame
        down = pygame.key.get_pressed()
        names = {"left": pygame.K_LEFT, "right": pygame.K_RIGHT, "q": pygame.K_q}
        closed = {"q"} if pygame.event.peek(pygame.QUIT) else set()
        return frozenset({name for name, key in names.items() if down[key]} | closed)
