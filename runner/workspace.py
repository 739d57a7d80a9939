"""From a tarball of strangers' files to a folder one may mount: bounded, and nothing outside that folder.

The archive is read once, as a stream. Plain files are written first and symbolic links made last, so no
write ever goes through a link. A link is kept where it cannot leave the repository: as many `../` as its own
folder allows, then only downwards.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from runner import tar_headers
from runner.visible import one_line

FILES_MAX = 20_000
PATH_MAX = 1024
UNPACK_RATIO = 10
"""The unpacked source may be this many times as long as the longest packed one (see `protocol.JobLimits`)."""

_LFS = b"version https://git-lfs.github.com/spec/"
_COPY = 64 * 1024


class SourceError(Exception):
    """The source cannot be used; the message is for its author."""


@dataclass
class Source:
    """An unpacked repository.

    Attributes:
        root: Its folder.
        notes: What its author should know, a sentence each.
    """

    root: Path
    notes: list[str] = field(default_factory=list)

    def has_file(self, name: str) -> bool:
        """Whether `name` is a plain file of the repository, no link on the way."""
        path = self.root / name
        inside = path.resolve().is_relative_to(self.root.resolve())
        return inside and path.is_file() and not path.is_symlink()


class _Bounded:
    """A stream that refuses to give more than `most` bytes: the end of every decompression bomb."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._left = most

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise SourceError("the unpacked source is too large; keep data out of the repository")
        return data


def unpack(archive: Path, root: Path, bytes_max: int) -> Source:
    """Unpack a gzipped tarball, without its outermost folder, into the new folder `root`.

    Raises:
        SourceError: It is damaged, too large, or holds what no git repository holds.
    """
    root.mkdir(parents=True)
    source = Source(root)
    links: dict[PurePosixPath, str] = {}
    try:
        with gzip.open(archive) as raw:
            bounded = _Bounded(raw, bytes_max + FILES_MAX * 1024)  # type: ignore[arg-type]  # GzipFile reads bytes
            with tar_headers.stream(bounded) as tar:
                _write_members(tar, source, links)
            while bounded.read(_COPY):  # to its end: only there the checksum of the whole is looked at
                pass
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError, RecursionError) as error:
        raise SourceError(f"the source archive is damaged: {error}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceError("the source archive has the same path twice") from error
    except OSError as error:
        raise SourceError(f"the source cannot be stored: {error.strerror or error}") from error
    _open_folders(root)
    _make_links(source, links)
    source.notes += _submodules(root)
    return source


def remove(folder: Path) -> None:
    """Remove a folder of ours with all its content; it may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _write_members(tar: tarfile.TarFile, source: Source, links: dict[PurePosixPath, str]) -> None:
    pointers: list[str] = []
    for count, member in enumerate(tar):
        if count >= FILES_MAX:
            raise SourceError(f"the source has more than {FILES_MAX} files")
        path = _inner(member.name)
        if path is None:
            continue
        if member.isdir():
            (source.root / path).mkdir(mode=0o755, parents=True, exist_ok=True)
        elif member.issym():
            links[path] = member.linkname
        elif member.isreg() and not member.issparse():
            if _write(tar, member, source.root / path):
                pointers.append(str(path))
        else:
            raise SourceError(
                f"`{_shown(path)}` is a device, a hard link or a sparse file; a repository has none"
            )
    if pointers:
        first = _shown(pointers[0])
        source.notes.append(
            f"{len(pointers)} file(s) are Git LFS pointers, not content (first: {first}): GitHub's "
            "archives leave LFS out, commit the file itself or make it smaller"
        )


def _shown(path: object) -> str:
    """A stranger's path as part of a sentence."""
    return one_line(str(path))[:80]


def _open_folders(root: Path) -> None:
    """Let the container's user pass, whatever the umask of this process is. No link is there yet."""
    for folder, _, _ in os.walk(root):
        Path(folder).chmod(0o755)


def _inner(name: str) -> PurePosixPath | None:
    """The path below the archive's outermost folder; None for that folder itself."""
    if len(name) > PATH_MAX or "\x00" in name or "\\" in name:
        raise SourceError(f"the path `{_shown(name)}` is too long or has characters that are not accepted")
    if name.startswith("/") or ".." in name.split("/"):
        raise SourceError(f"the path `{_shown(name)}` leaves the archive")
    parts = PurePosixPath(name).parts[1:]
    return PurePosixPath(*parts) if parts else None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> bool:
    """Write one file; whether it is a Git LFS pointer."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is None:
        raise SourceError(f"`{_shown(member.name)}` has no content")
    with target.open("xb") as file:
        head = content.read(_COPY)
        file.write(head)
        shutil.copyfileobj(content, file, _COPY)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)
    return member.size < 1024 and head.startswith(_LFS)


def _make_links(source: Source, links: dict[PurePosixPath, str]) -> None:
    for path, target in links.items():
        inner = _inner_target(path, target)
        if inner is None:
            source.notes.append(f"the symbolic link `{_shown(path)}` leaves the repository and was left out")
            continue
        place = source.root / path
        try:
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            place.symlink_to(inner)
        except OSError as error:
            raise SourceError(
                f"the symbolic link `{_shown(path)}` cannot be made: {error.strerror}"
            ) from error


def _inner_target(path: PurePosixPath, target: str) -> str | None:
    """The target of a link at `path` in its plainest form, or None where it could lead out.

    `..` is allowed only at the start: after a name it would start from wherever that name, itself perhaps a
    link, leads to. Doubled slashes go: programs disagree on where a link to `a//` leads.
    """
    if not target or target.startswith("/") or "\x00" in target or len(target) > PATH_MAX:
        return None
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    if ups >= len(path.parts) or ".." in parts[ups:]:
        return None
    return "/".join(parts) or "."


def _submodules(root: Path) -> Iterator[str]:
    listing = root / ".gitmodules"
    if not listing.is_file() or listing.is_symlink():
        return
    text = listing.read_bytes()[:65536].decode(errors="replace")
    paths = re.findall(r"^\s*path\s*=\s*(\S.*?)\s*$", text, re.MULTILINE)
    if paths:
        yield (
            f"the submodule(s) {', '.join(map(_shown, paths[:5]))} are empty folders here: GitHub's archives "
            "leave submodules out, copy their files into the repository"
        )
