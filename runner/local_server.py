"""The server's part in a local run: it has one job, takes the log as it comes, and agrees to everything."""

from __future__ import annotations

import base64
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from runner.client import RefusedError
from runner.protocol import Heartbeat, HeartbeatAnswer, LogChunk, Telemetry
from runner.starter import RESULTS_FOLDER

_SKIPPED = {".git", RESULTS_FOLDER}
_TOO_LARGE = 413


class LocalServer:
    """Answers an attempt's calls as a server would. Used by several threads.

    Attributes:
        asked: Whether the job has begun.

    Args:
        folder: The repository.
        show: Gets the program's output as it comes.
        phase: Is told what the runner is doing, in a few words.
        ticked: Gets the time of the latest tick [s].
    """

    def __init__(
        self,
        folder: Path,
        show: Callable[[bytes], None],
        phase: Callable[[str], None],
        ticked: Callable[[float], None],
    ) -> None:
        self._folder = folder
        self._show = show
        self._phase = phase
        self._ticked = ticked
        self._cancel: str | None = None
        self._last_phase = ""
        self._length = 0
        self.asked = False

    @property
    def cancelled(self) -> bool:
        """Whether the run is to be ended."""
        return self._cancel is not None

    def cancel(self, reason: str) -> None:
        """Have the run ended: the next heartbeat's answer says so."""
        self._cancel = reason

    def source(self, job: int, fence: str, target: Path, bytes_max: int, budget_s: float) -> int:
        """The folder as GitHub would pack it."""
        with tarfile.open(target, "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(_folder("repo"))
            for name in sorted(files(self._folder)):
                _add(tar, self._folder / name, f"repo/{name}")
        length = target.stat().st_size
        if length > bytes_max:
            message = f"the source is larger than {bytes_max / 1e6:.0f} MB; keep data out of the repository"
            raise RefusedError(_TOO_LARGE, "too_large", message)
        return length

    def running(self, job: int, fence: str, budget_s: float) -> None:
        """The simulated robot may move."""

    def heartbeat(self, job: int, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Show what is new."""
        self.asked = True
        if heartbeat.phase != self._last_phase:
            self._last_phase = heartbeat.phase
            self._phase(heartbeat.phase)
        self.take(heartbeat.log)
        return HeartbeatAnswer(log_length=self._length, cancel=self._cancel)

    def take(self, log: LogChunk | None) -> None:
        """One more piece of the log."""
        if log is None:
            return
        data = base64.b64decode(log.data)
        self._length = log.offset + len(data)
        try:
            self._show(data)
        except OSError:
            self.cancel("Nobody reads the output any more.")

    def telemetry(self, job: int, telemetry: Telemetry) -> None:
        """Tell how far it is."""
        if "t" in telemetry.columns and telemetry.rows:
            self._ticked(telemetry.rows[-1][telemetry.columns.index("t")] or 0.0)

    def close(self) -> None:
        """Nothing is open."""


def files(folder: Path) -> Iterator[str]:
    """The files a push of `folder` as it stands would bring: with git, all it does not ignore."""
    names = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    if names is None:
        yield from _walked(folder)
        return
    for name in names.split("\0"):
        path = folder / name
        inside = name and name.split("/")[0] not in _SKIPPED
        if inside and (path.is_symlink() or path.is_file()):  # a file may be deleted and not yet committed
            yield name


def commit(folder: Path) -> str | None:
    """The commit that `folder` holds unchanged, or None."""
    if _git(folder, "status", "--porcelain") != "":
        return None
    head = (_git(folder, "rev-parse", "HEAD") or "").strip()
    return head if len(head) == len("0" * 40) else None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return done.stdout


def _walked(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED and name != "__pycache__"]
        for name in [*names, *(name for name in folders if Path(place, name).is_symlink())]:
            path = Path(place, name)
            if path.is_symlink() or path.is_file():
                yield path.relative_to(folder).as_posix()


def _folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """As in a commit: no owner, and a hard link is a file like any other."""
    entry = tar.gettarinfo(path, name)
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    if entry.issym():
        tar.addfile(entry)
        return
    entry.type, entry.size = tarfile.REGTYPE, path.stat().st_size
    with path.open("rb") as content:
        tar.addfile(entry, content)
