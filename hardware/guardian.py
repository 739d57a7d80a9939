"""The guardian: a process of its own that alone owns the motor's enable line.

The line is pulled down by a resistor, so nobody driving it means no current. The guardian raises it while a
controller beats (`hardware.heartbeat`) and drops it when the controller is killed, stopped, hangs or
loses its clock. It needs no line of the controller's, which a stopped process would still hold.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from hardware import realtime
from hardware.errors import StartupError
from hardware.heartbeat import ARMED, BEAT, DISARMED, SILENCE_S, TRIPPED, Beat
from hardware.watchdog import Watchdog

log = logging.getLogger(__name__)


Line = Callable[[bool], None]
"""Sets the enable line high or low."""


class Watch:
    """What the guardian decides, without pin, socket or clock.

    `enable` is what the line must be. It is true only in state A.
    """

    def __init__(self) -> None:
        self.state = DISARMED
        self.why = ""
        self._last: Beat | None = None
        self._heard_at = 0.0

    @property
    def enable(self) -> bool:
        """Whether the motor may have current."""
        return self.state == ARMED

    def deadline(self) -> float | None:
        """When silence trips [s, monotonic], or None while disarmed."""
        return self._heard_at + SILENCE_S if self.enable else None

    def hear(self, beat: Beat, now: float) -> None:
        """Take a beat that arrived at `now`."""
        self.tick(now)
        last, self._last, self._heard_at = self._last, beat, now
        if last is not None and (beat.number <= last.number or beat.t < last.t):
            self._trip("its beats went backwards")
        elif not abs(now - beat.t) <= SILENCE_S:  # NaN is stale too
            self._trip(f"a beat was {now - beat.t:.3f} s old")
        elif not beat.arm:
            self.state = DISARMED
        elif self.state == DISARMED:
            self.state = ARMED

    def tick(self, now: float) -> None:
        """Let time pass."""
        deadline = self.deadline()
        if deadline is not None and now > deadline:
            self._trip(f"no beat for {now - self._heard_at:.3f} s")

    def lose(self, why: str) -> None:
        """The controller is gone, or talks nonsense; the next one begins disarmed."""
        if self.enable:
            self._trip(why)
        self.state, self._last = DISARMED, None

    def _trip(self, why: str) -> None:
        if self.enable:
            self.why = why
            self.state = TRIPPED


class Guardian:
    """Serves `path`, sets the line by `enable`, tells `watchdog` that it does.

    Raises:
        StartupError: It cannot listen there.
    """

    def __init__(self, path: Path, enable: Line, watchdog: Watchdog | None = None) -> None:
        self._path = path
        self._watchdog = watchdog or Watchdog({})
        self._set_line = enable
        self._line = False
        self._told: bytes | None = None
        self._watch = Watch()
        self._peer: socket.socket | None = None
        self._listener = _listen(path)
        self._waker, self._woken = socket.socketpair()
        enable(False)

    def stop(self) -> None:
        """End `run`; safe in a signal handler."""
        with contextlib.suppress(OSError):
            self._waker.send(b"x")

    def run(self) -> None:
        """Guard until `stop`; the line is low afterwards, however it ends."""
        self._watchdog.ready()
        try:
            while self._turn():
                pass
        finally:
            self._set_line(False)
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._watchdog.close()
            for end in (self._peer, self._listener, self._waker, self._woken):
                if end is not None:
                    end.close()

    def _turn(self) -> bool:
        deadline = self._watch.deadline()
        wait = self._watchdog.period_s
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
            wait = left if wait is None else min(left, wait)
        watched = [self._listener, self._woken, *([self._peer] if self._peer else [])]
        ready, _, _ = select.select(watched, [], [], wait)
        if self._peer in ready:
            self._hear()
        self._watch.tick(time.monotonic())
        self._obey()
        self._watchdog.feed()
        if self._listener in ready:
            self._admit()
        return self._woken not in ready

    def _admit(self) -> None:
        peer, _ = self._listener.accept()
        self._drop("another controller took its place")
        peer.setblocking(False)
        self._peer = peer
        log.info("a controller is there")

    def _hear(self) -> None:
        assert self._peer is not None  # noqa: S101 - the caller saw it ready
        try:
            packet = self._peer.recv(64)
        except OSError:
            packet = b""
        if len(packet) != BEAT.size:
            self._drop("the controller is gone" if not packet else "the controller sent nonsense")
            return
        self._watch.hear(Beat(*BEAT.unpack(packet)), time.monotonic())
        self._told = None  # each beat is answered, so that the controller sees us alive

    def _drop(self, why: str) -> None:
        if self._peer is None:
            return
        if self._watch.enable:
            log.warning("enable line down: %s", why)
        self._watch.lose(why)
        self._obey()
        self._peer.close()
        self._peer = self._told = None

    def _obey(self) -> None:
        """Line first, words after."""
        watch = self._watch
        if watch.enable != self._line:
            self._set_line(watch.enable)
            self._line = watch.enable
            log.log(
                logging.WARNING if watch.state == TRIPPED else logging.INFO,
                "enable line %s%s",
                "up" if watch.enable else "down",
                f": {watch.why}" if watch.state == TRIPPED else "",
            )
        if self._peer is not None and watch.state != self._told:
            self._told = watch.state
            with contextlib.suppress(OSError):
                self._peer.send(watch.state)


def serve(path: Path, enable: Line) -> None:
    """Guard until SIGTERM or SIGINT."""
    guardian = Guardian(path, enable, Watchdog(os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: guardian.stop())
    realtime.raise_process()
    realtime.raise_priority(realtime.GUARDIAN_PRIORITY, keep_first_core=False)
    realtime.lock_memory()
    log.info("guarding at %s", path)
    guardian.run()


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = os.umask(0o117)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        listener.bind(str(path))
        listener.listen(4)
    except OSError as error:
        listener.close()
        raise StartupError(
            f"the guardian cannot listen at {path} ({error.strerror}): choose another --guardian"
        ) from error
    finally:
        os.umask(mask)
    return listener
