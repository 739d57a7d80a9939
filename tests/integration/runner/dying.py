"""A real runner process that kills itself with -9 at a place of the test's choice, at exactly that moment."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NoReturn

from demo.processes import end_with_parent

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["runner.cli", __name__])


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


def start(environment: Mapping[str, str], log: Path, place: Place | None) -> ForkServerProcess:
    """`raas-runner run` as a process of its own; with no place it lives."""
    process = _FORKING.Process(target=_run, args=(dict(environment), log, place))
    process.start()
    return process


def _run(environment: dict[str, str], log: Path, place: Place | None) -> None:
    from runner.cli import raas_runner  # noqa: PLC0415 - there already, where processes are forked

    end_with_parent()
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.environ.clear()
    os.environ.update(environment)
    if place is not None:
        place.arm()
    sys.argv = ["raas-runner", "run"]
    raas_runner(["run"])
