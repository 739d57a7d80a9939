"""Where a session's recording and summary are kept until the runner has them safe elsewhere.

One directory a session, `<job>-<attempt>-<number>-<server>`, readable by the runner's group:

    request.json     what was asked for, written before anything moves
    recording.traj   the crash-safe recording, row by row (`hardware.recorder`)
    trajectory.npz, trajectory.csv     made from it when the session ended
    summary.json     the last file to appear, whole or not at all: with it the session is concluded
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hardware.ledger import SessionKey, sync_directory
from raas_gym import control


class Results:
    """The results under `root`, one directory a session."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def directory(self, key: SessionKey) -> Path:
        """Where the files of `key` are or would be."""
        return self.root / str(key)

    def recording(self, key: SessionKey) -> Path:
        """The session's crash-safe recording."""
        return self.directory(key) / "recording.traj"

    def begin(self, request: control.SessionRequest) -> Path:
        """Make the session's directory and write the request down."""
        directory = self.directory(key_of(request))
        if directory.exists():  # left by an `open` that did not come as far as the ledger
            shutil.rmtree(directory)
        directory.mkdir(mode=0o750)
        write_durably(directory / "request.json", asdict(request))
        sync_directory(self.root)
        return directory

    def request(self, key: SessionKey) -> control.SessionRequest | None:
        """What was asked for, or None where nothing readable is kept."""
        data = _read(self.directory(key) / "request.json")
        return None if data is None else control.parse(control.SessionRequest, data)

    def conclude(self, summary: control.SessionSummary) -> None:
        """Write the summary; from now on the session counts as concluded, whatever crashes."""
        write_durably(self.directory(key_of(summary)) / "summary.json", asdict(summary))

    def summary(self, key: SessionKey) -> control.SessionSummary | None:
        """The summary of a concluded session whose results are still kept."""
        data = _read(self.directory(key) / "summary.json")
        return None if data is None else control.parse(control.SessionSummary, data)

    def forget(self, key: SessionKey) -> None:
        """Delete what is kept of `key`."""
        shutil.rmtree(self.directory(key), ignore_errors=True)

    def unfinished(self) -> list[SessionKey]:
        """Sessions begun and not concluded: after a crash of the controller, on its next start."""
        names = sorted(path.name for path in self.root.iterdir() if not (path / "summary.json").exists())
        return [key for name in names if (key := parse_key(name)) is not None]

    def waiting(self) -> int:
        """How many sessions' results nobody has fetched and forgotten yet."""
        return sum(1 for _ in self.root.iterdir())


def key_of(named: control.SessionRequest | control.SessionSummary) -> SessionKey:
    """The key in a request or a summary."""
    return SessionKey(named.job, named.attempt, named.number, named.server)


def parse_key(name: str) -> SessionKey | None:
    """The key that a directory's name stands for, or None."""
    found = re.fullmatch(rf"(\d+)-(\d+)-(\d+)(?:-({control.SERVER_ID.pattern}))?", name, re.ASCII)
    if found is None:
        return None
    return SessionKey(int(found[1]), int(found[2]), int(found[3]), found[4] or "")


def write_durably(path: Path, data: dict[str, Any]) -> None:
    """Write JSON so that `path` afterwards holds all of it or, after a crash, what it held before."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return data if isinstance(data, dict) else None
