"""What a job's page shows of its files at once: pictures, films, the beginnings of texts and tables.

Pictures and films are the browser's to fetch, from the same address as a download. Texts are short
beginnings that were kept when the file was confirmed, so that no page waits for a store, escaped like
everything that strangers wrote. What could carry a script (HTML, SVG, XML, PDF) is never shown, only saved.
"""

from __future__ import annotations

import csv
import io
import json
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import select
from sqlalchemy.orm import Session

from github_app.models import Artifact
from github_app.stores import Blob, Store
from github_app.user_text import one_line, plain

SHOWN_MAX = 12
"""Files of a job that are shown in its page; all others are links."""
HEAD_BYTES = 8192
"""Kept of a text, bytes: more than a recording's comment lines."""
PICTURE_BYTES_MAX = 5 << 20
"""Larger pictures are links: opening a page must stay cheap."""
LINES_MAX = 40
ROWS_MAX, COLUMNS_MAX, CELL_MAX = 10, 16, 40

_TEXTS = frozenset({".log", ".md", ".out", ".py", ".toml", ".txt", ".yaml", ".yml"})


class Kind(str, Enum):
    """How a file is shown."""

    PICTURE = "picture"
    FILM = "film"
    TABLE = "table"
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True)
class Preview:
    """What is shown of a file.

    Attributes:
        kind: Says which of the others is filled.
        text: Of a text: its beginning, made visible.
        rows: Of a table: its beginning, the first row are the headings.
        whole: Whether this is all of it.
    """

    kind: Kind
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    whole: bool = False


def kind(name: str) -> Kind | None:
    """How a file of this name is shown; None for those that are only links."""
    guessed, packed = mimetypes.guess_type(name, strict=False)
    if packed is not None:
        return None
    if guessed in {"image/gif", "image/jpeg", "image/png", "image/webp"}:
        return Kind.PICTURE
    if guessed in {"video/mp4", "video/webm"}:
        return Kind.FILM
    if guessed == "text/csv":
        return Kind.TABLE
    if guessed == "application/json":
        return Kind.JSON
    return Kind.TEXT if any(name.lower().endswith(ending) for ending in _TEXTS) else None


def head(store: Store, blob: Blob, name: str) -> bytes | None:
    """The first bytes of a confirmed file, where they are shown.

    Raises:
        StoreError: It cannot be read now.
    """
    return store.head(blob, HEAD_BYTES) if kind(name) in {Kind.TABLE, Kind.JSON, Kind.TEXT} else None


def of_files(session: Session, rows: Sequence[Artifact]) -> dict[int, Preview]:
    """The previews of a job's files, by row number; `SHOWN_MAX` at most."""
    kinds = {row.id: kind(row.name) for row in rows}
    chosen = [row for row in rows if kinds[row.id] is not None][:SHOWN_MAX]
    wanted = select(Artifact.id, Artifact.head).where(Artifact.id.in_([row.id for row in chosen]))
    heads = {found.id: found.head for found in session.execute(wanted)} if chosen else {}
    made = {row.id: of(kinds[row.id], row.size, heads.get(row.id)) for row in chosen}
    return {number: preview for number, preview in made.items() if preview is not None}


def of(how: Kind | None, size: int, beginning: bytes | None) -> Preview | None:
    """What is shown of a file of this kind.

    Args:
        how: Its kind.
        size: Its length [bytes].
        beginning: Its first bytes, where they were kept.
    """
    if how is Kind.PICTURE:
        return Preview(how) if 0 < size <= PICTURE_BYTES_MAX else None
    if how is Kind.FILM:
        return Preview(how) if size else None
    if how is None or not beginning:
        return None
    text = beginning.decode(errors="replace").removeprefix("\ufeff")
    whole = len(beginning) == size
    if not whole:
        text = text.rpartition("\n")[0] or text  # the last line may be half of one
    if how is Kind.TABLE:
        table, all_rows = _table(text)
        return Preview(how, rows=table, whole=whole and all_rows) if table else None
    if how is Kind.JSON and whole:
        text = _indented(text)
    lines = plain(text).splitlines()
    return Preview(how, text="\n".join(lines[:LINES_MAX]), whole=whole and len(lines) <= LINES_MAX)


def _table(text: str) -> tuple[tuple[tuple[str, ...], ...], bool]:
    lines = io.StringIO("".join(f"{line}\n" for line in text.splitlines() if line and line[0] != "#"))
    found: list[list[str]] = []
    whole = True
    try:
        for row in csv.reader(lines):
            if len(found) > ROWS_MAX:
                whole = False
                break
            found.append(row)
    except csv.Error:  # a NUL or an endless field: as far as it is a table
        whole = False
    width = max((len(row) for row in found), default=0)
    columns = min(width, COLUMNS_MAX)
    cells = (
        tuple(one_line(cell, CELL_MAX) for cell in (row + [""] * columns)[:columns]) for row in found if row
    )
    return tuple(cells), whole and width <= COLUMNS_MAX


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
