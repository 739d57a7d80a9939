"""What Docker's failures mean to a host: each as one error that says what to do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import requests
from docker.errors import APIError, DockerException, ImageNotFound


class SandboxError(Exception):
    """Docker is missing or failed; the message says what to do.

    Attributes:
        code: `missing`, `permission`, `stopped`, `image` or `engine`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Every failure of the SDK inside leaves as a `SandboxError`."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise explained(error) from error


def check_socket(host: str) -> None:
    """The two common reasons why no engine is reached at `host`, told apart before the SDK wraps them.

    Raises:
        SandboxError: The engine is missing, or this user may not use it.
    """
    path = Path(host.removeprefix("unix://"))
    if not host.startswith("unix://"):
        return
    if not path.exists():
        raise SandboxError(
            "missing",
            "Docker is not installed or not running: install it (Debian: `sudo apt install docker.io`), "
            "or start it (`sudo systemctl start docker`)",
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise SandboxError(
            "permission",
            "this user may not use Docker: run `sudo usermod -aG docker $USER`, then log in again",
        )


def explained(error: Exception) -> SandboxError:
    """A failure of the SDK in a host's words."""
    if isinstance(error, ImageNotFound):
        return SandboxError("image", "the container image is missing: run `raas-runner image build`")
    if isinstance(error, APIError):
        return SandboxError("engine", f"Docker refused: {error.explanation or error}")
    return SandboxError("stopped", "Docker does not answer: start it (`sudo systemctl start docker`)")
