"""One stand-in for all contract tests, held to GitHub's official description."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standin import Site, need_description, site


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running stand-in; tests make repositories of their own on it."""
    need_description()
    with site(tmp_path_factory.mktemp("github"), conformance=True) as running:
        yield running


@pytest.fixture
def hosted(shared: Site) -> Iterator[Site]:
    """The shared stand-in; the test fails if anything it did does not fit GitHub's description."""
    watch = shared.github.hub.conformance
    assert watch is not None
    watch.violations.clear()
    yield shared
    shared.world.settle()
    assert not watch.violations, "\n".join(map(str, watch.violations))
