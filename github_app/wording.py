"""Times as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def moment(at: datetime) -> str:
    """A time for people, in UTC."""
    form = "%d %b %Y, %H:%M" if datetime.now(UTC) - at > timedelta(days=300) else "%d %b, %H:%M:%S"
    return at.astimezone(UTC).strftime(form)
