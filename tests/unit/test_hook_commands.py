"""Which lines of a comment are commands."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.commands import COMMANDS_MAX, Cancel, Help, Mistake, Run, Status, parse

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
        ("see `this\n/raas run\nthat`", []),  # a code span over lines
        ("``a `\n/raas run\n``", []),
        ("a ` alone\n/raas run", [Run()]),
        ("`a\n\n/raas run\n\nb`", [Run()]),  # a span ends with its paragraph
        ("", []),
    ],
)
def test_which_lines_are_commands(body: str, expected: list[Run]) -> None:
    assert parse(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("/raas run --sim", Run(simulated=True)),
        ("/raas run \N{EM DASH}sim", Run(simulated=True)),  # as phones write two dashes
        ("/raas RUN --Robot Goose", Run(labels=("goose",))),
        ("/raas run --robot=goose,fast --robot duck", Run(labels=("goose", "fast", "duck"))),
        ("/raas run --timeout 60", Run(timeout_s=60.0)),
        ("/raas run --timeout 1.5s", Run(timeout_s=1.5)),
        ("/raas run -n 5", Run(sessions=5)),
        ("/raas run --n=5", Run(sessions=5)),
        ("/raas run --ref Feature/X_1", Run(ref="Feature/X_1")),
        (
            f"/raas  run --sim {SHA}  -N 2 --timeout=9 --ref v1.0",
            Run(sha=SHA, simulated=True, sessions=2, timeout_s=9.0, ref="v1.0"),
        ),
        ("/raas cancel", Cancel()),
        ("/raas cancel 12", Cancel(12)),
        ("/RAAS Cancel #12", Cancel(12)),
        ("/raas status", Status()),
        ("/raas help", Help()),
    ],
)
def test_options_and_other_commands(body: str, expected: object) -> None:
    assert parse(body) == [expected]


def test_several_commands_in_one_comment() -> None:
    body = "Please:\n/raas cancel\n\n/raas run --sim\n/raas run\nthen\n/raas status\n/raas status"
    assert parse(body) == [Cancel(), Run(simulated=True), Run(), Status()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run --robot", "after `--robot` comes the label"),
        ("run --robot @all", "after `--robot` comes the label"),
        ("run --timeout 0", "1 or more"),
        ("run --timeout 1e9", "1 or more"),
        ("run -n 0", "how many sessions"),
        ("run -n many", "how many sessions"),
        ("run --ref ../x", "name of a branch or tag"),
        ("run --ref -x", "name of a branch or tag"),
        ("run --fast", "`--fast` is no option"),
        ("run --sim --robot hardware", "either `--sim` or"),
        ("run main", "write `--ref` and its name"),
        ("cancel all", "number of one job"),
        ("cancel 1 2", "number of one job"),
        ("cancel 0", "number of one job"),
        ("status please", "takes no further words"),
    ],
)
def test_a_wrong_option_is_explained(line: str, words: str) -> None:
    (mistake,) = parse(f"/raas {line}")
    assert isinstance(mistake, Mistake)
    assert words in mistake.message
    assert "/raas help" in mistake.message


labels = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,10}", fullmatch=True).filter(lambda label: label != "hardware")
runs = st.builds(
    Run,
    sha=st.none() | st.text(alphabet="0123456789abcdef", min_size=7, max_size=40),
    labels=st.lists(labels, max_size=3, unique=True).map(tuple),
    simulated=st.booleans(),
    timeout_s=st.none() | st.integers(1, 999_999).map(float),
    sessions=st.none() | st.integers(1, 999_999),
    ref=st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}(/[a-z0-9]{1,5})?", fullmatch=True),
)


@given(runs, st.randoms(use_true_random=False), st.sampled_from([" ", "  ", "\t"]))
def test_whatever_can_be_asked_is_understood_in_any_order(run: Run, random: Random, space: str) -> None:
    words = [[run.sha]] if run.sha else []
    words += [["--robot", label] for label in run.labels]
    words += [["--sim"]] if run.simulated else []
    words += [["--timeout", f"{run.timeout_s:g}"]] if run.timeout_s and run.timeout_s < 100_000 else []
    words += [["-n", str(run.sessions)]] if run.sessions else []
    words += [["--ref", run.ref]] if run.ref else []
    order = [part for part in words if part[0] == "--robot"]
    others = [part for part in words if part[0] != "--robot"]
    random.shuffle(others)
    line = space.join(word for part in [*others, *order] for word in part)
    expected = replace(run, timeout_s=run.timeout_s if run.timeout_s and run.timeout_s < 100_000 else None)
    assert parse(f"/raas run {line}") == [expected]


@given(st.text(max_size=300))
def test_no_text_breaks_it_and_what_it_finds_is_within_bounds(body: str) -> None:
    for command in parse(f"/raas run {body}\n{body}"):
        if isinstance(command, Run):
            assert command.timeout_s is None or 1 <= command.timeout_s < 1e6
            assert command.sessions is None or 1 <= command.sessions < 1e6
            assert len(command.labels) <= 7
            assert command.ref is None or (command.ref.isascii() and ".." not in command.ref)


@pytest.mark.parametrize("piece", ["`", "` ``", "<!--", "<pre>", "</pre ", "~~~\n", "/raas ", "- "])
def test_no_comment_takes_long(piece: str) -> None:
    """GitHub's longest comment; it is parsed while the webhook waits."""
    body = piece * (65_536 // len(piece))
    started = time.perf_counter()
    parse(f"{body}\n/raas run")
    assert time.perf_counter() - started < 10, "it is linear: milliseconds"


@pytest.mark.parametrize(
    "body", ["/raas", "/raas rnu", "/raas run main", "/raas run 012", f"/raas run {SHA}0", "/raas run a b c"]
)
def test_a_line_that_means_nothing_is_answered(body: str) -> None:
    (mistake,) = parse(body)
    assert isinstance(mistake, Mistake)
    assert "/raas run" in mistake.message
    assert "/raas help" in mistake.message


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
