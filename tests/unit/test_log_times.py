"""When the log was written: a session's clock laid over a program's output, and over lines."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app import log_times
from github_app.log_times import Mark
from runner import log_times as marking
from runner.joblog import JobLog
from runner.log_times import MARKS_MAX, ON_S, LogTimes
from runner.protocol import LOG_TIMES_MAX, LogChunk, LogTime


class Clock:
    """The monotonic clock of a test."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(marking, "time", made)
    return made


def moments(times: LogTimes, start: int, end: int) -> list[tuple[int, int | None, float | None]]:
    return [(each.offset, each.session, each.t) for each in times.between(start, end)]


def test_output_bears_the_sessions_time_wherever_telemetry_falls(clock: Clock) -> None:
    times = LogTimes()
    times.wrote(0)  # preparing: no session
    times.begin(0)
    for at, offset in ((100.0, 10), (102.0, 20), (102.004, 25), (102.07, 30), (102.5, 40)):
        clock.now = at
        times.wrote(offset)
    assert moments(times, 0, 50) == [], "the clock was not heard of yet"
    times.clock(102.05, 0.05)  # the first reset was at 102.0
    times.clock(102.55, 0.55)
    assert moments(times, 0, 50) == [(10, None, None), (20, 0, 0.0), (30, 0, 0.07), (40, 0, 0.5)]
    assert moments(times, 35, 50) == [(35, 0, 0.07), (40, 0, 0.5)], "the first is for the piece's first byte"
    clock.now = 103.0
    times.end()
    times.wrote(50)
    assert moments(times, 50, 60) == [(50, None, None)], "after the session"


def test_the_clock_stands_still_between_episodes_and_after_the_end(clock: Clock) -> None:
    times = LogTimes()
    times.begin(1)
    times.clock(100.0, 2.0)
    for at, offset in ((100.1, 0), (101.0, 10), (103.9, 20)):
        clock.now = at
        times.wrote(offset)
    assert moments(times, 0, 30) == [(0, 1, 2.1), (10, 1, 2.0 + ON_S), (20, 1, 2.0 + ON_S)], "a first guess"
    times.clock(104.0, 2.05)  # the robot came to rest from 100.05 to 104
    assert moments(times, 0, 30) == [(0, 1, 2.0), (10, 1, 2.0), (20, 1, 2.0)]
    clock.now = 110.0
    times.wrote(30)
    times.end()
    assert moments(times, 30, 40) == [(30, 1, 2.05 + ON_S)]


def test_a_flood_and_a_silent_server_cost_a_bounded_number_of_marks(clock: Clock) -> None:
    times = LogTimes()
    times.begin(0)
    times.clock(100.0, 0.0)
    for number in range(MARKS_MAX + 500):
        clock.now += 0.011
        times.wrote(number)
    found = times.between(0, MARKS_MAX + 500)
    assert len(found) <= LOG_TIMES_MAX
    assert LogChunk(offset=0, data="", times=found).times[0].offset == 0


def test_the_log_notes_where_each_piece_begins(tmp_path: Path, clock: Clock) -> None:
    log = JobLog(tmp_path / "log", 1000)
    log.times.begin(0)
    log.times.clock(100.0, 0.0)
    log.write(b"one\n")
    clock.now = 100.1
    log.write(b"two\n")
    assert moments(log.times, 0, log.length) == [(0, 0, 0.0), (4, 0, 0.1)]
    log.close()


def test_lines_bear_the_time_at_which_they_were_begun() -> None:
    raw = b"a\nbb\nlong" + b"er\nlast"
    marks = [Mark(100, 0, 1.0), Mark(102, 0, 2.0), Mark(109, 0, 3.0), Mark(112, None, None)]
    assert log_times.by_line(raw, 100, marks, 4) == [(0, 1.0), (0, 2.0), (0, 2.0), None]
    assert log_times.as_json([(0, 1.0), (0, 2.0), (0, 2.0), None]) == [[0, 0, 1.0], [1, 0, 2.0], [3]]
    assert log_times.by_line(raw, 100, marks, 3) == [None] * 3, "lines were taken out: nobody knows which"
    assert log_times.by_line(b"", 0, marks, 0) == log_times.as_json([]) == log_times.as_json([None]) == []


MARKS = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([None, 0.0, 1.0])), max_size=8).map(
    lambda found: [Mark(offset, None if t is None else 0, t) for offset, t in sorted(dict(found).items())]
)


@given(marks=MARKS, cut=st.integers(0, 40), size=st.integers(1, 40))
def test_a_cut_log_keeps_its_times(marks: list[Mark], cut: int, size: int) -> None:
    def at(known: list[Mark], byte: int) -> tuple[int, float] | None:
        return next((mark.moment for mark in reversed(known) if mark.offset <= byte), None)

    kept = log_times.of_stretch(marks, cut, cut + size)
    assert all(one.offset < other.offset for one, other in pairwise(kept))
    assert [at(kept, byte) for byte in range(cut, cut + size)] == [
        at(marks, byte) for byte in range(cut, cut + size)
    ]


def test_a_runner_that_contradicts_itself_is_not_believed() -> None:
    def chunk(*times: tuple[int, float]) -> LogChunk:
        return LogChunk(offset=0, data="", times=[LogTime(offset=o, session=0, t=t) for o, t in times])

    assert len(log_times.of_chunk(chunk((0, 1.0), (5, 2.0)))) == 2
    assert log_times.of_chunk(chunk((0, 2.0), (5, 1.0))) == []
    assert log_times.of_chunk(chunk((5, 1.0), (5, 2.0))) == []
