"""The third-party files of pages: they ask for the version that set-up fetches, and the wheel has it."""

from __future__ import annotations

import configparser
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def assets() -> ModuleType:
    """tools/web_assets.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("web_assets", ROOT / "tools" / "web_assets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_ask_for_what_is_fetched(assets: ModuleType) -> None:
    served = {
        f"vendor/{package.folder.name}/{Path(name).name}"
        for package in assets.PACKAGES
        for name in package.files
    }
    templates = "".join(path.read_text() for path in (ROOT / "github_app" / "templates").glob("*.html"))
    asked = set(re.findall(r"vendor/[\w.-]+/[\w.-]+", templates))
    assert asked
    assert asked <= served


def test_every_package_brings_its_licence_and_is_pinned(assets: ModuleType) -> None:
    for package in assets.PACKAGES:
        assert "LICENSE" in package.files
        assert package.integrity.startswith("sha512-")
        assert re.fullmatch(r"\d+\.\d+\.\d+", package.version)


def test_git_ignores_them_and_the_wheel_has_them(assets: ModuleType) -> None:
    place = assets.TARGET.relative_to(ROOT).as_posix()
    assert f"{place}/" in (ROOT / ".gitignore").read_text().splitlines()
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert "static/vendor/*/*" in setup["options.package_data"]["github_app"]


def test_another_archive_than_expected_is_refused(
    assets: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever npm brings: a stand-in for it hands over some other file."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho forged >forged-1.0.0.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    monkeypatch.setattr(assets, "TARGET", tmp_path / "vendor")
    with pytest.raises(assets.FetchError, match="another archive"):
        assets.fetch(assets.PACKAGES[0])
    assert list((tmp_path / "vendor").iterdir()) == [], "nothing of it is left"
