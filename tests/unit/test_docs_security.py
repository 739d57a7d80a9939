"""Every rule of the security page names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
REFERENCE = re.compile(r"`((?:[\w/]+\.py|…)?(?:::\w+)?)`")


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def references() -> list[tuple[str, str]]:
    """Files and tests in the order of the page; a test without a file is of the one before."""
    found, file = [], ""
    for reference in REFERENCE.findall(PAGE.read_text()):
        named, _, test = reference.partition("::")
        file = named if named not in ("", "…") else file
        if named or test:
            found.append((file, test))
    return found


def test_each_named_test_exists() -> None:
    named = references()
    assert len(named) > 60
    missing = [
        (file, test)
        for file, test in named
        if not (TESTS / file).is_file() or (test and test not in functions(file))
    ]
    assert missing == []


def test_each_rule_of_the_tables_names_its_proof() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rules = [row for row in rows if not row.startswith("| rule |")]
    assert len(rules) > 40
    assert [row for row in rules if "::test_" not in row and ".py`" not in row] == [
        "| A push counts, whoever it is from: GitHub lets only people with write permission push. |"
        " GitHub's own rule |"
    ]
