"""Every rule of the security page names tests that exist."""

from __future__ import annotations

from named_tests import DOCS, missing, references

PAGE = DOCS / "security.md"


def test_each_named_test_exists() -> None:
    assert len(references(PAGE)) > 60
    assert missing(PAGE) == []


def test_each_rule_of_the_tables_names_its_proof() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rules = [row for row in rows if not row.startswith("| rule |")]
    assert len(rules) > 40
    assert [row for row in rules if "::test_" not in row and ".py`" not in row] == [
        "| A push counts, whoever it is from: GitHub lets only people with write permission push. |"
        " GitHub's own rule |"
    ]
