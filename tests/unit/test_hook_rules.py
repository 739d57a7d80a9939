"""A host's rules: hours across midnight, days and changes of clocks; owners; what is typed wrongly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.rules import DAYS, RobotRules, RulesError, ServerRules, robot_rules, server_rules

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
OFFICE = robot_rules(hours=["mon-fri 08:00-18:00"], time_zone="Europe/Berlin")

moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
clocks = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
hours = st.builds(
    lambda first, last, start, end: f"{first}-{last} {start}-{end}",
    st.sampled_from(DAYS),
    st.sampled_from(DAYS),
    clocks,
    clocks,
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        (MONDAY + timedelta(hours=6, minutes=59), MONDAY + timedelta(hours=7)),
        (MONDAY + timedelta(hours=7), None),
        (MONDAY + timedelta(hours=16, minutes=59), None),
        (MONDAY + timedelta(hours=17), MONDAY + timedelta(days=1, hours=7)),
        (MONDAY + timedelta(days=4, hours=18), MONDAY + timedelta(days=7, hours=7)),
    ],
)
def test_office_hours_in_winter(at: datetime, opens: datetime | None) -> None:
    assert OFFICE.opens(at) == (opens or at)
    assert (OFFICE.closed(at) is None) == (opens is None)


def test_hours_are_of_the_place_in_summer_too() -> None:
    assert OFFICE.opens(datetime(2026, 7, 6, 5, tzinfo=UTC)) == datetime(2026, 7, 6, 6, tzinfo=UTC)


def test_hours_over_midnight_belong_to_the_day_they_begin_on() -> None:
    night = robot_rules(hours=["fri 22:00-06:00"])
    friday = MONDAY + timedelta(days=4)
    assert night.closed(friday + timedelta(hours=23)) is None
    assert night.closed(friday + timedelta(hours=29)) is None
    assert night.closed(friday + timedelta(hours=5)) is not None
    assert night.closed(friday + timedelta(hours=30)) is not None


def test_a_closed_robot_says_its_hours_and_the_next_opening() -> None:
    told = OFFICE.closed(MONDAY + timedelta(hours=3))
    assert told == "outside its hours (mon-fri 08:00-18:00 Europe/Berlin); the next begin at 08:00"
    assert "tomorrow at 08:00" in str(OFFICE.closed(MONDAY + timedelta(hours=20)))
    assert "on Mon 08:00" in str(OFFICE.closed(MONDAY + timedelta(days=5)))


def test_a_whole_day_and_no_hours_are_always_open() -> None:
    for rules in (RobotRules(), robot_rules(hours=["00:00-24:00"]), robot_rules(hours=["00:00-00:00"])):
        assert rules.closed(MONDAY + timedelta(hours=13)) is None


@given(moments, st.lists(hours, min_size=1, max_size=3), zones)
def test_it_is_open_exactly_when_its_own_clock_says_so(now: datetime, spans: list[str], zone: str) -> None:
    rules = robot_rules(hours=spans, time_zone=zone)
    local = now.astimezone(ZoneInfo(zone))
    if (
        local.utcoffset() != (local + timedelta(days=1)).utcoffset()
        or local.utcoffset() != (local - timedelta(days=2)).utcoffset()
    ):
        return  # around a change of clocks, a minute of the day may be there twice or not at all
    minute, today, yesterday = (
        local.hour * 60 + local.minute,
        DAYS[local.weekday()],
        DAYS[local.weekday() - 1],
    )

    def holds(text: str) -> bool:
        days, span = text.split(" ")
        first, last = (DAYS.index(day) for day in days.split("-"))
        on = {DAYS[(first + step) % 7] for step in range((last - first) % 7 + 1)}
        start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in span.split("-"))
        if start < end:
            return today in on and start <= minute < end
        return (today in on and minute >= start) or (yesterday in on and minute < end)

    assert (rules.closed(now) is None) == any(holds(text) for text in spans)


@given(moments, hours, zones)
def test_it_opens_when_it_says(now: datetime, span: str, zone: str) -> None:
    rules = robot_rules(hours=[span], time_zone=zone)
    opens = rules.opens(now)
    assert opens is not None
    assert now <= opens <= now + timedelta(days=8)
    assert rules.opens(opens) == opens


@given(st.sampled_from(["alice", "Alice", "bob"]), st.booleans())
def test_owners_and_private_sources(owner: str, private: bool) -> None:
    assert RobotRules().accepts(owner, private=private)
    public = robot_rules(owners=[" ALICE "], private=False)
    assert public.accepts(owner, private=private) == (owner.lower() == "alice" and not private)
    assert ServerRules().lets_in(owner)
    assert server_rules(owners=["alice"]).lets_in(owner) == (owner.lower() == "alice")
    assert not server_rules(owners=[]).lets_in(owner)


def test_a_day_is_a_day_of_the_place() -> None:
    begin, end = server_rules(time_zone="Europe/Berlin").day(MONDAY + timedelta(hours=23, minutes=30))
    assert (begin, end) == (MONDAY + timedelta(hours=23), MONDAY + timedelta(hours=47))
    spring = server_rules(time_zone="Europe/Berlin").day(datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert spring[1] - spring[0] == timedelta(hours=23)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hours": ["8-18"]}, "are no hours; write hours like"),
        ({"hours": ["mon-fri 08:00-25:00"]}, "is no time of day"),
        ({"hours": ["mo-fr 08:00-18:00"]}, "are no hours"),
        ({"hours": ["abc 08:00-18:00"]}, "are no days of the week"),
        ({"time_zone": "Berlin"}, "is no time zone; write one like Europe/Berlin"),
        ({"time_zone": "../../etc/passwd"}, "is no time zone"),
        ({"owners": ["a b"]}, "is no login"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_what_to_write(values: dict[str, object], words: str) -> None:
    with pytest.raises(RulesError, match=words):
        robot_rules(**values)


@pytest.mark.parametrize("values", [{"timeout_max_s": "soon"}, {"sessions_max": 0}, {"minutes_a_day": -1}])
def test_maxima_are_numbers(values: dict[str, object]) -> None:
    with pytest.raises(RulesError):
        server_rules(**values)
