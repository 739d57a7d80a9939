"""What a test needs from the machine: missing means skipped with the reason, and failed in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest


def need(there: bool, what: str, how: str) -> None:
    """Go on if `there`; otherwise skip (fail where CI is set) with `what` is missing and `how` to get it."""
    if there:
        return
    message = f"{what} is missing: {how}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@cache
def _docker_answers() -> bool:
    command = shutil.which("docker")
    if command is None:
        return False
    return subprocess.run([command, "info"], capture_output=True, check=False).returncode == 0


def need_docker() -> None:
    """A Docker engine that answers this user."""
    need(_docker_answers(), "a running Docker engine", "run tools/bootstrap.sh docker")


@cache
def chromium() -> str | None:
    """The path of a Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def need_chromium() -> str:
    """The path of a Chromium, or no test."""
    path = chromium()
    need(path is not None, "Chromium", "run tools/bootstrap.sh chromium")
    assert path is not None
    return path
