"""Fixtures that several folders use."""

from __future__ import annotations

import os

import pytest
from needs import need_chromium, need_docker


@pytest.fixture(autouse=True)
def _machine(request: pytest.FixtureRequest) -> None:
    """Skip (in CI: fail) what this machine cannot run, by marker."""
    if request.node.get_closest_marker("docker"):
        need_docker()
    if request.node.get_closest_marker("browser"):
        need_chromium()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No RAAS_ variable of the person who runs the tests leaks into them."""
    for name in list(os.environ):
        if name.startswith("RAAS_"):
            monkeypatch.delenv(name)
