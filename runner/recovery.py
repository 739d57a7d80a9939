"""After a restart: what is to become of the jobs this runner held. No job is ever run a second time here."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from runner.client import Client
from runner.delivery import give_back
from runner.execution import Ran
from runner.held import HeldJob, Phase
from runner.joblog import JobLog
from runner.program import Tools
from runner.repo_config import RepoConfig
from runner.results import Outcome, Stop
from runner.sandbox import ArtifactsVolume, SandboxError
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
        return True
    if held.phase is Phase.CLAIMED:
        _clean(tools, held)
        return not give_back(tools.client, held, "the runner was restarted") and _ended(tools, held)
    return _recover_motion(tools, held)


def _recover_motion(tools: Tools[Client], held: HeldJob) -> bool:
    """The robot may have moved: the controller knows, and has recorded what."""
    ran = _last_run(tools, held)
    sessions = Sessions(tools.control, held.job, "", held.job.limits.timeout_s)
    summaries = sessions.recover()
    if not summaries:
        _clean(tools, held)
        return not give_back(tools.client, held, "the runner was restarted") and _ended(tools, held)
    evidence = Evidence(_outcome(tools, held), _config(held), "", _source(tools, held))
    for summary in summaries:
        evidence.add(ran, summary)
    log = JobLog(tools.store.folder(held) / "log", held.job.limits.log_bytes_max)
    try:
        log.say("the runner was restarted; the output has a gap here")
        held.finish = wrap_up(tools.store, held, log, evidence, _volume(tools, held))
    finally:
        log.close()
    _ended(tools, held)
    sessions.forget(summaries)
    _clean(tools, held)
    return True


def _last_run(tools: Tools[Client], held: HeldJob) -> Ran:
    """A program that ended by itself is judged by its end; one that still runs is ended, unjudged."""
    ended = tools.engine.last_exit(tools.store.owner, held.name)
    if ended is not None:
        return Ran(exit=ended)
    tools.engine.stop_jobs(tools.store.owner, held.name)
    return Ran(stopped=Stop.INTERRUPTED)


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
