"""`raas run`: a repository executed as a runner would, with nobody else involved.

The attempt, its container, its walls, its verdict and its artifacts are a runner's own code (`Attempt`); the
robot is a controller of this package with a simulated plant; the server's part is `LocalServer`'s.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raas_gym.control import ControlClient
from runner import base_image
from runner.artifacts import LOG_NAME
from runner.attempt import Attempt, GiveBackError
from runner.happenings import Happenings
from runner.held import HeldJob, Store
from runner.joblog import JobLog
from runner.local_host import ROBOT, LocalError, simulated_robot, working_folder
from runner.local_server import LocalServer, commit
from runner.program import Desk, Tools
from runner.protocol import ClaimedJob, Finish, JobLimits
from runner.pulse import Pulse
from runner.repo_config import RepoConfig
from runner.sandbox import Engine
from runner.server import JobServer
from runner.settings import PackageRules, Settings
from runner.trial import job_uid

HEARTBEAT_S = 0.5
NO_COMMIT = "0" * 40
"""Stands for a folder that is no commit, or has changed since."""
_MB = 1_000_000
_LIMITS = {
    "prepare_s": 900.0,
    "source_bytes_max": 100 * _MB,
    "log_bytes_max": 10 * _MB,
    "artifact_bytes_max": 200 * _MB,
    "artifact_count_max": 200,
}
"""What a server allows where its host decided nothing else."""


@dataclass(frozen=True)
class LocalRun:
    """What to run.

    Attributes:
        folder: The repository.
        config: Its settings.
        sessions: How many sessions the job holds.
        out: Where its results go.
    """

    folder: Path
    config: RepoConfig
    sessions: int
    out: Path


@dataclass(frozen=True)
class LocalResult:
    """What a local run came to.

    Attributes:
        finish: The words a runner would finish with.
        out: Where the files are.
        files: Their names.
    """

    finish: Finish
    out: Path
    files: list[str]


def run(wanted: LocalRun, server: LocalServer, say: Callable[[str], None]) -> LocalResult:
    """Execute a repository; `say` gets the progress of what goes before.

    Raises:
        LocalError: This machine could not run it.
        SandboxError: Docker could not.
    """
    engine = Engine()
    try:
        kind = wanted.config.image or "slim"
        image = base_image.ensure(engine, base_image.Recipe(kind, wheels=base_image.places()), say)
        with working_folder(engine) as store, simulated_robot(store) as control:
            tools = _tools(store, engine, control, server, {kind: image})
            held = HeldJob(job=_job(wanted), key=secrets.token_hex(16))
            store.save(held)
            finish = _attempt(tools, held, server)
            return LocalResult(finish, wanted.out, _keep(store, held, wanted.out))
    finally:
        engine.close()


def _tools(
    store: Store, engine: Engine, control: ControlClient, server: LocalServer, images: dict[str, str]
) -> Tools[JobServer]:
    rules = PackageRules(folder=base_image.cache_dir() / "requirements")
    settings = Settings(server="http://localhost", name=ROBOT, data_dir=store.path, packages=rules)
    uid = job_uid(engine, next(iter(images.values())), settings)
    return Tools(settings, store, engine, control, server, lambda: server, images, uid)


def _job(wanted: LocalRun) -> ClaimedJob:
    folder, config = wanted.folder, wanted.config
    return ClaimedJob(
        id=1,
        attempt=1,
        fence="local",
        repository=f"local/{folder.resolve().name or 'repository'}",
        sha=commit(folder) or NO_COMMIT,
        ref="local",
        config=config.model_dump(mode="json"),
        sessions=wanted.sessions,
        limits=JobLimits.model_validate({"timeout_s": config.timeout, **_LIMITS}),
        lease_s=3600.0,
        heartbeat_s=HEARTBEAT_S,
        url="",
    )


def _attempt(tools: Tools[JobServer], held: HeldJob, server: LocalServer) -> Finish:
    log = JobLog(tools.store.folder(held) / "log", held.job.limits.log_bytes_max)
    happenings = Happenings()
    pulse = Pulse(server, held.job, log, happenings)
    pulse.start()
    try:
        return Attempt(tools, Desk(held, log, pulse, happenings)).run()
    except GiveBackError as error:
        raise LocalError(str(error)) from error
    finally:
        pulse.flush(HEARTBEAT_S)
        pulse.stop()
        server.take(pulse.last_chunk())
        log.close()


def _keep(store: Store, held: HeldJob, out: Path) -> list[str]:
    """Copy the results out; their names. A job that ended before the robot moved has only its log."""
    results = store.folder(held) / "results"
    try:
        if results.exists():
            shutil.copytree(results, out, dirs_exist_ok=True)
        else:
            out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store.folder(held) / "log", out / LOG_NAME)
    except OSError as error:
        raise LocalError(f"the results cannot be written to {out}: {error.strerror or error}") from error
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
