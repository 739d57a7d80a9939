"""What this runner holds, on disk: a kill at any point finds enough here to conclude every job once.

    DATA/
      lock            held by the running runner; its process id
      owner           identity of this folder: the label of its containers
      claim.key       the key of the claim that is being asked for
      jobs/ID-ATTEMPT/
        job.json      the job, its phase, and at last the words to finish it with
        log           output so far
        source/       the repository
        results/      files to upload, under their artifact names

The phases, each written before what it announces happens:

| phase | the robot | after a restart |
|---|---|---|
| claimed | has not moved | given back to the queue |
| running | may have moved | concluded from `runs` and what the controller recorded, never run again |
| ended | is done | results are delivered |

How a program's container ended is written down before the container is removed, and that it is to be ended
before that is done: after it, nobody else knows.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
from enum import Enum
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ValidationError

from runner.protocol import ClaimedJob, Finish
from runner.results import Ran
from runner.settings import write_durably
from runner.workspace import remove

logger = logging.getLogger(__name__)


class Phase(str, Enum):
    """How far a held job has come; see the table above."""

    CLAIMED = "claimed"
    RUNNING = "running"
    ENDED = "ended"


class HeldJob(BaseModel):
    """A job this runner answers for.

    Attributes:
        job: As it was claimed.
        key: The key it was claimed with.
        server: Identity of the server whose job it is; empty where it told none.
        phase: How far it has come.
        runs: How the container of each session so far went.
        finish: The last words, from `ended` on.
    """

    job: ClaimedJob
    key: str
    server: str = ""
    phase: Phase = Phase.CLAIMED
    runs: list[Ran] = []
    finish: Finish | None = None

    @property
    def name(self) -> str:
        """`ID-ATTEMPT`: one folder, one container label."""
        return f"{self.job.id}-{self.job.attempt}"


class BusyError(Exception):
    """Another runner uses this folder."""


class Store:
    """The data folder.

    Args:
        path: Made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._jobs = path / "jobs"
        self._jobs.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.trouble = ""
        self.owner = self._identity()

    def lock(self) -> TextIO:
        """Take the folder for this process alone, as long as the file returned stays open.

        Raises:
            BusyError: Another process has it.
        """
        file = (self.path / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise BusyError(
                f"a runner (process {self.running_pid()}) already uses {self.path}: stop it first"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def running_pid(self) -> int | None:
        """Process id of the runner that holds the folder, or None."""
        try:
            with (self.path / "lock").open() as file:
                text = file.read().strip()
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return int(text)
        except (OSError, ValueError):
            return None
        return None

    def claim_key(self) -> str:
        """The key to claim with: the same until `renew_key`, so a lost answer can be asked for again.

        Where it cannot be kept, `trouble` says why: no job may be asked for then.
        """
        place = self.path / "claim.key"
        self.trouble = ""
        if place.exists():
            return place.read_text()
        key = secrets.token_hex(16)
        try:
            write_durably(place, key.encode())
        except OSError as error:
            self.trouble = f"{self.path} cannot be written: {error.strerror or error}"
        return key

    def renew_key(self, used: str) -> None:
        """The claim with `used` was answered with a job, which is saved."""
        place = self.path / "claim.key"
        if place.exists() and place.read_text() == used:
            place.unlink()

    def held(self) -> list[HeldJob]:
        """Every job in the folder, oldest claim first."""
        found = []
        for place in sorted(self._jobs.glob("*/job.json"), key=lambda p: p.stat().st_ctime):
            try:
                found.append(HeldJob.model_validate_json(place.read_bytes()))
            except ValidationError:  # written by another version: nobody can conclude it here
                self.set_aside(place.parent.name)
        return found

    def folder(self, held: HeldJob) -> Path:
        """The job's own folder."""
        return self._jobs / held.name

    def save(self, held: HeldJob) -> None:
        """Write the job's state; after the return it survives a power cut."""
        folder = self.folder(held)
        # passable: the container's user reads the source below it
        folder.mkdir(mode=0o711, exist_ok=True)
        write_durably(folder / "job.json", held.model_dump_json().encode())

    def keep(self, held: HeldJob) -> None:
        """As `save`, but a full disk stops nothing: a run goes on, and is delivered from memory."""
        try:
            self.save(held)
        except OSError as error:
            logger.warning("job %s: its state cannot be kept on disk: %s", held.job.id, error)

    def drop(self, held: HeldJob) -> None:
        """The job is delivered or no longer ours: remove all of it."""
        folder = self.folder(held)
        (folder / "job.json").unlink(missing_ok=True)
        remove(folder)

    def set_aside(self, name: str) -> None:
        """Keep a folder for a person to look at, out of the way."""
        aside = self.path / "aside"
        aside.mkdir(mode=0o700, exist_ok=True)
        remove(aside / name)
        shutil.move(self._jobs / name, aside / name)

    def sweep(self) -> None:
        """Remove folders without a job: a kill in the middle of `drop`."""
        for folder in self._jobs.iterdir():
            if not (folder / "job.json").exists():
                remove(folder)

    def free_bytes(self) -> int:
        """Room left on the disk."""
        return shutil.disk_usage(self.path).free

    def _identity(self) -> str:
        place = self.path / "owner"
        if not place.exists():
            write_durably(place, secrets.token_hex(4).encode())
        return place.read_text()
