"""What each request of the control contract means: one robot, one session at a time.

idle -> resetting -> session -> idle        and `unhealthy` instead of idle, while the robot says so
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hardware.errors import HardwareError
from hardware.ledger import Ledger, SessionKey
from hardware.results import Results, key_of
from hardware.robot import Robot
from hardware.session import Session
from hardware.summary import End, conclude
from hardware.telemetry import Feed
from raas_gym import control
from raas_gym.version import __version__

MAX_TIMEOUT_S = 3600.0
MAX_ID = 2**63 - 1
MAX_UID = 2**32 - 2
MAX_DISPLAY = 200
MAX_HEADER = 64
MAX_HEADER_TEXT = 4096
MANY_RESULTS = 100
SETTLE_S = 25.0
"""How long a request waits for the robot to come to rest after the start [s]."""
SETTLE_FAULT_S = 1.0
TASKS = ("selftest", "calibrate", "jog")
_NUMBERS = ("job", "attempt", "number")
_SERVER_RULE = f"server must match {control.SERVER_ID.pattern}"

log = logging.getLogger(__name__)


class Controller:
    """Owns the robot, the ledger and the results; answers requests from any thread.

    Args:
        robot: The robot, at rest or not.
        data: The data directory; its lock is held by the caller.
        sessions: Where the sessions' socket directories are made.
    """

    def __init__(self, robot: Robot, data: Path, sessions: Path) -> None:
        self._robot = robot
        self._sessions = sessions
        self._results = Results(data / "results")
        self._ledger = Ledger(data / "ledger.jsonl")
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._closing = False
        self._maintenance: str | None = None
        self._settled = threading.Event()
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "status": self._status,
            "close": self._close,
            "result": self._result,
            "forget": self._forget,
            "stop": self._stop,
            "maintain": self._maintain,
            "pins": self._pins,
        }
        self._recover()

    def settle(self) -> None:
        """Bring the robot to rest once, so that the first session need not wait for it."""
        deadline = time.monotonic() + SETTLE_FAULT_S
        while self._robot.fault() is not None and time.monotonic() < deadline:
            time.sleep(0.02)  # the guardian may be starting too
        try:
            if self._robot.fault() is None:
                self._robot.rest()
        except HardwareError as error:
            log.warning("the robot did not come to rest: %s", error)
        finally:
            self._settled.set()

    def answer(self, request: dict[str, Any], gone: Callable[[], bool]) -> dict[str, Any]:
        """Perform a request and answer it.

        Args:
            request: What is asked.
            gone: Whether who asks has hung up by now.

        Raises:
            ControlError: The request is refused.
            ConnectionError: Nobody waits for the session any more that was asked for; none was opened.
        """
        if request.get("op") == "open":
            return self._open(request, gone)
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            known = ", ".join(["open", "follow", *self._operations])
            raise control.ControlError("bad_request", f"op {request.get('op')!r} is not one of {known}")
        return operation(request)

    def feed(self, request: dict[str, Any]) -> Feed:
        """The feed of the session that a `follow` request names."""
        key = _key(request)
        session = self._session
        if session is not None and session.key == key:
            return session.feed
        feed = Feed()
        feed.finish({"event": "ended", "summary": asdict(self._concluded(key))})
        return feed

    def shutdown(self, why: str) -> None:
        """End an open session, stop the motor, release the robot."""
        with self._lock:
            self._closing = True
            session = self._session
        if session is not None:
            session.end("controller_lost", why)
            session.join()
        self._robot.close()
        self._ledger.close()

    def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        session = self._session if self._session is not None and not self._session.over else None
        profile, fault = self._robot.profile, self._robot.fault()
        state, message = "idle", "waiting for a session"
        if session is not None:
            state = "session" if session.is_open else "resetting"
            message = f"driven by {session.request.display or 'job ' + str(session.key.job)}"
        elif not self._settled.is_set() or self._maintenance is not None:
            state, message = "resetting", f"{self._maintenance or 'coming to rest'} is under way"
        elif fault is not None:
            state, message = "unhealthy", fault
        status = control.ControllerStatus(
            control_version=control.CONTROL_VERSION,
            software=__version__,
            robot=profile.name,
            kind=profile.kind,
            plant=profile.plant,
            env_ids=list(profile.env_ids),
            state=state,
            message=message,
            passport=profile.passport,
            session=None if session is None else _numbers(session.key),
            warnings=[*profile.warnings, *self._warnings()],
        )
        return {"status": asdict(status)}

    def _pins(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Not in the contract with the runner: for `doctor`, whose environment is another one."""
        return {"pins": self._robot.profile.pins}

    def _warnings(self) -> list[str]:
        waiting = self._results.waiting()
        if waiting <= MANY_RESULTS:
            return []
        return [f"{waiting} sessions' results wait in {self._results.root} for a runner to fetch them"]

    def _open(self, message: dict[str, Any], gone: Callable[[], bool]) -> dict[str, Any]:
        request = _checked(control.parse(control.SessionRequest, message.get("request")))
        self._settled.wait(SETTLE_S)
        with self._lock:
            self._refuse(request)
            if gone():  # this process may have been held up for long
                log.warning("job %s: not opened, for who asked has hung up", key_of(request))
                raise ConnectionAbortedError("nobody waits for the session any more")
            session = Session(self._robot, request, self._results, self._sessions)
            self._write_down(request)  # on the disk before anything moves
            self._session = session
            session.start()
        return {"session": asdict(session.opened(gone))}

    def _refuse(self, request: control.SessionRequest) -> None:
        key, session = key_of(request), self._session
        if self._ledger.bars(key):
            raise control.ControlError(
                "already_opened",
                f"session {key} was opened before and is never run twice: ask for its `result`",
            )
        if self._closing:
            raise control.ControlError("busy", "the controller is shutting down: try again when it is back")
        if session is not None and not session.over:
            raise control.ControlError("busy", f"session {session.key} is open: wait for its end or close it")
        if self._maintenance is not None or not self._settled.is_set():
            raise control.ControlError(
                "busy", f"{self._maintenance or 'coming to rest'} is under way: wait for its end"
            )
        if request.env_id not in self._robot.profile.env_ids:
            hosted = ", ".join(self._robot.profile.env_ids)
            raise control.ControlError(
                "unsupported", f"robot {self._robot.profile.name} hosts {hosted}, not {request.env_id!r}"
            )
        if (fault := self._robot.fault()) is not None:
            raise control.ControlError("unhealthy", fault)

    def _write_down(self, request: control.SessionRequest) -> None:
        try:
            self._results.begin(request)
            self._ledger.add(key_of(request))
        except OSError as error:
            raise control.ControlError(
                "unhealthy",
                f"the data directory cannot be written ({error.strerror}): free space or mend its access",
            ) from error

    def _close(self, request: dict[str, Any]) -> dict[str, Any]:
        key, session = _key(request), self._session
        if session is not None and session.key == key:
            session.close(_why(request, "the runner closed the session"))
            return {"summary": asdict(session.summary())}
        return {"summary": asdict(self._concluded(key))}

    def _result(self, request: dict[str, Any]) -> dict[str, Any]:
        key, session = _key(request), self._session
        if session is not None and session.key == key and not session.ending:
            raise control.ControlError(
                "busy", f"session {key} is still open: close it or follow it to its end"
            )
        return {"summary": asdict(self._concluded(key))}

    def _forget(self, request: dict[str, Any]) -> dict[str, Any]:
        key, session = _key(request), self._session
        if session is not None and session.key == key and not session.over:
            raise control.ControlError("busy", f"session {key} is still open: close it first")
        self._results.forget(key)
        return {}

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        self._robot.stop()
        session = self._session
        if session is not None:
            session.end("emergency_stop", _why(request, "someone stopped the robot"))
        log.warning("emergency stop: %s", _why(request, "no reason given"))
        return {}

    def _maintain(self, request: dict[str, Any]) -> dict[str, Any]:
        """Not in the contract with the runner: for the commands `selftest`, `calibrate` and `jog` here."""
        task = request.get("task")
        if task not in TASKS:
            raise control.ControlError("bad_request", f"task {task!r} is not one of {', '.join(TASKS)}")
        self._settled.wait(SETTLE_S)
        with self._lock:
            if self._closing or self._maintenance or (self._session is not None and not self._session.over):
                raise control.ControlError("busy", "the robot is in use: try again when `status` says idle")
            self._maintenance = task
        said: list[str] = []
        try:
            self._robot.maintain(task, said.append, _options(request))
        except HardwareError as error:
            raise control.ControlError("unhealthy", "\n".join([*said, str(error)])) from error
        finally:
            self._robot.stop()
            self._maintenance = None
        return {"said": said}

    def _concluded(self, key: SessionKey) -> control.SessionSummary:
        session = self._session
        if session is not None and session.key == key and self._results.directory(key).exists():
            return session.summary()  # even where a full disk did not take it
        summary = self._results.summary(key)
        if summary is None:
            opened = (
                "it was opened and its results were forgotten"
                if key in self._ledger
                else "it was never opened"
            )
            raise control.ControlError("unknown_session", f"nothing is recorded for session {key}: {opened}")
        return summary

    def _recover(self) -> None:
        """Conclude what a crash of the controller left open; drop what never came as far as the ledger."""
        for key in self._results.unfinished():
            if key not in self._ledger:
                self._results.forget(key)
                continue
            self._conclude_lost(key)

    def _conclude_lost(self, key: SessionKey) -> None:
        request = self._results.request(key) or _unreadable_request(key, self._robot.profile.env_ids[0])
        end = End("controller_lost", "the controller died during the session; what it had recorded is kept")
        summary = conclude(self._results, self._robot.profile, request, end)
        log.warning("job %s: open when the controller died; %s rows were kept", key, summary.ticks)


def _checked(request: control.SessionRequest) -> control.SessionRequest:
    """`request`, its values within bounds; types were checked by `control.parse`."""
    sizes = [len(text) for pair in request.header.items() for text in pair]
    rules = {
        f"job, attempt and number must be at least 1, 1 and 0 and at most {MAX_ID}": (
            1 <= request.job <= MAX_ID and 1 <= request.attempt <= MAX_ID and 0 <= request.number <= MAX_ID
        ),
        f"timeout_s must be above 0 and at most {MAX_TIMEOUT_S:.0f}": (
            math.isfinite(request.timeout_s) and 0 < request.timeout_s <= MAX_TIMEOUT_S
        ),
        f"client_uid must be from 0 to {MAX_UID}": 0 <= request.client_uid <= MAX_UID,
        _SERVER_RULE: control.SERVER_ID.fullmatch(request.server) is not None,
        f"display may have {MAX_DISPLAY} characters": len(request.display) <= MAX_DISPLAY,
        f"header may have {MAX_HEADER} entries of {MAX_HEADER_TEXT} characters": (
            len(request.header) <= MAX_HEADER and max(sizes, default=0) <= MAX_HEADER_TEXT
        ),
    }
    for rule, kept in rules.items():
        if not kept:
            raise control.ControlError("bad_request", f"SessionRequest: {rule}")
    return request


def _key(request: dict[str, Any]) -> SessionKey:
    values = [request.get(name) for name in _NUMBERS]
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= MAX_ID for v in values):
        raise control.ControlError(
            "bad_request", "job, attempt and number must name a session, as whole numbers"
        )
    server = request.get("server", "")
    if not isinstance(server, str) or not control.SERVER_ID.fullmatch(server):
        raise control.ControlError("bad_request", _SERVER_RULE)
    job, attempt, number = (int(str(v)) for v in values)
    return SessionKey(job, attempt, number, server)


def _numbers(key: SessionKey) -> dict[str, int]:
    return {name: getattr(key, name) for name in _NUMBERS}


def _options(request: dict[str, Any]) -> dict[str, float]:
    options = request.get("options", {})
    if not isinstance(options, dict) or not all(isinstance(v, int | float) for v in options.values()):
        raise control.ControlError("bad_request", "options must be an object of numbers")
    return {str(name): float(value) for name, value in options.items()}


def _why(request: dict[str, Any], default: str) -> str:
    why = request.get("why")
    return " ".join(why.split())[:500] if isinstance(why, str) and why.strip() else default


def _unreadable_request(key: SessionKey, env_id: str) -> control.SessionRequest:
    """Stands for a request that the crash left unreadable: the session is concluded all the same."""
    return control.SessionRequest(
        key.job, key.attempt, key.number, env_id, timeout_s=0.0, client_uid=0, server=key.server
    )
