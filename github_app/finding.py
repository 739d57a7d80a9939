"""What an examination of the server finds, one line a subject."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Grade(Enum):
    """How a finding is meant: `BAD` keeps the server from working."""

    GOOD = "ok"
    ODD = "warning"
    BAD = "problem"


@dataclass(frozen=True)
class Finding:
    """One line: about what, how bad, and a sentence that says what to do."""

    subject: str
    grade: Grade
    text: str
