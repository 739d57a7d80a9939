"""A job's events as lines of a terminal: colours where it can show them, plain text elsewhere. Pure.

What a server says is not trusted: of a log's text only what can be printed passes, so that no escape sequence
of a stranger's program reaches the reader's terminal but the colours we make ourselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel, ValidationError

from runner import gauge
from runner.achievement import number, verdict
from runner.event_stream import Job
from runner.protocol import Conclusion, SessionResult

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_WORDS = {"bold": "1", "dim": "2", "italic": "3", "underline": "4"}
_COLOUR = re.compile(r"([cb])(\d|1[0-5])")
_RESET = "\x1b[0m"
SCORES = {
    "episode_return": "return",
    "swing_up_time": "swing-up time [s]",
    "upright": "upright, share",
    "upright_time": "upright time [s]",
}
"""What scores are called for people."""


class Runs(BaseModel):
    """A line of log with colours, or of a kind of its own."""

    runs: list[tuple[str, str]]
    kind: str = ""


class Log(BaseModel):
    """Event `log`: lines; `open`, the last one goes on."""

    line: int
    lines: list[str | Runs]
    open: bool


class State(BaseModel):
    """Event `state`: something happened to the job."""

    kind: str
    at: datetime
    note: str


class Ticks(BaseModel):
    """Event `telemetry`: the latest ticks."""

    columns: list[str]
    rows: list[list[float | None]]

    def line(self, width: int) -> str:
        """The last tick in one line of at most `width` cells."""
        row = self.rows[-1] if self.rows else []
        return gauge.line(dict(zip(self.columns, row, strict=False)), width)


class Colours:
    """Makes the lines.

    Args:
        on: Whether the terminal shows colours.
    """

    def __init__(self, on: bool) -> None:
        self._on = on

    def log(self, log: Log) -> str:
        """The lines' text."""
        shown = [text for line in log.lines if (text := self._line(line)) is not None]
        return "\n".join(shown) + ("" if log.open or not shown else "\n")

    def state(self, state: State) -> str:
        """One line: when, what."""
        text = f"{state.kind.replace('_', ' ')} {_printable(state.note)}".rstrip()
        return self._styled(f"{state.at.astimezone():%H:%M:%S}  {text}", "2")

    def verdict(self, job: Job) -> Iterator[str]:
        """How it ended; a line at a time."""
        sessions = _sessions(job)
        words = _printable(verdict(_conclusion(job), job.reason or "", sessions[0] if sessions else None))
        colour = {"success": "1;32", "neutral": "1;33", "cancelled": "1;33", "skipped": "1;33"}
        yield self._styled(f"{job.conclusion}: {words}", colour.get(job.conclusion or "", "1;31"))
        for name, value in (sessions[0].scores if len(sessions) == 1 else {}).items():
            if name in SCORES:
                yield f"  {SCORES[name]:<20} {number(value)}"
        yield f"  replay, plots and files: {_printable(job.url)}"

    def _line(self, line: str | Runs) -> str | None:
        if isinstance(line, str):
            return _printable(line)
        text = "".join(_printable(run) for run, _ in line.runs)
        if line.kind == "endgroup":
            return None
        if line.kind == "group":
            return self._styled(f"▸ {text}", "1")
        if line.kind == "own":
            return self._styled(text, "36")
        return "".join(self._styled(_printable(run), _codes(names)) for run, names in line.runs)

    def _styled(self, text: str, codes: str) -> str:
        return f"\x1b[{codes}m{text}{_RESET}" if self._on and codes and text else text


def _codes(names: str) -> str:
    """The parameters of a terminal's colour sequence (ECMA-48, 8.3.117) for the server's names of colours."""
    codes = []
    for name in names.split():
        if name in _WORDS:
            codes.append(_WORDS[name])
        elif found := _COLOUR.fullmatch(name):
            bright, behind = divmod(int(found[2]), 8), found[1] == "b"
            codes.append(str((90 if bright[0] else 30) + bright[1] + 10 * behind))
    return ";".join(codes)


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("", text)


def _conclusion(job: Job) -> Conclusion | None:
    try:
        return Conclusion(job.conclusion)
    except ValueError:  # a newer server's
        return None


def _sessions(job: Job) -> list[SessionResult]:
    try:
        return [SessionResult.model_validate(session) for session in job.sessions]
    except ValidationError:  # a newer server's: its page shows them
        return []
