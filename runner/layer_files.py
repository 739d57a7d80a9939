"""From a build container's tar stream to a folder that is mounted read-only: plain files, not too fast."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from runner import tar_headers
from runner.artifacts import TarStream

RATE = 64 * 1024 * 1024
"""Most bytes written in a second."""
FLUSH = 8 * 1024 * 1024
"""What may wait for the disk: with more, the kernel would hold up every writer on it, the recorder too."""
_COPY = 256 * 1024


class LayerError(Exception):
    """The stream holds what no installation makes."""


class _Writer:
    """Writes files no faster than `RATE`, and to the disk as it goes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._written = 0
        self._dirty = 0

    def write(self, content: IO[bytes], path: Path, mode: int) -> None:
        with path.open("xb", buffering=0) as file:
            while data := content.read(_COPY):
                file.write(data)
                self._count(len(data), file.fileno())
        path.chmod(mode)

    def _count(self, size: int, handle: int) -> None:
        self._written += size
        self._dirty += size
        if self._dirty >= FLUSH:
            os.fdatasync(handle)
            self._dirty = 0
        time.sleep(max(0.0, self._written / RATE - (time.monotonic() - self._began)))


def unpack(chunks: Iterator[bytes], target: Path, bytes_max: int) -> None:
    """Write `site/` and `packages.json` of a build container's `/artifacts` into `target`.

    Links and devices are left out: no wheel holds any.

    Raises:
        LayerError: It is damaged or not what `image/install.py` makes.
    """
    writer = _Writer()
    stream = TarStream(chunks, 2 * bytes_max + 256 * 1024 * 1024)
    (target / "site").mkdir()
    try:
        with tar_headers.stream(stream) as tar:
            for member in tar:
                _write(tar, member, target, writer)
    except (tarfile.TarError, ValueError, EOFError, FileExistsError, NotADirectoryError) as error:
        raise LayerError(f"the installation left something damaged ({error})") from error
    if not (target / "packages.json").is_file():
        raise LayerError("the installation left no list of packages")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, writer: _Writer) -> None:
    parts = PurePosixPath(member.name).parts[1:]
    wanted = parts == ("packages.json",) or parts[:1] == ("site",)
    if not wanted or ".." in parts or "\x00" in member.name:
        return
    path = target.joinpath(*parts)
    if member.isdir():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.chmod(0o755)
    elif member.isreg() and not member.issparse() and (content := tar.extractfile(member)) is not None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        writer.write(content, path, 0o755 if member.mode & 0o100 else 0o644)
