"""The part of an attempt in which the robot may move: its sessions, one container each."""

from __future__ import annotations

from datetime import UTC, datetime

from runner.engine_errors import SandboxError
from runner.execution import execute
from runner.hardening import ContainerSpec
from runner.program import Desk, Plan, Tools
from runner.protocol import Finish
from runner.results import Outcome, Ran, Stop
from runner.sandbox import ArtifactsVolume
from runner.server import JobServer
from runner.sessions import SessionError, Sessions
from runner.workspace import Source
from runner.wrapup import Evidence, wrap_up


class Motion:
    """The sessions of one job. Nothing that goes wrong here raises: it becomes part of the evidence."""

    def __init__(
        self, tools: Tools[JobServer], desk: Desk, plan: Plan, source: Source, volume: ArtifactsVolume
    ) -> None:
        self._tools = tools
        self._desk = desk
        self._plan = plan
        self._source = source
        self._volume = volume
        self._sessions = Sessions(tools.control, desk.held, plan.digest, plan.timeout_s, tools.job_uid)
        self._evidence = Evidence(Outcome(plan.limits, plan.timeout_s), plan.config, plan.digest, source)

    def run(self) -> None:
        """One session after the other, until one does not go well."""
        self._desk.pulse.phase = "running"
        self._evidence.started_at = datetime.now(UTC)
        count = self._desk.job.sessions
        for number in range(count):
            if count > 1:
                self._desk.log.say(f"session {number + 1} of {count}")
            ran = self._session(number)
            if not self._evidence.add(ran, self._sessions.summary(number)):
                break
        self._evidence.ended_at = datetime.now(UTC)

    def conclude(self) -> Finish:
        """Collect the results; the verdict."""
        self._desk.pulse.phase = "collecting results"
        return wrap_up(self._tools.store, self._desk.held, self._desk.log, self._evidence, self._volume)

    def forget(self) -> None:
        """The results are on this disk: the controller needs its copies no more."""
        self._sessions.forget(summary.number for summary in self._evidence.outcome.sessions)

    def _session(self, number: int) -> Ran:
        """The container of one session. The session is closed before this returns."""
        ran = Ran()
        try:
            desk = self._desk
            telemetry = self._tools.new_client()
            with self._sessions.open(number, desk.happenings, telemetry, desk.log.times) as session:
                if number == desk.job.sessions - 1:
                    desk.outlook.expect(session.dt * session.horizon, self._plan.timeout_s)
                owner = self._tools.store.owner
                spec = self._plan.container(owner, desk.held, self._source, self._volume, session)
                ran = self._execute(number, spec)
        except SessionError as error:
            if ran.stopped is None:
                ran = Ran(ran.exit, Stop.CONTROLLER, str(error), ran.pids)
        return ran

    def _execute(self, number: int, spec: ContainerSpec) -> Ran:
        desk, timeout_s = self._desk, self._plan.timeout_s
        try:
            return execute(
                self._tools.engine,
                spec,
                desk.log,
                desk.happenings,
                timeout_s,
                note=lambda ran: self._note(number, ran),
            )
        except SandboxError as error:
            return Ran(stopped=Stop.ENGINE, detail=str(error))

    def _note(self, number: int, ran: Ran) -> None:
        self._desk.held.runs[number:] = [ran]
        self._tools.store.keep(self._desk.held)
