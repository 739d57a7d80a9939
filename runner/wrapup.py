"""From the evidence of a run to its results on disk and the words to finish it with."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field, replace
from datetime import datetime

from raas_gym.control import SessionSummary
from runner import artifacts
from runner.artifacts import LOG_NAME, Budget
from runner.crashes import marks
from runner.engine_errors import SandboxError
from runner.held import HeldJob, Store
from runner.joblog import JobLog
from runner.protocol import Finish, SessionResult
from runner.repo_config import RepoConfig
from runner.results import Outcome, Ran, conclude, session_result
from runner.sandbox import ArtifactsVolume
from runner.workspace import Source, remove

NOTES_BYTES = 4096
"""Room for our own last lines in the log."""

logger = logging.getLogger(__name__)


@dataclass
class Evidence:
    """What a run left.

    Attributes:
        outcome: What is known of it.
        config: What the repository asked for.
        image: Digest of the image.
        source: The repository.
        started_at, ended_at: When, by this host's clock.
        results: The sessions in the words of the job contract.
    """

    outcome: Outcome
    config: RepoConfig
    image: str
    source: Source
    started_at: datetime | None = None
    ended_at: datetime | None = None
    results: list[SessionResult] = field(default_factory=list)

    def add(self, ran: Ran, summary: SessionSummary | None) -> bool:
        """One more session; whether it went well enough for another."""
        sessions = [*self.outcome.sessions, *([summary] if summary else [])]
        pids = max(self.outcome.pids, ran.pids)
        self.outcome = replace(
            self.outcome,
            exit=ran.exit,
            stopped=ran.stopped,
            detail=ran.detail,
            sessions=sessions,
            pids=pids,
        )
        if summary is not None:
            self.results.append(session_result(summary, ran.exit.code if ran.exit else None))
        return ran.stopped is None and ran.exit is not None and ran.exit.code == 0


def wrap_up(
    store: Store, held: HeldJob, log: JobLog, evidence: Evidence, volume: ArtifactsVolume | None
) -> Finish:
    """Collect the results into the job's folder; the words to finish with, but for the log's end."""
    outcome = replace(evidence.outcome, log=log.tail())
    conclusion, reason = conclude(outcome, evidence.config)
    for note in _collect(store, held, evidence, volume, log.length + NOTES_BYTES):
        log.say(note)
    log.say(f"{conclusion.value}: {reason}")
    _keep_log(store, held, log)
    return Finish(
        fence=held.job.fence,
        conclusion=conclusion,
        reason=reason[:4000],
        sessions=evidence.results,
        annotations=marks(outcome.log, evidence.source.has_file) if conclusion.value == "failure" else [],
        image=evidence.image,
        started_at=evidence.started_at,
        ended_at=evidence.ended_at,
    )


def _collect(
    store: Store, held: HeldJob, evidence: Evidence, volume: ArtifactsVolume | None, log_bytes: int
) -> list[str]:
    """Copy what was recorded and what the program left; notes on what is missing."""
    folder = store.folder(held) / "results"
    budget = Budget(held.job.limits)
    budget.take(min(log_bytes, budget.bytes_left))
    notes: list[str] = []
    try:
        remove(folder)  # of a runner that was killed in the middle of this: the last file may be half a one
        folder.mkdir()
        for summary in evidence.outcome.sessions:
            prefix = "" if held.job.sessions == 1 else f"session-{summary.number}/"
            notes += artifacts.copy_recorded(summary.files, folder, prefix, budget)
        if volume is not None:
            notes += artifacts.collect(volume.read_tar(), folder, evidence.config.keeps, budget)
    except (OSError, SandboxError) as error:
        logger.warning("job %s: results are missing: %s", held.job.id, error)
        notes.append("some results could not be kept on the robot's host, our fault")
    return notes


def _keep_log(store: Store, held: HeldJob, log: JobLog) -> None:
    try:
        folder = store.folder(held) / "results"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(log.path, folder / LOG_NAME)
    except OSError as error:
        logger.warning("job %s: the log could not be copied: %s", held.job.id, error)
