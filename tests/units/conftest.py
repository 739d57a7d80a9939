"""The machine that all tests here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service import Service, in_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Server, controller and runner as units of a machine of their own."""
    with in_service(tmp_path_factory.mktemp("units")) as running:
        yield running
