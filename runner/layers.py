"""Installed packages kept on this host: a folder for each set, the least recently used ones removed first.

    FOLDER/
      KEY.lock      held shared while the set is used, alone while it is made or removed
      KEY/site/     the packages, mounted read-only into containers
      KEY/packages.json

Several runners and local runs may share one folder: every rule here is a file lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

_PAUSE_S = 0.2


@dataclass(frozen=True)
class Layer:
    """One set of packages, in use as long as its lock is held.

    Attributes:
        key: What it was made from, as a digest.
        packages: `name==version` of each; none where the image has them all.
        site: The folder to mount.
    """

    key: str
    packages: list[str]
    site: Path
    _lock: TextIO

    def close(self) -> None:
        """It may be removed again."""
        self._lock.close()


class Layers:
    """The folder of one host.

    Args:
        folder: Made where it is missing.
        bytes_max: All sets together, as far as they are not in use.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.folder = folder
        self._bytes_max = bytes_max

    def use(self, key: str, make: Callable[[Path], None], leave: Callable[[], bool]) -> Layer | None:
        """The set called `key`, made by `make` unless it is there; None where `leave` said so meanwhile.

        Of several who want a set that is not there, one makes it and the others wait.

        Args:
            key: Its digest.
            make: Fills an empty folder with `site` and `packages.json`.
            leave: Asked several times a second while somebody else makes it.
        """
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        while not leave():
            if (layer := self._found(key)) is not None:
                return layer
            with self._lock(key, fcntl.LOCK_EX) as alone:
                if alone is None:
                    time.sleep(_PAUSE_S)
                elif not self._path(key).exists():
                    self._make(key, make)
        return None

    def evict(self) -> list[str]:
        """Remove sets that nobody uses, the longest unused first, until the rest fits; their keys."""
        self._sweep()
        removed = []
        kept = sorted(self._sets(), key=lambda item: item[0])
        total = sum(size for _, _, size in kept)
        for _, key, size in kept:
            if total <= self._bytes_max:
                break
            with self._lock(key, fcntl.LOCK_EX) as alone:
                if alone is None:
                    continue
                shutil.rmtree(self._path(key))
                (self.folder / f"{key}.lock").unlink()
            removed.append(key)
            total -= size
        return removed

    def _sweep(self) -> None:
        """Remove what installations left that were killed."""
        for partial in self.folder.glob("*.partial"):
            with self._lock(partial.stem, fcntl.LOCK_EX) as alone:
                if alone is not None:
                    shutil.rmtree(partial, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self.folder / key

    def _found(self, key: str) -> Layer | None:
        lock = _locked(self.folder / f"{key}.lock", fcntl.LOCK_SH)
        if lock is None:
            return None
        path = self._path(key)
        try:
            packages = json.loads((path / "packages.json").read_text())
            os.utime(path)
        except FileNotFoundError:
            lock.close()
            return None
        return Layer(key, packages, path / "site", lock)

    def _make(self, key: str, make: Callable[[Path], None]) -> None:
        partial = self.folder / f"{key}.partial"
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(partial)
        partial.mkdir(mode=0o755)
        partial.chmod(0o755)
        try:
            make(partial)
            partial.rename(self._path(key))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    @contextlib.contextmanager
    def _lock(self, key: str, how: int) -> Iterator[TextIO | None]:
        lock = _locked(self.folder / f"{key}.lock", how)
        try:
            yield lock
        finally:
            if lock is not None:
                lock.close()

    def _sets(self) -> Iterator[tuple[float, str, int]]:
        """When each was used last, its key, its size in bytes."""
        for path in self.folder.glob("*/packages.json"):
            with contextlib.suppress(FileNotFoundError):  # another runner removes it just now
                used = path.parent.stat().st_mtime
                yield used, path.parent.name, size_of(path.parent)


def size_of(folder: Path) -> int:
    """Bytes of disk below a folder."""
    return sum(
        Path(place, name).lstat().st_blocks * 512 for place, _, names in os.walk(folder) for name in names
    )


def _locked(path: Path, how: int) -> TextIO | None:
    """A lock on the file that is called `path` now, or None where others hold it."""
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # removed by an eviction between opening and locking
