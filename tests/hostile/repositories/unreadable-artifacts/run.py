"""Artifacts that nobody may read, that would be executed as somebody else, that have no end and hidden parts."""

import os
import pathlib

place = pathlib.Path("/artifacts")
(place / "shut").write_text("x")
(place / "shut").chmod(0)
(place / "set-uid").write_text("#!/bin/sh\n")
(place / "set-uid").chmod(0o6777)
os.mkfifo(place / "pipe")
with (place / "holes").open("wb") as file:
    file.truncate(1 << 24)
for number in range(3):
    try:
        os.setxattr(place / "shut", f"user.{number}", b"x" * 60_000)
    except OSError:
        pass
(place / "folder").mkdir()
(place / "folder" / "inside").write_text("x")
(place / "folder").chmod(0)
try:
    place.chmod(0)
except OSError:  # with user namespaces it is not the program's own
    pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
