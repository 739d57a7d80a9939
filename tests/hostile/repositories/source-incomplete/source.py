"""A submodule and a file of Git LFS, which no archive of GitHub holds."""

import io
import sys
import tarfile


def add(tar, name, kind=tarfile.REGTYPE, data=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, len(data), link
    tar.addfile(entry, io.BytesIO(data))


PROGRAM = b"""import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
"""

with tarfile.open(sys.argv[1], "w:gz", compresslevel=1) as tar:
    add(tar, "repo/run.py", data=PROGRAM)
    add(tar, "repo/.gitmodules", data=b'[submodule "lib"]\n\tpath = lib\n\turl = https://example.org/lib\n')
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    add(tar, "repo/policy.pt", data=pointer)
