"""In the place of the real one."""

from raas_gym import Env


def make(name):
    return Env()
