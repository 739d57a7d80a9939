"""The pages: what they say, to whom, and that nothing a stranger wrote acts in a browser."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from github_lab import PROGRAM, SPOON, Lab

from github_app import queue

SESSION = {
    "number": 0,
    "reason": "client_left",
    "message": "",
    "steps": 400,
    "ticks": 400,
    "episodes": 1,
    "late": 2,
    "duration_s": 20.0,
    "scores": {"episode_return": -312.4, "upright_time": 14.2, "upright": 0.71, "swing_up_time": 3.1},
    "robot": "goose",
    "passport": "2026-11-20",
    "interventions": ["Torque was limited to 2."],
}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e & ghp_" + "a1B2" * 9


def get(lab: Lab, path: str) -> tuple[int, str]:
    answer = lab.app.test_client().get(path)
    return answer.status_code, answer.get_data(as_text=True)


def run(lab: Lab, log: bytes = b"", **fields: Any) -> int:
    """A job that has run; its id."""
    lab.world.push(SPOON, {**PROGRAM, "n": str(len(lab.jobs))}, user="alice")
    lab.work()
    holder = lab.claim()
    lab.start(holder)
    lab.finish(holder, log={"offset": 0, "data": base64.b64encode(log).decode()}, **fields)
    return holder.job_id


class Marks(HTMLParser):
    """The elements of a page, and everything in them that could act."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.acting: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.acting.append(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "src":
                self.sources.append(value or "")
            if name in ("href", "src", "action"):
                self.addresses.append(value or "")


def marks(page: str) -> Marks:
    parsed = Marks()
    parsed.feed(page)
    return parsed


def test_a_finished_job_s_page(lab: Lab) -> None:
    job = run(lab, b"first\nsecond\n", sessions=[SESSION], image="sha256:" + "0" * 64)
    status, page = get(lab, f"/jobs/{job}")
    assert status == 200
    assert "<h1>Balanced 14.2 s of 20 s: return -312</h1>" in page
    for words in ("swing-up time", "3.1 s", "late steps", "2 of 400", "goose, passport 2026-11-20", "first"):
        assert words in page
    assert "Torque was limited to 2." in page
    assert {"L1", "L2", "content"} <= set(marks(page).ids)
    assert lab.jobs[0].sha in page


def test_a_waiting_job_says_why(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    _, page = get(lab, "/jobs/1")
    assert "Queued: next, but no robot with the labels pendulum has joined yet" in page
    assert "Nothing has run yet." in page


def test_the_queue_s_page(lab: Lab) -> None:
    status, page = get(lab, "/")
    assert status == 200
    assert "0 running, 0 waiting" in page
    assert "No robot has joined yet" in page
    run(lab, sessions=[SESSION])
    lab.world.push(SPOON, {"n": "waiting"}, user="alice")
    lab.work()
    _, page = get(lab, "/")
    assert "0 running, 1 waiting" in page
    assert "Balanced 14.2 s" in page
    assert "goose" in page


def test_private_jobs_look_like_none(lab: Lab) -> None:
    job = run(lab, b"secret words\n")
    lab.world.change_repository(SPOON, user="alice", private=True)
    lab.work()
    for path in ("", "/log", "/artifacts/trajectory.csv"):
        hidden, missing = get(lab, f"/jobs/{job}{path}"), get(lab, f"/jobs/999{path}")
        # The way to sign in leads back to the address that was asked for, whether it exists or not.
        assert hidden[1].replace(f"jobs/{job}", "jobs/N") == missing[1].replace("jobs/999", "jobs/N")
        assert hidden[0] == missing[0]
        assert hidden[0] == 404
    assert "alice" not in get(lab, "/")[1]


@pytest.mark.parametrize(
    "path", ["/jobs/0", "/jobs/x", "/jobs/-1", "/jobs/" + "9" * 30, "/nowhere", "/jobs/1/log"]
)
def test_what_is_not_there_is_a_page_with_a_way_out(lab: Lab, path: str) -> None:
    status, page = get(lab, path)
    assert status == 404
    assert "There is nothing here" in page
    assert "To the queue" in page


def test_errors_for_programs_are_json(lab: Lab) -> None:
    answer = lab.app.test_client().get("/api/v1/nowhere")
    assert answer.status_code == 404
    assert answer.get_json()["error"] == "not_found"


def test_nothing_a_stranger_wrote_acts(lab: Lab) -> None:
    session = {**SESSION, "interventions": [HOSTILE], "scores": {HOSTILE: 1.0, "episode_return": -1.0}}
    log = (HOSTILE + "\n</pre><script>alert(2)</script>\n").encode()
    job = run(lab, log, conclusion="failure", reason=HOSTILE, image=HOSTILE, sessions=[session])
    for path in ("/", f"/jobs/{job}"):
        status, page = get(lab, path)
        found = marks(page)
        assert status == 200
        assert not {"iframe", "object", "style", "form"} & set(found.tags)
        ours = {"/static/raas.svg", "/static/job.js", "/static/queue.js", "/badge/alice/spoon.svg"}
        assert set(found.sources) <= ours
        assert found.tags.count("script") + found.tags.count("img") == len(found.sources), "none is inline"
        assert found.acting == []
        assert all(re.match(r"^(/|#|http://127\.0\.0\.1)", address) for address in found.addresses)
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "ghp_" not in page


def test_the_log_as_text(lab: Lab) -> None:
    job = run(lab, b"\x1b[1mbold\x1b[0m\nghp_" + b"a1B2" * 9 + b"\n\xff\n<script>\n")
    answer = lab.app.test_client().get(f"/jobs/{job}/log")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.get_data(as_text=True) == "bold\n[secret removed]\n\ufffd\n<script>\n"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("line", [b"%d\n", b"a line of some length, number %d, " + b"x" * 100 + b"\n"])
def test_a_long_log_is_shown_from_its_end_with_its_own_numbers(lab: Lab, line: bytes) -> None:
    log = b"".join(line % number for number in range(1, 5001))[:190_000]
    log = log[: log.rfind(b"\n") + 1]
    lines = log.count(b"\n")
    job = run(lab, log)
    _, page = get(lab, f"/jobs/{job}")
    assert len(page) < 150_000
    ids = [name for name in marks(page).ids if re.fullmatch(r"L\d+", name)]
    assert ids[-1] == f"L{lines}"
    assert len(ids) <= 500
    last = log.splitlines()[-1].decode()
    assert f'aria-label="line {lines}">{lines}</a>{last}</span>' in page
    text = lab.app.test_client().get(f"/jobs/{job}/log").get_data()
    assert text == log


def test_every_answer_carries_the_policy(lab: Lab) -> None:
    for path in ("/", "/nowhere", "/static/raas.css"):
        with lab.app.test_client().get(path) as answer:
            headers = answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_cancelled_job_never_ran(lab: Lab) -> None:
    lab.world.push(SPOON, PROGRAM, user="alice")
    lab.work()
    with lab.here.db.write() as session:
        queue.cancel(session, 1, "Not needed.", by="alice")
    _, page = get(lab, "/jobs/1")
    assert "<h1>Not needed</h1>" in page
    assert "Prepared" not in page
