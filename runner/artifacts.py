"""Files a job leaves: collected from a stranger's tar stream into a bounded folder, offered, uploaded.

Names cannot collide: what the controller recorded stands at the top (`trajectory.csv`; with several sessions
below `session-N/`), our log is `log.txt`, and everything of the program's is below `artifacts/`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from runner import tar_headers
from runner.client import Client, RefusedError, UnreachableError
from runner.protocol import UPLOAD_REFUSED, ArtifactGrant, ArtifactOffer, ArtifactsOffer, JobLimits
from runner.visible import one_line

USER_FOLDER = "artifacts"
LOG_NAME = "log.txt"
NAME_MAX = 255
"""Longer names are not even compared with the patterns: they cannot be kept."""
_OFFER_MAX = 500
_COPY = 64 * 1024
_PUT_TRIES = 4
_AT_ONCE = 4


class TarStream:
    """A file-like reader over chunks, that stops a stream which goes on and on."""

    def __init__(self, chunks: Iterator[bytes], most: int) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._left = most

    def read(self, size: int) -> bytes:
        """Up to `size` bytes.

        Raises:
            tarfile.ReadError: The stream is longer than it may be.
        """
        while len(self._buffer) < size and (chunk := next(self._chunks, b"")):
            self._buffer += chunk
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError("the stream is longer than all it may hold")
        return data


class Budget:
    """How much may still be kept of a job's files."""

    def __init__(self, limits: JobLimits) -> None:
        self.bytes_left = limits.artifact_bytes_max
        self.files_left = limits.artifact_count_max

    def take(self, size: int) -> bool:
        """Whether one more file of `size` bytes fits; it is counted if so."""
        if size > self.bytes_left or self.files_left < 1:
            return False
        self.bytes_left -= size
        self.files_left -= 1
        return True


def copy_recorded(files: Mapping[str, str], folder: Path, prefix: str, budget: Budget) -> list[str]:
    """Copy what the controller recorded into `folder`; notes on what was left out."""
    notes = []
    for name, path in sorted(files.items()):
        target, source = folder / prefix / name, Path(path)
        if not source.is_file():
            notes.append(f"the recorded file {name} is gone from the robot's host, our fault")
        elif not _acceptable(f"{prefix}{name}") or not budget.take(source.stat().st_size):
            notes.append(f"the recorded file {name} does not fit the limits on artifacts and was left out")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            _sync(target)
    return notes


def collect(chunks: Iterator[bytes], folder: Path, keeps: Callable[[str], bool], budget: Budget) -> list[str]:
    """Unpack the tar of `/artifacts` below `folder`/artifacts; notes on what was left out.

    Plain files alone are kept. A name that is not acceptable, comes twice or does not fit is left out.
    """
    left_out: list[str] = []
    stream = TarStream(chunks, 2 * budget.bytes_left + 64 * 1024 * 1024)
    try:
        with tar_headers.stream(stream) as tar:
            for member in tar:
                name = "/".join(PurePosixPath(member.name).parts[1:])
                if member.isdir() or not name or (len(name) <= NAME_MAX and not keeps(name)):
                    continue
                if not _keep(tar, member, name, folder, budget):
                    left_out.append(name)
    except (tarfile.TarError, ValueError, EOFError) as error:
        left_out.append(f"everything after a damaged place ({error})")
    if not left_out:
        return []
    shown = ", ".join(one_line(name)[:80] for name in left_out[:3])
    return [
        f"{len(left_out)} artifact(s) were left out: too large, too many, or not plain files (first: {shown})"
    ]


def _keep(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, folder: Path, budget: Budget) -> bool:
    target = folder / USER_FOLDER / name
    plain = member.isreg() and not member.issparse() and _acceptable(f"{USER_FOLDER}/{name}")
    if not plain or target.exists() or not budget.take(member.size):
        return False
    content = tar.extractfile(member)
    if content is None:
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            shutil.copyfileobj(content, file, _COPY)
    except (FileExistsError, NotADirectoryError, FileNotFoundError):
        return False
    except tarfile.TarError:
        target.unlink()  # half a file would look like a whole one
        raise
    return True


def _acceptable(name: str) -> bool:
    """Whether the job contract takes the name."""
    try:
        ArtifactOffer(name=name, size=0, sha256="0" * 64)
    except ValidationError:
        return False
    return True


def upload(client: Client, job: int, fence: str, folder: Path) -> None:
    """Offer and upload every file below `folder`; what is stored already is not sent again.

    Raises:
        ServerError: It could not be done; all of it may be tried again.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    for start in range(0, len(files), _OFFER_MAX):
        _upload_some(client, job, fence, folder, files[start : start + _OFFER_MAX])


def _upload_some(client: Client, job: int, fence: str, folder: Path, files: list[Path]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        offers = list(pool.map(lambda path: _offer(folder, path), files))
    offer = ArtifactsOffer(fence=fence, files=offers)
    paths = dict(zip((item.name for item in offer.files), files, strict=True))
    failure: UnreachableError | None = None
    for _ in range(_PUT_TRIES):
        # each try asks anew: signed URLs expire, and what arrived is not granted again
        grants = [item for item in client.offer(job, offer).files if item.upload and item.name in paths]
        failure = _put_all(client, job, fence, [(item, paths[item.name]) for item in grants])
        if failure is None:
            return
    if failure is not None:
        raise failure


def _put_all(
    client: Client, job: int, fence: str, files: list[tuple[ArtifactGrant, Path]]
) -> UnreachableError | None:
    """Upload the files; an upload that failed is an answer here, the others go on.

    While some are sent, the server looks at others.
    """
    failure = None
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sent = [pool.submit(_put, client, job, fence, item, path) for item, path in files]
        for done in as_completed(sent):
            try:
                done.result()
            except UnreachableError as error:
                failure = error
    return failure


def _put(client: Client, job: int, fence: str, item: ArtifactGrant, path: Path) -> None:
    if item.upload is None:
        return
    own = client.twin()
    try:
        own.put(item.upload, path)
        own.stored(job, item.id, fence)
    except RefusedError as error:
        if error.code != UPLOAD_REFUSED:
            raise
        # the store lost what it had received, as by a restart: it is offered and sent again
        raise UnreachableError(str(error)) from error
    finally:
        own.close()


def _offer(folder: Path, path: Path) -> ArtifactOffer:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return ArtifactOffer(
        name=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=digest.hexdigest()
    )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
