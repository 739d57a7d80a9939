"""Look for anything worth stealing."""

import os
import re

for name, value in os.environ.items():
    if re.search(r"TOKEN|SECRET|PASSWORD|KEY|CREDENTIAL", name):
        print("BREACH: variable", name)
looked = 0
for top in ["/run", "/etc", "/home", "/root", "/var/lib", "/srv", "/mnt", "/opt/raas"]:
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                if os.path.isfile(path) and os.path.getsize(path) < 100_000:
                    with open(path, "rb") as file:
                        data = file.read()
                    looked += 1
                    if re.search(rb"BEGIN [A-Z ]*PRIVATE KEY-----\n|gh[ps]_[A-Za-z0-9]{20,}", data):
                        print("BREACH: a secret in", path)
                    if name.endswith(".token"):
                        print("BREACH: a token in", path)
            except OSError:
                pass
print("looked into", looked, "files")

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
