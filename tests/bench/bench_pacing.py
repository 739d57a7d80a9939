"""Real-time pacing as a job sees it: 20 and 100 Hz for a minute each, idle and beside a busy core.

The client in the container notes when each of its steps was answered. Drift is what the last answer is
late or early against the first; jitter is how far single periods are from dt: the 99th percentile of each
fifth of the minute, and of those the median, because single outliers are the machine's.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from tests.bench.contained import client, image
from tests.bench.hosting import host
from tests.bench.report import Report

SECONDS = float(os.environ.get("PACING_SECONDS", "60"))
WINDOWS = 5
BAR_JITTER_MS = {"idle": 1.0, "busy": 5.0}
BAR_MISSED = {20: 0.0, 100: 0.005}
BAR_DRIFT_MS = 5.0


def jitter_ms(times: list[float], dt: float) -> float:
    """Median over the windows of the 99th percentile of |period − dt|."""
    off = [abs(later - earlier - dt) * 1e3 for earlier, later in pairwise(times)]
    size = len(off) // WINDOWS
    windows = [sorted(off[start * size : (start + 1) * size]) for start in range(WINDOWS)]
    return statistics.median(window[int(0.99 * len(window))] for window in windows)


def measure(report: Report, chosen: str | None, rate: int, load: str) -> None:
    """One minute at one rate."""
    steps = round(SECONDS * rate)
    with tempfile.TemporaryDirectory(prefix="raas-bench-") as scratch, ExitStack() as running:
        Path(scratch).chmod(0o755)
        if load == "busy":
            running.enter_context(host("busy"))
        running.enter_context(host("step", scratch, str(1 / rate)))
        seen = client(chosen, Path(scratch), "pace", str(steps))
    times, missed = seen["times"], seen["missed"]
    ticks = steps + missed
    drift = ((times[-1] - times[0]) - (ticks - 1) / rate) * 1e3
    name = f"{rate} Hz {load}"
    report.add(f"{name}: drift in {SECONDS:.0f} s, ms", drift, bar="0", met=abs(drift) < BAR_DRIFT_MS)
    share, bar = missed / ticks, BAR_MISSED[rate]
    report.add(f"{name}: missed ticks, share", share, bar=f"<= {bar}", met=share <= bar)
    jitter, limit = jitter_ms(times, 1 / rate), BAR_JITTER_MS[load]
    report.add(f"{name}: period jitter p99, ms", jitter, bar=f"< {limit}", met=jitter < limit)


def main() -> None:
    """Measure, print, keep."""
    chosen = image()
    report = Report("pacing")
    for load in ("idle", "busy"):
        for rate in (20, 100):
            measure(report, chosen, rate, load)
    report.close()


if __name__ == "__main__":
    main()
