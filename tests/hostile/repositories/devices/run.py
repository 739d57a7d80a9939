"""Talk to the hardware behind the controller's back."""

import os
import stat

for name in ["mem", "kmem", "gpiomem", "gpiochip0", "kmsg", "sda", "vda", "mmcblk0", "spidev0.0", "fuse", "kvm"]:
    try:
        os.open(f"/dev/{name}", os.O_RDWR)
        print("BREACH: opened", name)
    except OSError:
        pass
for place in ["/tmp/disk", "/artifacts/disk", "/dev/shm/disk"]:
    try:
        os.mknod(place, 0o660 | stat.S_IFBLK, os.makedev(254, 0))
        print("BREACH: made a device")
    except OSError:
        pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
