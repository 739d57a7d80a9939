"""Tar archives of strangers, read with bounded headers.

A long name, or the extended attributes before a file, are blocks of data in front of it that `tarfile` reads
into memory whole, however long they say they are: a kilobyte of archive could take gigabytes.
"""

from __future__ import annotations

import tarfile
from typing import Any

HEADER_MAX = 1 << 20
"""Longest such block, bytes: a name of 4 kB and all that Linux keeps of attributes (64 kB) are far below."""
_BEFORE_A_FILE = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)


class _Header(tarfile.TarInfo):
    """One header, refused where what it announces does not fit."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _BEFORE_A_FILE and found.size > HEADER_MAX:
            raise tarfile.ReadError(f"a header of {found.size} bytes is longer than {HEADER_MAX}")
        return found


def stream(source: Any) -> tarfile.TarFile:
    """The archive in `source`, which needs no more than `read`; read once, from its beginning to its end."""
    return tarfile.open(fileobj=source, mode="r|", tarinfo=_Header)
