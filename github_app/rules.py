"""A host's rules, as values: for one robot (owners, hours, private sources) and for the whole server. Pure.

Rules narrow, never widen: what the server's settings refuse, no rule allows. Hours say when a job may begin;
one that has begun is not stopped at the end of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

OUTSIDE_HOURS = "outside its hours"
"""How the message of a robot begins that is well, but takes no job at this time."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"^(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*)\s+)?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)$")
_LOGIN = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,99}$")
_FORM = "write hours like `mon-fri 08:00-18:00`, `sat,sun 10:00-16:00` or `22:00-06:00`"
_AHEAD = 9
"""Days looked ahead for the next opening: a week, and one each for midnight and a change of clocks."""


class RulesError(ValueError):
    """A rule is none; the message is one sentence and says what to write."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Berlin or UTC") from error
    return name


def _valid_hours(text: str) -> str:
    lowered = " ".join(text.lower().split())
    _window(lowered)
    return lowered


def _login(text: str) -> str:
    login = text.strip().lower()
    if not _LOGIN.match(login):
        raise ValueError(f"{text!r} is no login of a user or an organisation")
    return login


Login = Annotated[str, AfterValidator(_login)]
Owners = frozenset[Login] | None
"""Logins in lower case; None: whoever the server lets in."""
Hours = Annotated[str, StringConstraints(max_length=100), AfterValidator(_valid_hours)]
Zone = Annotated[str, StringConstraints(max_length=60), AfterValidator(_known_zone)]


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RobotRules(_Rules):
    """What the host of one robot allows.

    Attributes:
        owners: Whose repositories may use it.
        hours: When a job may begin, in `time_zone`; empty: at any time.
        time_zone: An IANA name.
        private: Whether it runs the sources of private repositories.
    """

    owners: Owners = None
    hours: Annotated[tuple[Hours, ...], Field(max_length=20)] = ()
    time_zone: Zone = "UTC"
    private: bool = True

    def accepts(self, owner: str, *, private: bool) -> bool:
        """Whether jobs of this owner's repository may run here, at some time."""
        return _listed(owner, self.owners) and (self.private or not private)

    def opens(self, now: datetime) -> datetime | None:
        """When the next job may begin: `now` itself inside the hours; None where the hours never come."""
        if not self.hours:
            return now
        spans = [span for text in self.hours for span in _spans(text, self.time_zone, now)]
        if any(start <= now < end for start, end in spans):
            return now
        return min((start for start, _ in spans if start > now), default=None)

    def closed(self, now: datetime) -> str | None:
        """Why no job may begin now, as the rest of a sentence about the robot; None inside the hours."""
        opens = self.opens(now)
        if opens == now:
            return None
        told = f"{OUTSIDE_HOURS} ({', '.join(self.hours)} {self.time_zone})"
        return f"{told}; the next begin {_moment(opens, now, self.time_zone)}" if opens else told

    def words(self) -> list[tuple[str, str]]:
        """The rules as (what, how) for people."""
        return [
            ("owners", _names(self.owners)),
            ("hours", f"{', '.join(self.hours)} {self.time_zone}" if self.hours else "any"),
            ("private repositories", "yes" if self.private else "no, public sources only"),
        ]


class ServerRules(_Rules):
    """What the server allows, beside its settings.

    Attributes:
        owners: Whose repositories may use any robot.
        timeout_max_s: Longest time on a robot, per session [s].
        sessions_max: Most sessions of one job.
        minutes_a_day: Robot-minutes of one owner in a day.
        time_zone: Where the day begins.
    """

    owners: Owners = None
    timeout_max_s: Annotated[float, Field(ge=1, le=86_400)] | None = None
    sessions_max: Annotated[int, Field(ge=1, le=100)] | None = None
    minutes_a_day: Annotated[float, Field(ge=0, le=1440 * 100)] | None = None
    time_zone: Zone = "UTC"

    def lets_in(self, owner: str) -> bool:
        """Whether this owner's repositories may use a robot at all."""
        return _listed(owner, self.owners)

    def day(self, now: datetime) -> tuple[datetime, datetime]:
        """The day that `now` is in, from midnight to midnight in the rules' time zone."""
        zone = ZoneInfo(self.time_zone)
        today = now.astimezone(zone).date()
        return _at(today, time(), zone), _at(today + timedelta(days=1), time(), zone)

    def words(self) -> list[tuple[str, str]]:
        """The rules as (what, how) for people."""
        minutes = "any" if self.minutes_a_day is None else f"{self.minutes_a_day:g} for each owner"
        return [
            ("owners", _names(self.owners)),
            ("timeout", _most(self.timeout_max_s, " s")),
            ("sessions of a job", _most(self.sessions_max, "")),
            ("robot-minutes a day", f"{minutes}, from midnight {self.time_zone}"),
        ]


def robot_rules(**values: object) -> RobotRules:
    """Rules from what a person typed.

    Raises:
        RulesError: They are none.
    """
    try:
        return RobotRules.model_validate(values)
    except ValidationError as error:
        raise _explained(error) from error


def server_rules(**values: object) -> ServerRules:
    """As `robot_rules`.

    Raises:
        RulesError: They are none.
    """
    try:
        return ServerRules.model_validate(values)
    except ValidationError as error:
        raise _explained(error) from error


def _explained(error: ValidationError) -> RulesError:
    first = error.errors(include_url=False)[0]
    where = str(first["loc"][0]).replace("_", " ") if first["loc"] else "the rules"
    if first["type"].endswith("_parsing"):
        return RulesError(f"{where}: {first['input']!r} is no number; write digits")
    return RulesError(f"{where}: {first['msg'].removeprefix('Value error, ')}")


def _names(owners: frozenset[str] | None) -> str:
    return "whoever the server lets in" if owners is None else ", ".join(sorted(owners)) or "nobody"


def _most(value: float | None, unit: str) -> str:
    return "as the settings say" if value is None else f"{value:g}{unit} at most"


def _listed(owner: str, owners: frozenset[str] | None) -> bool:
    return owners is None or owner.lower() in owners


def _window(text: str) -> tuple[frozenset[int], time, time]:
    """Weekdays (Monday is 0), begin and end. An end that is not after the begin is on the next day.

    Raises:
        ValueError: The text is not of that form.
    """
    match = _HOURS.match(text)
    if match is None:
        raise ValueError(f"{text!r} are no hours; {_FORM}")
    return _days(match["days"]), _clock(match["start"]), _clock(match["end"])


def _clock(text: str) -> time:
    if text == "24:00":
        return time()
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time of day; {_FORM}") from error


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{part!r} are no days of the week; {_FORM}")
        start, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(start + step) % 7 for step in range((end - start) % 7 + 1)}
    return frozenset(found)


def _spans(text: str, zone_name: str, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When these hours begin and end, from yesterday's on (they may reach over midnight), in UTC."""
    days, start, end = _window(text)
    zone = ZoneInfo(zone_name)
    yesterday = now.astimezone(zone).date() - timedelta(days=1)
    for day in (yesterday + timedelta(days=step) for step in range(_AHEAD + 1)):
        if day.weekday() in days:
            ends_on = day if end > start else day + timedelta(days=1)
            yield _at(day, start, zone), _at(ends_on, end, zone)


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def _moment(at: datetime, now: datetime, zone_name: str) -> str:
    zone = ZoneInfo(zone_name)
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"at {local:%H:%M}"
    return f"tomorrow at {local:%H:%M}" if (local.date() - today).days == 1 else f"on {local:%a %H:%M}"
