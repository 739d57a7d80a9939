"""The host's package index for one installation: which it is, and the process that serves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from runner.engine_errors import SandboxError
from runner.hardening import spare_cpus
from runner.package_index import IndexSettings

PIP = "pip"
"""In the place of a URL: what this machine's pip uses."""
_PIP_PLACES = ["global", "user", "site", "install", "download", ":env:"]
"""Parts of its configuration, the later ones overriding the earlier."""


def places(index: list[str]) -> tuple[list[str], str]:
    """The indexes' URLs, and a file of certificates or nothing.

    Raises:
        SandboxError: `pip` is named and there is none.
    """
    urls = [url for item in index for url in (of_pip()[0] if item == PIP else [item])]
    return urls, of_pip()[1] if PIP in index else os.environ.get("PIP_CERT", "")


@contextmanager
def serving(folder: Path, urls: list[str], bytes_max: int, cert: str) -> Iterator[None]:
    """Serve the indexes on a socket in `folder`.

    Raises:
        SandboxError: The process does not start.
    """
    settings = IndexSettings(str(folder), urls, bytes_max, cert, sorted(spare_cpus()))
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.package_index"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is its parent's to handle; it ends with its input
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("pipes were asked for")
        process.stdin.write(settings.to_json() + "\n")
        process.stdin.flush()
        if process.stdout.readline().strip() != "ready":
            process.kill()
            _, errors = process.communicate()
            last = errors.strip().splitlines()[-1:] or ["no reason given"]
            raise SandboxError("index", f"the package index cannot be served: {last[0]}")
        yield
    finally:
        process.kill()
        process.communicate()


@cache
def of_pip() -> tuple[list[str], str]:
    """What this machine's pip is configured to use."""
    known = {}
    lines = _pip("-m", "pip", "config", "list").splitlines()
    known_places = [line for line in lines if line.split(".")[0] in _PIP_PLACES]
    for line in sorted(known_places, key=lambda line: _PIP_PLACES.index(line.split(".")[0])):
        key, _, value = line.partition("=")
        known[key.rsplit(".", 1)[-1]] = value.strip("'\"")
    first = known.get("index-url") or _pip(
        "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    )
    return [first.strip(), *known.get("extra-index-url", "").split()], known.get("cert", "")


def _pip(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(
            "index", "pip is not installed here: name the URL of a package index in `packages: {index: …}`"
        )
    return done.stdout
