"""Starts a program for a benchmark and ends it afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


def host(*arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A process of `step_host.py` that is ready to serve."""
    return program("tests.bench.step_host", *arguments)


@contextmanager
def program(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of ours that has said its first line: it is ready."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.terminate()
