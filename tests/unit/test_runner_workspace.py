"""Sources of strangers: unpacked inside their folder, within bounds, or refused with a sentence."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner import workspace
from runner.workspace import Source, SourceError, unpack

Member = tuple[tarfile.TarInfo, bytes]


def _file(name: str, content: bytes = b"x", mode: int = 0o644) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def _other(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def _link(name: str, target: str) -> Member:
    return _other(name, tarfile.SYMTYPE, target)


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., Source]:
    def make(*members: Member, bytes_max: int = 1_000_000) -> Source:
        archive = tmp_path / "source.tar.gz"
        with tarfile.open(archive, "w:gz", format=tarfile.GNU_FORMAT) as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))
        return unpack(archive, tmp_path / "out", bytes_max)

    return make


def test_the_outermost_folder_is_taken_off(unpacked: Callable[..., Source]) -> None:
    source = unpacked(
        _other("repo-abc", tarfile.DIRTYPE),
        _file("repo-abc/run.py", b"print()", 0o755),
        _file("repo-abc/deep/er/data.bin", b"\x00\x01"),
        _other("repo-abc/empty", tarfile.DIRTYPE),
    )
    assert (source.root / "run.py").read_bytes() == b"print()"
    assert os.access(source.root / "run.py", os.X_OK)
    assert (source.root / "deep/er/data.bin").stat().st_mode & 0o777 == 0o644
    assert (source.root / "empty").is_dir()
    assert source.has_file("run.py")
    assert not source.has_file("empty")
    assert source.notes == []


def test_a_strict_umask_does_not_shut_the_container_out(unpacked: Callable[..., Source]) -> None:
    before = os.umask(0o077)
    try:
        source = unpacked(_file("r/a/b/c"))
    finally:
        os.umask(before)
    for folder in (source.root, source.root / "a", source.root / "a/b"):
        assert folder.stat().st_mode & 0o777 == 0o755


def test_links_that_stay_inside_are_kept(unpacked: Callable[..., Source]) -> None:
    source = unpacked(
        _file("r/a/real.txt", b"content"),
        _link("r/a/b/up.txt", "../real.txt"),
        _link("r/top.txt", "a/real.txt"),
        _link("r/folder", "a"),
    )
    assert (source.root / "a/b/up.txt").read_bytes() == b"content"
    assert (source.root / "top.txt").read_bytes() == b"content"
    assert (source.root / "folder/real.txt").read_bytes() == b"content"
    assert not source.has_file("top.txt")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("r/x", "/etc/passwd"),
        ("r/x", "../outside"),
        ("r/a/x", "../../outside"),
        ("r/a/x", "b/../../../outside"),
        ("r/a/b/x", "c/.."),
        ("r/x", ""),
        ("r/x", "y" * 2000),
    ],
)
def test_links_that_may_leave_are_left_out(unpacked: Callable[..., Source], name: str, target: str) -> None:
    source = unpacked(_file("r/run.py"), _link(name, target))
    assert not (source.root / "x").is_symlink()
    assert "symbolic link" in source.notes[0]


def test_nothing_is_written_through_a_link(unpacked: Callable[..., Source], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(SourceError):
        unpacked(_link("r/door", "sub"), _link("r/sub", "."), _file("r/door/file"))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "member",
    [
        _other("r/x", tarfile.LNKTYPE, "r/run.py"),
        _other("r/x", tarfile.CHRTYPE),
        _other("r/x", tarfile.BLKTYPE),
        _other("r/x", tarfile.FIFOTYPE),
        _file("/etc/cron.d/x"),
        _file("r/../../x"),
        _file("r/a\\b"),
        _file("r/" + "d/" * 600 + "x"),
    ],
)
def test_what_no_repository_holds_is_refused(unpacked: Callable[..., Source], member: Member) -> None:
    with pytest.raises(SourceError):
        unpacked(_file("r/run.py"), member)


def test_the_same_path_twice_is_refused(unpacked: Callable[..., Source]) -> None:
    with pytest.raises(SourceError, match="twice"):
        unpacked(_file("r/run.py"), _file("r/run.py"))


def test_a_file_where_a_folder_is_is_refused(unpacked: Callable[..., Source]) -> None:
    with pytest.raises(SourceError):
        unpacked(_file("r/a"), _file("r/a/b"))


def test_a_decompression_bomb_is_stopped(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("r/zeros")
    info.size = 400_000_000
    with gzip.open(archive, "wb") as file:
        file.write(info.tobuf())
        for _ in range(400):
            file.write(bytes(1_000_000))
    with pytest.raises(SourceError, match="too large"):
        unpack(archive, tmp_path / "out", 1_000_000)
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*"))
    assert written < 50_000_000


def test_too_many_files_are_refused(unpacked: Callable[..., Source], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "FILES_MAX", 10)
    with pytest.raises(SourceError, match="more than 10 files"):
        unpacked(*(_file(f"r/{number}") for number in range(11)))


def test_submodules_and_lfs_pointers_are_explained(unpacked: Callable[..., Source]) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    modules = b'[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://example.org/lib.git\n'
    source = unpacked(_file("r/model.bin", pointer), _file("r/.gitmodules", modules), _file("r/run.py"))
    text = " ".join(source.notes)
    assert "model.bin" in text
    assert "vendor/lib" in text


def _header(name: str, size: int, kind: bytes, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf() + content


def _broken(archive: bytes, place: int) -> bytearray:
    changed = bytearray(archive)
    changed[place] ^= 0xFF
    return changed


_TAR = _header("r/run.py", 512, tarfile.REGTYPE, b"x" * 512) + bytes(1024)


@pytest.mark.parametrize(
    "content",
    # with ids: what gzip makes holds the time, and every test process has to collect the same names
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"no tar"), id="no tar"),
        pytest.param(gzip.compress(b"")[:-3], id="cut"),
        pytest.param(bytes(_broken(gzip.compress(_TAR), -8)), id="another checksum"),
        pytest.param(bytes(_broken(gzip.compress(_TAR, mtime=0), 30)), id="broken inside"),
        pytest.param(
            gzip.compress(_header("././@LongLink", 512, b"L", b"a" * 512) * 3000), id="names of names"
        ),
        pytest.param(gzip.compress(_header("././@LongLink", 1 << 30, b"L", b"")), id="a name of a gigabyte"),
    ],
)
def test_damaged_archives(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SourceError):
        unpack(tmp_path / "a", tmp_path / "out", 1000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4),
            st.lists(st.sampled_from(["a", "b", "c", "d", "..", ".", "/"]), max_size=6),
        ),
        max_size=8,
    )
)
def test_no_chain_of_links_leads_out(
    tmp_path_factory: pytest.TempPathFactory, links: list[tuple[list[str], list[str]]]
) -> None:
    folder = tmp_path_factory.mktemp("links")
    archive = folder / "a.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for path, target in links:
            tar.addfile(_link("r/" + "/".join(path), "/".join(target))[0])
    try:
        source = unpack(archive, folder / "out", 10_000)
    except SourceError:
        return
    for path in source.root.rglob("*"):
        with contextlib.suppress(OSError, RuntimeError):  # a loop of links leads nowhere
            assert path.resolve().is_relative_to(source.root.resolve())
