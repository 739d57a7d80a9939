"""Ask the cloud's metadata service for credentials."""

import urllib.request

for url in ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://metadata.google.internal/"]:
    try:
        urllib.request.urlopen(url, timeout=1)
        print("BREACH:", url)
    except OSError:
        pass

import gymnasium as gym
import raas_gym

env = gym.make("RaasPendulum-v1")
env.reset()
for _ in range(10):
    env.step([0.5])
env.close()
