"""The packages a repository asks for, installed once and mounted read-only into its containers.

Whatever a repository's requirements file names (`requirements`), the same set on the same image from the same
places is one layer (`layers`): it is installed once, in a container of its own that has no robot, no source,
no secret and no network but the host's package index (`package_index`) or its folder of wheels, and is kept
until the disk budget is used up by others used more recently. Decision 0011 says why it is built this way.

An installation may go on beside a session: it gets the processors the controller does not use, and there the
smallest share; it writes to memory, and what leaves it for the disk leaves at a bounded rate.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runner import index_process, pip_output, requirements
from runner.execution import execute
from runner.happenings import Happenings, Kind
from runner.hardening import MIB, REQUIREMENTS_DIR, WHEELS_DIR, ContainerSpec, Limits, spare_cpuset
from runner.joblog import JobLog
from runner.layer_files import LayerError, unpack
from runner.layers import Layer, Layers
from runner.protocol import Annotation
from runner.requirements import Requirement, RequirementsError
from runner.results import Ran, Stop
from runner.sandbox import Engine
from runner.settings import PackageRules
from runner.workspace import Source

WORK_MEMORY = 768 * MIB
"""What pip and the largest wheel in its hands need, besides the installed files."""
INODES_MAX = 100_000
_HERE = Path(__file__).parent / "image"


class InstallError(Exception):
    """The packages cannot be had; the message is for the repository's author.

    Attributes:
        annotations: Remarks on lines of the requirements file.
    """

    def __init__(self, message: str, annotations: list[Annotation] | None = None) -> None:
        super().__init__(message)
        self.annotations = annotations or []


@dataclass(frozen=True)
class Order:
    """One job's wish for packages.

    Attributes:
        image: Tag of the image they are for.
        digest: Its digest.
        wish: `requirements` of `.raas.yml`: a path, None for the default file if it is there, False for none.
        owner: The runner's identity, for labels.
        job: `ID-ATTEMPT`, for labels.
        budget_s: Longest time [s]; the host's rule may be shorter.
    """

    image: str
    digest: str
    wish: str | bool | None
    owner: str
    job: str
    budget_s: float


@dataclass(frozen=True)
class Packages:
    """What a job's containers get.

    Attributes:
        binds: Folders to mount read-only, by their place in the container.
        digest: The image's digest, with the set of packages where there is one.
    """

    digest: str
    binds: Mapping[str, Path] = field(default_factory=dict)
    layer: Layer | None = None

    def close(self) -> None:
        """The job has ended: the packages may be evicted."""
        if self.layer is not None:
            self.layer.close()


class Installer:
    """Installs on one host, for one runner; safe to use beside a running session and from several threads.

    Args:
        engine: The Docker engine.
        rules: The host's.
        folder: Where packages are kept.
        runtime: As the host sets it for jobs.
    """

    def __init__(self, engine: Engine, rules: PackageRules, folder: Path, runtime: str = "") -> None:
        self._engine = engine
        self._rules = rules
        self._runtime = runtime
        self._layers = Layers(folder, rules.disk_mb * MIB)

    def prepare(self, order: Order, source: Source, log: JobLog, happenings: Happenings) -> Packages | None:
        """The packages `source` asks for; close them after the job. None where something happened meanwhile.

        Raises:
            InstallError: They cannot be had, by what the repository asks for or this host allows.
            SandboxError: Docker failed.
        """
        name, wanted = _read(order.wish, source)
        if not wanted:
            return Packages(order.digest)
        key = self._key(order.digest, wanted)
        build = _Build(self._engine, self._rules, order, name, wanted, log, happenings, self._runtime)
        layer = self._layers.use(key, build.make, lambda: _upset(happenings))
        if layer is None or _upset(happenings):
            return None
        self._evict()
        if not layer.packages:
            layer.close()
            return Packages(order.digest)
        log.say(f"packages of {name}: {', '.join(layer.packages)}")
        return Packages(f"{order.digest}+{layer.key[:16]}", {REQUIREMENTS_DIR: layer.site}, layer)

    def _evict(self) -> None:
        with contextlib.suppress(OSError):  # the next installation tries again
            self._layers.evict()

    def _key(self, digest: str, wanted: list[Requirement]) -> str:
        wheels = self._rules.wheelhouse
        listing = sorted((p.name, p.stat().st_size) for p in wheels.iterdir()) if wheels else []
        parts = [
            digest,
            requirements.normalised(wanted),
            repr((self._rules.index, self._rules.build)),
            repr((str(wheels), listing)),
            (_HERE / "install.py").read_text(),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Build:
    """One installation."""

    engine: Engine
    rules: PackageRules
    order: Order
    name: str
    wanted: list[Requirement]
    log: JobLog
    happenings: Happenings
    runtime: str

    def make(self, target: Path) -> None:
        """Fill `target`; `layers.Layers` moves it to its place."""
        self.log.say(f"installing the packages of {self.name}")
        with tempfile.TemporaryDirectory(dir=target, prefix="build-") as scratch:
            self._install(Path(scratch), target)

    def _install(self, scratch: Path, target: Path) -> None:
        scratch.chmod(0o711)
        source = scratch / "source"
        source.mkdir()
        (source / requirements.FILE_NAME).write_text(requirements.normalised(self.wanted))
        shutil.copyfile(_HERE / "install.py", source / "install.py")
        for path in (source, *source.iterdir()):
            path.chmod(0o755)
        name, limits = f"{self.order.job}-packages", self._limits()
        volume = self.engine.create_volume(self.order.owner, name, limits, self.order.image, self.order.job)
        try:
            start = self.log.length
            with self._index(scratch / "index") as folder:
                ran = execute(
                    self.engine,
                    self._spec(source, folder, volume.name, limits),
                    self.log,
                    self.happenings,
                    self._time_s(),
                )
            self._check(ran, start)
            try:
                unpack(volume.read_tar(), target, limits.artifact_bytes)
            except LayerError as error:
                raise InstallError(f"The packages of {self.name} cannot be kept: {error}.") from error
        finally:
            volume.remove()

    def _spec(self, source: Path, index: Path | None, volume: str, limits: Limits) -> ContainerSpec:
        wheels = self.rules.wheelhouse
        return ContainerSpec(
            image=self.order.image,
            command=["python", "/repo/install.py", *(["--build"] if self.rules.build else [])],
            owner=self.order.owner,
            job=self.order.job,
            limits=limits,
            source=source,
            session_dir=index,
            volume=volume,
            binds={WHEELS_DIR: wheels} if wheels else {},
        )

    def _limits(self) -> Limits:
        size = self.rules.size_mb * MIB
        return Limits(
            memory_bytes=size + WORK_MEMORY,
            pids=128,
            artifact_bytes=size,
            artifact_inodes=INODES_MAX,
            cpuset=spare_cpuset(),
            background=True,
            runtime=self.runtime,
        )

    def _time_s(self) -> float:
        return min(self.rules.time_s, self.order.budget_s)

    @contextmanager
    def _index(self, folder: Path) -> Iterator[Path | None]:
        urls, cert = index_process.places(self.rules.index)
        if not urls:
            yield None
            return
        folder.mkdir()
        folder.chmod(0o711)
        with index_process.serving(folder, urls, self.rules.size_mb * MIB, cert):
            yield folder

    def _check(self, ran: Ran, start: int) -> None:
        """Whether pip did what it should.

        Raises:
            InstallError: It did not; in its own words.
        """
        if ran.stopped is Stop.TIMEOUT:
            raise InstallError(
                f"Installing the packages of {self.name} took longer than {self._time_s():g} s; name fewer, "
                "or ask the robot's host for an image that has them."
            )
        if ran.stopped is not None:
            raise InstallError("Stopped while the packages were installed.")
        if ran.exit is not None and ran.exit.out_of_memory:
            raise InstallError(f"Installing the packages of {self.name} took too much memory; name fewer.")
        if ran.exit is None or ran.exit.code:
            text = self.log.read(start, self.log.length - start).decode(errors="replace")
            raise InstallError(*self._told(text))

    def _told(self, output: str) -> tuple[str, list[Annotation]]:
        """The resolver's message, what to do, and the lines it is about."""
        message = pip_output.reason(output)
        if "No space left" in message:
            size = self.rules.size_mb
            message = f"they need more than {size} MB, this host's limit; `image: ml` has the large ones"
        lines = [item for item in self.wanted if re.search(rf"\b{re.escape(item.name)}\b", message.lower())]
        marks = [
            Annotation(path=self.name, line=item.line, title="Not installed", message=message[:2000])
            for item in lines[:5]
        ]
        return f"The packages of {self.name} could not be installed: {message}.{self._hint(message)}", marks

    def _hint(self, message: str) -> str:
        if "No matching distribution" not in message:
            return ""
        if not self.rules.index and not self.rules.wheelhouse:
            return " This host has no package index: only what its image has can be used."
        return "" if self.rules.build else " Only packages with a wheel for this machine are installed here."


def _read(wish: str | bool | None, source: Source) -> tuple[str, list[Requirement]]:
    """The requirements file's name and content."""
    if wish is False:
        return "", []
    name = wish if isinstance(wish, str) else requirements.FILE_NAME
    if not source.has_file(name):
        if wish is None:
            return "", []
        raise InstallError(
            f"`requirements` names {name}, which is no file of the repository; add or correct it."
        )
    with (source.root / name).open("rb") as file:
        content = file.read(requirements.SIZE_MAX + 1)
    try:
        return name, requirements.parse(content)
    except RequirementsError as error:
        mark = Annotation(path=name, line=error.line, title="Not accepted", message=error.message)
        raise InstallError(f"{name} line {error.line}: {error.message}.", [mark]) from error


def _upset(happenings: Happenings) -> bool:
    """Whether the job is not to go on."""
    return any(happenings.seen(kind) is not None for kind in (Kind.CANCELLED, Kind.LOST, Kind.HOST_STOPS))
