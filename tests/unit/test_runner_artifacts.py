"""Artifacts out of a stranger's tar stream, and what a runner keeps on disk."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import wait_until
from runner.artifacts import Budget, collect, copy_recorded
from runner.client import RefusedError
from runner.happenings import Happenings, Kind
from runner.held import BusyError, HeldJob, Phase, Store
from runner.joblog import JobLog
from runner.local_server import LocalServer
from runner.protocol import ClaimedJob, Heartbeat, HeartbeatAnswer, JobLimits
from runner.pulse import Pulse

LIMITS = JobLimits(
    timeout_s=60,
    prepare_s=60,
    source_bytes_max=1000,
    log_bytes_max=1000,
    artifact_bytes_max=1000,
    artifact_count_max=5,
)


def _tar(*members: tuple[str, bytes | None, bytes]) -> Iterator[bytes]:
    """A tar stream in small chunks; a member is name, content (or None) and type."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content or b""), "/etc/passwd"
            tar.addfile(info, io.BytesIO(content or b""))
    raw = buffer.getvalue()
    return (raw[start : start + 1000] for start in range(0, len(raw), 1000))


def _plain(name: str, content: bytes = b"x") -> tuple[str, bytes, bytes]:
    return name, content, tarfile.REGTYPE


def _found(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_land_below_their_own_folder(tmp_path: Path) -> None:
    stream = _tar(("artifacts", None, tarfile.DIRTYPE), _plain("artifacts/a/b.txt", b"hello"))
    assert collect(stream, tmp_path, lambda _: True, Budget(LIMITS)) == []
    assert _found(tmp_path) == {"artifacts/a/b.txt": b"hello"}


@pytest.mark.parametrize(
    "member",
    [
        ("artifacts/link", None, tarfile.SYMTYPE),
        ("artifacts/hard", None, tarfile.LNKTYPE),
        ("artifacts/device", None, tarfile.CHRTYPE),
        ("artifacts/pipe", None, tarfile.FIFOTYPE),
        _plain("artifacts/../../escape"),
        _plain("artifacts/a\\b"),
        _plain("artifacts/new\nline"),
        _plain("artifacts/" + "n" * 250),
        _plain("artifacts/big", b"x" * 1001),
        _plain("artifacts/good"),  # a second time
    ],
)
def test_what_cannot_be_kept_is_named_and_left_out(
    tmp_path: Path, member: tuple[str, bytes | None, bytes]
) -> None:
    stream = _tar(_plain("artifacts/good"), member)
    (note,) = collect(stream, tmp_path / "in", lambda _: True, Budget(LIMITS))
    assert "1 artifact(s) were left out" in note
    assert _found(tmp_path) == {"in/artifacts/good": b"x"}


def test_count_and_sum_are_bounded(tmp_path: Path) -> None:
    stream = _tar(*(_plain(f"artifacts/{number}", b"x" * 300) for number in range(9)))
    collect(stream, tmp_path, lambda _: True, Budget(LIMITS))
    assert len(_found(tmp_path)) == 3
    stream = _tar(*(_plain(f"artifacts/{number}") for number in range(9)))
    collect(stream, tmp_path / "few", lambda _: True, Budget(LIMITS))
    assert len(_found(tmp_path / "few")) == 5


def test_only_what_the_patterns_keep(tmp_path: Path) -> None:
    stream = _tar(_plain("artifacts/keep.csv"), _plain("artifacts/drop.bin"))
    assert collect(stream, tmp_path, lambda name: name.endswith(".csv"), Budget(LIMITS)) == []
    assert list(_found(tmp_path)) == ["artifacts/keep.csv"]


def test_a_cut_stream_keeps_what_came(tmp_path: Path) -> None:
    raw = b"".join(_tar(_plain("artifacts/a", b"first"), _plain("artifacts/b", b"second")))
    notes = collect(iter([raw[:1538]]), tmp_path, lambda _: True, Budget(LIMITS))
    assert _found(tmp_path) == {"artifacts/a": b"first"}
    assert "damaged" in notes[0]


def test_an_endless_stream_ends(tmp_path: Path) -> None:
    info = tarfile.TarInfo("artifacts/endless")
    info.size = 1 << 40

    def chunks() -> Iterator[bytes]:
        yield info.tobuf()
        while True:
            yield bytes(1 << 20)

    assert collect(chunks(), tmp_path, lambda _: True, Budget(LIMITS))


def test_recorded_files_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("data")
    files = {"trajectory.csv": str(tmp_path / "t.csv"), "gone.csv": str(tmp_path / "gone")}
    notes = copy_recorded(files, tmp_path / "out", "session-1/", Budget(LIMITS))
    assert _found(tmp_path / "out") == {"session-1/trajectory.csv": b"data"}
    assert "gone.csv" in notes[0]


@pytest.fixture
def held() -> HeldJob:
    job = ClaimedJob(
        id=7,
        attempt=1,
        fence="f",
        repository="a/b",
        sha="0" * 40,
        ref="main",
        config={},
        sessions=1,
        limits=LIMITS,
        lease_s=10,
        heartbeat_s=1,
        url="http://x/jobs/7",
    )
    return HeldJob(job=job, key="k" * 32)


def test_a_held_job_survives(tmp_path: Path, held: HeldJob) -> None:
    held.phase = Phase.RUNNING
    Store(tmp_path).save(held)
    assert Store(tmp_path).held() == [held]
    assert (tmp_path / "jobs/7-1/job.json").stat().st_mode & 0o777 == 0o600
    Store(tmp_path).drop(held)
    assert Store(tmp_path).held() == []
    assert list((tmp_path / "jobs").iterdir()) == []


def test_an_unreadable_job_is_set_aside(tmp_path: Path, held: HeldJob) -> None:
    store = Store(tmp_path)
    store.save(held)
    (tmp_path / "jobs/7-1/job.json").write_text('{"from": "the future"}')
    assert store.held() == []
    assert (tmp_path / "aside/7-1/job.json").exists()


def test_a_half_dropped_job_is_swept(tmp_path: Path, held: HeldJob) -> None:
    store = Store(tmp_path)
    store.save(held)
    (tmp_path / "jobs/7-1/job.json").unlink()
    store.sweep()
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_key_is_repeated_until_its_job_is_saved(tmp_path: Path) -> None:
    key = Store(tmp_path).claim_key()
    assert Store(tmp_path).claim_key() == key
    Store(tmp_path).renew_key("another")
    assert Store(tmp_path).claim_key() == key
    Store(tmp_path).renew_key(key)
    assert Store(tmp_path).claim_key() != key


def test_one_runner_per_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.running_pid() is None
    with store.lock():
        assert store.running_pid() == os.getpid()
        with pytest.raises(BusyError, match=f"process {os.getpid()}"):
            Store(tmp_path).lock()
    assert store.running_pid() is None


def test_a_log_is_cut_once_with_a_note(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "log", 200)
    for _ in range(100):
        log.write(b"123456789\n")
    cut = b"123456789\n" * 15 + b"\nraas: the log is cut here, at 150 bytes\n"
    assert (tmp_path / "log").read_bytes() == cut
    assert log.cut
    assert log.flooded
    log.say("ours")  # what the program left no room for is there all the same, to the limit
    log.say("too much")
    log.close()
    assert (tmp_path / "log").read_bytes() == (cut + b"raas: ours\nraas: too much\n")[:200]


def test_a_log_is_read_wherever_its_folder_is_moved_to(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    log = JobLog(tmp_path / "jobs" / "log", 1000)
    log.write(b"before ")
    (tmp_path / "jobs").rename(tmp_path / "aside")
    log.write(b"after")
    assert log.read(3, 100) == b"ore after"
    log.close()


def test_our_lines_start_a_line(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "log", 1000)
    log.say("first")
    log.write(b"no newline")
    log.say("second")
    log.close()
    assert (tmp_path / "log").read_text() == "raas: first\nno newline\nraas: second\n"


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "log", 1000)
    log.write(b"one")
    log.close()
    log = JobLog(tmp_path / "log", 1000)
    log.write(b"two")
    log.close()
    assert log.length == 6
    assert log.read(2, 3) == b"etw"


def test_a_key_that_cannot_be_kept_is_a_trouble(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "jobs").rmdir()
    shutil.rmtree(tmp_path)
    key = store.claim_key()
    assert len(key) == 32
    assert "cannot be written" in store.trouble
    tmp_path.mkdir()
    store.claim_key()
    assert store.trouble == ""


class OldServer(LocalServer):
    """Knows nothing of times: what it does not know it refuses."""

    def heartbeat(self, job: int, heartbeat: Heartbeat) -> HeartbeatAnswer:
        if heartbeat.log is not None and "times" in heartbeat.log.model_fields_set:
            raise RefusedError(422, "invalid", "log.times: extra fields are not permitted")
        return super().heartbeat(job, heartbeat)


@pytest.mark.parametrize(("kind", "timed"), [(LocalServer, True), (OldServer, False)])
def test_an_older_server_gets_its_log_without_times(
    tmp_path: Path, held: HeldJob, kind: type[LocalServer], timed: bool
) -> None:
    shown: list[bytes] = []
    server = kind(tmp_path, shown.append, lambda phase: None, lambda t: None)
    log, happenings = JobLog(tmp_path / "log", 1000), Happenings()
    pulse = Pulse(server, held.job, log, happenings)
    log.times.begin(0)
    log.times.clock(time.monotonic(), 0.0)
    log.write(b"one\n")
    first = pulse.last_chunk()
    assert first is not None
    assert not first.times, "nobody knows yet what this server takes"
    pulse.start()
    wait_until(lambda: b"".join(shown) == b"one\n", 10, "the log")
    pulse.stop()
    log.write(b"two\n")
    last = pulse.last_chunk()
    assert last is not None
    assert bool(last.times) == timed
    assert happenings.seen(Kind.LOST) is None
    log.close()
