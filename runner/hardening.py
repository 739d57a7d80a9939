"""The walls around a job's container, as Docker options. Pure: no engine is named or reached here.

What each wall is for:

| wall | against |
|---|---|
| no network | reaching the host, the metadata service, other machines |
| read-only root, `/tmp` and `/dev/shm` in memory | changing the image, filling the disk |
| no capabilities, no new privileges, `seccomp`, a plain user | the kernel's rarely used doors |
| pids | fork bombs |
| memory, and no swap beyond it | memory hogs; files in `/tmp` and `/artifacts` count too |
| a processor set that leaves the controller's core alone | starving the control loop |
| open files, file size, no core dumps | exhausting the kernel's tables, sparse-file bombs |
| no log kept by the engine | filling the disk with output: the runner reads the stream and cuts it |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import seccomp

JOB_UID = 10001
"""The user inside the container: no name, no group, no home on the host."""
SOURCE_DIR = "/repo"
SESSION_DIR = "/run/raas"
ARTIFACTS_DIR = "/artifacts"
REQUIREMENTS_DIR = "/opt/raas/requirements"
"""Packages of the repository's requirements file; found before the image's own."""
WHEELS_DIR = "/wheels"
MIB = 1 << 20
SANDBOX_PIDS = 64
"""Threads of another runtime's own: gVisor's kernel is a program, and was ended at start by 64 in all."""
BACKGROUND_SHARES = 16
"""Of processor time, where a program that is not in the background has 1024."""


@dataclass(frozen=True)
class Limits:
    """What one container may use.

    Attributes:
        memory_bytes: Main memory, with everything in `/tmp`, `/dev/shm` and `/artifacts`.
        pids: Processes and threads.
        tmp_bytes: Size of `/tmp`.
        artifact_bytes: Size of `/artifacts`, and of the longest single file anywhere.
        artifact_inodes: Files and folders in `/artifacts`.
        cpuset: Processors as in `1-3`, or empty for all.
        cpus: Processor time as a number of processors, or 0 for all of `cpuset`.
        background: Whether everything else goes before it.
        runtime: Name of the engine's runtime, or empty for its usual one.
    """

    memory_bytes: int = 1024 * MIB
    pids: int = 256
    tmp_bytes: int = 256 * MIB
    artifact_bytes: int = 64 * MIB
    artifact_inodes: int = 4096
    cpuset: str = ""
    cpus: float = 0.0
    background: bool = False
    runtime: str = ""

    @property
    def counted_pids(self) -> int:
        """What the kernel may count: another runtime's own threads are among the container's."""
        return self.pids + (SANDBOX_PIDS if self.runtime else 0)


@dataclass(frozen=True)
class Exit:
    """How a container ended: its status, and whether the kernel killed something in it for its memory."""

    code: int
    out_of_memory: bool


@dataclass(frozen=True)
class ContainerSpec:
    """One container to run.

    Attributes:
        image: Tag or digest.
        command: The program and its arguments.
        owner: The runner's identity, for the label.
        job: `ID-ATTEMPT`, for the label and the name.
        limits: What it may use.
        source: Folder mounted read-only as the working directory.
        session_dir: Folder with the step socket, or None where no robot is involved.
        socket: The socket's name in it.
        volume: The artifacts volume, or None.
        binds: Further folders mounted read-only, by their place in the container.
    """

    image: str
    command: list[str]
    owner: str
    job: str
    limits: Limits
    source: Path
    session_dir: Path | None = None
    socket: str | None = None
    volume: str | None = None
    binds: Mapping[str, Path] = field(default_factory=dict)


def spare_cpus(available: set[int] | None = None) -> set[int]:
    """Every processor but the first, which stays the controller's; none on a machine with only one."""
    cpus = sorted(os.sched_getaffinity(0) if available is None else available)
    return set(cpus[1:])


def spare_cpuset(available: set[int] | None = None) -> str:
    """`spare_cpus` in the kernel's way of writing; empty, which means all, on a machine with only one."""
    return ",".join(str(cpu) for cpu in sorted(spare_cpus(available)))


def options(limits: Limits) -> dict[str, Any]:
    """Arguments of the Docker SDK's `containers.create` that every container of ours gets."""
    return {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", f"seccomp={seccomp.profile()}"],
        "user": f"{JOB_UID}:{JOB_UID}",
        "init": True,
        "ipc_mode": "private",
        "shm_size": 64 * MIB,
        "tmpfs": {"/tmp": f"rw,nosuid,nodev,size={limits.tmp_bytes},nr_inodes=16384,mode=1777"},  # noqa: S108  # the container's own
        "pids_limit": limits.counted_pids,
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "mem_swappiness": 0,
        "oom_score_adj": 500,
        "cpuset_cpus": limits.cpuset or None,
        "nano_cpus": int(limits.cpus * 1e9) or None,
        "cpu_shares": BACKGROUND_SHARES if limits.background else None,
        "runtime": limits.runtime or None,
        "hostname": "raas",
        "restart_policy": {"Name": "no"},
    }


def ulimits(limits: Limits) -> dict[str, int]:
    """Resource limits by name, soft and hard alike."""
    return {"nofile": 1024, "core": 0, "fsize": limits.artifact_bytes, "memlock": 64 * 1024}


def shell(run: str) -> list[str]:
    """The command line of `run`. Both streams go into one pipe: two would lose the order of the output.

    A stop reaches the shell together with the program. A shell that ended at once would take the whole
    container with it while the program still writes its files; with the trap it waits for the program and
    ends with its status. A handler, unlike an ignored signal, is not passed on to the program.
    """
    return ["sh", "-c", f"exec 2>&1\ntrap exit TERM\n{run}"]


def environment(socket: str | None) -> dict[str, str]:
    """Environment of the program: unbuffered output, every cache in memory, where the robot is."""
    variables = {
        "HOME": "/tmp",  # noqa: S108  # the container's own
        "USER": "raas",
        "LOGNAME": "raas",
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
        "MPLBACKEND": "Agg",
        "XDG_CACHE_HOME": "/tmp/cache",  # noqa: S108
        "XDG_RUNTIME_DIR": "/tmp",  # noqa: S108
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",
        "LANG": "C.UTF-8",
        "RAAS_ARTIFACTS_DIR": ARTIFACTS_DIR,
        # docker-init passes a stop on to every process, not to the shell alone
        "TINI_KILL_PROCESS_GROUP": "1",
    }
    if socket is not None:
        variables["RAAS_STEP_SOCKET"] = f"{SESSION_DIR}/{socket}"
    return variables


def volume_options(limits: Limits) -> dict[str, str]:
    """Driver options of the artifacts volume: memory, bounded in bytes and in inodes."""
    # for all: only the job and its keeper mount it, and who the job's user is out here depends on the engine
    owner = f"uid={JOB_UID},gid={JOB_UID},mode=0777"
    size = f"size={limits.artifact_bytes},nr_inodes={limits.artifact_inodes}"
    return {"type": "tmpfs", "device": "tmpfs", "o": f"{size},{owner},nosuid,nodev,noexec"}
