"""The whole of RaaS as processes, started once for the tests that only use it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e_lab import STEPPING, Lab
from needs import need_docker

from demo.processes import script
from demo.stack import Stack

FAST = {"RAAS_LEASE_S": "4", "RAAS_HEARTBEAT_S": "0.5"}
"""A short lease, so that a lost runner is noticed within a test's patience."""


@pytest.fixture(scope="session")
def base_image() -> None:
    """The containers' base image; made if it is missing."""
    need_docker()
    subprocess.run([script("raas-runner"), "image", "build"], check=True, capture_output=True)


@pytest.fixture(scope="session")
def lab(base_image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all tests that leave it as they found it."""
    yield from _running(tmp_path_factory.mktemp("lab"), {})


@pytest.fixture
def own_lab(base_image: None, tmp_path: Path) -> Iterator[Lab]:
    """A lab of one's own, to kill parts of."""
    yield from _running(tmp_path / "lab", FAST)


def _running(data: Path, settings: dict[str, str]) -> Iterator[Lab]:
    stack = Stack(data, settings, conformance=True)
    try:
        stack.start()
        yield Lab(stack)
        assert stack.world.violations() == []
    finally:
        stack.stop()


@pytest.fixture
def stepping() -> Callable[[int], dict[str, str]]:
    """A repository that steps so many times."""
    return lambda steps: {"run.py": STEPPING.format(steps=steps)}
