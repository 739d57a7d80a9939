"""The ledger survives whatever a crash leaves of its file, and refuses to guess."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import StartupError
from hardware.ledger import Ledger, SessionKey

KEYS = [SessionKey(7, 1, 0), SessionKey(7, 1, 1), SessionKey(8, 2, 0)]


def filled(path: Path) -> bytes:
    ledger = Ledger(path)
    for key in KEYS:
        ledger.add(key)
    ledger.close()
    return path.read_bytes()


def reopened(path: Path) -> list[SessionKey]:
    ledger = Ledger(path)
    try:
        return list(ledger)
    finally:
        ledger.close()


def test_it_remembers_across_restarts(tmp_path: Path) -> None:
    filled(tmp_path / "ledger")
    assert reopened(tmp_path / "ledger") == KEYS
    ledger = Ledger(tmp_path / "ledger")
    assert KEYS[0] in ledger
    assert SessionKey(9, 1, 0) not in ledger
    assert len(ledger) == 3
    ledger.close()


@given(
    cut=st.integers(min_value=0), tail=st.sampled_from([b"", b"\0" * 512, b"\xff\n", b"[]\n", b'{"job": 1'])
)
def test_a_torn_tail_is_cut_and_the_rest_kept(
    tmp_path_factory: pytest.TempPathFactory, cut: int, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("torn") / "ledger"
    whole = filled(path)
    kept = whole[: cut % (len(whole) + 1)]
    path.write_bytes(kept + tail)
    whole_lines = kept.count(b"\n")
    assert reopened(path) == KEYS[:whole_lines]

    ledger = Ledger(path)
    ledger.add(SessionKey(99, 1, 0))
    ledger.close()
    assert reopened(path) == [*KEYS[:whole_lines], SessionKey(99, 1, 0)]


HERE, THERE = "5eed", "ace"


def test_a_job_of_the_same_number_is_another_servers_own(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.add(SessionKey(7, 1, 0, HERE))
    assert ledger.bars(SessionKey(7, 1, 0, HERE))
    assert not ledger.bars(SessionKey(7, 1, 1, HERE))
    assert not ledger.bars(SessionKey(7, 1, 0, THERE))
    assert ledger.bars(SessionKey(7, 1, 0)), "a server that tells no name may be any"
    ledger.close()


def test_lines_from_before_servers_had_names_belong_to_the_first_one_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text('{"job": 7, "attempt": 1, "number": 0, "opened": 1763800000.0}\n')
    ledger = Ledger(path)
    old = SessionKey(7, 1, 0)
    for server in ("", HERE, THERE):
        assert ledger.bars(old._replace(server=server)), "whose it was is not known yet"
    ledger.add(SessionKey(8, 1, 0, HERE))
    for _ in ("as written", "as read again"):
        assert ledger.bars(old._replace(server=HERE))
        assert not ledger.bars(old._replace(server=THERE))
        assert old in ledger
        ledger.close()
        ledger = Ledger(path)
    ledger.close()


@given(
    asked=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["", HERE, THERE]), st.booleans()), max_size=20
    )
)
def test_no_server_ever_has_a_session_twice(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, str, bool]]
) -> None:
    """Whoever asks in whatever order, with restarts in between; one without a name may be any of them."""
    path = tmp_path_factory.mktemp("servers") / "ledger"
    ledger = Ledger(path)
    opened: list[tuple[int, str]] = []
    for job, server, restarts in asked:
        key = SessionKey(job, 1, 0, server)
        if not ledger.bars(key):
            ledger.add(key)
            opened.append((job, server))
        if restarts:
            ledger.close()
            ledger = Ledger(path)
        assert ledger.bars(key)
    ledger.close()
    assert len(set(opened)) == len(opened)
    for place, (job, server) in enumerate(opened):
        if server == "":
            assert job not in [earlier for earlier, _ in opened[:place]]
            later = [name for name_job, name in opened[place + 1 :] if name_job == job]
            first_named = next((name for _, name in opened[place + 1 :] if name), None)
            assert first_named not in later


def test_damage_before_the_last_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    lines = filled(path).splitlines(keepends=True)
    path.write_bytes(lines[0] + b"#" * 20 + b"\n" + lines[2])
    with pytest.raises(StartupError, match=r"line 2 .* is damaged: restore"):
        Ledger(path)


def test_an_unusable_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    with pytest.raises(StartupError, match=r"cannot be used .*: mend its access"):
        Ledger(tmp_path / "ledger")


def test_a_full_disk_leaves_the_key_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    size = len(filled(path))
    ledger = Ledger(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))  # room for a part of the line
    try:
        with pytest.raises(OSError, match="too large"):
            ledger.add(SessionKey(99, 1, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert SessionKey(99, 1, 0) not in ledger
    ledger.add(SessionKey(100, 1, 0))
    ledger.close()
    assert reopened(path) == [*KEYS, SessionKey(100, 1, 0)]
