"""Starts `step_host.py` for a benchmark and ends it afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def host(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `step_host.py` that is ready to serve."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.step_host", *arguments],
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
