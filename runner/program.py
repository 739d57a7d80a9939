"""A job made ready to run: what every part of an attempt needs, and the container it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from raas_gym.control import ControlClient, SessionOpened
from runner.happenings import Happenings
from runner.hardening import JOB_UID, ContainerSpec, Limits, shell
from runner.held import HeldJob, Store
from runner.joblog import JobLog
from runner.outlook import Outlook
from runner.protocol import ClaimedJob
from runner.pulse import Pulse
from runner.repo_config import RepoConfig
from runner.sandbox import ArtifactsVolume, Engine
from runner.server import JobServer
from runner.settings import Settings
from runner.workspace import Source

ServerT_co = TypeVar("ServerT_co", bound=JobServer, covariant=True)


@dataclass(frozen=True)
class Tools(Generic[ServerT_co]):
    """What every attempt of this runner uses.

    Attributes:
        settings: The host's decisions.
        store: Held jobs on disk.
        engine: Docker.
        control: The robot's controller.
        client: The server, for the attempt's own thread.
        new_client: Makes the server's clients for other threads.
        images: Tag of the image by kind.
        job_uid: The user of this host as whom jobs meet the controller.
    """

    settings: Settings
    store: Store
    engine: Engine
    control: ControlClient
    client: ServerT_co
    new_client: Callable[[], ServerT_co]
    images: dict[str, str]
    job_uid: int = JOB_UID


@dataclass(frozen=True)
class Desk:
    """What lies on the desk while one job is worked on.

    Attributes:
        held: The job and its phase, on disk.
        log: Its output.
        pulse: Its heartbeat.
        happenings: What others tell about it.
        outlook: When it will be done with the robot.
    """

    held: HeldJob
    log: JobLog
    pulse: Pulse
    happenings: Happenings
    outlook: Outlook = field(default_factory=Outlook)

    @property
    def job(self) -> ClaimedJob:
        """The job."""
        return self.held.job


@dataclass(frozen=True)
class Plan:
    """What the job's settings and this host make of it.

    Attributes:
        config: What the repository asks for.
        image: The image's tag.
        digest: The image's digest.
        limits: The walls.
        timeout_s: Longest time of the program [s].
        binds: Installed packages, mounted read-only by their place in the container.
    """

    config: RepoConfig
    image: str
    digest: str
    limits: Limits
    timeout_s: float
    binds: Mapping[str, Path] = field(default_factory=dict)

    def container(
        self,
        owner: str,
        held: HeldJob,
        source: Source,
        volume: ArtifactsVolume,
        session: SessionOpened | None = None,
    ) -> ContainerSpec:
        """The container of the program; without a session, the environment is simulated inside it."""
        return ContainerSpec(
            image=self.image,
            command=shell(self.config.run),
            owner=owner,
            job=held.name,
            limits=self.limits,
            source=source.root,
            session_dir=Path(session.directory) if session else None,
            socket=session.socket if session else None,
            volume=volume.name,
            binds=self.binds,
        )
