"""Times as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def moment(at: datetime) -> str:
    """A time for people, in UTC."""
    form = "%d %b %Y, %H:%M" if datetime.now(UTC) - at > timedelta(days=300) else "%d %b, %H:%M:%S"
    return at.astimezone(UTC).strftime(form)


def ago(at: datetime, now: datetime | None = None) -> str:
    """How long ago, in words: `just now`, `40 seconds ago`, `3 days ago`."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 10:
        return "just now"
    for length, unit in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    raise AssertionError("a second is the shortest unit")
