"""What a job came to, as a verdict and a sentence. Pure: values in, values out.

Success means: exit status 0, at least one recorded step, and every `require` met. Of several things that went
wrong the first in the order of `_CHECKS` is told: what ended the run before what followed from it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from raas_gym.control import SessionSummary
from runner.crashes import advice, traceback
from runner.hardening import Exit, Limits
from runner.protocol import Conclusion, SessionResult
from runner.repo_config import RepoConfig
from runner.visible import one_line

_SENTENCE_MAX = 300
PIDS_NEAR = 0.9
"""A program this near to the limit of processes when it ended has run into it."""
SANDBOX_GAVE_UP = 2
"""Exit status of gVisor's kernel, a Go program, where it cannot start a process for the program in it."""


class Stop(str, Enum):
    """Why the runner ended the container itself."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    FLOOD = "flood"
    HOST = "host"
    INTERRUPTED = "interrupted"
    ENGINE = "engine"
    CONTROLLER = "controller"


@dataclass
class Ran:
    """How one container went.

    Attributes:
        exit: How it ended; None where Docker did not live to tell.
        stopped: Why we ended it, or None where it ended by itself.
        detail: The reason somebody gave for that.
        pids: Most processes and threads seen at once.
    """

    exit: Exit | None = None
    stopped: Stop | None = None
    detail: str = ""
    pids: int = 0


@dataclass(frozen=True)
class Outcome:
    """What is known of a run that is over.

    Attributes:
        exit: How the last container ended; None where none ran or nobody saw the end.
        stopped: Why the runner ended it, or None.
        detail: The reason somebody gave for that.
        sessions: What the controller recorded.
        limits: The walls it ran behind.
        timeout_s: The limit of time it ran under.
        pids: Most processes seen at once.
        log: The end of the output.
    """

    limits: Limits
    timeout_s: float
    exit: Exit | None = None
    stopped: Stop | None = None
    detail: str = ""
    sessions: list[SessionSummary] = field(default_factory=list)
    pids: int = 0
    log: str = ""


Verdict = tuple[Conclusion, str]


def conclude(outcome: Outcome, config: RepoConfig) -> Verdict:
    """The conclusion and its sentence."""
    for check in _CHECKS:
        if (verdict := check(outcome)) is not None:
            return verdict
    return _unmet(outcome, config) or (Conclusion.SUCCESS, _success(outcome))


def session_result(summary: SessionSummary, exit_code: int | None) -> SessionResult:
    """A controller's summary in the words of the job contract."""
    return SessionResult(
        number=summary.number,
        reason=summary.reason[:50],
        message=summary.message[:4000],
        steps=summary.steps,
        ticks=summary.ticks,
        episodes=summary.episodes,
        late=summary.late,
        duration_s=max(summary.duration_s, 0.0),
        scores=summary.scores,
        robot=summary.robot,
        passport=summary.passport[:100],
        interventions=[text[:4000] for text in summary.interventions[:1000]],
        exit_code=exit_code,
    )


def _stopped_by_us(outcome: Outcome) -> Verdict | None:
    words: dict[Stop, tuple[Conclusion, str]] = {
        Stop.CANCEL: (Conclusion.CANCELLED, outcome.detail or "Cancelled."),
        Stop.HOST: (Conclusion.NEUTRAL, "The robot's host stopped the runner; run the job again."),
        Stop.INTERRUPTED: (
            Conclusion.NEUTRAL,
            "The runner was restarted during the run: our fault; run the job again.",
        ),
        Stop.ENGINE: (
            Conclusion.NEUTRAL,
            f"The robot's host failed during the run, our fault: {outcome.detail}",
        ),
        Stop.CONTROLLER: (Conclusion.NEUTRAL, f"The robot failed, our fault: {outcome.detail}"),
    }
    return words.get(outcome.stopped) if outcome.stopped else None


def _robot_failed(outcome: Outcome) -> Verdict | None:
    for session in outcome.sessions:
        if session.reason in ("controller_lost", "emergency_stop"):
            reason = f"The robot was stopped, not by your program: {session.message}"
            return Conclusion.NEUTRAL, sentence(reason)
    return None


def _out_of_memory(outcome: Outcome) -> Verdict | None:
    if outcome.exit is None or not outcome.exit.out_of_memory:
        return None
    limit = outcome.limits.memory_bytes >> 20
    advice = "use less, files in /tmp and /artifacts count too"
    return (
        Conclusion.FAILURE,
        f"The program used more than {limit} MB of memory and was ended; {advice}.",
    )


def _flood(outcome: Outcome) -> Verdict | None:
    if outcome.stopped is not Stop.FLOOD:
        return None
    return (
        Conclusion.FAILURE,
        "The program printed without end and was stopped; the log has the beginning: print less.",
    )


def _too_many_processes(outcome: Outcome) -> Verdict | None:
    ended_badly = outcome.stopped is Stop.TIMEOUT or (outcome.exit is not None and outcome.exit.code != 0)
    if not ended_badly or outcome.pids < PIDS_NEAR * outcome.limits.counted_pids:
        return None
    return (
        Conclusion.FAILURE,
        f"The program started more than {outcome.limits.pids} processes and threads, the limit; start fewer.",
    )


def _out_of_time(outcome: Outcome) -> Verdict | None:
    # Where the runner was away it stopped nothing; the controller's own clock did, a little later.
    overran = any(one.reason == "limit" and one.duration_s > outcome.timeout_s for one in outcome.sessions)
    if outcome.stopped is not Stop.TIMEOUT and not overran:
        return None
    steps = sum(session.steps for session in outcome.sessions)
    return (
        Conclusion.TIMED_OUT,
        f"The program was still running after {outcome.timeout_s:g} s, its limit; {_count(steps)} recorded.",
    )


def _session_ended(outcome: Outcome) -> Verdict | None:
    for session in outcome.sessions:
        if session.reason in _ENDS:
            return Conclusion.FAILURE, sentence(f"{_ENDS[session.reason]}: {session.message}")
    return None


_ENDS = {
    "safety": "A safety limit of the robot ended the run",
    "protocol_error": "The program broke the step protocol, which `gym.make` and one thread keep",
    "limit": "The session reached its limit",
}


def _crashed(outcome: Outcome) -> Verdict | None:
    if outcome.exit is None:
        return Conclusion.NEUTRAL, "Nobody saw how the program ended: our fault; run the job again."
    code = outcome.exit.code
    if code == SANDBOX_GAVE_UP and outcome.limits.runtime and traceback(outcome.log) is None:
        reason = f"it, or its sandbox at the limit of {outcome.limits.pids} processes and threads"
        return Conclusion.FAILURE, f"The program ended with exit status {code}: {reason}."
    if code == 0:
        return None
    if code in _SHELL and not any(session.steps for session in outcome.sessions):
        return Conclusion.FAILURE, _SHELL[code]
    return Conclusion.FAILURE, _crash(code, outcome)


def _crash(code: int, outcome: Outcome) -> str:
    if (found := traceback(outcome.log)) is not None:
        place = f" ({found.path} line {found.line})" if found.path else ""
        said = f"The program crashed: {one_line(found.error)[:_SENTENCE_MAX]}{place}."
        return f"{said} {advice(found.error)}".rstrip()
    if code == 128 + signal.SIGKILL:
        limit = outcome.limits.memory_bytes >> 20
        return f"The program was killed (SIGKILL), as the kernel does beyond {limit} MB of memory."
    if code > 128:
        return f"The program was ended by signal {_signal(code - 128)}; its log may say why."
    return f"The program ended with exit status {code}; its log may say why."


_SHELL = {
    126: "The command in `run` cannot be executed; use `python FILE`.",
    127: "The command in `run` was not found in the image; correct `run`.",
}
"""What the shell says by its status; a program that drove the robot was found and executed."""


def _no_steps(outcome: Outcome) -> Verdict | None:
    if sum(session.steps for session in outcome.sessions) > 0:
        return None
    return (
        Conclusion.FAILURE,
        "The program ended without one step on the robot; "
        "make the environment with `gym.make`, then `reset` and `step` it.",
    )


_CHECKS: tuple[Callable[[Outcome], Verdict | None], ...] = (
    _stopped_by_us,
    _robot_failed,
    _out_of_memory,
    _flood,
    _too_many_processes,
    _out_of_time,
    _session_ended,
    _crashed,
    _no_steps,
)


def _unmet(outcome: Outcome, config: RepoConfig) -> Verdict | None:
    """The first requirement that some session does not meet."""
    for name, requirement in config.require.items():
        for session in outcome.sessions:
            value = session.scores.get(name)
            if name not in session.scores:
                known = ", ".join(sorted(session.scores)) or "none"
                return Conclusion.FAILURE, f"`require` names the score `{name}`; this robot has: {known}."
            if not requirement.met_by(value):
                shown = "not reached" if value is None else f"{value:g}"
                return Conclusion.FAILURE, f"`{name}` is {shown}, required is {requirement}."
    return None


def _success(outcome: Outcome) -> str:
    steps = sum(session.steps for session in outcome.sessions)
    duration = sum(session.duration_s for session in outcome.sessions)
    return f"The program ran to its end: {_count(steps)} in {duration:.1f} s."


def _count(steps: int) -> str:
    return f"{steps} step{'' if steps == 1 else 's'}"


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends a sentence already."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _signal(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
