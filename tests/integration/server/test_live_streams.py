"""Live streams from real servers: nothing lost, nothing twice, whoever hangs up or is killed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
import requests
from live_world import LiveWorld, Spectator, servers
from server_world import add_repository, events, submit
from sqlalchemy import text
from sse import Reader, Stream

from github_app.db import Database

pytestmark = pytest.mark.timeout(240)

FINISH = {"conclusion": "success", "reason": "done"}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    """Servers for all tests here; each has jobs of its own and leaves no job waiting."""
    folder = tmp_path_factory.mktemp("live")
    url = f"sqlite:///{folder}/raas.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()
    database = Database(url)
    database.upgrade()
    world = LiveWorld(servers(folder / "data", url, LIVE_MAX="40", LIVE_MAX_PER_ADDRESS="30"), database)
    try:
        world.start()
        yield world
    finally:
        for server in world.servers:
            server.close()
        database.close()


def written(size: int, seed: int) -> bytes:
    """A log of lines of any length, a few of them longer than a message."""
    source = random.Random(seed)
    lines = [b"%d " % number + b"x" * source.choice((0, 1, 10, 80, 400)) for number in range(size)]
    lines[size // 2] = b"long " + b"y" * 70_000
    return b"\n".join(lines) + b"\nthe end, without a line feed"


def test_every_reader_gets_every_byte_and_event_once_through_kills_and_reconnections(live: LiveWorld) -> None:
    job_id = submit(live.database)
    eager = [Spectator(live, job_id, seed, patience=patience) for seed, patience in ((1, 2), (2, 5), (3, 40))]
    for spectator in eager:
        spectator.start()
    job = live.claim()
    assert live.call(job, "running").status_code == 204
    log, offset = written(2000, 5), 0
    killed_at, late_at = len(log) // 3, len(log) // 2
    late = Spectator(live, job_id, 4, patience=10)
    while offset < len(log):
        piece = log[offset : offset + live.random.choice((5, 300, 4000, 60_000, 60_000))]
        live.say(job, offset, piece)
        offset += len(piece)
        if killed_at and offset > killed_at:
            killed_at = 0
            live.servers[-1].kill()
            live.servers[-1].start()
        if late_at and offset > late_at:
            late_at = 0
            late.start()
    live.call(job, "finish", **FINISH)
    after = Spectator(live, job_id, 5, patience=1000)
    after.start()
    for spectator in (*eager, late, after):
        spectator.join(100)
        reader = spectator.reader
        assert reader.faults == []
        assert reader.states == events(live.database, job_id)
        assert reader.logs[1].encode() == log
        assert reader.ended is not None
        assert reader.ended["conclusion"] == "success"
        assert "Provenance" in reader.ended["results"]
        for server in live.servers:
            with Stream(live.events(job_id, server), reader.last_id) as again:
                assert again.status == 204, "a reader that has everything need not come back"
    assert eager[0].connections > 20


def test_a_job_that_was_claimed_again_is_told_with_both_logs(live: LiveWorld) -> None:
    job_id = submit(live.database)
    first = live.claim()
    live.say(first, 0, b"one\ntwo, cut off")
    with Stream(live.events(job_id)) as stream:
        reader = Reader()
        messages = iter(stream)
        while not reader.logs:
            reader.hear(next(messages))
        assert live.call(first, "release").status_code == 204
        second = live.claim()
        assert second["attempt"] == 2
        live.call(second, "running")
        live.say(second, 0, b"again\n")
        live.call(second, "finish", **FINISH)
        for message in messages:
            reader.hear(message)
    assert reader.faults == []
    assert reader.logs == {1: "one\ntwo, cut off", 2: "again\n"}
    assert reader.states == ["queued", "claimed", "released", "claimed", "running", "finished"]
    assert reader.ended is not None


def test_telemetry_reaches_a_page_at_any_server(live: LiveWorld) -> None:
    job_id = submit(live.database)
    job = live.claim()
    live.call(job, "running")
    stop = threading.Event()

    def post() -> None:
        tick = 0
        while not stop.is_set():
            rows = [[0.05 * (tick + step), 0.1, None] for step in range(2)]
            body = {"session": 0, "columns": ["t", "theta", "theta_dot"], "rows": rows}
            live.post(f"jobs/{job_id}/telemetry", live.servers[0], fence=job["fence"], **body)
            tick += 2
            time.sleep(0.02)

    posting = threading.Thread(target=post, daemon=True)
    posting.start()
    try:
        for server in live.servers:
            reader = Reader()
            with Stream(live.events(job_id, server)) as stream:
                for message in stream:
                    reader.hear(message)
                    if message.event == "telemetry":
                        assert message.id == "", "what may be dropped does not move a reader on"
                    if len(reader.frames) == 5:
                        break
            times = [row[0] for frame in reader.frames for row in frame["rows"]]
            assert times == sorted(times)
            assert reader.frames[0]["columns"] == ["t", "theta", "theta_dot"]
    finally:
        stop.set()
        posting.join(10)
        live.call(job, "finish", **FINISH)


def test_private_jobs_have_no_stream_and_one_that_becomes_private_ends(live: LiveWorld) -> None:
    hidden = submit(live.database, repository_id=add_repository(live.database, private=True, number=2))
    url = live.events(hidden)
    secret, missing = requests.get(url, timeout=10), requests.get(live.events(999), timeout=10)
    assert secret.status_code == missing.status_code == 404
    assert secret.json()["message"].replace(str(hidden), "999") == missing.json()["message"]
    lines = f"{live.servers[0].url}/api/v1/jobs/{hidden}/lines?attempt=1&before=10"
    assert requests.get(lines, timeout=10).status_code == 404
    live.drain()
    shown = submit(live.database, repository_id=add_repository(live.database, number=3))
    with Stream(live.events(shown)) as stream:
        messages = iter(stream)
        next(messages)
        add_repository(live.database, private=True, number=3)
        job = live.claim()
        rest = [message.event for message in messages if "claimed" in str(message.data)]
    assert rest == []
    live.call(job, "finish", conclusion="failure", reason="no")


def test_places_are_limited_by_address_and_given_back(live: LiveWorld) -> None:
    job_id = submit(live.database)
    url = live.events(job_id, live.servers[0])
    streams = [Stream(url) for _ in range(30)]
    assert {stream.status for stream in streams} == {200}
    mine = requests.get(url, timeout=10)
    assert (mine.status_code, mine.json()["error"]) == (429, "too_many_streams")
    assert int(mine.headers["Retry-After"]) > 0
    other = [
        requests.get(url, headers={"X-Forwarded-For": "203.0.113.9"}, stream=True, timeout=10)
        for _ in range(10)
    ]
    assert {answer.status_code for answer in other} == {200}, "a proxy on this machine says who asks"
    full = requests.get(url, headers={"X-Forwarded-For": "203.0.113.10"}, timeout=10)
    assert (full.status_code, full.json()["error"]) == (503, "too_many_viewers")
    for stream in streams:
        stream.close()
    for answer in other:
        answer.close()
    live.drain()  # news: what cannot be delivered is noticed
    deadline = time.monotonic() + 60
    while not answers(url):
        assert time.monotonic() < deadline, "the places are not given back"
        time.sleep(0.2)


def answers(url: str) -> bool:
    with Stream(url) as stream:
        return stream.status == 200


@pytest.mark.parametrize("live", ["sqlite"], indirect=True)
def test_readers_that_do_not_read_cost_no_memory_and_delay_nobody(live: LiveWorld) -> None:
    job_id = submit(live.database)
    job = live.claim()
    live.call(job, "running")
    server = live.servers[0]
    stuck = [Stream(live.events(job_id, server)) for _ in range(25)]
    before = server.memory()
    log = b"".join(b"%06d " % number + b"z" * 92 + b"\n" for number in range(30_000))
    for offset in range(0, len(log), 200_000):
        live.say(job, offset, log[offset : offset + 200_000])
    live.call(job, "finish", **FINISH)
    reader = Reader()
    with Stream(live.events(job_id, server)) as stream:
        for message in stream:
            reader.hear(message)
    assert reader.faults == []
    assert reader.logs[1].encode() == log
    grown = server.memory() - before
    assert grown < 40e6, f"{grown / 1e6:.0f} MB for {25 * len(log) / 1e6:.0f} MB that nobody reads"
    for each in stuck:
        each.close()


@pytest.mark.parametrize("live", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
def test_waiting_pages_hold_neither_connection_nor_thread_and_end_with_the_server(live: LiveWorld) -> None:
    job_id = submit(live.database)
    server = live.servers[0]
    streams = [Stream(live.events(job_id, server)) for _ in range(30)]
    for stream in streams:
        assert next(iter(stream)).event in {"head", "state"}
    assert server.threads() < 30
    with live.database.read() as session:
        row = session.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        ).one()
    assert row[0] < 30
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 15, "open pages do not hold a server back"
    for stream in streams:
        assert all(message.event != "end" for message in stream)
        stream.close()
    server.start()
    live.drain()


def test_the_queue_s_stream_shows_what_its_viewer_may_see(live: LiveWorld) -> None:
    hidden = add_repository(live.database, private=True, number=2)
    with Stream(f"{live.servers[-1].url}/api/v1/events") as stream:
        messages = iter(stream)
        assert next(messages).data["headline"] == "0 running, 0 waiting"
        submit(live.database, repository_id=hidden)
        submit(live.database)
        shown = next(message.data for message in messages if "1 waiting" in message.data["headline"])
        assert "alice/pendulum-1" in shown["html"]
        assert "pendulum-2" not in shown["html"]
    live.drain()
