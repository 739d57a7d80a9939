"""What `raas` exits with after a job that somebody else ran: one table for `watch` and `trigger --watch`."""

from __future__ import annotations

UNUSABLE = 2
"""It could not be done: a wrong option, nobody to ask, no such job."""
INTERRUPTED = 130
"""Ctrl-C: 128 and the signal's number, as shells have it."""
TERMINATED = 143

_OF_CONCLUSION = {"success": 0, "neutral": 3, "cancelled": 4, "skipped": 4, "timed_out": 124}
_OTHERWISE = 1

TABLE = """\
0 success; 1 failure, or it waits for approval; 3 neutral: the robot was lost, run it again;
4 cancelled or skipped; 124 the time was up; 2 it could not be followed."""
"""The same for help texts."""


def of_conclusion(conclusion: str | None) -> int:
    """The exit status for a job's conclusion, in GitHub's words."""
    return _OF_CONCLUSION.get(conclusion or "", _OTHERWISE)
