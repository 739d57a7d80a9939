#!/usr/bin/env python3
"""Fetch the third-party files that pages serve, by exact version, into a folder that git ignores.

    python3 tools/web_assets.py [--there]

npm fetches each package; its archive must have the digest written here, so nothing else can ever be served.
What is there already is left alone, and nothing is needed but npm (`tools/bootstrap.sh web` brings it).
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "github_app" / "static" / "vendor"
NPM_TIMEOUT_S = 300


@dataclass(frozen=True)
class Package:
    """A package of npm: which files of it are served, and the SHA-512 of its archive as npm writes it."""

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its files lie; the version is part of it, so that browsers never mix two."""
        return TARGET / f"{self.name}-{self.version}"

    @property
    def there(self) -> bool:
        """Whether every file is in its place."""
        return all((self.folder / Path(name).name).is_file() for name in self.files)


PACKAGES = (
    Package(
        "uplot",
        "1.6.32",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        ("dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"),
    ),
)


class FetchError(Exception):
    """A package could not be had; the message says what to do."""


def fetch(package: Package) -> None:
    """Put a package's files where they belong, all of them or none.

    Raises:
        FetchError: npm is missing or failed, or what came is not what was expected.
    """
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET) as place:
        archive = _packed(package, place)
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != package.integrity:
            raise FetchError(f"{package.name} {package.version} came as another archive than it should be")
        fresh = Path(place, "fresh")
        fresh.mkdir()
        with tarfile.open(archive) as files:
            for name in package.files:
                source = files.extractfile(f"package/{name}")
                if source is None:
                    raise FetchError(f"{package.name} {package.version} has no file {name}")
                with (fresh / Path(name).name).open("wb") as sink:
                    shutil.copyfileobj(source, sink)
        shutil.rmtree(package.folder, ignore_errors=True)
        fresh.rename(package.folder)


def _packed(package: Package, place: str) -> Path:
    beside = str(Path(sys.executable).parent)  # the project's environment may have its own
    npm = shutil.which("npm") or shutil.which("npm", path=beside)
    if npm is None:
        raise FetchError("there is no npm to fetch it with; run tools/bootstrap.sh web, or install npm")
    wanted = f"{package.name}@{package.version}"
    done = subprocess.run(
        [npm, "pack", "--silent", wanted, "--pack-destination", place],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=NPM_TIMEOUT_S,
        check=False,
    )
    archives = list(Path(place).glob("*.tgz"))
    if done.returncode != 0 or not archives:
        raise FetchError(f"npm pack {wanted} failed: {done.stderr.strip()[-300:]}")
    return archives[0]


def main() -> int:
    """Fetch what is missing; 1 if something could not be had. `--there` only asks whether all is there."""
    missing = [package for package in PACKAGES if not package.there]
    if "--there" in sys.argv[1:]:
        return 1 if missing else 0
    for package in missing:
        try:
            fetch(package)
        except (FetchError, subprocess.TimeoutExpired, OSError, tarfile.TarError) as error:
            print(f"error: {package.name} is missing: {error}", file=sys.stderr)
            return 1
        print(f"{package.name} {package.version}: {package.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
