"""Hostile repositories through the runner's own attempt, one after another on one simulated robot.

The attempt, the container, its walls, the verdict and the collection of artifacts are the product's; the
server's part is that of `raas run`, which agrees to everything.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raas_gym.control import ControlClient
from runner import base_image
from runner.attempt import Attempt
from runner.happenings import Happenings
from runner.held import HeldJob, Store
from runner.joblog import JobLog
from runner.local_host import ROBOT, simulated_robot, working_folder
from runner.local_server import LocalServer
from runner.program import Desk, Tools
from runner.protocol import ClaimedJob, Finish, JobLimits
from runner.pulse import Pulse
from runner.repo_config import RepoConfig, parse
from runner.sandbox import Engine
from runner.server import JobServer
from runner.settings import PackageRules, Settings
from runner.trial import job_uid

HERE = Path(__file__).parent
REPOSITORIES = HERE / "repositories"
FRIENDLY = HERE / "friendly"
LIMITS = {
    "prepare_s": 300.0,
    "source_bytes_max": 20_000_000,
    "log_bytes_max": 200_000,
    "artifact_bytes_max": 40_000_000,
    "artifact_count_max": 100,
}


class _Server(LocalServer):
    """Packs a folder, or lets the folder's `source.py` make an archive that no folder can hold."""

    def source(self, job: int, fence: str, target: Path, bytes_max: int, budget_s: float) -> int:
        maker = self._folder / "source.py"
        if not maker.exists():
            return super().source(job, fence, target, bytes_max, budget_s)
        subprocess.run([sys.executable, str(maker), str(target)], check=True)
        return target.stat().st_size


@dataclass
class Ended:
    """A job that is over.

    Attributes:
        finish: Its last words.
        log: All that was printed and said.
        files: Its results by name.
        seconds: From claim to last words.
    """

    finish: Finish
    log: str
    files: dict[str, Path]
    seconds: float


@dataclass
class Arena:
    """One runner beside one robot; `limits` are the server's word on each job."""

    tools: Tools[JobServer]
    jobs: int = 0
    limits: Mapping[str, float] = field(default_factory=lambda: LIMITS)
    said: list[bytes] = field(default_factory=list)

    def run(self, folder: Path) -> Ended:
        """One job, from claim to last words."""
        self.jobs += 1
        place = folder / ".raas.yml"
        config = parse(place.read_bytes() if place.exists() else b"")
        held = HeldJob(job=_job(self.jobs, folder, config, self.limits), key=secrets.token_hex(16))
        server = _Server(folder, lambda _: None, lambda _: None, lambda _: None)
        store = self.tools.store
        store.save(held)
        began = time.monotonic()
        log = JobLog(store.folder(held) / "log", held.job.limits.log_bytes_max)
        happenings = Happenings()
        pulse = Pulse(server, held.job, log, happenings)
        pulse.start()
        try:
            finish = Attempt(self._tools_for(server), Desk(held, log, pulse, happenings)).run()
        finally:
            pulse.stop()
            log.close()
        seconds = time.monotonic() - began
        results = store.folder(held) / "results"
        files = {path.relative_to(results).as_posix(): path for path in results.rglob("*") if path.is_file()}
        return Ended(finish, log.path.read_text(errors="replace"), files, seconds)

    def leftovers(self) -> list[str]:
        """What jobs left in Docker; removed by asking."""
        return self.tools.engine.sweep(self.tools.store.owner)

    def _tools_for(self, server: _Server) -> Tools[JobServer]:
        t = self.tools
        return replace(t, client=server, new_client=lambda: server)


@contextmanager
def arena(runtime: str = "") -> Iterator[Arena]:
    """A runner with a simulated robot that lives as long as the battery; `runtime` as a host sets it."""
    engine = Engine()
    try:
        image = base_image.ensure(engine, say=lambda _: None)
        with working_folder(engine) as store, simulated_robot(store) as control:
            yield Arena(_tools(store, engine, control, image, runtime))
    finally:
        engine.close()


def _tools(
    store: Store, engine: Engine, control: ControlClient, image: str, runtime: str
) -> Tools[JobServer]:
    settings = Settings(
        server="http://localhost",
        name=ROBOT,
        data_dir=store.path,
        memory_mb=256,
        tmp_mb=32,
        artifacts_mb=32,
        pids=64,
        runtime=runtime or None,
        packages=PackageRules(index=[], size_mb=64),
    )
    nobody = LocalServer(FRIENDLY, lambda _: None, lambda _: None, lambda _: None)
    uid = job_uid(engine, image, settings)
    return Tools(settings, store, engine, control, nobody, lambda: nobody, {"slim": image}, uid)


def _job(number: int, folder: Path, config: RepoConfig, limits: Mapping[str, float]) -> ClaimedJob:
    return ClaimedJob(
        id=number,
        attempt=1,
        fence="local",
        repository=f"hostile/{folder.name}",
        sha="0" * 40,
        ref="main",
        config=config.model_dump(mode="json"),
        sessions=1,
        limits=JobLimits.model_validate({"timeout_s": config.timeout, **limits}),
        lease_s=3600.0,
        heartbeat_s=0.5,
        url="",
    )


def expectations() -> dict[str, dict[str, Any]]:
    """The table: what each repository comes to."""
    return tomllib.loads((HERE / "expected.toml").read_text())
