"""After a restart: what is to become of the jobs this runner held. No job is ever run a second time here."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from raas_gym.control import SessionSummary
from runner.client import Client
from runner.delivery import give_back
from runner.engine_errors import SandboxError
from runner.held import HeldJob, Phase
from runner.joblog import JobLog
from runner.program import Tools
from runner.repo_config import RepoConfig
from runner.results import Outcome, Ran, Stop
from runner.sandbox import ArtifactsVolume
from runner.sessions import Sessions
from runner.workspace import Source
from runner.wrapup import Evidence, wrap_up

logger = logging.getLogger(__name__)


def recover(tools: Tools[Client], held: HeldJob) -> bool:
    """Bring a held job to its phase `ended`; False where it is not ours any more.

    Raises:
        SessionError: The controller does not answer; try again later.
        SandboxError: Docker does not answer; try again later.
    """
    if held.phase is Phase.ENDED:
        if held.finish is not None:
            _sessions(tools, held).forget(session.number for session in held.finish.sessions)
        return True
    if held.phase is Phase.CLAIMED:
        _clean(tools, held)
        return not give_back(tools.client, held, "the runner was restarted") and _ended(tools, held)
    return _recover_motion(tools, held)


def _recover_motion(tools: Tools[Client], held: HeldJob) -> bool:
    """The robot may have moved: the controller knows, and has recorded what."""
    runs = _runs(tools, held)
    sessions = _sessions(tools, held)
    summaries = sessions.recover()
    if not summaries:
        _clean(tools, held)
        return not give_back(tools.client, held, "the runner was restarted") and _ended(tools, held)
    log = JobLog(tools.store.folder(held) / "log", held.job.limits.log_bytes_max)
    try:
        seen = len(summaries) <= len(held.runs)
        log.say("the runner was restarted" + ("" if seen else "; the output has a gap here"))
        held.finish = wrap_up(
            tools.store, held, log, _evidence(tools, held, runs, summaries), _volume(tools, held)
        )
    finally:
        log.close()
    _ended(tools, held)
    sessions.forget(summary.number for summary in summaries)
    _clean(tools, held)
    return True


def _runs(tools: Tools[Client], held: HeldJob) -> list[Ran]:
    """How the container of each session went, and of one more; none of them runs any more."""
    if held.runs and held.runs[-1].exit is None:
        tools.engine.stop_jobs(tools.store.owner, held.name)
        return held.runs
    return [*held.runs, _last_run(tools, held)]


def _last_run(tools: Tools[Client], held: HeldJob) -> Ran:
    """A program that ended by itself is judged by its end; one that still runs is ended, unjudged."""
    ended = tools.engine.last_exit(tools.store.owner, held.name)
    if ended is not None:
        return Ran(exit=ended)
    tools.engine.stop_jobs(tools.store.owner, held.name)
    return Ran(stopped=Stop.INTERRUPTED)


def _evidence(
    tools: Tools[Client], held: HeldJob, runs: list[Ran], summaries: list[SessionSummary]
) -> Evidence:
    evidence = Evidence(_outcome(tools, held), _config(held), "", _source(tools, held))
    well = False
    for summary in summaries:
        well = evidence.add(runs[min(summary.number, len(runs) - 1)], summary)
    if well and len(summaries) < held.job.sessions:
        evidence.add(Ran(stopped=Stop.INTERRUPTED), None)
    return evidence


def _sessions(tools: Tools[Client], held: HeldJob) -> Sessions:
    return Sessions(tools.control, held, "", held.job.limits.timeout_s)


def _ended(tools: Tools[Client], held: HeldJob) -> bool:
    held.phase = Phase.ENDED
    tools.store.save(held)
    return True


def _clean(tools: Tools[Client], held: HeldJob) -> None:
    others = [job.name for job in tools.store.held() if job.name != held.name]
    for name in tools.engine.sweep(tools.store.owner, others):
        logger.info("job %s: removed %s, left by an earlier run", held.job.id, name)


def _volume(tools: Tools[Client], held: HeldJob) -> ArtifactsVolume | None:
    try:
        return tools.engine.find_volume(tools.store.owner, held.name)
    except SandboxError as error:
        logger.warning("job %s: artifacts are lost: %s", held.job.id, error)
        return None


def _config(held: HeldJob) -> RepoConfig:
    try:
        return RepoConfig.model_validate(held.job.config)
    except ValidationError:  # the robot moved under a config that was valid for the version then running
        return RepoConfig()


def _outcome(tools: Tools[Client], held: HeldJob) -> Outcome:
    limits = held.job.limits
    return Outcome(tools.settings.limits(limits.artifact_bytes_max), limits.timeout_s)


def _source(tools: Tools[Client], held: HeldJob) -> Source:
    return Source(tools.store.folder(held) / "source")
