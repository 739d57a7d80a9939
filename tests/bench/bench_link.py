"""A step through the socket, pacing off, against a bare ping-pong of the same sizes over such a socket.

The client runs in a hardened container, the host in a process of its own and records every tick. Peer and
ours take turns; each figure is the median of five turns.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.bench.contained import client, image
from tests.bench.hosting import host
from tests.bench.report import Report

ROUNDS, STEPS = 5, 4000
BAR_RATIO, BAR_TAIL_US = 1.5, 1000.0


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie, in µs."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1e6


def main() -> None:
    """Measure, print, keep."""
    chosen = image()
    where = "from a container" if chosen else "from a plain process (no Docker here)"
    turns: dict[str, list[list[float]]] = {"bare": [], "step": []}
    with tempfile.TemporaryDirectory(prefix="raas-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        for _ in range(ROUNDS):
            for kind, arguments in (("bare", [scratch]), ("step", [scratch, "0"])):
                with host(kind, *arguments):
                    turns[kind].append(client(chosen, folder, kind, str(STEPS)))  # type: ignore[arg-type]
                (folder / f"{kind}.sock").unlink(missing_ok=True)
    median = {kind: statistics.median(quantile(turn, 0.5) for turn in all_) for kind, all_ in turns.items()}
    tail = {kind: statistics.median(quantile(turn, 0.999) for turn in all_) for kind, all_ in turns.items()}
    report = Report("link")
    report.add(
        f"step round trip {where}, median µs",
        median["step"],
        peer=median["bare"],
        peer_name="bare ping-pong",
        bar=f"<= {BAR_RATIO}x",
        met=median["step"] <= BAR_RATIO * median["bare"],
    )
    report.add(
        f"step round trip {where}, 99.9th percentile µs",
        tail["step"],
        peer=tail["bare"],
        peer_name="bare ping-pong",
        bar=f"< {BAR_TAIL_US:.0f}",
        met=tail["step"] < BAR_TAIL_US,
    )
    report.close()


if __name__ == "__main__":
    main()
