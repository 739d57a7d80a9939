"""`.raas.yml`: what is accepted, and how every mistake is explained."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.globs import glob_match
from runner.repo_config import RepoConfig, RepoConfigError, json_schema, parse

FULL = """\
version: 1
robot: [pendulum, goose]
run: python main.py --fast
image: ml
requirements: requirements.txt
timeout: 60
on:
  push: {branches: [main, "release/*"]}
  pull_request: true
precheck: simulation
require: {upright: 0.5, swing_up_time: {max: 5}}
artifacts: ["results/**"]
"""


def test_every_key_is_read() -> None:
    config = parse(FULL)
    assert config.robot == ["pendulum", "goose"]
    assert config.timeout == 60.0
    assert config.on.push is not None
    assert config.on.push.matches("release/2")
    assert not config.on.push.matches("release/2/fix")
    assert config.require["upright"].min == 0.5
    assert config.require["swing_up_time"].max == 5.0
    assert config.keeps("results/a/b.png")
    assert not config.keeps("other.png")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}"])
def test_an_empty_file_means_the_defaults(text: str) -> None:
    config = parse(text)
    assert config == RepoConfig()
    assert config.run == "python run.py"
    assert config.robot == ["pendulum"]
    assert config.on.push is not None
    assert config.on.push.matches("any/branch")
    assert config.on.pull_request
    assert config.keeps("deep/down/file.bin")


@pytest.mark.parametrize("text", ["", FULL])
def test_it_survives_the_way_through_the_job_contract(text: str) -> None:
    config = parse(text)
    assert RepoConfig.model_validate(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize(
    ("on", "push", "pull_request"),
    [
        ("on: push", True, False),
        ("on: [push, pull_request]", True, True),
        ("on: {push: , pull_request: false}", True, False),
        ("on: {push: false, pull_request: true}", False, True),
        ("on: []", False, False),
        ("on: {}", False, False),
    ],
)
def test_only_what_on_lists_starts_a_job(on: str, push: bool, pull_request: bool) -> None:
    triggers = parse(on).on
    assert (triggers.push is not None, triggers.pull_request) == (push, pull_request)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("version: 2", 1, "`version` must be 1"),
        ("run: x\ntimout: 3", 2, "unknown key `timout`; did you mean `timeout`?"),
        ("run: x\nzzz: 3", 2, "known are version, robot"),
        ("on:\n  push:\n    branch: [main]", 3, "did you mean `branches`?"),
        ("on:\n  pul_request: true", 2, "did you mean `pull_request`?"),
        ("on: [push, tags]", 1, "unknown key `on.tags`"),
        ("require: {upright: {least: 1}}", 1, "known are min, max"),
        ("run: 3", 1, "must be text, not 3"),
        ("run: true", 1, "must be text, not True"),
        ("run: |\n  a\n  b", 1, "characters that are not allowed"),
        ("timeout: soon", 1, "must be a number, not 'soon'"),
        ("timeout: yes", 1, "must be a number"),
        ("timeout: true", 1, "must be a number"),
        ("timeout: -1", 1, "must be at least 1"),
        ("timeout: 1e400", 1, "timeout"),
        ("timeout: 99999999", 1, "must be at most 86400"),
        ("image: big", 1, "'slim' or 'ml'"),
        ("robot: []", 1, "must not be empty"),
        ("robot:\n  - pendulum\n  - Bad Name", 3, "`robot.1` has characters"),
        ("requirements: ../../etc/passwd", 1, "must be a path inside the repository"),
        ("requirements: /etc/passwd", 1, "must be a path inside the repository"),
        ("artifacts: ['../**']", 1, "must be a path inside the repository"),
        ("require: [upright]", 1, "must be a mapping"),
        ("require:\n  upright: high", 2, "require.upright"),
        ("run: a\n\nrun: b", 3, "the key `run` is there twice"),
        ("run: a\n  b: c: d", 2, "this is not valid YAML"),
        ("run: [", 1, "this is not valid YAML"),
        ("\tx: 1", 1, "this is not valid YAML"),
        ("run: a\nrobot: \x07", 2, "character that YAML does not allow"),
        ("a: &x 1\nb: *x", 1, "anchors"),
        ("a: 1\nb: *x", 2, "anchors"),
        ("run: !!python/object/apply:os.system [ls]", 1, "tags such as"),
        ("run: a\n---\nrun: b", 2, "only one document"),
        ("- run", 1, "`key: value` lines"),
        ("just words", 1, "`key: value` lines"),
        ("? [a]\n: b", 1, "a key must be a plain word"),
        ("a: " + "[" * 5000, 1, "nested too deeply"),
        ("a: [" + "1," * 5000 + "]", 1, "too many entries"),
        ("# " + "x" * 40000, 1, "longer than 32 kB"),
        ("timeout: " + "9" * 6000, 1, "timeout"),
    ],
)
def test_mistakes_name_the_line_and_the_way_out(text: str, line: int, words: str) -> None:
    with pytest.raises(RepoConfigError) as caught:
        parse(text)
    assert words in caught.value.message
    assert caught.value.line == line
    assert str(caught.value).startswith(f".raas.yml line {line}: ")


def test_not_utf8() -> None:
    with pytest.raises(RepoConfigError, match="line 2: the file is not UTF-8"):
        parse(b"run: a\nrobot: \xff\xfe")


def test_the_first_mistake_in_the_file_is_reported() -> None:
    with pytest.raises(RepoConfigError) as caught:
        parse("artifacts: 3\nversion: 7\nrun: 1")
    assert caught.value.line == 1


def _outcome(text: str | bytes) -> int:
    """The line that is blamed, 1 where the file is accepted; any other exception is a failure."""
    try:
        parse(text)
    except RepoConfigError as error:
        return error.line
    return 1


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    assert _outcome(text) <= len(text) + 2


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    assert _outcome(raw) <= len(raw) + 2


def test_the_schema_knows_the_short_forms() -> None:
    schema = json_schema()
    json.dumps(schema)
    assert set(schema["properties"]) == set(RepoConfig.model_fields)
    assert schema["additionalProperties"] is False
    assert {"type": "string"} in schema["properties"]["robot"]["anyOf"]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("main", "main", True),
        ("main", "mainly", False),
        ("*", "main", True),
        ("*", "a/b", False),
        ("**", "a/b", True),
        ("release/*", "release/1", True),
        ("release/*", "release/", True),
        ("results/**", "results/a/b.png", True),
        ("results/**", "results", False),
        ("**/x.csv", "x.csv", True),
        ("**/x.csv", "a/b/x.csv", True),
        ("**/x.csv", "ax.csv", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/xb", False),
        ("?.csv", "a.csv", True),
        ("?.csv", "/.csv", False),
        ("a.c", "abc", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_globs(pattern: str, name: str, matches: bool) -> None:
    assert glob_match(pattern, name) is matches


@given(st.text("ab/*?", max_size=8), st.text("ab/", max_size=7))
def test_a_glob_says_what_its_expression_would(pattern: str, name: str) -> None:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.findall(r"\*\*/?|.", pattern)
    assert glob_match(pattern, name) is bool(
        re.fullmatch("".join(words.get(p, p) for p in parts), name, re.S)
    )


@pytest.mark.parametrize("wish", ["/etc/passwd", "../x", "5", "[a]", "true", "''"])
def test_requirements_are_explained_in_one_way(wish: str) -> None:
    with pytest.raises(RepoConfigError, match="must be a path inside the repository, or false, not"):
        parse(f"requirements: {wish}")


def test_a_glob_cannot_be_made_slow() -> None:
    started = time.monotonic()
    for number in range(100):  # a job may leave thousands of names, and have fifty patterns
        assert not glob_match("*a" * 100, f"{'a' * 250}{number}b")
    assert not glob_match("**/" * 60 + "z", "a/" * 120)
    assert time.monotonic() - started < 2
