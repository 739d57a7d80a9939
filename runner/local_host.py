"""What a local run needs of this machine: a folder of its own, and a controller with a simulated robot.

Runs may go on side by side. One that was killed leaves its folder and containers behind: the next one sees
that nobody holds the folder's lock any more, and removes both.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raas_gym.control import ControlClient, ControlError
from runner.held import BusyError, Store
from runner.sandbox import Engine
from runner.workspace import remove

ROBOT = "simulation"
START_S = 30.0
"""How long the controller may take to answer [s]."""
_PR_SET_PDEATHSIG = 1


class LocalError(Exception):
    """This machine cannot run a repository now; the message says what to do."""


def state_dir() -> Path:
    """Where local runs work, in the user's state folder."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "raas" / "local-runs"


@contextmanager
def working_folder(engine: Engine) -> Iterator[Store]:
    """A folder for one run; it and everything of it in Docker is gone at the end."""
    base = state_dir()
    base.mkdir(mode=0o711, parents=True, exist_ok=True)
    with _alone(base):
        for old in base.glob("run-*"):
            _sweep(engine, old)
        path = Path(tempfile.mkdtemp(prefix="run-", dir=base))
        path.chmod(0o711)  # passable: the container's user reads the source below it
        store = Store(path)
        lock = store.lock()
    try:
        yield store
    finally:
        lock.close()
        with _alone(base):
            _sweep(engine, path)


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    with (base / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(engine: Engine, path: Path) -> None:
    """Remove what a run left, unless it is going on or gone."""
    if not path.exists():
        return
    store = Store(path)
    try:
        lock = store.lock()
    except BusyError:
        return
    with lock:
        engine.sweep(store.owner)
        remove(_socket_folder(store))
        remove(path)


def _socket_folder(store: Store) -> Path:
    """A short path: a Unix socket's may have 107 characters."""
    return Path(tempfile.gettempdir(), f"raas-run-{store.owner}")


@contextmanager
def simulated_robot(store: Store) -> Iterator[ControlClient]:
    """A controller with a simulated robot, as a host would start it.

    Raises:
        LocalError: It does not start.
    """
    folder = _socket_folder(store)
    folder.mkdir(mode=0o711)
    socket, log = folder / "control.sock", store.path / "controller.log"
    command = [_program(), "serve", "--plant", "simulated", "--name", ROBOT]
    command += ["--socket", str(socket), "--data-dir", str(store.path / "controller")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is ours to handle
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # one system call, no lock is touched
        )
    try:
        yield _answering(process, ControlClient(str(socket)), log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _program() -> str:
    beside = Path(sys.executable).with_name("raas-controller")
    found = str(beside) if beside.exists() else shutil.which("raas-controller")
    if found is None:
        raise LocalError("the program raas-controller is missing: install this package again")
    return found


def _answering(process: subprocess.Popen[bytes], control: ControlClient, log: Path) -> ControlClient:
    """The client, once the controller answers."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            control.status()
        except ControlError as error:  # repeating is what this loop is for
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-1:] or [str(error)]
                raise LocalError(f"the simulated robot did not start: {last[0]}") from error
            time.sleep(0.05)
        else:
            return control


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


_LIBC = ctypes.CDLL(None, use_errno=True)
