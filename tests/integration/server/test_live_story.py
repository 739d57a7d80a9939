"""What a stream tells, in one process: places, pieces and lines of any log."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_world import World, piece
from sse import Message, Reader

from github_app import story
from github_app.models import Job
from github_app.story import Cursor

LINES = st.lists(st.text("ab\r\té€😀 ", max_size=30), max_size=30)


def told(world: World, job_id: int, cursor: Cursor, step: int) -> Iterator[Message]:
    """What follows a cursor, with at most so many messages before the reader comes back."""
    while True:
        with world.database.read() as session:
            job = session.get_one(Job, job_id)
            until = story.tail(session, job)
            pieces, after = story.following(session, job, cursor, until)
        if not pieces and cursor.covers(until):
            return
        for one in pieces[:step]:
            fields = dict(line.split(": ", 1) for line in one.message.decode().rstrip("\n").split("\n"))
            yield Message(fields["event"], json.loads(fields["data"]), fields["id"])
            cursor = story.parse(fields["id"])[0]
        if len(pieces) <= step:
            cursor = after


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(lines=LINES, cuts=st.lists(st.integers(1, 200), max_size=8), step=st.integers(1, 8))
def test_any_log_in_any_pieces_is_told_once_whoever_comes_back_when(
    world: World, lines: list[str], cuts: list[int], step: int
) -> None:
    job_id = world.submit()
    robot = world.robot(f"r{job_id}")
    job = robot.running_job()
    log = "\n".join(lines).encode()
    reader = Reader()
    sent, cursor = 0, Cursor()
    for size in [*cuts, len(log)]:
        robot.call(job, "heartbeat", log=piece(sent, log[sent : sent + size]))
        sent = min(len(log), sent + size)
        for message in told(world, job_id, cursor, step):
            reader.hear(message)
        cursor = story.parse(reader.last_id)[0] if reader.last_id else cursor
    robot.call(job, "finish", conclusion="success", reason="")
    for message in told(world, job_id, cursor, step):
        reader.hear(message)
    assert reader.states == world.events(job_id)
    offsets = [fault for fault in reader.faults if not fault.startswith("bytes")]
    assert offsets == [], "lines are numbered without a gap"
    assert reader.logs.get(1, "").count("\n") == log.count(b"\n")
    assert story.parse(reader.last_id)[0].offset == len(log)


@pytest.mark.parametrize(
    "cursor", ["x", "1.2.3", "1.1.1.1.1", "-1.1.1.1", "9" * 19 + ".1.1.1", "1.1.1.1;", "١.1.1.1"]
)
def test_an_id_of_another_make_is_refused(world: World, cursor: str) -> None:
    job_id = world.submit()
    client = world.app.test_client()
    url = f"/api/v1/jobs/{job_id}/events"
    assert client.get(url, query_string={"after": cursor}).status_code == 422
    if cursor.isascii():
        assert client.get(url, headers={"Last-Event-ID": cursor}).status_code == 422


def test_the_lines_before_a_page_s_excerpt(world: World) -> None:
    job_id = world.submit()
    robot = world.robot()
    job = robot.running_job()
    log = b"".join(b"%05d " % number + b"x" * 94 + b"\n" for number in range(2000))
    robot.call(job, "heartbeat", log=piece(0, log))
    robot.call(job, "finish", conclusion="success", reason="")
    client = world.app.test_client()
    before, found = len(log), []
    while before:
        url = f"/api/v1/jobs/{job_id}/lines?attempt=1&before={before}"
        answer = client.get(url).get_json()
        found = answer["lines"] + found
        before = answer["start"]
    assert "\n".join(found).encode() + b"\n" == log
    for query in ("attempt=1", "before=1", "attempt=0&before=1", "attempt=1&before=-1"):
        assert client.get(f"/api/v1/jobs/{job_id}/lines?{query}").status_code == 422


def test_lines_come_with_the_session_s_time_and_older_logs_without(world: World) -> None:
    job_id = world.submit()
    robot = world.robot()
    job = robot.running_job()
    first = b"preparing\nstep 0\nstep 1\nste"
    times = [{"offset": 10, "session": 0, "t": 0.0}, {"offset": 17, "session": 0, "t": 0.05}]
    robot.call(job, "heartbeat", log=piece(0, first) | {"times": times})
    robot.call(job, "heartbeat", log=piece(20, first[20:]) | {"times": []})  # again, and nothing new
    rest = b"p 2\nbye\n"
    later = [{"offset": len(first), "session": 0, "t": 0.1}, {"offset": len(first) + 4}]
    robot.call(job, "heartbeat", log=piece(len(first), rest) | {"times": later})
    mixed_up = [{"offset": 37, "session": 0, "t": 9.0}, {"offset": 40, "session": 0, "t": 1.0}]
    last = piece(len(first + rest), b"forged\ntwice\n") | {"times": mixed_up}
    robot.call(job, "finish", conclusion="success", reason="", log=last)
    said = [[0], [1, 0, 0.0], [2, 0, 0.05], [4]]
    client = world.app.test_client()
    log = first + rest + b"forged\ntwice\n"
    assert client.get(f"/api/v1/jobs/{job_id}/lines?attempt=1&before={len(log)}").get_json()["times"] == said
    (told_log,) = [one.data for one in told(world, job_id, Cursor(), 8) if one.event == "log"]
    assert told_log["times"] == said
    page = client.get(f"/jobs/{job_id}").get_data(as_text=True)
    assert page.count('class="at"') == 2
    assert '<a class="at" href="#t=0.05"' in page
    old = world.submit()
    job = robot.running_job()
    robot.call(job, "finish", conclusion="success", reason="", log=piece(0, b"one\ntwo\n"))
    page = client.get(f"/jobs/{old}").get_data(as_text=True)
    assert "data-t" not in page
    (told_log,) = [one.data for one in told(world, old, Cursor(), 8) if one.event == "log"]
    assert "times" not in told_log


def test_a_place_of_another_database_begins_anew(world: World) -> None:
    job_id = world.submit()
    world.cancel(job_id)
    client = world.app.test_client()
    whole = client.get(f"/api/v1/jobs/{job_id}/events").get_data(as_text=True)
    ahead = client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "999999.7.100.3"})
    assert [line for line in ahead.get_data(as_text=True).split("\n") if line.startswith("id: ")] == [
        line for line in whole.split("\n") if line.startswith("id: ")
    ]
    assert "event: end" in whole
    last = [line for line in whole.split("\n") if line.startswith("id: ")][-1].removeprefix("id: ")
    assert last.endswith(".end")
    assert client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last}).status_code == 204
