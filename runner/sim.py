"""`raas sim`: a simulated pendulum to play with, in the terminal or in a window."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click

from runner import completion, exit_codes

if TYPE_CHECKING:
    from runner.sim_policies import Keyboard, Policy

FRAMES_PER_S = 30.0
SLEEPY_S = 0.5
"""After a stop of the whole machine the clock is set anew, instead of hurrying after it [s]."""


@click.command(short_help="Play with a simulated pendulum, here or in a window.")
@click.option(
    "--controller",
    shell_complete=completion.controllers,
    help="`energy`, the starter's, or a Python file with policy(observation).",
)
@click.option("--random", "by_chance", is_flag=True, help="Any torque, anew each tick.")
@click.option("--window", is_flag=True, help="In a window; needs pygame: pip install 'raas-gym[render]'.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so long. Default: q.")
@click.option(
    "--params",
    shell_complete=completion.params,
    default="measured",
    show_default=True,
    help="ideal, measured, raw_motor, or a passport's file: how the pendulum moves.",
)
@click.option("--seed", type=int, help="For the start; the same seed starts the same.")
def sim(
    *,
    controller: str | None,
    by_chance: bool,
    window: bool,
    seconds: float | None,
    params: str,
    seed: int | None,
) -> None:
    """Watch a simulated pendulum, and push it: left and right arrow, r begins again, q ends.

    It moves in real time. θ is 0 upright and counter-clockwise positive; the return counts from the last
    beginning on, as `RaasPendulum-v1` counts it.

    \b
    Examples:
      raas sim                                     the arrow keys push
      raas sim --controller energy --seconds 20    energy shaping and feedback
      raas sim --controller run.py                 the `policy` of your own program
      raas sim --random --params ideal --window

    \b
    Exit status: 0 at the end; 2 it cannot be shown here, or a wrong option; 130 Ctrl-C; 143 SIGTERM.
    """
    # NumPy and Gymnasium take half a second that no other command needs
    from runner.keys import EndedError  # noqa: PLC0415
    from runner.sim_policies import PolicyError  # noqa: PLC0415
    from runner.sim_world import WorldError  # noqa: PLC0415

    if by_chance and controller is not None:
        _fail("--random and --controller exclude each other: leave one out")
    asked = _Asked(controller, by_chance, seconds, params, seed)
    try:
        summary = _in_window(asked) if window else _in_terminal(asked)
    except (PolicyError, WorldError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(exit_codes.INTERRUPTED)
    except EndedError as ended:
        sys.exit(128 + ended.number)
    click.echo(summary)


@dataclass(frozen=True)
class _Asked:
    controller: str | None
    by_chance: bool
    seconds: float | None
    params: str
    seed: int | None

    @property
    def by_keys(self) -> bool:
        """Whether a person pushes."""
        return self.controller is None and not self.by_chance

    def over(self, begun: float) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and time.monotonic() - begun >= self.seconds


def _in_terminal(asked: _Asked) -> str:
    """Draw until it ends; the summary."""
    from rich.console import Console  # noqa: PLC0415 - see `sim`
    from rich.live import Live  # noqa: PLC0415

    from runner import keys, sim_screen  # noqa: PLC0415
    from runner.sim_policies import Keyboard  # noqa: PLC0415
    from runner.sim_world import World  # noqa: PLC0415

    _check_terminal(asked)
    keyboard = Keyboard()
    world = World(asked.params, _policy(asked, keyboard), asked.seed)
    help_ = (["← → push", "space lets go"] if asked.by_keys else []) + ["r begins again", "q ends"]
    console = Console(highlight=False)

    def draw() -> None:
        share = (time.monotonic() - pace.ticked) / world.env.dt
        theta, _ = world.between(share)
        picture = sim_screen.frame(theta, world.torque, world.values(share), help_, console.size)
        live.update(picture, refresh=True)

    with (
        keys.terminal(reading=sys.stdin.isatty()) as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        begun = time.monotonic()
        pace = _Pace(begun, world.env.dt)
        while not asked.over(begun):
            for key in pressed.wait(pace.frame - time.monotonic()):
                if key in ("q", "Q", "escape"):
                    return world.summary()
                if key == "r":
                    world.begin()
                keyboard.press(key)
            for _ in range(pace.due()):
                world.tick()
            if pace.frame_due():
                draw()
    return world.summary()


def _in_window(asked: _Asked) -> str:
    """The environment's own window until it ends; the summary."""
    import gymnasium  # noqa: PLC0415 - see `sim`

    from runner import keys  # noqa: PLC0415
    from runner.sim_policies import Keyboard  # noqa: PLC0415
    from runner.sim_world import World, WorldError  # noqa: PLC0415

    keyboard = Keyboard()
    try:
        world = World(asked.params, _policy(asked, keyboard), asked.seed, render_mode="human")
    except gymnasium.error.Error as error:
        raise WorldError(str(error)) from error
    begun = time.monotonic()
    try:
        with keys.terminal(reading=False):
            while not asked.over(begun):
                down = world.env.keys()
                if "q" in down:
                    break
                for key in down:
                    keyboard.press(key)
                world.tick()  # the window waits for its next frame
    finally:
        world.env.close()
    return world.summary()


class _Pace:
    """Ticks and frames at absolute times.

    Attributes:
        ticked: When the last tick was due (monotonic clock).
        frame: When the next picture is due.
    """

    def __init__(self, now: float, dt: float) -> None:
        self.ticked, self.frame, self._dt = now, now, dt

    def due(self) -> int:
        """How many ticks are due now; they count as done."""
        late = time.monotonic() - self.ticked
        if late > SLEEPY_S:
            self.ticked += late - self._dt
            late = self._dt
        count = int(late / self._dt)
        self.ticked += count * self._dt
        return count

    def frame_due(self) -> bool:
        """Whether to draw; pictures that were missed are left out."""
        now = time.monotonic()
        if now < self.frame:
            return False
        self.frame = max(self.frame + 1 / FRAMES_PER_S, now)
        return True


def _policy(asked: _Asked, keyboard: Keyboard) -> Policy:
    from runner import sim_policies  # noqa: PLC0415 - see `sim`

    if asked.by_chance:
        return sim_policies.chance()
    return keyboard if asked.controller is None else sim_policies.controller(asked.controller)


def _check_terminal(asked: _Asked) -> None:
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        _fail("raas sim draws on a terminal, and there is none here: start it in one, or use --window")
    if asked.by_keys and not sys.stdin.isatty():
        _fail("the arrow keys need a terminal to be typed on: start it in one, or name a --controller")


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(exit_codes.UNUSABLE)
