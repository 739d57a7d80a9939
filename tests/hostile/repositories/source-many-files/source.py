"""More files than a repository has."""

import io
import sys
import tarfile


def add(tar, name, kind=tarfile.REGTYPE, data=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, len(data), link
    tar.addfile(entry, io.BytesIO(data))


PROGRAM = b"""print('never runs')
"""

with tarfile.open(sys.argv[1], "w:gz", compresslevel=1) as tar:
    add(tar, "repo/run.py", data=PROGRAM)
    for number in range(21_000):
        add(tar, f"repo/{number}")
