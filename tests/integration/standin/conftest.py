"""A stand-in for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standin import Site, site


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running stand-in; tests make repositories of their own on it."""
    with site(tmp_path_factory.mktemp("github")) as running:
        yield running
