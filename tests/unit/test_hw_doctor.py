"""`doctor` and real-time care: what is said of the machine, and what is asked of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware import realtime
from hardware.doctor import check_machine


def test_a_machine_that_is_no_pi_has_no_pins_to_mend(tmp_path: Path) -> None:
    assert check_machine(tmp_path / "missing") == []
    (tmp_path / "model").write_text("Acme Laptop 9")
    assert check_machine(tmp_path / "model") == []


def test_a_pi_without_library_and_pwm_is_told_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    wrong = [finding.text for finding in check_machine(model) if not finding.good]
    assert any("RAAS_PWM=software" in text for text in wrong)
    monkeypatch.setenv("RAAS_PIN_IN1", "99")
    assert [finding.text for finding in check_machine(model)] == [
        "RAAS_PIN_IN1=99: the Pi's header has GPIO 0 to 27"
    ]


def in_a_thread(call: Callable[[], None]) -> None:
    """Priorities and cores are a thread's own; the test's thread keeps its."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_the_first_core_is_kept_with_real_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "_missing", {})
    seen: list[tuple[int, set[int]]] = []

    def care() -> None:
        realtime.raise_priority()
        seen.append((os.sched_getscheduler(0), os.sched_getaffinity(0)))

    allowed = os.sched_getaffinity(0)
    in_a_thread(care)
    scheduler, cores = seen[0]
    if scheduler == os.SCHED_FIFO:
        assert (cores, realtime.missing()) == ({min(allowed)}, [])
    else:
        assert cores == allowed
        assert len(realtime.missing()) == 1
        assert "ticks may be late under load (LimitRTPRIO=50 in the unit" in realtime.missing()[0]


def test_a_refused_core_is_a_warning_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(realtime, "_missing", {})
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)

    def refuse(_pid: int, _cores: set[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3})
    for _ in range(3):
        in_a_thread(realtime.raise_priority)
    assert realtime.missing() == [
        "core 2 cannot be kept (Operation not permitted): ticks may be late under load"
    ]
    assert caplog.text.count("core 2 cannot be kept") == 1


def test_the_only_core_is_everybodys() -> None:
    assert realtime.first_core({3}) is None
    assert realtime.first_core({3, 1, 2}) == 1
