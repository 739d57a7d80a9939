"""What a page shows of files: small, whatever they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app import previews
from github_app.previews import Kind, Preview


@pytest.mark.parametrize(
    "ending", ["html", "svg", "xml", "xhtml", "pdf", "npz", "js", "csv.gz", "json.xz", "txt.bz2"]
)
def test_what_could_carry_a_script_or_is_no_text_is_a_link(ending: str) -> None:
    assert previews.kind(f"a.{ending}") is None


@given(st.sampled_from(list(Kind)), st.binary(max_size=previews.HEAD_BYTES), st.integers(0, 1 << 30))
def test_whatever_a_file_holds_it_is_shown_in_little_room(how: Kind, data: bytes, more: int) -> None:
    shown = previews.of(how, len(data) + more, data)
    if shown is None:
        return
    assert len(shown.rows) <= previews.ROWS_MAX + 1
    assert all(len(row) <= previews.COLUMNS_MAX for row in shown.rows)
    assert all(len(cell) <= previews.CELL_MAX for row in shown.rows for cell in row)
    assert shown.text.count("\n") < previews.LINES_MAX
    assert "\x1b" not in shown.text


def test_a_table_begins_with_its_headings_and_says_whether_it_is_whole() -> None:
    data = b'# comment\nname,value\n"a,b",1\n'
    assert previews.of(Kind.TABLE, len(data), data) == Preview(
        Kind.TABLE, rows=(("name", "value"), ("a,b", "1")), whole=True
    )
    cut = previews.of(Kind.TABLE, 10_000, data + b"half a li")
    assert cut == Preview(Kind.TABLE, rows=(("name", "value"), ("a,b", "1")), whole=False)


def test_deep_and_broken_json_is_text() -> None:
    for data in (b"[" * 8000, b'{"a": ', b"NaN"):
        shown = previews.of(Kind.JSON, len(data), data)
        assert shown is not None
        assert shown.text[:1] == data.decode()[:1]


def test_pictures_that_are_too_large_are_links() -> None:
    assert previews.of(Kind.PICTURE, previews.PICTURE_BYTES_MAX, None) == Preview(Kind.PICTURE)
    assert previews.of(Kind.PICTURE, previews.PICTURE_BYTES_MAX + 1, None) is None
    assert previews.of(Kind.TEXT, 5, None) is None
