"""A real Docker engine, the real image, and programs run behind the real walls."""

from __future__ import annotations

import io
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from needs import need_docker

from runner import base_image
from runner.execution import execute
from runner.happenings import Happenings
from runner.hardening import MIB, ContainerSpec, Limits, shell
from runner.joblog import JobLog
from runner.results import Ran
from runner.sandbox import ArtifactsVolume, Engine

SMALL = Limits(
    memory_bytes=192 * MIB, pids=64, tmp_bytes=16 * MIB, artifact_bytes=4 * MIB, artifact_inodes=64
)
LOG_MAX = 200_000


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    need_docker()
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    return base_image.ensure(engine, say=lambda _: None)


@dataclass
class Finished:
    """A program that ran: how it ended, what it printed, what it left, how long it took."""

    ran: Ran
    log: JobLog
    seconds: float
    volume: ArtifactsVolume

    @property
    def text(self) -> str:
        return self.log.tail(LOG_MAX + 1000)

    def artifacts(self) -> dict[str, bytes]:
        with tarfile.open(fileobj=io.BytesIO(b"".join(self.volume.read_tar()))) as tar:
            files = [member for member in tar if member.isfile()]
            return {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in files}


@dataclass
class Lab:
    """Runs programs as the runner would, without a robot."""

    engine: Engine
    image: str
    folder: Path
    owner: str = field(default_factory=lambda: secrets.token_hex(4))
    happenings: Happenings = field(default_factory=Happenings)
    limits: Limits = SMALL
    binds: Mapping[str, Path] = field(default_factory=dict)

    def run(self, code: str, *, timeout_s: float = 20.0, command: str = "python run.py") -> Finished:
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        (source / "run.py").write_text(code)
        log = JobLog(self.folder / "log", LOG_MAX)
        self.engine.sweep(self.owner)
        volume = self.engine.create_volume(self.owner, "1-1", self.limits, self.image)
        spec = ContainerSpec(
            self.image,
            shell(command),
            self.owner,
            "1-1",
            self.limits,
            source,
            volume=volume.name,
            binds=self.binds,
        )
        began = time.monotonic()
        ran = execute(self.engine, spec, log, self.happenings, timeout_s)
        log.close()
        return Finished(ran, log, time.monotonic() - began, volume)


@pytest.fixture
def lab(engine: Engine, image: str, tmp_path: Path, runtime: str) -> Iterator[Lab]:
    tmp_path.chmod(0o755)
    lab = Lab(engine, image, tmp_path, limits=replace(SMALL, runtime=runtime))
    yield lab
    engine.sweep(lab.owner)


@pytest.fixture
def run(lab: Lab) -> Callable[..., Finished]:
    return lab.run
