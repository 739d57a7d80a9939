"""Fixtures that several folders use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from dockerd import FURTHER, Dockerd
from hypothesis import settings
from needs import need, need_chromium, need_docker

from runner import base_image
from runner.sandbox import Engine

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "run containers in an engine of our own, behind a further wall (`make test-walls`)"
    parser.addoption("--walls", choices=sorted(FURTHER), help=what)


@pytest.fixture(scope="session", autouse=True)
def runtime(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A runner's `runtime`; with `--walls`, every test meets the engine that has them."""
    kind = pytestconfig.getoption("--walls")
    if kind is None:
        yield ""
        return
    walls = FURTHER[kind]
    need(shutil.which(walls.program) is not None, walls.program, "run tools/bootstrap.sh docker gvisor")
    usual = Engine()
    image = base_image.ensure(usual, say=lambda _: None)
    usual.close()
    engine = Dockerd(tmp_path_factory.mktemp("dockerd") / "log", image, walls)
    os.environ["DOCKER_HOST"] = engine.host
    try:
        yield walls.runtime
    finally:
        del os.environ["DOCKER_HOST"]
        engine.close()


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
