"""How the programs that run for weeks write what they do: a line an event, as text or as JSON.

It lies here because this is the only room that server, runner and controller may all import.

A message about a job begins with `job %s`, and its first argument is the job: that is all it takes for the
JSON to have a `job` field. What is said may hold words of strangers (a path that was asked for, a reason): a
line stays a line whatever is in them, so that nobody writes lines in our name.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, cast

Format = Literal["text", "json"]
FORMATS: tuple[Format, Format] = ("text", "json")
VARIABLE = "RAAS_LOG_FORMAT"

_ACTING = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What would end a line, move a terminal's cursor or turn the reading order."""
_ABOUT_A_JOB = "job %s"


def visible(text: str) -> str:
    """The text on one line, what acts in it written as Python writes it."""
    return _ACTING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def job_of(record: logging.LogRecord) -> object | None:
    """The job a line is about, if any: said by `extra`, or by the message's form."""
    said: object | None = getattr(record, "job", None)
    if said is None and str(record.msg).startswith(_ABOUT_A_JOB) and isinstance(record.args, tuple):
        said = record.args[0]
        if isinstance(said, tuple):  # a controller's key of a session, whose first part is the job's number
            return cast("object", said[0])
    return said


class Text(logging.Formatter):
    """For people."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """The line; a traceback may follow it."""
        return visible(super().formatMessage(record))


class Json(logging.Formatter):
    """For programs: one JSON object a line.

    Args:
        fields: Attributes of a record that are written where they are there.
    """

    def __init__(self, fields: Sequence[str] = ()) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """The object; `time` is UTC, `job` as the program names it."""
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        said = {"job": job_of(record)} | {name: getattr(record, name, None) for name in self._fields}
        found |= {name: value for name, value in said.items() if value is not None}
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)


def stamped(text: str) -> str:
    """`text`, in the words of `logging`, with the time before it; systemd's journal adds that by itself."""
    return text if "JOURNAL_STREAM" in os.environ else f"%(asctime)s {text}"


def configure(chosen: Format, text: str) -> None:
    """Write to standard error, from `info` on.

    Args:
        chosen: The form.
        text: How a line looks after its time where it is text, in the words of `logging`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if chosen == "json" else Text(stamped(text)))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
