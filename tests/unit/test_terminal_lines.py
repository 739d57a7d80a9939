"""What the terminal commands write, as functions of values."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runner import exit_codes, gauge, keys, local_report, sim_screen
from runner.event_stream import Event, parse
from runner.job_lines import Colours, Log, Runs, State
from runner.protocol import SessionResult

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1).filter(
    lambda text: text.isprintable()
)
EVENTS = st.lists(
    st.builds(
        Event, TEXT.filter(lambda text: not text.startswith(" ")), TEXT, st.sampled_from(["", "1.2.3.4"])
    ),
    max_size=5,
)


@given(EVENTS, st.lists(st.integers(0, 400)), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_cut_anywhere_gives_the_same_events(
    events: list[Event], cuts: list[int], end: bytes
) -> None:
    lines = [b": still here", b"", b"retry: 1000", b""]
    for event in events:
        lines += [f"id: {event.id}".encode()] if event.id else []
        lines += [f"event: {event.name}".encode(), *(f"data: {event.data}".encode().splitlines()), b""]
    raw = end.join([*lines, b"event: cut off", b"data: without its end"])
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    pieces = [raw[begin:stop] for begin, stop in itertools.pairwise(places)]
    assert list(parse(pieces)) == events


@given(st.floats(-30, 30), st.floats(-20, 20) | st.none(), st.floats(-2, 2), st.integers(1, 200))
def test_the_robot_s_line_fits_every_width(
    theta: float, theta_dot: float | None, torque: float, width: int
) -> None:
    values = {"theta": theta, "theta_dot": theta_dot, "applied": torque, "reward": -1.0, "t": 3.2}
    assert cell_len(gauge.line(values, width)) <= max(width, 2)


@pytest.mark.parametrize(
    ("theta", "arrow", "place"),
    [(0.0, "↑", 3), (math.pi / 2, "←", 1), (-math.pi / 2, "→", 5), (math.pi / 4, "↖", 2), (3.0, "↓", 0)],
)
def test_a_lean_to_the_left_is_drawn_on_the_left(theta: float, arrow: str, place: int) -> None:
    assert gauge.line({"theta": theta}, 80).startswith(arrow)
    assert gauge.bar(theta, 7).index("●") == place


def test_another_robot_s_telemetry_has_no_rod() -> None:
    assert gauge.line({"position": 1.0, "reward": -2.0, "t": None}, 80) == "r -2.00"


HOSTILE = "a\x1b]0;owned\x07b\x1b[2Jc\x9bd\u202ee\rf"


def test_only_our_own_colours_reach_the_terminal() -> None:
    log = Log(line=1, lines=[HOSTILE, Runs(runs=[(HOSTILE, "c1 bold c99 nonsense")])], open=False)
    assert Colours(False).log(log) == "a]0;ownedb[2Jcdef\n" * 2
    assert Colours(True).log(log) == "a]0;ownedb[2Jcdef\n\x1b[31;1ma]0;ownedb[2Jcdef\x1b[0m\n"


def test_colours_are_those_of_sixteen() -> None:
    log = Log(line=1, lines=[Runs(runs=[("x", "c9 b4 underline")])], open=True)
    assert Colours(True).log(log) == "\x1b[91;44;4mx\x1b[0m"


def test_a_state_says_when_and_what() -> None:
    state = State(kind="lease_lost", at=datetime(2026, 1, 1, tzinfo=UTC), note="on goose\n")
    assert Colours(False).state(state).endswith("  lease lost on goose")


def test_keys_have_names() -> None:
    assert keys.names(b"q\x1b[C\x1bOD \x1b[3~\x1b[1;5Ar\x1b") == [
        "q", "right", "left", "space", "up", "r", "escape",
    ]  # fmt: skip


@given(st.binary(max_size=20))
def test_any_typing_is_understood(data: bytes) -> None:
    assert all(keys.names(data))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (40, 15), (80, 24), (200, 60)])
def test_a_frame_fits_its_screen(size: tuple[int, int]) -> None:
    words = ["θ +0.12 rad", "torque +2.00"]
    lines = sim_screen.frame(0.5, 1.0, words, ["q ends"], size).plain.split("\n")
    assert len(lines) <= size[1]
    assert all(cell_len(line) <= max(size[0], 12) for line in lines)


def _leans_left(text: str) -> bool:
    """Whether most dots are in the left half."""
    lines = text.split("\n")
    halves = ["".join(line[:20] for line in lines), "".join(line[20:] for line in lines)]
    count = [
        sum((ord(letter) - 0x2800).bit_count() for letter in half if letter > "\u2800") for half in halves
    ]
    return count[0] > count[1]


def test_the_picture_leans_where_the_rod_does() -> None:
    assert _leans_left(sim_screen.picture(math.pi / 2, 0.0, 40, 20).plain)
    assert not _leans_left(sim_screen.picture(-math.pi / 2, 0.0, 40, 20).plain)


def test_an_upright_rod_is_drawn_above_the_axle() -> None:
    rows = sim_screen.picture(0.0, 0.0, 40, 20).plain.split("\n")
    middle = [row[19:21].strip() for row in rows]
    assert all(middle[4:10])
    assert not any(middle[12:16])


@pytest.mark.parametrize(
    ("conclusion", "status"),
    [("success", 0), ("failure", 1), ("action_required", 1), ("neutral", 3), ("cancelled", 4), ("skipped", 4),
     ("timed_out", 124), (None, 1), ("of the future", 1)],
)  # fmt: skip
def test_every_conclusion_has_its_status(conclusion: str | None, status: int) -> None:
    assert exit_codes.of_conclusion(conclusion) == status


def _session(number: int, value: float | None) -> SessionResult:
    about = {"reason": "client_left", "message": "", "steps": 1, "ticks": 1, "episodes": 1, "late": 0}
    place = {"duration_s": 1.0, "robot": "goose", "passport": "1"}
    return SessionResult.model_validate(
        {"number": number, "scores": {"episode_return": value, "upright": 0.5}, **about, **place}
    )


def test_several_sessions_are_a_table() -> None:
    lines = list(local_report._table([_session(at, -200.0 - at) for at in range(7)]))
    assert lines[0].split() == [
        "mean",
        "±",
        "dev.",
        *(word for at in range(1, 6) for word in ("session", str(at))),
    ]
    assert lines[1].split() == ["return", "-203", "±", "2.16", "-200", "-201", "-202", "-203", "-204"]
    assert lines[-1] == "  and 2 sessions more; --json has them all"
    assert len({line.rindex("session 5") + 9 for line in lines[:1]} | {len(line) for line in lines[:3]}) == 1


def test_an_unknown_score_leaves_the_table_whole() -> None:
    assert next(local_report._table([_session(0, None)])).split() == ["return", "—"]
