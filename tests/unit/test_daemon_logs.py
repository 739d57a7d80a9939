"""Lines of the programs that run by themselves: nobody else's words make one, and a job's lines say so."""

from __future__ import annotations

import json
import logging

import pytest

from raas_gym.daemon_logs import Json, Text, job_of, stamped


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    """As a logger makes it."""
    return logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, message, arguments, None, extra=extra)


@pytest.mark.parametrize("acts", ["\n2026 INFO forged", "\r", "\x1b[2J", "\u2028", "\u202e", "\x85", "\x00"])
def test_a_stranger_s_words_stay_in_their_line(acts: str) -> None:
    line = Text("%(levelname)s %(message)s").format(record("GET %s", f"/jobs{acts}"))
    assert line.startswith("INFO GET /jobs\\")
    assert line.isprintable()


def test_the_journal_tells_the_time_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert Text(stamped("%(message)s")).format(record("ready")).startswith("20")
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    assert Text(stamped("%(message)s")).format(record("ready")) == "ready"


def test_a_traceback_follows_its_line() -> None:
    try:
        int("no")
    except ValueError as error:
        failed = record("job %s: failed", 7)
        failed.exc_info = (type(error), error, error.__traceback__)
    assert Text("%(message)s").format(failed).startswith("job 7: failed\nTraceback")
    assert "ValueError: " in json.loads(Json().format(failed))["exception"]


def test_a_job_s_lines_say_which() -> None:
    assert job_of(record("job %s: ready", 7)) == 7
    assert job_of(record("ready", job=8)) == 8
    assert job_of(record("job %s: open", (9, 1, 0))) == 9, "a controller's key"
    assert job_of(record("ready for %s", "job")) is None
    written = json.loads(Json(("path",)).format(record("job %s: %s\n", "7-1-0", "open", path="/x")))
    assert (written["job"], written["path"], written["message"]) == ("7-1-0", "/x", "job 7-1-0: open\n")
