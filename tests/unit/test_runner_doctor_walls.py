"""A host whose kernel does not enforce a limit is told so, with what to write where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.doctor import walls
from runner.settings import Settings

GOOD: dict[str, Any] = {
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CPUSet": True,
    "CpuCfsQuota": True,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Runtimes": {"runc": {}},
}


def _bad(swap: int = 1, settings: dict[str, Any] | None = None, **changed: Any) -> list[str]:
    chosen = Settings(server="http://x", name="goose", data_dir=Path("/x"), **(settings or {}))
    return [finding.text for finding in walls({**GOOD, **changed}, chosen, swap) if not finding.good]


def test_a_good_host_has_nothing_to_mend() -> None:
    assert _bad() == []


def test_a_raspberry_pi_without_the_memory_cgroup_gets_the_line_to_add() -> None:
    (text,) = _bad(MemoryLimit=False, SwapLimit=False)
    assert "does not enforce a limit of memory" in text
    assert "`cgroup_enable=memory cgroup_memory=1`" in text
    assert "/boot/firmware/cmdline.txt" in text


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"PidsLimit": False}, "processes"),
        ({"CPUSet": False}, "processors"),
        ({"SwapLimit": False}, "swapaccount=1"),
        ({"SecurityOptions": []}, "seccomp"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, "seccomp"),
        ({"CpuCfsQuota": False, "settings": {"cpus": 1.5}}, "`cpus`"),
        ({"settings": {"runtime": "runsc"}}, "`runtime` is runsc"),
    ],
)
def test_each_wall_that_is_missing_is_named(changed: dict[str, Any], word: str) -> None:
    (text,) = _bad(**changed)
    assert word in text


def test_swap_that_is_not_there_needs_no_limit() -> None:
    assert _bad(swap=0, SwapLimit=False) == []


def test_user_namespaces_are_told() -> None:
    chosen = Settings(server="http://x", name="goose", data_dir=Path("/x"))
    for name, word in (("rootless", "without root"), ("userns", "maps users")):
        options = {"SecurityOptions": ["name=seccomp,profile=default", f"name={name}"]}
        assert any(word in finding.text for finding in walls({**GOOD, **options}, chosen, 0))
