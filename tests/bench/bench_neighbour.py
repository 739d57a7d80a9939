"""A session at 20 Hz beside a hostile neighbour: ticks missed, steps late, jitter; and the same without it.

Both are jobs through the runner's own attempt: a controller process with a simulated robot, a container
behind the walls of a job. The neighbour (`neighbour.py`) builds packages, logs, writes and burns in a runner
of its own. The program notes when each of its steps was answered; `info` says what the controller missed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.hosting import program
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hostile.arena import Arena, arena

SECONDS = float(os.environ.get("NEIGHBOUR_SECONDS", "30"))
ROUNDS = int(os.environ.get("NEIGHBOUR_ROUNDS", "3"))
RATE = 20
JITTER_MS = {"alone": 1.0, "beside a hostile neighbour": 5.0}
"""Bars of the 99th percentile, as for pacing beside a busy core."""

PROGRAM = f"""
import gymnasium, json, raas_gym, time
env = gymnasium.make("RaasPendulum-v1")
env.reset()
times, late = [], 0
for _ in range({round(SECONDS * RATE)}):
    info = env.step([0.0])[4]
    times.append(time.monotonic())
    late += info["late"]
with open("/artifacts/seen.json", "w") as file:
    json.dump({{"times": times, "late": late, "missed": info["missed_ticks"]}}, file)
"""


def measure(ring: Arena, folder: Path) -> dict[str, Any]:
    """One session."""
    ended = ring.run(folder)
    if ended.finish.conclusion.value != "success":
        raise RuntimeError(f"the session failed: {ended.finish.reason}\n{ended.log}")
    seen: dict[str, Any] = json.loads(ended.files["artifacts/seen.json"].read_text())
    off = sorted(abs(later - earlier - 1 / RATE) * 1e3 for earlier, later in pairwise(seen["times"]))
    return {"missed": seen["missed"], "late": seen["late"], "jitter": off[int(0.99 * len(off))]}


def tell(report: Report, name: str, rounds: list[dict[str, Any]]) -> None:
    """Missed ticks of all rounds together; jitter as the median of the rounds."""
    missed, late = sum(one["missed"] for one in rounds), sum(one["late"] for one in rounds)
    report.add(f"{RATE} Hz {name}: missed ticks in {ROUNDS} x {SECONDS:g} s", missed, bar="0", met=not missed)
    report.add(f"{RATE} Hz {name}: late steps", late)
    jitter, bar = median(one["jitter"] for one in rounds), JITTER_MS[name]
    report.add(f"{RATE} Hz {name}: period jitter p99, ms", jitter, bar=f"< {bar}", met=jitter < bar)


def main() -> None:
    """In turn, so that both meet the same machine."""
    report = Report("neighbour")
    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    did: list[str] = []
    with tempfile.TemporaryDirectory(prefix="raas-bench-") as scratch, arena() as ring:
        (Path(scratch) / "run.py").write_text(PROGRAM)
        (Path(scratch) / ".raas.yml").write_text(f"version: 1\ntimeout: {round(SECONDS) + 30}\n")
        for _ in range(ROUNDS):
            alone.append(measure(ring, Path(scratch)))
            with program("tests.bench.neighbour") as neighbour:
                beside.append(measure(ring, Path(scratch)))
                neighbour.terminate()
                did += neighbour.communicate()[0].splitlines()
    tell(report, "alone", alone)
    tell(report, "beside a hostile neighbour", beside)
    built = sum(line.startswith("built") for line in did)
    report.add("jobs of the neighbour meanwhile, packages built", built, bar="> 0", met=built > 0)
    report.close()


if __name__ == "__main__":
    main()
