"""Paths of what other folders' tests bring, and the machine that all tests here share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in ("e2e", "integration/runner"))
from service import Service, in_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Server, controller and runner as units of a machine of their own."""
    with in_service(tmp_path_factory.mktemp("units")) as running:
        yield running
