"""Pages of the documentation that name tests as proof of what they say."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"
REFERENCE = re.compile(r"`((?:[\w/]+\.py|…)?(?:::\w+)?)`")


@cache
def functions(file: str) -> frozenset[str]:
    """Names of the functions in a file of tests."""
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def references(page: Path) -> list[tuple[str, str]]:
    """Files and tests in the order of the page; a test without a file is of the one before."""
    found, file = [], ""
    for reference in REFERENCE.findall(page.read_text()):
        named, _, test = reference.partition("::")
        file = named if named not in ("", "…") else file
        if named or test:
            found.append((file, test))
    return found


def missing(page: Path) -> list[tuple[str, str]]:
    """What the page names and is not there."""
    return [
        (file, test)
        for file, test in references(page)
        if not (TESTS / file).is_file() or (test and test not in functions(file))
    ]
