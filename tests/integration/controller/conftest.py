"""A real `raas-controller` on a simulated robot, for each test that asks for one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_lab import Daemon

from raas_gym.control import SessionOpened
from raas_gym.remote import RemoteEnv


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a path short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="rc"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts controllers; ends them with the test."""
    daemons: list[Daemon] = []

    def begin(*arguments: str, **popen: Any) -> Daemon:
        daemons.append(Daemon(home, *arguments, **popen))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.end()
        assert daemon.process.stderr is not None
        daemon.process.stderr.close()


@pytest.fixture
def daemon(start: Callable[..., Daemon]) -> Daemon:
    """A controller with default settings."""
    return start()


@pytest.fixture
def connect() -> Iterator[Callable[[SessionOpened], RemoteEnv]]:
    """Connects programs to opened sessions; closes them with the test."""
    envs: list[RemoteEnv] = []

    def connected(opened: SessionOpened) -> RemoteEnv:
        envs.append(RemoteEnv(str(Path(opened.directory) / opened.socket)))
        return envs[-1]

    yield connected
    for env in envs:
        env.close()
