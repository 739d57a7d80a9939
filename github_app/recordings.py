"""What is made of a job's recordings when somebody asks: data for a replay, an animation, a plot.

A recording is read from the store, wherever that is; the computing is done aside, two at a time in a process,
and what came out is kept in memory for the next who asks, up to a number of bytes. Recordings never change
once they are stored, so nothing that is kept grows old.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from github_app import artifacts
from github_app.aside import aside
from github_app.models import Artifact
from github_app.stores import Store, StoreError
from raas_gym.trajectory import Trajectory, TrajectoryError, load

FILE_MAX = 16 << 20
UNPACKED_MAX = 128 << 20
"""Longest recording that is read, bytes, packed and unpacked."""
KEPT_MAX = 24 << 20
"""Bytes of results that one process keeps."""
AT_ONCE = 2

Work = Callable[[Trajectory], bytes]


class NoRecordingError(Exception):
    """There is nothing that could be shown; the message says why, and what to do."""


def of_session(rows: Sequence[Artifact], session: int) -> Artifact | None:
    """The controller's recording of a session among a job's files; a program's own cannot be called so."""
    names = {f"session-{session}/trajectory.npz"} | ({"trajectory.npz"} if session == 0 else set())
    return next((row for row in rows if row.name in names), None)


def sessions(rows: Sequence[Artifact]) -> int:
    """How many sessions left a recording."""
    count = 0
    while of_session(rows, count) is not None:
        count += 1
    return count


class Recordings:
    """What one server process makes of recordings, and keeps.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._size = 0
        self._turn = threading.BoundedSemaphore(AT_ONCE)

    def made(self, row: Artifact, name: str, work: Work) -> bytes:
        """What `work` makes of the recording behind a row, kept under `name`.

        Call it outside of transactions: it may wait for a disk, a network and a turn.

        Raises:
            NoRecordingError: The recording is too long, damaged, or out of reach.
        """
        key = (artifacts.blob_of(row).key, name)
        found = self._look(key)
        if found is None:
            with self._turn:
                # Everybody who watched a run asks when it ends: the first one makes it, the others find it.
                found = self._look(key)
                if found is None:
                    found = self._make(row, work)
                    self._keep(key, found)
        return found

    def _make(self, row: Artifact, work: Work) -> bytes:
        if row.size > FILE_MAX:
            raise NoRecordingError("the recording is too long to be shown here; download trajectory.npz")
        try:
            with self._file(row) as path:
                return aside(lambda: work(_loaded(path)))
        except (TrajectoryError, zipfile.BadZipFile) as error:
            raise NoRecordingError(f"the recording cannot be shown ({error})") from error
        except (OSError, StoreError) as error:
            raise NoRecordingError("the store does not give the recording now; try again later") from error

    @contextmanager
    def _file(self, row: Artifact) -> Iterator[Path]:
        blob = artifacts.blob_of(row)
        path = self._store.local_path(blob)
        if path is not None:
            yield path
            return
        data = self._store.head(blob, FILE_MAX)
        if row.verified_at is None and hashlib.sha256(data).hexdigest() != row.sha256:
            raise NoRecordingError("the recording is not what its runner offered")
        with tempfile.NamedTemporaryFile(suffix=".npz") as copy:
            copy.write(data)
            copy.flush()
            yield Path(copy.name)

    def _look(self, key: tuple[str, str]) -> bytes | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _keep(self, key: tuple[str, str], made: bytes) -> None:
        if len(made) > KEPT_MAX or key in self._kept:
            return
        self._kept[key] = made
        self._size += len(made)
        while self._size > KEPT_MAX:
            _, old = self._kept.popitem(last=False)
            self._size -= len(old)


def _loaded(path: Path) -> Trajectory:
    """A few bytes may unpack to very many: that is looked at first."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        if sum(part.file_size for part in archive.infolist()) > UNPACKED_MAX:
            raise TrajectoryError(f"it is longer than {UNPACKED_MAX} bytes unpacked; download it")
    found = load(path)
    if not len(found):
        raise TrajectoryError("no step was recorded")
    return found
