"""Take the robot's socket away, or put another in its place."""

import os
import pathlib
import socket

place = pathlib.Path(os.environ["RAAS_STEP_SOCKET"])
folder = place.parent
tries = {
    "fill": lambda: (folder / "x").write_bytes(b"x" * 10_000_000),
    "remove": place.unlink,
    "rename": lambda: place.rename(folder / "y"),
    "link": lambda: (folder / "z").symlink_to("/etc/passwd"),
    "open to all": lambda: folder.chmod(0o777),
    "another": lambda: socket.socket(socket.AF_UNIX).bind(str(folder / "mine.sock")),
}
for name, act in tries.items():
    try:
        act()
        print("BREACH:", name)
    except OSError:
        pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
