"""A local run's result for people and for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from runner.achievement import number, verdict
from runner.job_lines import SCORES
from runner.local import LocalResult
from runner.protocol import Conclusion, SessionResult

EXIT_CODES = {
    Conclusion.SUCCESS: 0,
    Conclusion.FAILURE: 1,
    Conclusion.NEUTRAL: 2,
    Conclusion.TIMED_OUT: 124,
    Conclusion.CANCELLED: 130,
}
COLUMNS_MAX = 5
"""Sessions with a column of their own: wider is no table any more."""


def exit_code(result: LocalResult) -> int:
    """What the command exits with."""
    return EXIT_CODES.get(result.finish.conclusion, 1)


def sentence(result: LocalResult) -> str:
    """The verdict, as the check run's title would say it."""
    sessions = result.finish.sessions
    return verdict(result.finish.conclusion, result.finish.reason, sessions[0] if sessions else None)


def as_text(result: LocalResult) -> Iterator[str]:
    """The summary, a line at a time."""
    finish = result.finish
    yield f"{finish.conclusion.value}: {sentence(result)}"
    if finish.conclusion is Conclusion.SUCCESS:
        yield f"  {finish.reason}"
    yield from _table(finish.sessions)
    for session in finish.sessions:
        if session.late:
            yield f"  session {session.number + 1}: {session.late} of {session.steps} actions came late"
    for remark in finish.annotations:
        yield f"  {remark.path}:{remark.line}: {remark.title}"
    yield f"  files in {result.out}: {', '.join(result.files)}"


def as_json(result: LocalResult) -> dict[str, Any]:
    """The same for programs."""
    finish = result.finish
    return {
        "conclusion": finish.conclusion.value,
        "verdict": sentence(result),
        "reason": finish.reason,
        "scores": {
            name: {"values": values, "mean": _mean(values), "stdev": _stdev(values)}
            for name, values in scores(finish.sessions).items()
        },
        "sessions": [session.model_dump(mode="json") for session in finish.sessions],
        "annotations": [remark.model_dump(mode="json") for remark in finish.annotations],
        "image": finish.image,
        "timings": finish.timings,
        "out": str(result.out),
        "files": result.files,
    }


def scores(sessions: list[SessionResult]) -> dict[str, list[float | None]]:
    """Each score's value in every session that has it."""
    names = dict.fromkeys(name for session in sessions for name in session.scores if name != "ticks")
    return {name: [session.scores[name] for session in sessions if name in session.scores] for name in names}


def _table(sessions: list[SessionResult]) -> Iterator[str]:
    """The scores, a line each; of several sessions mean and deviation, and a column for each of the first."""
    several, shown = len(sessions) > 1, sessions[:COLUMNS_MAX]
    if several:
        names = [f"session {session.number + 1}" for session in shown]
        yield f"  {'':<20} {'mean ± dev.':>16}{''.join(f'{name:>12}' for name in names)}"
    for name, values in scores(sessions).items():
        if not several:
            yield f"  {SCORES.get(name, name):<20} {number(values[0])}"
            continue
        cells = "".join(f"{_cell(session, name):>12}" for session in shown)
        yield f"  {SCORES.get(name, name):<20} {_spread(values):>16}{cells}"
    if len(sessions) > len(shown):
        yield f"  and {len(sessions) - len(shown)} sessions more; --json has them all"


def _cell(session: SessionResult, name: str) -> str:
    return number(session.scores[name]) if name in session.scores else ""


def _spread(values: list[float | None]) -> str:
    spread = _stdev(values)
    return number(_mean(values)) + (f" ± {number(spread)}" if spread is not None else "")


def _mean(values: list[float | None]) -> float | None:
    """Of the known ones; None where none is known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _stdev(values: list[float | None]) -> float | None:
    """The sample's standard deviation; None below two known values."""
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None
