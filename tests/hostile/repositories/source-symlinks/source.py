"""Symbolic links that lead out of the repository."""

import io
import sys
import tarfile


def add(tar, name, kind=tarfile.REGTYPE, data=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, len(data), link
    tar.addfile(entry, io.BytesIO(data))


PROGRAM = b"""import os

for name in ("out", "up", "deep/far", "through/passwd"):
    if os.path.lexists(name):
        print("BREACH:", name)
import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
"""

with tarfile.open(sys.argv[1], "w:gz", compresslevel=1) as tar:
    add(tar, "repo/run.py", data=PROGRAM)
    add(tar, "repo/out", tarfile.SYMTYPE, link="/etc/passwd")
    add(tar, "repo/up", tarfile.SYMTYPE, link="../../../../etc/passwd")
    add(tar, "repo/deep/far", tarfile.SYMTYPE, link="x/../../../..")
