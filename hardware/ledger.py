"""The durable list of every session that was ever opened.

A robot must not run the same job twice, whatever a runner or a server gets wrong, so the controller writes
(server, job, attempt, number) here, and onto the disk, before anything moves. The file is JSON lines, only
appended to. Whatever a crash or a power cut leaves of the last line (a part of it, zeros) is cut off on the
next start: its `add` had not returned, so nothing had moved. Damage anywhere else is refused: guessing could
run a job twice.

Lines without a server are from before servers had an identity, or of a server that tells none. They belong to
the first server that is named after them; until one is, and for a server without a name, a job's number alone
counts, whichever server's it was: a job too many is refused rather than one run twice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from hardware.errors import StartupError
from raas_gym.control import SERVER_ID


class SessionKey(NamedTuple):
    """Which session: the server's job id, the try at it, the session within it, and whose job it is."""

    job: int
    attempt: int
    number: int
    server: str = ""

    def __str__(self) -> str:
        numbers = f"{self.job}-{self.attempt}-{self.number}"
        return f"{numbers}-{self.server}" if self.server else numbers

    @property
    def unnamed(self) -> SessionKey:
        """The same without the server."""
        return self._replace(server="")


class Ledger:
    """The ledger in `path`, read into memory. One process at a time (the data directory's lock).

    Raises:
        StartupError: The file is damaged before its last line, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[SessionKey, None] = {}
        self._unclaimed: set[SessionKey] = set()
        self._owned: set[SessionKey] = set()
        self._numbers: set[SessionKey] = set()
        try:
            # Unbuffered: one append is one system call, so a crash tears at most the last line.
            self._file = path.open("a+b", buffering=0)
            sync_directory(path.parent)
            with ExitStack() as on_error:
                on_error.callback(self._file.close)
                for key in self._load():
                    self._note(key)
                on_error.pop_all()
        except OSError as error:
            raise StartupError(
                f"the ledger {path} cannot be used ({error.strerror}): mend its access"
            ) from error

    def __contains__(self, key: object) -> bool:
        """Whether exactly this was written."""
        return key in self._keys

    def __iter__(self) -> Iterator[SessionKey]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def bars(self, key: SessionKey) -> bool:
        """Whether the session of `key` may have been opened before."""
        if not key.server:
            return key in self._numbers
        return key in self._owned or key.unnamed in self._unclaimed

    def add(self, key: SessionKey) -> None:
        """Write `key` down; when this returns it is on the disk.

        Raises:
            OSError: It could not be written; the key then counts as not added.
        """
        end = self._file.seek(0, os.SEEK_END)
        try:
            _write_all(self._file, _encode(key))
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise
        self._note(key)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _note(self, key: SessionKey) -> None:
        self._keys[key] = None
        self._numbers.add(key.unnamed)
        if not key.server:
            self._unclaimed.add(key)
            return
        self._owned.update(older._replace(server=key.server) for older in self._unclaimed)
        self._unclaimed.clear()
        self._owned.add(key)

    def _load(self) -> list[SessionKey]:
        self._file.seek(0)
        keys, size = read_ledger(self._file.read(), self.path)
        self._cut(size)
        return keys

    def _cut(self, size: int) -> None:
        if self._file.seek(0, os.SEEK_END) != size:
            self._file.truncate(size)
            os.fsync(self._file.fileno())


def read_ledger(data: bytes, path: Path) -> tuple[list[SessionKey], int]:
    """The keys in a ledger's bytes, and how many of the bytes are whole lines; changes nothing.

    Raises:
        StartupError: There is damage before the last line.
    """
    lines = data.split(b"\n")[:-1]  # what follows the last newline was never finished
    keys = [_decode(line) for line in lines]
    while keys and keys[-1] is None:
        keys.pop()
    whole = [key for key in keys if key is not None]
    if len(whole) < len(keys):
        raise StartupError(
            f"line {keys.index(None) + 1} of the ledger {path} is damaged: restore the file from a "
            "backup, or move the data directory away and start with a new one"
        )
    return whole, sum(len(line) + 1 for line in lines[: len(keys)])


def sync_directory(path: Path) -> None:
    """Make the entries of the directory `path` (new, renamed or removed names) durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: FileIO, data: bytes) -> None:
    while data:  # a filling disk takes a part first and refuses the rest
        data = data[file.write(data) :]


def _encode(key: SessionKey) -> bytes:
    return json.dumps({**key._asdict(), "opened": round(time.time(), 3)}).encode() + b"\n"


def _decode(line: bytes) -> SessionKey | None:
    try:
        entry = json.loads(line)
        server = str(entry.get("server", ""))
        if not SERVER_ID.fullmatch(server):
            return None
        return SessionKey(int(entry["job"]), int(entry["attempt"]), int(entry["number"]), server)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
