"""Lines of a log: colours by name, and never a character more than `plain` would show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.log_lines import lines
from github_app.user_text import REMOVED, plain

ESCAPES = [
    "\x1b[31m",
    "\x1b[0m",
    "\x1b[1;38;5;200m",
    "\x1b[38;2;1;2;3m",
    "\x1b[2K",
    "\x1b]0;title\x07",
    "\x1b[",
    "\r",
    "\n",
]
TEXT = st.lists(st.one_of(st.sampled_from(ESCAPES), st.text(max_size=8)), max_size=20).map("".join)


@given(TEXT)
def test_colours_change_no_text(text: str) -> None:
    raw = text.encode(errors="replace")
    shown = plain(raw.decode().replace("\r\n", "\n").removesuffix("\n")) if raw else ""
    assert "\n".join("".join(run for run, _ in line.runs) for line in lines(raw)) == shown


@pytest.mark.parametrize(
    ("escape", "style"),
    [
        ("1", "bold"),
        ("31", "c1"),
        ("91", "c9"),
        ("44", "b4"),
        ("1;32", "c2 bold"),
        ("38;5;9", "c9"),
        ("38;5;196", "c9"),
        ("38;5;240", "c8"),
        ("38;2;255;80;80", "c9"),
        ("38;2;0;0;120", "c4"),
        ("31;39", ""),
        ("1;22", ""),
        ("4;0", ""),
        ("", ""),
        ("38", ""),
        ("999999999999", ""),
    ],
)
def test_what_a_terminal_would_draw(escape: str, style: str) -> None:
    (line,) = lines(f"\x1b[{escape}mx\n".encode())
    assert line.runs == (("x", style),)


def test_colours_end_with_their_line() -> None:
    first, second = lines(b"\x1b[31mred\nplain\n")
    assert first.runs == (("red", "c1"),)
    assert second.as_json() == "plain"


def test_a_secret_is_removed_even_where_colours_divide_it() -> None:
    (line,) = lines(b"token \x1b[31mghp_" + b"a1B2" * 4 + b"\x1b[0m" + b"a1B2" * 5 + b"\n")
    assert line.runs == ((f"token {REMOVED}", ""),)
    removed = lines(b"x\n-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n\x1b[31my\n")
    assert [line.runs[0][0] for line in removed] == ["x", REMOVED, "y"]


def test_groups_and_our_own_sentences_are_told_apart() -> None:
    kinds = [(line.kind, line.runs[0][0]) for line in lines(b"::group::Build\nx\n::endgroup::\nraas: done\n")]
    assert kinds == [("group", "Build"), ("", "x"), ("endgroup", ""), ("own", "raas: done")]
