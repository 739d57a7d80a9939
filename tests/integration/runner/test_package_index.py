"""The window through which an installation sees the host's package index: names in, listed files out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from package_server import PackageServer, serving, wheel

from runner import index_process
from runner.package_index import Index, IndexSettings, RefusedError

SPOON = wheel("spoon", "1.2", {"spoon.py": b""})


@pytest.fixture
def upstream() -> Iterator[PackageServer]:
    with serving() as server:
        server.add(SPOON)
        yield server


def _index(*urls: str, bytes_max: int = 1_000_000) -> Index:
    return Index(IndexSettings("", list(urls), bytes_max))


def _files(index: Index, name: str) -> list[dict[str, Any]]:
    return list(json.loads(index.page(name) or b'{"files": []}')["files"])


def test_a_page_lists_files_by_number_and_gives_them(upstream: PackageServer) -> None:
    index = _index(upstream.url)
    (item,) = _files(index, "spoon")
    assert item["filename"] == SPOON[0]
    assert item["url"] == f"/file/0/{SPOON[0]}"
    assert len(item["hashes"]["sha256"]) == 64
    assert b"".join(index.file(0, metadata=False)) == SPOON[1]
    assert index.page("ladle") is None


def test_what_no_page_lists_cannot_be_asked_for(upstream: PackageServer) -> None:
    with pytest.raises(RefusedError, match="no page lists"):
        next(_index(upstream.url).file(0, metadata=False))


def test_more_than_the_limit_is_not_fetched(upstream: PackageServer) -> None:
    index = _index(upstream.url, bytes_max=100)
    _files(index, "spoon")
    with pytest.raises(RefusedError, match="larger than this host allows"):
        list(index.file(0, metadata=False))


def test_another_server_inside_the_hosts_network_is_not_asked(upstream: PackageServer) -> None:
    with serving() as other:
        other.add(SPOON)
        upstream.links["ladle-1-py3-none-any.whl"] = other.url.replace("simple/", f"files/{SPOON[0]}")
        upstream.links["ladle-2-py3-none-any.whl"] = "file:///etc/passwd"
        assert _files(_index(upstream.url), "ladle") == []
        assert other.asked == []


def test_an_index_may_be_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "simple" / "spoon"
    place.mkdir(parents=True)
    (tmp_path / SPOON[0]).write_bytes(SPOON[1])
    (place / "index.html").write_text(f'<a href="../../{SPOON[0]}" data-yanked="broken">x</a>')
    index = _index((tmp_path / "simple").as_uri())
    (item,) = _files(index, "spoon")
    assert item["yanked"] == "broken"
    assert b"".join(index.file(0, metadata=False)) == SPOON[1]
    assert index.page("ladle") is None


def test_the_index_of_pip_is_what_pip_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.example/simple")
    monkeypatch.setenv("PIP_CERT", "/etc/example.pem")
    index_process.of_pip.cache_clear()
    try:
        urls, cert = index_process.places(["https://first.example/simple", "pip"])
    finally:
        index_process.of_pip.cache_clear()
    assert urls == [
        "https://first.example/simple",
        "https://packages.example/simple",
        "https://more.example/simple",
    ]
    assert cert == "/etc/example.pem"
    assert index_process.places([])[0] == []
