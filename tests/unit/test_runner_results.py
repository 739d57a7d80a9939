"""Verdicts, crash annotations, and the names artifacts may have."""

from __future__ import annotations

import dataclasses

import pytest

from raas_gym.control import SessionSummary
from runner.crashes import marks, traceback
from runner.hardening import Exit, Limits, spare_cpuset
from runner.protocol import Conclusion
from runner.repo_config import RepoConfig, parse
from runner.results import Outcome, Stop, conclude, session_result

SUMMARY = SessionSummary(
    job=1,
    attempt=1,
    number=0,
    reason="client_left",
    message="the program left",
    steps=400,
    ticks=400,
    episodes=1,
    late=0,
    duration_s=20.0,
    scores={"upright": 0.7, "swing_up_time": None},
    files={},
    robot="goose",
    passport="simulated",
)
GOOD = Outcome(Limits(), 120.0, exit=Exit(0, False), sessions=[SUMMARY])
TRACE = """\
hello
Traceback (most recent call last):
  File "/repo/run.py", line 7, in <module>
    main()
  File "/repo/lib/control.py", line 3, in main
    numpy.linalg.inv(x)
  File "/opt/raas/site/numpy/linalg.py", line 500, in inv
    raise LinAlgError("Singular matrix")
numpy.linalg.LinAlgError: Singular matrix
"""


NO_MODULE = """\
Traceback (most recent call last):
  File "/repo/run.py", line 1, in <module>
    import {name}
ModuleNotFoundError: No module named '{name}'
"""


def _with(**changes: object) -> Outcome:
    return dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]


def _session(**changes: object) -> list[SessionSummary]:
    return [dataclasses.replace(SUMMARY, **changes)]  # type: ignore[arg-type]


def test_success_needs_exit_0_steps_and_every_requirement() -> None:
    conclusion, reason = conclude(GOOD, parse("require: {upright: 0.5}"))
    assert conclusion is Conclusion.SUCCESS
    assert "400 steps in 20.0 s" in reason


@pytest.mark.parametrize(
    ("outcome", "conclusion", "words"),
    [
        (_with(exit=Exit(1, False)), Conclusion.FAILURE, "exit status 1"),
        (
            _with(exit=Exit(1, False), log=TRACE),
            Conclusion.FAILURE,
            "Singular matrix (lib/control.py line 3)",
        ),
        (_with(exit=Exit(139, False)), Conclusion.FAILURE, "signal 11 (SIGSEGV)"),
        (_with(exit=Exit(127, False), sessions=[]), Conclusion.FAILURE, "not found in the image"),
        (_with(exit=Exit(127, False)), Conclusion.FAILURE, "exit status 127; its log may say why"),
        (_with(exit=Exit(137, True)), Conclusion.FAILURE, "more than 1024 MB of memory"),
        (_with(exit=Exit(137, False)), Conclusion.FAILURE, "as the kernel does beyond 1024 MB"),
        (_with(exit=Exit(0, True)), Conclusion.FAILURE, "memory"),
        (
            _with(stopped=Stop.TIMEOUT, exit=Exit(143, False)),
            Conclusion.TIMED_OUT,
            "after 120 s, its limit; 400",
        ),
        (_with(stopped=Stop.TIMEOUT, exit=Exit(137, False), pids=256), Conclusion.FAILURE, "256 processes"),
        (
            _with(exit=Exit(2, False), limits=Limits(runtime="runsc")),
            Conclusion.FAILURE,
            "it, or its sandbox at the limit of 256 processes",
        ),
        (_with(exit=Exit(1, False), pids=250), Conclusion.FAILURE, "256 processes"),
        (_with(stopped=Stop.FLOOD, exit=Exit(137, False)), Conclusion.FAILURE, "printed without end"),
        (_with(stopped=Stop.CANCEL, detail="by ada", exit=Exit(143, False)), Conclusion.CANCELLED, "by ada"),
        (_with(stopped=Stop.HOST, exit=Exit(143, False)), Conclusion.NEUTRAL, "host stopped"),
        (_with(stopped=Stop.INTERRUPTED, exit=None), Conclusion.NEUTRAL, "restarted"),
        (_with(stopped=Stop.ENGINE, detail="gone", exit=None), Conclusion.NEUTRAL, "gone"),
        (_with(stopped=Stop.CONTROLLER, detail="no answer", exit=None), Conclusion.NEUTRAL, "no answer"),
        (_with(exit=None), Conclusion.NEUTRAL, "Nobody saw"),
        (_with(exit=Exit(0, False), sessions=_session(steps=0)), Conclusion.FAILURE, "without one step"),
        (_with(exit=Exit(0, False), sessions=[]), Conclusion.FAILURE, "without one step"),
        (
            _with(exit=Exit(1, False), sessions=_session(reason="controller_lost")),
            Conclusion.NEUTRAL,
            "not by your",
        ),
        (
            _with(exit=Exit(1, False), sessions=_session(reason="emergency_stop")),
            Conclusion.NEUTRAL,
            "not by your",
        ),
        (_with(exit=Exit(1, False), sessions=_session(reason="safety")), Conclusion.FAILURE, "safety limit"),
        (
            _with(exit=Exit(1, False), sessions=_session(reason="protocol_error")),
            Conclusion.FAILURE,
            "protocol",
        ),
        (_with(exit=Exit(0, False), sessions=_session(reason="limit")), Conclusion.FAILURE, "limit"),
        # the runner was away while the time ran out
        (
            _with(exit=Exit(1, False), sessions=_session(reason="limit", duration_s=130.0)),
            Conclusion.TIMED_OUT,
            "after 120 s, its limit; 400",
        ),
    ],
)
def test_every_end_has_one_verdict_and_one_sentence(
    outcome: Outcome, conclusion: Conclusion, words: str
) -> None:
    found, reason = conclude(outcome, RepoConfig())
    assert found is conclusion
    assert words in reason
    assert "\n" not in reason
    assert reason.endswith(".") or outcome.detail
    assert reason.endswith(".") or outcome.detail


@pytest.mark.parametrize(
    ("require", "words"),
    [
        ("{upright: 0.8}", "`upright` is 0.7, required is at least 0.8"),
        ("{upright: {max: 0.5}}", "required is at most 0.5"),
        ("{upright: {min: 0.1, max: 0.5}}", "at least 0.1 and at most 0.5"),
        ("{swing_up_time: {max: 5}}", "`swing_up_time` is not reached"),
        ("{uprite: 1}", "this robot has: swing_up_time, upright"),
    ],
)
def test_unmet_requirements(require: str, words: str) -> None:
    conclusion, reason = conclude(GOOD, parse(f"require: {require}"))
    assert conclusion is Conclusion.FAILURE
    assert words in reason


def test_each_session_must_meet_the_requirements() -> None:
    worse = dataclasses.replace(SUMMARY, number=1, scores={"upright": 0.1})
    conclusion, _ = conclude(_with(sessions=[SUMMARY, worse]), parse("require: {upright: 0.5}"))
    assert conclusion is Conclusion.FAILURE


def test_session_result_is_bounded() -> None:
    long = dataclasses.replace(SUMMARY, message="m" * 9000, interventions=["i"] * 2000, duration_s=-1.0)
    result = session_result(long, 0)
    assert len(result.message) == 4000
    assert len(result.interventions) == 1000
    assert result.duration_s == 0


def test_a_crash_marks_the_innermost_line_of_the_repository() -> None:
    (mark,) = marks(TRACE, lambda path: path == "lib/control.py")
    assert (mark.path, mark.line, mark.title) == (
        "lib/control.py",
        3,
        "numpy.linalg.LinAlgError: Singular matrix",
    )
    assert mark.message.startswith("Traceback")


def test_a_path_that_is_not_the_repositorys_is_not_marked() -> None:
    assert marks(TRACE, lambda _: False) == []


def test_the_last_of_chained_tracebacks_counts() -> None:
    log = (
        TRACE
        + "\nDuring handling of the above exception, another exception occurred:\n\n"
        + TRACE.replace("Singular matrix", "second")
    )
    found = traceback(log)
    assert found is not None
    assert found.error.endswith("second")


def test_a_syntax_error_has_no_heading() -> None:
    log = '  File "/repo/run.py", line 2\n    def (\n        ^\nSyntaxError: invalid syntax\n'
    found = traceback(log)
    assert found is not None
    assert (found.path, found.line) == ("run.py", 2)


@pytest.mark.parametrize(
    "log",
    [
        "",
        "Traceback (most recent call last):",
        "Traceback (most recent call last):\n  File",
        'Traceback (most recent call last):\n  File "/repo/../etc/x", line 0, in y\n',
        "Traceback (most recent call last):\n" + "  x\n" * 1000 + "Error: y",
        "SyntaxError: without a frame",
    ],
)
def test_forged_or_cut_tracebacks_are_harmless(log: str) -> None:
    assert marks(log, lambda _: True) == []


@pytest.mark.parametrize(
    ("cpus", "expected"), [({0}, ""), ({0, 1}, "1"), ({2, 3, 5}, "3,5"), ({0, 1, 2, 3}, "1,2,3")]
)
def test_the_first_processor_is_the_controllers(cpus: set[int], expected: str) -> None:
    assert spare_cpuset(cpus) == expected


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("scipy.nothing", "If it is a package, name it in requirements.txt."),
        ("torch.nn", "`image: ml` in .raas.yml has it."),
    ],
)
def test_a_package_that_is_missing_is_told_how_to_get(name: str, advice: str) -> None:
    outcome = _with(exit=Exit(1, False), log=NO_MODULE.format(name=name))
    _, reason = conclude(outcome, parse(""))
    assert (
        reason
        == f"The program crashed: ModuleNotFoundError: No module named '{name}' (run.py line 1). {advice}"
    )
