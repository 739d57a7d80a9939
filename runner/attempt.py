"""One claimed job, from its source to its last words: prepare, ask, move, conclude.

Nothing here runs twice. Before the robot may move, the phase `running` is on disk and the server has
acknowledged it; from then on whatever happens ends in a `Finish`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from pydantic import ValidationError

from runner import workspace
from runner.client import ConflictError, RefusedError, ServerError, UnreachableError
from runner.dependencies import Installer, InstallError, Order, Packages
from runner.engine_errors import SandboxError
from runner.execution import execute
from runner.happenings import Kind
from runner.held import Phase
from runner.motion import Motion
from runner.program import Desk, Plan, Tools
from runner.protocol import Annotation, Conclusion, Finish
from runner.repo_config import RepoConfig
from runner.results import Stop, sentence
from runner.sandbox import ArtifactsVolume
from runner.server import JobServer
from runner.workspace import Source, SourceError

SOURCE_SHARE = 0.8
"""Part of the time to prepare that fetching the source may take."""
PACKAGES_SHARE = 0.9
"""Part of it by which the repository's packages must be installed."""

logger = logging.getLogger(__name__)


class AbandonedError(Exception):
    """The job is not ours any more, and the robot did not move: forget it."""


class GiveBackError(Exception):
    """The robot did not move and cannot now: the job goes back into the queue."""


class _JobError(Exception):
    """The job is over before the robot moved."""

    def __init__(
        self, conclusion: Conclusion, reason: str, annotations: list[Annotation] | None = None
    ) -> None:
        super().__init__(reason)
        self.conclusion = conclusion
        self.annotations = annotations or []


class _Prepared(NamedTuple):
    """A job that may ask for the robot."""

    plan: Plan
    source: Source
    volume: ArtifactsVolume


class Attempt:
    """One try at one job: `prepare`, `move`, `close`."""

    def __init__(self, tools: Tools[JobServer], desk: Desk) -> None:
        self._tools = tools
        self._desk = desk
        self._job = desk.job
        self._began = time.monotonic()
        self._timings: dict[str, float] = {}
        self._volume: ArtifactsVolume | None = None
        self._packages: Packages | None = None
        self._prepared: _Prepared | None = None

    def run(self) -> Finish:
        """Do the job from beginning to end, where nothing else is to be done meanwhile; see `move`."""
        try:
            return self.prepare() or self.move()
        finally:
            self.close()

    def prepare(self) -> Finish | None:
        """Make everything ready that does not execute the job's code; the last words where it cannot be.

        Raises:
            AbandonedError: The claim was lost.
            GiveBackError: The job must go back into the queue.
        """
        try:
            plan = self._plan()
            with ThreadPoolExecutor(1) as beside:
                making = beside.submit(self._make_volume, plan)
                source = self._source(plan.config)
                plan = self._with_packages(plan, source)
                with _giving_back():
                    volume = making.result()
        except _JobError as error:
            return self._over(error)
        self._prepared = _Prepared(plan, source, volume)
        return None

    def look_up(self) -> Finish | None:
        """Has anything happened that ends the job before the robot moves? Its last words if so.

        Raises:
            AbandonedError: The claim was lost.
            GiveBackError: The job must go back into the queue.
        """
        try:
            self._look_up()
        except _JobError as error:
            return self._over(error)
        return None

    def move(self) -> Finish:
        """Do what was prepared; the last words, saved together with the results. The robot is free then.

        Raises:
            AbandonedError: The claim was lost before the robot moved.
            GiveBackError: The job must go back into the queue.
        """
        if self._prepared is None:
            raise RuntimeError("the job is not prepared")
        plan, source, volume = self._prepared
        try:
            self._check_volume()
            self._precheck(plan, source, volume)
            self._ask_to_move()
        except _JobError as error:
            return self._over(error)
        motion = Motion(self._tools, self._desk, plan, source, volume)
        with self._timed("session"):
            motion.run()
        with self._timed("artifacts"):
            finish = motion.conclude()
        self._save(finish)
        motion.forget()
        return finish

    def close(self) -> None:
        """Leave no volume behind."""
        if self._volume is not None:
            _remove(self._volume)
            self._volume = None
        if self._packages is not None:
            self._packages.close()
            self._packages = None

    def _over(self, error: _JobError) -> Finish:
        self._desk.log.say(str(error))
        finish = Finish(
            fence=self._job.fence,
            conclusion=error.conclusion,
            reason=str(error)[:4000],
            annotations=error.annotations,
        )
        self._save(finish)
        return finish

    def _plan(self) -> Plan:
        try:
            config = RepoConfig.model_validate(self._job.config)
        except ValidationError as error:
            raise _JobError(
                Conclusion.FAILURE, "This runner does not understand the job's settings."
            ) from error
        image, digest = self._image(config)
        limits = self._tools.settings.limits(self._job.limits.artifact_bytes_max)
        return Plan(config, image, digest, limits, min(config.timeout, self._job.limits.timeout_s))

    def _image(self, config: RepoConfig) -> tuple[str, str]:
        kind = config.image or self._tools.settings.default_image
        tag = self._tools.images.get(kind)
        if tag is None:
            have = ", ".join(self._tools.images)
            reason = f"This robot's host has no `{kind}` image; it has: {have}."
            raise _JobError(Conclusion.FAILURE, reason)
        with _giving_back(), self._timed("image"):
            digest = self._tools.engine.image_id(tag)
        if digest is None:
            raise GiveBackError(f"the image {tag} is gone: run `raas-runner image build`")
        return tag, digest

    def _make_volume(self, plan: Plan) -> ArtifactsVolume:
        """The artifacts volume, made while the source comes."""
        owner, name = self._tools.store.owner, self._desk.held.name
        self._volume = self._tools.engine.create_volume(owner, name, plan.limits, plan.image)
        return self._volume

    def _check_volume(self) -> None:
        """It may have waited long for the robot: a restart of Docker empties it."""
        with _giving_back():
            there = self._tools.engine.find_volume(self._tools.store.owner, self._desk.held.name)
        if there is None:
            raise GiveBackError("Docker was restarted")

    def _source(self, config: RepoConfig) -> Source:
        with self._timed("source"):
            source = self._fetch()
        for note in source.notes:
            self._desk.log.say(note)
        if config.run == RepoConfig().run and not source.has_file("run.py"):
            reason = (
                "There is no run.py in the repository; add one, or name your program as `run` in .raas.yml."
            )
            raise _JobError(Conclusion.FAILURE, reason)
        return source

    def _with_packages(self, plan: Plan, source: Source) -> Plan:
        """The plan with the packages the repository asks for; it may take minutes, beside a session too."""
        tools, desk = self._tools, self._desk
        rules, folder = tools.settings.packages, tools.settings.packages_folder
        installer = Installer(tools.engine, rules, folder, plan.limits.runtime)
        spent_s = time.monotonic() - self._began
        budget_s = max(1.0, PACKAGES_SHARE * self._job.limits.prepare_s - spent_s)
        wish = plan.config.requirements
        order = Order(plan.image, plan.digest, wish, tools.store.owner, desk.held.name, budget_s)
        desk.pulse.phase = "installing packages"
        try:
            with _giving_back(), self._timed("packages"):
                self._packages = installer.prepare(order, source, desk.log, desk.happenings)
        except InstallError as error:
            self._look_up()
            raise _JobError(Conclusion.FAILURE, str(error), error.annotations) from error
        finally:
            desk.pulse.phase = "preparing"
        if self._packages is None:
            self._look_up()
            raise GiveBackError("the packages were not installed")
        return replace(plan, digest=self._packages.digest, binds=self._packages.binds)

    def _fetch(self) -> Source:
        folder = self._tools.store.folder(self._desk.held)
        archive, most = folder / "source.tar.gz", self._job.limits.source_bytes_max
        try:
            budget_s = SOURCE_SHARE * self._job.limits.prepare_s
            self._tools.client.source(self._job.id, self._job.fence, archive, most, budget_s)
            return workspace.unpack(archive, folder / "source", workspace.UNPACK_RATIO * most)
        except ConflictError as error:
            raise AbandonedError(str(error)) from error
        except UnreachableError as error:
            raise GiveBackError(f"the source did not come: {error}") from error
        except (RefusedError, SourceError) as error:
            reason = sentence(f"The source cannot be used: {error}")
            raise _JobError(Conclusion.FAILURE, reason) from error
        finally:
            archive.unlink(missing_ok=True)

    def _precheck(self, plan: Plan, source: Source, volume: ArtifactsVolume) -> None:
        """The same program in simulation, where the repository asks for it."""
        if plan.config.precheck is None:
            return
        desk = self._desk
        desk.pulse.phase = "checking in simulation"
        desk.log.say("precheck in simulation")
        with _giving_back(), self._timed("precheck"):
            spec = plan.container(self._tools.store.owner, desk.held, source, volume)
            ran = execute(self._tools.engine, spec, desk.log, desk.happenings, plan.timeout_s)
        self._look_up()
        if ran.stopped is Stop.TIMEOUT:
            reason = f"The precheck in simulation was still running after {plan.timeout_s:g} s."
            raise _JobError(Conclusion.FAILURE, reason)
        if ran.exit is None or ran.exit.code != 0:
            raise _JobError(Conclusion.FAILURE, "The precheck in simulation failed; the robot was not moved.")
        desk.log.say("precheck passed")

    def _ask_to_move(self) -> None:
        """From here on the robot may have moved: on disk first, then at the server."""
        self._look_up()
        self._desk.held.phase = Phase.RUNNING
        self._tools.store.save(self._desk.held)
        try:
            self._tools.client.running(self._job.id, self._job.fence, self._job.limits.prepare_s)
        except ConflictError as error:
            raise AbandonedError(str(error)) from error
        except ServerError as error:
            raise GiveBackError(f"the server did not let the robot move: {error}") from error

    def _look_up(self) -> None:
        """Has anything happened that ends the job before the robot moves?"""
        seen = self._desk.happenings.seen
        if (reason := seen(Kind.LOST)) is not None:
            raise AbandonedError(reason)
        if (reason := seen(Kind.CANCELLED)) is not None:
            raise _JobError(Conclusion.CANCELLED, reason or "Cancelled.")
        if seen(Kind.HOST_STOPS) is not None:
            raise GiveBackError("the host stops the runner")

    def _save(self, finish: Finish) -> None:
        held = self._desk.held
        held.phase, held.finish = Phase.ENDED, finish.model_copy(update={"timings": self._timings})
        self._tools.store.keep(held)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._timings[part] = round(time.monotonic() - began, 3)


@contextmanager
def _giving_back() -> Iterator[None]:
    """A Docker that fails before the robot moved is no fault of the job."""
    try:
        yield
    except SandboxError as error:
        raise GiveBackError(str(error)) from error


def _remove(volume: ArtifactsVolume) -> None:
    try:
        volume.remove()
    except SandboxError as error:
        logger.warning("%s stays until the next sweep: %s", volume.name, error)
