"""Runs a client program as a job would run: in a hardened container of the base image, beside a socket.

Without a Docker engine it runs as a plain process, and says so: the figures then leave the container out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from runner.hardening import spare_cpuset

CLIENT = Path(__file__).with_name("step_client.py")
UID = 64000


def image() -> str | None:
    """The base image, built if need be; None without an engine."""
    from runner import base_image  # noqa: PLC0415 - only where Docker is
    from runner.engine_errors import SandboxError  # noqa: PLC0415
    from runner.sandbox import Engine  # noqa: PLC0415

    try:
        engine = Engine()
    except SandboxError:
        return None
    try:
        return base_image.ensure(engine, say=lambda _: None)
    finally:
        engine.close()


def client(chosen: str | None, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run `step_client.py` with `arguments` beside the sockets in `folder`; what it printed as JSON."""
    command = [sys.executable, str(CLIENT), *arguments]
    environment = {**os.environ, "STEP_FOLDER": str(folder)}
    if chosen:
        docker = shutil.which("docker") or "docker"
        command = [docker, "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL"]
        command += ["--security-opt=no-new-privileges", f"--user={UID}:{UID}", "--pids-limit=128"]
        command += [
            "--memory=1g",
            f"--cpuset-cpus={spare_cpuset()}",
            "-e",
            "STEP_FOLDER=/run/raas",
            "-v",
            f"{folder}:/run/raas",
        ]
        command += ["-v", f"{CLIENT}:/client.py:ro", chosen, "python3", "/client.py", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the client failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
