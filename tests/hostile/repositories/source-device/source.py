"""A disk among the files."""

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
    add(tar, "repo/disk", tarfile.BLKTYPE)
