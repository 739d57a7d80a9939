"""A real process of ours that kills itself with -9 at exactly the moment that a test chooses."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NoReturn

from demo.processes import end_with_parent

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["runner.cli", "hardware.cli", __name__])


@dataclass(frozen=True)
class Place:
    """Where a process dies: before or after a call, or in the middle of one that copies a file.

    Attributes:
        target: `module:attribute`, through which the program finds what it calls.
        when: `before`, `after`, or `torn`: half of a file is on disk then.
        number: Which call of it; after a call, one that answered nothing does not count where `answered`.
        answered: See there.
    """

    target: str
    when: str = "before"
    number: int = 1
    answered: bool = False

    def arm(self) -> None:
        """Put the death in its place."""
        module, _, path = self.target.partition(":")
        *way, name = path.split(".")
        holder = reduce(getattr, way, importlib.import_module(module))
        setattr(holder, name, self._deadly(getattr(holder, name)))

    def _deadly(self, call: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def called(*args: Any, **named: Any) -> Any:
            nonlocal calls
            if self.when != "after":
                calls += 1
                if calls == self.number:
                    _die() if self.when == "before" else _tear(*args)
                return call(*args, **named)
            answer = call(*args, **named)
            calls += answer is not None or not self.answered
            return _die() if calls == self.number else answer

        return called


def _tear(source: Any, target: Any, *_: Any) -> None:
    target.write(source.read(1))
    target.flush()
    _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("alive")


@dataclass(frozen=True)
class Command:
    """One of our commands as a process of its own.

    Attributes:
        entry: `module:function` of the program.
        arguments: After its name.
        environment: All of it.
        log: Where its output goes (appended).
    """

    entry: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path

    def start(self, place: Place | None = None) -> ForkServerProcess:
        """Start it; with no place it lives."""
        sent = replace(self, environment=dict(self.environment))
        process = _FORKING.Process(target=_run, args=(sent, place))
        process.start()
        return process

    def dies(self, place: Place, seconds: float = 60.0) -> None:
        """Start it and wait for its death in that place."""
        process = self.start(place)
        process.join(seconds)
        assert process.exitcode == -signal.SIGKILL, self.log.read_text()[-2000:]


def _run(command: Command, place: Place | None) -> None:
    end_with_parent()
    os.setsid()
    descriptor = os.open(command.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.environ.clear()
    os.environ.update(command.environment)
    module, _, program = command.entry.partition(":")
    main = getattr(importlib.import_module(module), program)
    if place is not None:
        place.arm()
    main(list(command.arguments))
