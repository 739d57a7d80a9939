"""A container as every job gets it, started once to see: does it run, is it alone, who is it on this host?

The controller admits one user of this host to a session's socket. Usually that is the user inside the
container. An engine that maps users (`userns-remap`, rootless) makes another one of it, and under gVisor a
helper connects for the program; nothing that Docker tells says which. So the container connects to a socket,
and the other end asks the kernel who that was.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.engine_errors import SandboxError
from runner.execution import execute
from runner.happenings import Happenings
from runner.hardening import JOB_UID, ContainerSpec, Limits, shell
from runner.joblog import JobLog
from runner.sandbox import Engine
from runner.settings import Settings

TRIAL_S = 60.0
TRIAL_LOG_BYTES = 16 * 1024
TRIAL_ARTIFACT_BYTES = 1 << 20
_SOCKET = "trial.sock"
_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid
_NO_SOCKET = "the robot's socket cannot be reached"
_ALONE = f"""\
import os, raas_gym, socket
from pathlib import Path
Path("/artifacts/trial").write_text("kept")
def is_up(interface):
    try:
        return (interface / "operstate").read_text() == "up\\n"
    except FileNotFoundError:  # gVisor tells names alone
        return interface.name != "lo"
others = [interface.name for interface in Path("/sys/class/net").iterdir() if is_up(interface)]
if others:
    raise SystemExit(f"it has a network: {{others}}")
try:
    socket.socket(socket.AF_UNIX).connect(os.environ["RAAS_STEP_SOCKET"])
except OSError as error:
    raise SystemExit(f"{_NO_SOCKET} ({{error.strerror}})")
"""


class TrialError(Exception):
    """The container does not do what every job's must; the message says what, and what to do."""


@dataclass(frozen=True)
class Trial:
    """It went well.

    Attributes:
        uid: The user of this host as whom the program meets the controller.
        seconds: How long it took.
    """

    uid: int
    seconds: float


def job_uid(engine: Engine, image: str, chosen: Settings) -> int:
    """The user of this host as whom jobs meet the controller: known, or found by a trial.

    Raises:
        SandboxError: No job could run, or none could reach its robot.
    """
    if not maps_users(engine.info(), chosen.runtime):
        return JOB_UID
    try:
        return attempt(engine, image, chosen).uid
    except TrialError as error:
        raise SandboxError("engine", f"no job can run on this host: {error}") from error


def maps_users(info: Mapping[str, Any], runtime: str | None) -> bool:
    """Whether a container's user may be another one outside.

    Args:
        info: What Docker says of itself and its host.
        runtime: The runtime that the host chose, or None for Docker's usual one.
    """
    options = " ".join(map(str, info.get("SecurityOptions") or []))
    usual = (runtime or info.get("DefaultRuntime") or "runc") in ("runc", "crun")
    return not usual or "name=userns" in options or "name=rootless" in options


def attempt(engine: Engine, image: str, chosen: Settings) -> Trial:
    """Start it, with a source where sources lie and a socket where the robot's is.

    Raises:
        TrialError: It does not do what it should.
        SandboxError: Docker refused it.
        OSError: The runner's folder cannot be written.
    """
    owner = secrets.token_hex(4)
    chosen.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="trial-", dir=chosen.data_dir) as scratch:
            return _attempt(engine, image, chosen.limits(TRIAL_ARTIFACT_BYTES), Path(scratch), owner)
    finally:
        engine.sweep(owner)


def _attempt(engine: Engine, image: str, limits: Limits, folder: Path, owner: str) -> Trial:
    folder.chmod(0o755)  # the container's user reads it
    program = folder / "run.py"
    program.write_text(_ALONE)
    program.chmod(0o644)
    began = time.monotonic()
    volume = engine.create_volume(owner, "1-1", limits, image)
    command = shell("python run.py")
    spec = ContainerSpec(
        image, command, owner, "1-1", limits, folder, session_dir=folder, socket=_SOCKET, volume=volume.name
    )
    log = JobLog(folder / "log", TRIAL_LOG_BYTES)
    with _listening(folder) as listener:
        try:
            ran = execute(engine, spec, log, Happenings(), TRIAL_S)
        finally:
            log.close()
        if ran.exit is None or ran.exit.code != 0:
            raise TrialError(explained(log.tail()))
        return Trial(_who_came(listener), time.monotonic() - began)


def _listening(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket's path ends at 107 bytes; the folder's own may be longer than that.
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{opened}/{_SOCKET}")
        (folder / _SOCKET).chmod(0o666)
        listener.listen(1)
        listener.settimeout(0)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(opened)
    return listener


def _who_came(listener: socket.socket) -> int:
    with suppress(BlockingIOError):
        caller, _ = listener.accept()
        with caller:
            found = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return int(_PEER.unpack(found)[1])
    raise TrialError(f"{_NO_SOCKET}: the program connected to another one")


def explained(output: str) -> str:
    """What the program said last, and what to do where that is known."""
    last = output.strip().splitlines()[-1:] or [f"it did not end within {TRIAL_S:g} s"]
    if _NO_SOCKET not in last[0]:
        return last[0][:300]
    return f"{last[0][:200]}; for gVisor add `--host-uds=open` to its `runtimeArgs` in Docker's daemon.json"
