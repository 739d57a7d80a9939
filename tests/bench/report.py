"""How every benchmark says what it measured: beside its peer or its limit, as a ratio, from the same run."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "bench-results"


@dataclass
class Line:
    """One measured thing.

    Attributes:
        what: What was measured, with its unit.
        ours: Our figure.
        peer: The peer's or the limit's figure, and `peer_name` who that is.
        bar: The bar in words, e.g. `>= 8x`.
        met: Whether the bar was met; None where there is none.
    """

    what: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    bar: str = ""
    met: bool | None = None


@dataclass
class Report:
    """All lines of one benchmark; `close` prints and keeps them."""

    name: str
    lines: list[Line] = field(default_factory=list)

    def add(
        self,
        what: str,
        ours: float,
        *,
        peer: float | None = None,
        peer_name: str = "",
        bar: str = "",
        met: bool | None = None,
    ) -> None:
        """Add a line and print it at once: benchmarks take long."""
        line = Line(what, ours, peer, peer_name, bar, met)
        self.lines.append(line)
        print(_text(line), flush=True)

    def close(self) -> Path:
        """Write `bench-results/NAME.json`."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        when = datetime.now(UTC).isoformat(timespec="seconds")
        path.write_text(
            json.dumps(
                {"when": when, "machine": machine, "lines": [asdict(one) for one in self.lines]}, indent=1
            )
        )
        return path


def _text(line: Line) -> str:
    verdict = {None: "", True: "  met", False: "  NOT MET"}[line.met]
    peer = ""
    if line.peer:
        peer = f"   {line.peer_name} {line.peer:.4g}   ratio {line.ours / line.peer:.3g}"
    return f"{line.what}: ours {line.ours:.4g}{peer}   {line.bar}{verdict}"
