"""Where artifacts lie: a local directory (here), or any S3 (`s3`).

A store hands out addresses for uploading one file of known size and SHA-256, checks what arrived, and
addresses it for downloading. Objects are named by job and row number, never by the user's file name.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import hmac
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from github_app.config import Settings
from github_app.parsers import Secret
from runner.protocol import ArtifactUpload

UPLOAD_VALID_S = 3600
PIECE = 1 << 18
"""Bytes that are read at once."""


class StoreError(Exception):
    """The store cannot do what was asked now; the message says what to look at."""


class UploadRefusedError(Exception):
    """What was uploaded, or the permission to upload, is not right; the message says how."""


@dataclass(frozen=True)
class Blob:
    """A file by its place in the store, its size in bytes and its SHA-256 in hexadecimal digits.

    Attributes:
        ticket: What the store needs to close the file's upload, where it needs something.
    """

    key: str
    size: int
    sha256: str
    ticket: str | None = None


@dataclass(frozen=True)
class Delivery:
    """How a browser shall treat a file: its type, and the whole Content-Disposition."""

    content_type: str
    disposition: str


class Store(Protocol):
    """What both can do. Every method may wait for a disk or a network: call none inside a transaction."""

    def begin(self, blob: Blob) -> Blob:
        """Make ready for an upload to a place that is no other file's.

        Returns:
            The file as it will be uploaded.

        Raises:
            StoreError: Not now.
        """

    def upload(self, blob: Blob) -> ArtifactUpload:
        """Where, and with which headers, to `PUT` a file that was begun."""

    @property
    def origin(self) -> str:
        """`scheme://host` that `address` sends browsers to; empty where files come from this server."""

    def confirm(self, blob: Blob) -> bool:
        """Make sure that the file arrived, and that nothing uploaded later can take its place.

        Returns:
            Whether its content is known to be what was offered. If not, `verify` it before it is served.

        Raises:
            UploadRefusedError: It did not.
        """

    def verify(self, blob: Blob) -> None:
        """Read a confirmed file whole; one that is not what was offered is removed.

        Raises:
            UploadRefusedError: It was not.
            StoreError: It cannot be read now.
        """

    def settle(self, blob: Blob) -> None:
        """Clear away what uploads of the file left over; failing to does no harm."""

    def head(self, blob: Blob, size: int) -> bytes:
        """The first bytes of a confirmed file, at most `size`.

        Raises:
            StoreError: It cannot be read now.
        """

    def pieces(self, blob: Blob) -> Iterator[bytes]:
        """All of a confirmed file.

        Raises:
            StoreError: It cannot be read now; also half way.
        """

    def local_path(self, blob: Blob) -> Path | None:
        """The file, where it is on this machine."""

    def address(self, blob: Blob, delivery: Delivery) -> str:
        """Where a browser may fetch it for the next minutes."""

    def remove_job(self, job_id: int) -> None:
        """Remove whatever a job left here, finished uploads or not. Repeats change nothing.

        Raises:
            StoreError: It did not work, or not wholly.
        """

    def check(self) -> str:
        """Write, read and remove something; returns a sentence.

        Raises:
            StoreError: It did not work.
        """


def job_prefix(job_id: int) -> str:
    """Where keys of a job's files begin."""
    return f"jobs/{job_id}/"


def open_store(settings: Settings) -> Store:
    """The store that `RAAS_ARTIFACTS` names."""
    if settings.artifacts == "file":
        return FileStore(settings.data_dir / "artifacts", settings.public_url, settings.secret_key)
    from github_app.s3 import S3Store  # noqa: PLC0415 - boto3 costs what the local store need not pay

    return S3Store(settings)


class FileStore:
    """A directory; files come and go through the server's own routes, by signed addresses.

    Args:
        root: Made if need be.
        public_url: Of the server.
        key: Signs the addresses.
    """

    def __init__(self, root: Path, public_url: str, key: Secret) -> None:
        self.root = root
        self._url = public_url
        self._key = key
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def begin(self, blob: Blob) -> Blob:
        """There is nothing to make ready."""
        return blob

    def upload(self, blob: Blob) -> ArtifactUpload:
        """A signed address under `/uploads/`."""
        expires = int(time.time()) + UPLOAD_VALID_S
        query = urlencode(
            {
                "size": blob.size,
                "sha256": blob.sha256,
                "expires": expires,
                "signature": self._sign(blob, expires),
            }
        )
        url = f"{self._url}/uploads/{blob.key}?{query}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        return ArtifactUpload(url=url, headers=headers)

    def permit(self, blob: Blob, expires: int, signature: str) -> None:
        """Check an address that comes back.

        Raises:
            UploadRefusedError: It is not one of ours, or it is too old.
        """
        if not hmac.compare_digest(self._sign(blob, expires).encode(), signature.encode()):
            raise UploadRefusedError("the signature is wrong; use the address exactly as it was given")
        if time.time() > expires:
            raise UploadRefusedError("the address has expired; ask for a new one")

    def receive(self, blob: Blob, pieces: Iterable[bytes]) -> None:
        """Store a file, whole and verified or not at all.

        Raises:
            UploadRefusedError: Its length or digest differs.
            StoreError: There is no room for it.
        """
        try:
            self._receive(blob, pieces)
        except OSError as error:
            why = error.strerror or error
            raise StoreError(
                f"the server cannot keep files ({why}); its operator has to make room"
            ) from error

    def _receive(self, blob: Blob, pieces: Iterable[bytes]) -> None:
        path = self._path(blob)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
        try:
            with partial.open("xb") as file:
                _copy_checked(pieces, file, blob)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):  # another upload of the file was confirmed meanwhile
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @property
    def origin(self) -> str:
        """Files come from this server."""
        return ""

    def confirm(self, blob: Blob) -> bool:
        """A file under its name is whole: it was checked before it got there, as any later one will be."""
        path = self._path(blob)
        if not path.is_file() or path.stat().st_size != blob.size:
            raise UploadRefusedError("the file has not been uploaded; PUT it first")
        return True

    def verify(self, blob: Blob) -> None:
        """Done before it got its name."""

    def settle(self, blob: Blob) -> None:
        """Uploads of the file that a server did not live to end."""
        path = self._path(blob)
        for partial in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
            partial.unlink(missing_ok=True)

    def head(self, blob: Blob, size: int) -> bytes:
        """From the file."""
        try:
            with self._path(blob).open("rb") as file:
                return file.read(size)
        except OSError as error:
            raise StoreError(f"cannot read {self._path(blob)} ({error.strerror}); check its owner") from error

    def pieces(self, blob: Blob) -> Iterator[bytes]:
        """From the file."""
        try:
            with self._path(blob).open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece
        except OSError as error:
            raise StoreError(f"cannot read {self._path(blob)} ({error.strerror}); check its owner") from error

    def local_path(self, blob: Blob) -> Path | None:
        """The file."""
        return self._path(blob)

    def address(self, blob: Blob, delivery: Delivery) -> str:
        """Never asked: files are served from their path."""
        raise StoreError("local artifacts have no address of their own; serve their path")

    def remove_job(self, job_id: int) -> None:
        """Its directory."""
        try:
            shutil.rmtree(self.root / job_prefix(job_id))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(
                f"cannot remove the files of job {job_id} ({error}); check their owner"
            ) from error

    def identity(self) -> str:
        """A name that this directory keeps, made up on first use."""
        path = self.root / ".identity"
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(secrets.token_hex(16))
        return path.read_text("ascii")

    def check(self) -> str:
        """Write and remove a file."""
        probe = self.root / f".probe-{secrets.token_hex(4)}"
        try:
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            raise StoreError(f"cannot write to {self.root} ({error.strerror}); check its owner") from error
        return f"artifacts are kept in {self.root}"

    def _path(self, blob: Blob) -> Path:
        return self.root / blob.key

    def _sign(self, blob: Blob, expires: int) -> str:
        text = f"upload\n{blob.key}\n{blob.size}\n{blob.sha256}\n{expires}"
        return hmac.new(self._key.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()


def _copy_checked(pieces: Iterable[bytes], file: Any, blob: Blob) -> None:
    digest, length = hashlib.sha256(), 0
    for piece in pieces:
        length += len(piece)
        if length > blob.size:
            break
        digest.update(piece)
        file.write(piece)
    if length != blob.size:
        raise UploadRefusedError(f"the length is not the {blob.size} bytes that were offered; send all of it")
    if digest.hexdigest() != blob.sha256:
        raise UploadRefusedError("the content is not what was offered: its SHA-256 differs; offer it again")
