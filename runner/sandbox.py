"""Docker: the only module that names it. Images, and containers behind the walls of `hardening`.

Every container and volume of ours carries the label `raas.owner`, the identity of one runner's data folder: a
restarted runner finds and removes exactly its own leftovers, never another's.

A job's artifacts live in a volume in memory. Docker unmounts (and so empties) such a volume when its last
container stops, therefore a *keeper*, a container that only sleeps, holds it from before the job starts until
the content is copied out: by then every process of the job is dead and nothing moves any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig, Mount, Ulimit
from docker.utils.socket import frames_iter

from runner import hardening
from runner.engine_errors import SandboxError, check_socket, engine_errors, explained
from runner.hardening import ARTIFACTS_DIR, SESSION_DIR, SOURCE_DIR, ContainerSpec, Exit, Limits

OWNER_LABEL = "raas.owner"
JOB_LABEL = "raas.job"
KEEPER_LIMITS = Limits(memory_bytes=128 * hardening.MIB, pids=64, tmp_bytes=hardening.MIB)
"""Sleeping takes nothing, but runc itself starts inside these walls, with a dozen threads."""
ALL_REMEMBERED = 1
"""Seconds since the epoch: of the events that the engine keeps, every one."""
OOM_LATE_S = 5
"""After the end of a container, how long the engine may take to tell that the kernel killed it for memory."""


@dataclass(frozen=True)
class Usage:
    """A glance at a running container."""

    pids: int
    memory_bytes: int


class Engine:
    """One Docker engine.

    Raises:
        SandboxError: None answers, or not to this user.
    """

    def __init__(self, timeout_s: int = 120) -> None:
        check_socket(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
        try:
            self._client = docker.from_env(timeout=timeout_s)
        except DockerException as error:
            raise explained(error) from error

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def ping(self) -> None:
        """Whether it still answers.

        Raises:
            SandboxError: It does not.
        """
        with engine_errors():
            self._client.ping()

    def takes_calls(self) -> bool:
        """Whether it answers a newcomer. One that is told to end first hangs up, then ends its containers."""
        try:
            Engine(timeout_s=10).close()
        except SandboxError:
            return False
        return True

    def info(self) -> dict[str, Any]:
        """What the engine says of itself and its host."""
        with engine_errors():
            return dict(self._client.info())

    # images

    def image_id(self, tag: str) -> str | None:
        """The digest of the image called `tag`, or None where there is none."""
        try:
            with engine_errors():
                return str(self._client.images.get(tag).id)
        except SandboxError as error:
            if isinstance(error.__cause__, ImageNotFound):
                return None
            raise

    def images(self, repository: str) -> dict[str, int]:
        """Tags of `repository` and their sizes in bytes."""
        with engine_errors():
            found = self._client.images.list(name=repository)
        return {tag: int(image.attrs["Size"]) for image in found for tag in image.tags}

    def pull(self, tag: str) -> bool:
        """Try to fetch a public image; False where no registry answers or it is unknown there."""
        try:
            self._client.images.pull(tag)
        except (DockerException, requests.RequestException):
            return False
        return True

    def import_rootfs(self, archive: Path, repository: str, tag: str) -> None:
        """Make an image of a root file system in a tar file."""
        with engine_errors():
            self._client.api.import_image_from_file(str(archive), repository=repository, tag=tag)

    def build(self, context: Path, tag: str, args: dict[str, str], say: Callable[[str], None]) -> None:
        """Build `context/Dockerfile` without network; `say` gets the engine's lines."""
        with engine_errors():
            lines = self._client.api.build(
                path=str(context),
                tag=tag,
                buildargs=args,
                network_mode="none",
                rm=True,
                forcerm=True,
                decode=True,
            )
            for line in lines:
                if "error" in line:
                    raise SandboxError("image", f"the image could not be built: {line['error'].strip()}")
                if text := str(line.get("stream", "")).strip():
                    say(text)

    def remove_image(self, tag: str) -> bool:
        """Remove an image; False where a container still uses it."""
        try:
            with engine_errors():
                self._client.images.remove(tag)
        except SandboxError:
            return False
        return True

    # volumes and containers

    def create_volume(
        self, spec_owner: str, name: str, limits: Limits, image: str, job: str | None = None
    ) -> ArtifactsVolume:
        """An empty artifacts volume, held by its keeper; of the job called `name`, or made for `job`."""
        labels = {OWNER_LABEL: spec_owner, JOB_LABEL: job or name}
        name = f"raas-{spec_owner}-{name}"
        with engine_errors():
            self._client.volumes.create(
                name, driver="local", driver_opts=hardening.volume_options(limits), labels=labels
            )
            keeper = self._client.containers.create(
                image,
                ["sleep", "infinity"],
                name=f"{name}-keeper",
                labels=labels,
                mounts=[Mount(ARTIFACTS_DIR, name, type="volume", no_copy=True)],
                **_options(KEEPER_LIMITS),
            )
            keeper.start()
        return ArtifactsVolume(name, keeper, self._client)

    def create(self, spec: ContainerSpec) -> Job:
        """A container, ready to be started."""
        mounts = [Mount(SOURCE_DIR, str(spec.source), type="bind", read_only=True)]
        if spec.session_dir is not None:
            mounts.append(Mount(SESSION_DIR, str(spec.session_dir), type="bind", read_only=True))
        for place, folder in spec.binds.items():
            mounts.append(Mount(place, str(folder), type="bind", read_only=True))
        if spec.volume is not None:
            mounts.append(Mount(ARTIFACTS_DIR, spec.volume, type="volume", no_copy=True))
        with engine_errors():
            container = self._client.containers.create(
                spec.image,
                spec.command,
                name=f"raas-{spec.owner}-{spec.job}-job-{time.monotonic_ns():x}",
                labels={OWNER_LABEL: spec.owner, JOB_LABEL: spec.job},
                working_dir=SOURCE_DIR,
                environment=hardening.environment(spec.socket),
                mounts=mounts,
                **_options(spec.limits),
            )
        return Job(container, self._client)

    def sweep(self, owner: str, keep: Collection[str] = ()) -> list[str]:
        """Remove every container and volume of `owner` but those of the jobs in `keep`; their names."""
        label: dict[str, Any] = {"label": f"{OWNER_LABEL}={owner}"}
        removed = []
        with engine_errors():
            for container in self._client.containers.list(all=True, filters=label):
                if container.labels.get(JOB_LABEL) not in keep:
                    removed.append(str(container.name))
                    _remove(container)
            for volume in self._client.volumes.list(filters=label):
                if (volume.attrs.get("Labels") or {}).get(JOB_LABEL) not in keep:
                    removed.append(str(volume.name))
                    with contextlib.suppress(NotFound):
                        volume.remove(force=True)
        return removed

    def stop_jobs(self, owner: str, job: str) -> None:
        """End the containers of `job`, but for its keeper."""
        for container in self._of_job(owner, job):
            with engine_errors(), contextlib.suppress(NotFound):
                container.stop(timeout=0)

    def find_volume(self, owner: str, job: str) -> ArtifactsVolume | None:
        """The artifacts volume of `job`, where its keeper still runs."""
        name = f"raas-{owner}-{job}"
        with engine_errors():
            keepers = self._client.containers.list(filters={"name": f"^/?{name}-keeper$"})
        return ArtifactsVolume(name, keepers[0], self._client) if keepers else None

    def last_exit(self, owner: str, job: str) -> Exit | None:
        """How the latest container of `job` ended, where it is still there and has ended by itself."""
        latest = next(iter(self._of_job(owner, job)), None)
        return _exit(latest, self._client, 1) if latest is not None and latest.status == "exited" else None

    def _of_job(self, owner: str, job: str) -> list[Container]:
        """The containers of `job` but for its keeper, the latest first."""
        labels: dict[str, Any] = {"label": [f"{OWNER_LABEL}={owner}", f"{JOB_LABEL}={job}"]}
        with engine_errors():
            found = self._client.containers.list(all=True, filters=labels)
        return [container for container in found if not str(container.name).endswith("-keeper")]


@dataclass(frozen=True)
class ArtifactsVolume:
    """A job's `/artifacts`, alive as long as its keeper."""

    name: str
    _keeper: Container
    _client: docker.DockerClient

    def read_tar(self) -> Iterator[bytes]:
        """The content as a tar stream. Untrusted: names, kinds and sizes are the job's own doing."""
        with engine_errors():
            stream, _ = self._keeper.get_archive(ARTIFACTS_DIR)
            yield from stream

    def remove(self) -> None:
        """Drop the content."""
        with engine_errors():
            _remove(self._keeper)
            with contextlib.suppress(NotFound):
                self._client.volumes.get(self.name).remove(force=True)


class Job:
    """One container from creation to removal."""

    def __init__(self, container: Container, client: docker.DockerClient) -> None:
        self._container = container
        self._client = client
        self._told_to_end = False

    def output(self) -> Iterator[bytes]:
        """Attach to the output (both streams as written). Call before `start`; ends with the container."""
        with engine_errors():
            wanted = {"stdout": 1, "stderr": 1, "stream": 1, "logs": 0}
            return _frames(self._client.api.attach_socket(str(self._container.id), wanted))

    def start(self) -> None:
        """Let it run."""
        with engine_errors():
            self._container.start()

    def wait(self) -> Exit:
        """Until it has ended, however long that takes."""
        with engine_errors():
            while True:
                try:
                    self._container.wait(timeout=60)
                    break
                except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
                    if "timed out" not in str(error):
                        raise
            self._container.reload()
            return _exit(self._container, self._client, 0 if self._told_to_end else OOM_LATE_S)

    def usage(self) -> Usage | None:
        """Processes and memory at this moment, or None where it has ended."""
        try:
            stats = self._client.api.stats(str(self._container.id), stream=False, one_shot=True)
        except (DockerException, requests.RequestException):
            return None
        pids, memory = stats.get("pids_stats", {}), stats.get("memory_stats", {})
        return Usage(int(pids.get("current", 0)), int(memory.get("usage", 0)))

    def stop(self, grace_s: int) -> None:
        """Ask it to end, and end it after `grace_s`."""
        self._told_to_end = True
        with engine_errors(), contextlib.suppress(NotFound):
            self._container.stop(timeout=grace_s)

    def kill(self) -> None:
        """End it now."""
        self._told_to_end = True
        with contextlib.suppress(SandboxError), engine_errors():
            self._container.kill()

    def remove(self) -> None:
        """End it if need be, and leave nothing of it."""
        with engine_errors():
            _remove(self._container)


def _options(limits: Limits) -> dict[str, Any]:
    options = hardening.options(limits)
    bounds = hardening.ulimits(limits)
    return {
        **options,
        "log_config": LogConfig(type="none"),
        "ulimits": [Ulimit(name=name, soft=bound, hard=bound) for name, bound in bounds.items()],
    }


def _exit(container: Container, client: docker.DockerClient, patience_s: int) -> Exit:
    state = container.attrs["State"]
    code, out_of_memory = int(state["ExitCode"]), bool(state["OOMKilled"])
    if code == 128 + signal.SIGKILL and not out_of_memory:
        out_of_memory = _oom_told_late(container, client, patience_s)
    return Exit(code, out_of_memory)


def _oom_told_late(container: Container, client: docker.DockerClient, patience_s: int) -> bool:
    """Whether the engine has told, or tells within `patience_s`, that the kernel killed for memory.

    containerd tells of the kill and of the end from two threads. Where the end comes first, Docker has put
    down the container's state by then and gives the kill as an event alone.
    """
    events = client.api.events(
        since=ALL_REMEMBERED,
        until=int(time.time()) + patience_s,
        filters={"container": container.id, "event": "oom"},
    )
    try:
        return next(iter(events), None) is not None
    finally:
        events.close()


def _remove(container: Container) -> None:
    """Removing twice, or while Docker is removing already, is no error."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != requests.codes.conflict:
            raise


def _frames(connection: Any) -> Iterator[bytes]:
    """The output on an attached connection.

    An engine that goes away ends it, and `Job.wait` tells why.
    """
    try:
        for _, data in frames_iter(connection, tty=False):  # type: ignore[no-untyped-call]
            yield data
    except OSError:
        return
    finally:
        # docker-py leaves both open; the response first, or it would flush into a closed file
        response = connection._response
        response.close()
        connection.close()
