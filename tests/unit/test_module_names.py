"""What tests import is found by its bare name, in whichever folders one call of pytest names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_modules_that_tests_import_share_a_name() -> None:
    """pytest puts every folder with tests in front of `sys.path`: of equal names, all would get one."""
    folders = {TESTS, *(path.parent for path in TESTS.rglob("test_*.py"))}
    modules = Counter(path.stem for folder in folders for path in folder.glob("*.py"))
    packages = Counter(path.parent.name for path in TESTS.parent.glob("*/__init__.py"))
    assert {"server_world", "controller_lab", "runner"} <= (modules | packages).keys()
    shared = {name for name, count in (modules + packages).items() if count > 1}
    assert shared == {"conftest"}  # which nobody imports; ruff sees to that
