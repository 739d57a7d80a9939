"""Which lines of a comment are commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.commands import COMMANDS_MAX, Mistake, Run, parse

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("/raas run", [Run()]),
        ("  /RAAS   Run  ", [Run()]),
        ("/raas\trun", [Run()]),
        (f"/raas run {SHA}", [Run(SHA)]),
        (f"/raas run {SHA.upper()}", [Run(SHA)]),
        ("/raas run 0123abc", [Run("0123abc")]),
        ("Looks good.\r\n\r\n/raas run\r\n", [Run()]),
        ("/raas run\n/raas run 0123abc\n/raas run", [Run(), Run("0123abc")]),
        ("nothing", []),
        ("please /raas run", []),
        ("`/raas run`", []),
        ("/raasrun", []),
        ("/raas-run", []),
        ("- /raas run", []),
        ("> /raas run", []),
        ("   > /raas run", []),
        ("    /raas run", []),
        ("\t/raas run", []),
        ("```\n/raas run\n```", []),
        ("```sh\n/raas run\n```\n/raas run 0123abc", [Run("0123abc")]),
        ("~~~\n/raas run\n```\n/raas run\n~~~", []),
        ("````\n```\n/raas run\n````", []),
        ("```\n/raas run", []),  # never closed: code to the end
        ("``` not a fence ```\n/raas run", [Run()]),
        ("<!-- /raas run -->", []),
        ("<!--\n/raas run\n-->\n/raas run 0123abc", [Run("0123abc")]),
        ("<!--\n/raas run", []),
        ("<!-- a -->/raas run", []),
        ("<pre>\n/raas run\n</pre>", []),
        ("", []),
    ],
)
def test_which_lines_are_commands(body: str, expected: list[Run]) -> None:
    assert parse(body) == expected


@pytest.mark.parametrize(
    "body", ["/raas", "/raas rnu", "/raas run main", "/raas run 012", f"/raas run {SHA}0", "/raas run a b c"]
)
def test_a_line_that_means_nothing_is_answered(body: str) -> None:
    (mistake,) = parse(body)
    assert isinstance(mistake, Mistake)
    assert "/raas run" in mistake.message


@given(st.text())
def test_a_mistake_repeats_nothing_that_could_act(words: str) -> None:
    for command in parse(f"/raas {words}"):
        if isinstance(command, Mistake):
            assert not set(command.message) & set("@<>[]#\n")


@given(st.lists(st.text(alphabet="/ras run`~>\n\t <!-0a"), max_size=30).map("\n".join))
def test_any_comment_gives_few_distinct_commands(body: str) -> None:
    found = parse(body)
    assert len(found) == len(set(found)) <= COMMANDS_MAX


@given(st.text(alphabet="/ras run`~\n"))
def test_nothing_in_a_code_block_is_a_command(body: str) -> None:
    longest = max((len(line) for line in body.split("\n")), default=0)
    fence = "`" * (longest + 3)
    assert parse(f"{fence}\n{body}\n{fence}") == []
