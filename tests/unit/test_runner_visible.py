"""A stranger's words cannot act on the terminal of whoever reads our sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.visible import one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ValueError: no good", "ValueError: no good"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;https://evil.example\x1b\\link", "link"),
        ("\x1b[2J\x1b]52;c;ZXZpbA==\x07it was fine", "it was fine"),
        ("\u202egnp.exe", "gnp.exe"),
        ("two\r\nlines\x00", "two lines"),
        ("θ̇ = 3 ± 0.5 rad/s", "θ̇ = 3 ± 0.5 rad/s"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text())
def test_nothing_acts_whatever_it_is(text: str) -> None:
    shown = one_line(text)
    assert shown == one_line(shown)
    assert not any(character < " " or character in "\x7f\x9b\u202e\u2066" for character in shown)
