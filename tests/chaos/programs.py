"""What the campaign pushes: short programs of every kind of end, each line of output numbered."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

_PROGRAM = """\
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
for number in range({steps}):
    env.step([1.0])
    for _ in range({chatter}):
        print("line", number, "." * {width}, flush=True)
open("/artifacts/mine.txt", "w").write("mine")
env.close()
print("end of", {steps})
{last}
"""


@dataclass(frozen=True)
class Program:
    """A repository's files, and how its job ends where nothing comes in between."""

    files: dict[str, str]
    conclusion: str
    steps: int
    chatter: int

    def lines(self) -> list[str]:
        """The numbers of the lines it prints, in their order."""
        return [str(number) for number in range(self.steps) for _ in range(self.chatter)]


def choose(random: Random, number: int) -> Program:
    """One program. `number` makes every commit another one."""
    kind = random.choice(["steps"] * 5 + ["crash", "endless", "unmet", "precheck"])
    steps, chatter = random.randint(2, 60), random.choice([1, 1, 20])
    config, last, conclusion = f"version: 1\ntimeout: 20\n# {number}\n", "", "success"
    if kind == "crash":
        last, conclusion = "1 / 0", "failure"
    elif kind == "endless":
        config, conclusion = f"version: 1\ntimeout: {random.randint(1, 3)}\n# {number}\n", "timed_out"
        steps, chatter = 10**6, 1
    elif kind == "unmet":
        config, conclusion = config + "require: {upright: 0.99}\n", "failure"
    elif kind == "precheck":
        config += "precheck: simulation\n"
    width = random.choice([1, 100])
    program = _PROGRAM.format(steps=steps, chatter=chatter, width=width, last=last)
    return Program({"run.py": program, ".raas.yml": config}, conclusion, steps, chatter)
