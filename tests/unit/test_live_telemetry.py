"""Telemetry on its way: bounded frames, relayed only while watched, rewards summed where none is missing."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.admission import Admission
from github_app.answers import ApiError
from github_app.telemetry import FRAME_MAX, FRAMES_KEPT, LatestTelemetry, encode
from hardware.telemetry import Feed, Return
from runner.protocol import Telemetry

VALUES = st.one_of(st.none(), st.floats())


def message(rows: list[list[float | None]], columns: int = 3) -> Telemetry:
    return Telemetry(fence="f", session=0, columns=[f"c{number}" for number in range(columns)], rows=rows)


@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), max_size=600))
def test_a_frame_fits_a_notice_and_is_json_that_a_browser_reads(rows: list[list[float | None]]) -> None:
    data = encode(message(rows))
    if data is None:
        assert rows == []
        return
    assert len(data.encode()) <= FRAME_MAX
    kept = json.loads(data, parse_constant=pytest.fail)["rows"]
    assert len(kept) == len(rows) or len(kept) >= 100
    last = rows[-1][0]
    assert (kept[-1][0] is None) == (last is None or not math.isfinite(last)), "the newest row is kept"


def test_a_row_that_fits_no_frame_is_dropped() -> None:
    assert encode(message([[0.123456] * 60] * 2, 60)) is not None
    assert encode(Telemetry(fence="", session=0, columns=["c" * 50] * 64, rows=[[1e-300] * 3000])) is None


def _process(names: list[str]) -> tuple[LatestTelemetry, list[str]]:
    words: list[str] = []
    process = LatestTelemetry(names.append)
    process.relay(words.append)
    return process, words


def test_frames_cross_processes_only_while_somebody_watches() -> None:
    notified: list[str] = []
    (here, sent_here), (there, sent_there) = _process([]), _process(notified)
    here.put(7, message([[1.0, 2.0, 3.0]]))
    assert sent_here == [], "nobody watches elsewhere"
    there.watch(7)
    for word in sent_there:
        here.heard(word)
    here.put(7, message([[2.0, 2.0, 3.0]]))
    here.put(8, message([[2.0, 2.0, 3.0]]))
    assert len(sent_here) == 1
    there.heard(sent_here[0])
    assert [json.loads(frame.data)["rows"] for frame in there.since(7, 0)] == [[[2.0, 2.0, 3.0]]]
    assert notified == ["telemetry:7"]


def test_a_reader_gets_what_is_new_to_it_and_old_frames_go() -> None:
    process, _ = _process([])
    for number in range(FRAMES_KEPT + 5):
        process.put(1, message([[float(number), 0.0, 0.0]]))
    frames = process.since(1, 0)
    assert [frame.number for frame in frames] == list(range(6, FRAMES_KEPT + 6))
    assert process.since(1, frames[-1].number) == []


def test_rewards_are_summed_by_episode() -> None:
    total = Return(episode=0, reward=1)
    rows = [(0.0, -1.0), (0.0, -2.0), (1.0, -4.0), (1.0, -0.5)]
    assert [total.after(row) for row in rows] == [-1.0, -3.0, -4.0, -4.5]


def test_a_follower_who_comes_late_is_told_the_whole_return() -> None:
    feed = Feed()
    feed.begin(["reward", "episode"])
    feed.start()
    feed.push((-1.0, 0.0), 1.0)
    feed.push((-2.0, 0.0), 2.0)
    follower = feed.subscribe()
    feed.push((-4.0, 0.0), 3.0)
    rows: list[list[float]] = []
    while not rows or rows[-1][0] != -4.0:
        event, last = follower.next(30.0)
        assert event is not None
        assert not last
        told = json.loads(event)
        rows += told["rows"]
    feed.finish({"event": "ended"})
    assert told["columns"] == ["reward", "episode", "return"]
    assert rows[-1] == [-4.0, 0.0, -7.0]
    assert told["at"] == 3.0, "when the newest tick began"


def test_places_are_counted_by_address_and_given_back_once() -> None:
    admission = Admission(3, 2)
    leave = admission.enter("a")
    admission.enter("a")
    with pytest.raises(ApiError) as refused:
        admission.enter("a")
    assert (refused.value.status, "Retry_After" in refused.value.headers) == (429, True)
    admission.enter("b")
    with pytest.raises(ApiError) as full:
        admission.enter("c")
    assert full.value.status == 503
    leave()
    leave()
    assert len(admission) == 2
    admission.enter("c")
