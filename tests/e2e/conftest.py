"""The whole of RaaS as processes, started once for the tests that only use it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from e2e_lab import STEPPING, Lab, running
from needs import need_docker

from demo.processes import script


@pytest.fixture(scope="session")
def base_image() -> None:
    """The containers' base image; made if it is missing."""
    need_docker()
    subprocess.run([script("raas-runner"), "image", "build"], check=True, capture_output=True)


@pytest.fixture(scope="session")
def lab(base_image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all tests that leave it as they found it."""
    yield from running(tmp_path_factory.mktemp("lab"), {})


@pytest.fixture
def stepping() -> Callable[[int], dict[str, str]]:
    """A repository that steps so many times."""
    return lambda steps: {"run.py": STEPPING.format(steps=steps)}
