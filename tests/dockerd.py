"""A Docker engine of a test's own: it may be killed, or have walls that the machine's engine has not.

Nobody else's containers are in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.processes import Process, wait_until

START_S = 120.0


@dataclass(frozen=True)
class Walls:
    """A way to run containers.

    Attributes:
        options: Of `dockerd`.
        settings: Its daemon.json, as docs/hosts.md tells hosts to write it.
        runtime: What a runner's `runtime` is set to.
        program: What must be installed.
    """

    options: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    runtime: str = ""
    program: str = "dockerd"


PLAIN = Walls()
RUNSC = {"path": "/usr/bin/runsc", "runtimeArgs": ["--platform=ptrace", "--network=none", "--host-uds=open"]}
FURTHER = {
    "userns": Walls(settings={"userns-remap": "default"}),
    "gvisor": Walls(settings={"runtimes": {"runsc": RUNSC}}, runtime="runsc", program="runsc"),
}


def missing() -> str | None:
    """Why there can be no such engine here, or None."""
    if os.geteuid() != 0:
        return "a Docker engine of its own needs root; run as root, or without --own-docker"
    if shutil.which("dockerd") is None:
        return "dockerd is not installed (apt-get install docker.io)"
    return None


class Dockerd:
    """An engine without any network, in a folder of its own; started, with `image` in it.

    Args:
        log: Where it writes what it does.
        image: An image of the machine's usual engine.
        walls: How it runs containers.
    """

    def __init__(self, log: Path, image: str, walls: Walls = PLAIN) -> None:
        self._log = log
        self._options = walls.options
        # A short path: the names of the sockets below it are long.
        self._home = Path(tempfile.mkdtemp(prefix="raas-dockerd-"))
        self._home.chmod(0o711)  # passable: where users are mapped, the containers' root is not ours
        (self._home / "daemon.json").write_text(json.dumps(walls.settings))
        self.host = f"unix://{self._home}/docker.sock"
        self.process: Process
        try:
            self.start()
            self._load(image)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start it (again) and wait until it answers."""
        home = self._home
        # In a network of its own: an engine without a bridge removes `docker0`, which is the usual one's.
        command = ["unshare", "--net", "dockerd", "--config-file", str(home / "daemon.json")]
        command += ["--host", self.host, "--data-root", str(home / "data"), "--exec-root", str(home / "exec")]
        command += ["--pidfile", str(home / "pid"), "--bridge", "none"]
        command += ["--iptables=false", "--ip6tables=false", *self._options]
        self._bury()
        self.process = Process("dockerd", command, self._log)
        self.process.ready(self._answers, START_S)

    def _bury(self) -> None:
        """What a killed engine leaves: the next would take a process that just ends for a running one."""
        containerd = self._home / "exec" / "containerd" / "containerd.pid"
        if containerd.exists():
            ending = Path("/proc", containerd.read_text().strip(), "cmdline")
            wait_until(lambda: not _is_about(ending, self._home), START_S, "containerd to end")
            containerd.unlink()
        (self._home / "pid").unlink(missing_ok=True)

    def close(self) -> None:
        """End it, its containers with it, and leave nothing."""
        if self._answers():
            found = self.command("ps", "-aq").stdout.split()
            if found:
                self.command("rm", "-f", *found)
        self.process.stop(60)
        end_shims(self._home)
        for mount in sorted(self._mounts(), key=len, reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        # what lay on a busy mount may take a moment to let go
        wait_until(self._removed, 30, f"{self._home} to be removed", 0.5)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker …` against this engine."""
        return subprocess.run(
            ["docker", "--host", self.host, *words], capture_output=True, text=True, check=False
        )

    def _answers(self) -> bool:
        return self.command("info").returncode == 0

    def _load(self, image: str) -> None:
        load = ["docker", "--host", self.host, "load", "--quiet"]
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            subprocess.run(load, stdin=save.stdout, stdout=subprocess.DEVNULL, check=True)
        if save.returncode:
            raise RuntimeError(f"`docker save {image}` failed")

    def _mounts(self) -> list[str]:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        return [mount for mount in mounts if mount.startswith(str(self._home))]

    def _removed(self) -> bool:
        shutil.rmtree(self._home, ignore_errors=True)
        return not self._home.exists()


def end_shims(home: Path) -> None:
    """End what watched containers below `home` when their engine was killed: nobody else would."""
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        if _is_about(cmdline, home / "exec" / "containerd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(cmdline.parent.name), signal.SIGKILL)


def _is_about(cmdline: Path, folder: Path) -> bool:
    try:
        return str(folder) in cmdline.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
