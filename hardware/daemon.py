"""The controller as a process: one data directory, one robot, one socket, until SIGTERM."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from hardware import realtime
from hardware.control_server import ControlServer
from hardware.controller import Controller
from hardware.errors import StartupError
from hardware.robot import Robot
from hardware.watchdog import Watchdog

SWITCH_INTERVAL_S = 0.0005
"""How long another thread may keep the interpreter from the tick loop [s]; a tenth of Python's default."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Where the controller lives.

    Attributes:
        data: The data directory: lock, ledger, results.
        socket: The control socket; the sessions' directories are made beside it.
    """

    data: Path
    socket: Path

    @property
    def sessions(self) -> Path:
        """Where each session gets a directory with its step socket."""
        return self.socket.parent / f"{self.socket.stem}-sessions"


def serve(settings: Settings, build: Callable[[], Robot]) -> None:
    """Serve the robot that `build` makes until SIGTERM or SIGINT; then stop motor and session, and return.

    Raises:
        StartupError: It cannot start; the message says what to do.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    realtime.raise_process()
    realtime.lock_memory()
    with lock_data_directory(settings.data):
        _prepare_sessions(settings.sessions)
        watchdog = Watchdog(os.environ)
        robot = build()  # not before the lock: its pins are one owner's
        try:
            controller = Controller(robot, settings.data, settings.sessions)
            server = ControlServer(settings.socket, controller)
            log.info("robot %s (%s) at %s", robot.profile.name, robot.profile.plant, settings.socket)
            threading.Thread(target=controller.settle, name="settle", daemon=True).start()
            watchdog.ready()
            while not stop.wait(watchdog.period_s):
                watchdog.feed()
            log.info("stopping")
            controller.shutdown("the controller was stopped")
            server.close()
        finally:
            watchdog.close()
            robot.close()


def lock_data_directory(path: Path) -> TextIO:
    """Take the data directory for this process alone; the file returned holds the lock.

    Raises:
        StartupError: Another controller has it, or it cannot be used.
    """
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = (path / "lock").open("a+")
    except OSError as error:
        raise StartupError(
            f"the data directory {path} cannot be used ({error.strerror}): mend its access"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise StartupError(
            f"another controller (process {owner}) uses the data directory {path}: "
            "stop it, or give this one another --data-dir"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _prepare_sessions(path: Path) -> None:
    """An empty directory for sessions: whoever holds a session's path may pass, nobody may list."""
    shutil.rmtree(path, ignore_errors=True)  # what a crash left
    path.mkdir(parents=True)
    path.chmod(0o711)
