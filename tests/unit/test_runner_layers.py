"""Sets of packages on a host: made once, used by many, the longest unused removed first."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from runner.layers import Layer, Layers


def _make(target: Path) -> None:
    (target / "site").mkdir()
    (target / "site" / "big.bin").write_bytes(os.urandom(600_000))
    (target / "packages.json").write_text(json.dumps(["big==1"]))


def _never() -> bool:
    return False


def _used(layers: Layers, key: str, when: float) -> Layer:
    layer = layers.use(key, _make, _never)
    assert layer is not None
    os.utime(layers.folder / key, (when, when))
    return layer


def test_the_longest_unused_goes_first_and_none_that_is_used(tmp_path: Path) -> None:
    layers = Layers(tmp_path, 1_000_000)
    held = _used(layers, "oldest", 1)
    for key, when in (("old", 2), ("new", 3)):
        _used(layers, key, when).close()
    assert layers.evict() == ["old", "new"]
    assert held.packages == ["big==1"]
    assert held.site.exists()
    held.close()
    _used(layers, "newest", 4).close()
    assert layers.evict() == ["oldest"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newest", "newest.lock"]


def test_using_one_makes_it_the_latest(tmp_path: Path) -> None:
    layers = Layers(tmp_path, 1_000_000)
    for key, when in (("first", 1), ("second", 2)):
        _used(layers, key, when).close()
    again = layers.use("first", _make, _never)
    assert again is not None
    again.close()
    assert layers.evict() == ["second"]


def test_a_failure_leaves_nothing_and_the_next_one_tries_again(tmp_path: Path) -> None:
    layers = Layers(tmp_path, 0)

    def fail(target: Path) -> None:
        (target / "half").write_text("x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        layers.use("one", fail, _never)
    assert [path.name for path in tmp_path.iterdir()] == ["one.lock"]
    (tmp_path / "one.partial").mkdir()  # as a killed runner leaves it
    _used(layers, "one", 1).close()


def test_what_a_killed_installation_left_goes_with_the_next(tmp_path: Path) -> None:
    layers = Layers(tmp_path, 10_000_000)
    (tmp_path / "killed.partial" / "build-x").mkdir(parents=True)
    (tmp_path / "at-work.partial").mkdir()
    with (tmp_path / "at-work.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _used(layers, "one", 1).close()
        assert layers.evict() == []
    assert sorted(path.name for path in tmp_path.glob("*.partial")) == ["at-work.partial"]


def test_who_waits_may_leave(tmp_path: Path) -> None:
    layers = Layers(tmp_path, 0)
    asked = []

    def leave() -> bool:
        asked.append(1)
        return len(asked) > 2

    def meanwhile(_: Path) -> None:
        assert Layers(tmp_path, 0).use("one", _make, leave) is None
        raise ValueError("done")

    with pytest.raises(ValueError, match="done"):
        layers.use("one", meanwhile, _never)
    assert len(asked) == 3
