"""The page of crash points names tests that exist, every transition, and every case of the tests it names."""

from __future__ import annotations

import ast
import re
from itertools import product

from named_tests import DOCS, TESTS, missing, references

from github_app import jobs
from github_app.jobs import EventKind, IllegalMoveError, State, Status
from runner.protocol import Conclusion

PAGE = DOCS / "crash-points.md"
CASES = (
    "integration/runner/test_runner_crash_points.py",
    "integration/controller/test_controller_crash_points.py",
)


def test_each_named_test_exists() -> None:
    assert len(references(PAGE)) > 50
    assert missing(PAGE) == []


def test_each_transition_is_there() -> None:
    table = PAGE.read_text().partition("## Transitions")[2].partition("## The runner")[0]
    rows = set(re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \|", table, re.MULTILINE))
    listed = rows - {("from", "event", "to")}
    assert listed == {
        (before.value, event.value, after.value)
        for before, event in product(Status, EventKind)
        for after in reachable(before, event)
    }


def reachable(before: Status, event: EventKind) -> set[Status]:
    """Where the event leads from the status, in any of its states and with any conclusion."""
    found = set()
    for state in (State(before, was, lost) for was in (None, *Conclusion) for lost in (False, True)):
        for conclusion in (None, *Conclusion):
            try:
                found.add(jobs.move(state, event, conclusion).status)
            except IllegalMoveError:
                continue
    return found


def test_each_case_of_a_crash_is_there() -> None:
    """As the tests' tables name them."""
    page = set(re.findall(r"\*([a-z ]+)\*", PAGE.read_text()))
    for file in CASES:
        tree = ast.parse((TESTS / file).read_text())
        tables = (node for node in ast.walk(tree) if isinstance(node, ast.Dict))
        named = {key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)}
        keywords = (node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "id")
        named |= {node.value.value for node in keywords if isinstance(node.value, ast.Constant)}
        assert named - page == {name for name in named if str(name).startswith("recovery ")}
