"""One session: the time in which one job's container may drive the robot.

    rest -> step socket open -> the client's ticks -> motor off -> summary

A session runs in a thread of its own, which becomes the tick loop (`raas_gym.host.EnvHost`). It ends once,
for the first reason that comes: the client left, the runner closed it, a limit, the safety layer.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from hardware import realtime
from hardware.errors import UnhealthyError
from hardware.ledger import SessionKey
from hardware.recorder import Recorder
from hardware.results import Results, key_of
from hardware.robot import Robot
from hardware.summary import End, conclude
from hardware.telemetry import Feed
from raas_gym import control
from raas_gym.host import EnvHost, SessionOutcome
from raas_gym.link import Spec
from raas_gym.trajectory import Header, Tick

SOCKET_NAME = "step.sock"
MAX_RESETS = 100
LOOK_S = 0.5
"""How often it is seen whether somebody still waits for the robot to come to rest [s]."""
LEAVE_S = 0.05
"""How long the news of a container's end may overtake its last bytes [s]."""
HORIZON_S = 20.0
"""The scored time of RaasPendulum [s]: 400 ticks at 20 Hz."""

REASONS = {
    "left": "client_left",
    "limit": "limit",
    "no_client": "limit",
    "protocol": "protocol_error",
    "version": "protocol_error",
    "robot": "safety",
    "stalled": "controller_lost",
}
"""The host's words for an end, in the control contract's."""

log = logging.getLogger(__name__)


class Session:
    """A session over `robot`, recorded in `results`, with its step socket in a directory under `sessions`."""

    def __init__(
        self, robot: Robot, request: control.SessionRequest, results: Results, sessions: Path
    ) -> None:
        self.request = request
        self.key: SessionKey = key_of(request)
        self.feed = Feed()
        self._robot = robot
        self._results = results
        # The name cannot be guessed: without the right to chown, that is what keeps other users out. It is
        # short, for a socket's path may have 107 characters.
        self._directory = sessions / f"{self.key.unnamed}-{secrets.token_hex(8)}"
        self._lock = threading.Lock()
        self._ending: tuple[str, str] | None = None
        self._host: EnvHost | None = None
        self._opened = threading.Event()
        self._served = threading.Event()
        self._over = threading.Event()
        self._summary: control.SessionSummary | None = None
        self._thread = threading.Thread(target=self._run, name=f"session {self.key}", daemon=True)

    def start(self) -> None:
        """Bring the robot to rest, then serve; returns at once."""
        self.feed.start()
        self._thread.start()

    def opened(self, gone: Callable[[], bool]) -> control.SessionOpened:
        """Wait until the step socket is open; it is over at once where nobody waits for that any more.

        Args:
            gone: Whether who asked for it has hung up.

        Raises:
            ControlError: `unhealthy` where it never will be.
        """
        while not self._opened.wait(LOOK_S) and not gone():
            pass  # the robot comes to rest
        if gone():
            self.end("closed", "who asked for the session hung up before it was open")
        if self._host is None:
            raise control.ControlError("unhealthy", self.summary().message)
        spec = self._host.spec
        return control.SessionOpened(str(self._directory), SOCKET_NAME, spec.env_id, spec.dt, spec.horizon)

    @property
    def is_open(self) -> bool:
        """Whether the step socket was opened and the session is not over."""
        return self._opened.is_set() and not self.over

    @property
    def ending(self) -> bool:
        """Whether its end has begun: its summary comes within moments."""
        return self._ending is not None or self._served.is_set() or self.over

    @property
    def over(self) -> bool:
        """Whether it is concluded and the robot is free."""
        return self._over.is_set()

    def end(self, reason: str, message: str) -> None:
        """End it from any thread; only the first reason counts."""
        with self._lock:
            if self._ending is not None:
                return
            self._ending = reason, message
            host = self._host
        self._robot.stop()
        if host is not None:
            host.stop(message)

    def close(self, message: str) -> None:
        """The runner wants it over. A program that left just before is given the time to have left."""
        if not self._served.wait(LEAVE_S):
            self.end("closed", message)

    def summary(self) -> control.SessionSummary:
        """Wait for the end; what the session came to."""
        self._over.wait()
        if self._summary is None:
            raise control.ControlError("internal", f"session {self.key} failed: the log has the traceback")
        return self._summary

    def join(self) -> None:
        """Wait until the followers have been told too."""
        self._thread.join()

    def _run(self) -> None:
        realtime.raise_priority()
        began = time.monotonic()
        try:
            reason, message, started = self._drive()
        except Exception as error:
            log.exception("job %s: the session failed", self.key)
            reason, message, started = "controller_lost", f"the controller failed: {error}", None
        self._robot.stop()
        self._robot.announce("")
        duration = 0.0 if started is None else time.monotonic() - started
        try:
            self._summary = conclude(
                self._results,
                self._robot.profile,
                self.request,
                End(reason, message, duration, self._robot.interventions()),
            )
        except Exception:
            log.exception("job %s: the session could not be concluded", self.key)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._opened.set()
        self._over.set()
        if self._summary is not None:
            self.feed.finish({"event": "ended", "summary": asdict(self._summary)})
        log.info("job %s: ended after %.1f s: %s", self.key, time.monotonic() - began, message)

    def _drive(self) -> tuple[str, str, float | None]:
        """Run the session: (reason, message, monotonic time of the first reset or None)."""
        try:
            self._robot.rest()
        except UnhealthyError as error:
            return *(self._ending or ("safety", str(error))), None
        self._make_directory()
        # The recorder needs the host's spec, and the host the recorder: it is bound late.
        host = self._make_host(lambda tick: recorder.push(tick))  # noqa: PLW0108 - see above
        recorder = Recorder(
            self._results.recording(self.key),
            self._header(host.spec),
            self.feed,
            lambda message: self.end("safety", message),
        )
        outcome = self._serve(host)
        recorder.close()
        reason, message = self._ending or (REASONS[outcome.reason], outcome.message)
        return reason, message, recorder.first_tick_at

    def _serve(self, host: EnvHost) -> SessionOutcome:
        with self._lock:
            self._host = host
            if self._ending is not None:  # it was ended while the robot came to rest
                host.stop(self._ending[1])
        over = f"the session's {self.request.timeout_s:g} s are over"
        deadline = threading.Timer(self.request.timeout_s, self.end, ["limit", over])
        deadline.daemon = True
        deadline.start()
        self._opened.set()
        self._robot.announce(self.request.display)
        log.info("job %s: open for %s", self.key, self.request.display or "nobody named")
        try:
            return host.serve()
        finally:
            deadline.cancel()
            self._served.set()

    def _make_directory(self) -> None:
        uid = self.request.client_uid
        self._directory.mkdir()
        try:
            os.chown(self._directory, uid, -1)
            # Root comes for somebody else (gVisor's helper for a program), who passes through the folder too.
            self._directory.chmod(0o700 if uid else 0o711)
        except PermissionError:
            self._directory.chmod(0o711)  # the name and the peer's credentials keep others out

    def _make_host(self, on_tick: Callable[[Tick], None]) -> EnvHost:
        env = self._robot.make_env(self.request.env_id)
        return EnvHost(
            env,
            self._directory / SOCKET_NAME,
            env_id=self.request.env_id,
            robot=self._robot.profile.name,
            horizon=round(HORIZON_S / env.dt),
            allowed_uids={self.request.client_uid},
            on_tick=on_tick,
            max_resets=MAX_RESETS,
        )

    def _header(self, spec: Spec) -> Header:
        return Header(
            env_id=spec.env_id,
            dt=spec.dt,
            horizon=spec.horizon,
            observation_columns=spec.columns,
            action_columns=spec.action_columns,
            robot=spec.robot,
            simulated=spec.simulated,
            passport=spec.passport,
            commit=self.request.header.get("commit", ""),
            image=self.request.header.get("image", ""),
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
