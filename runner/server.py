"""What an attempt at a job asks of a server. `Client` asks a real one; a local run answers for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from runner.protocol import Heartbeat, HeartbeatAnswer, Telemetry


class JobServer(Protocol):
    """The calls of the job contract between claim and finish. One object for each thread."""

    def source(self, job: int, fence: str, target: Path, bytes_max: int, budget_s: float) -> int:
        """Write the repository as a gzipped tarball to `target`; its length."""

    def running(self, job: int, fence: str, budget_s: float) -> None:
        """Ask to move the robot."""

    def heartbeat(self, job: int, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Renew the lease and send the log's next piece."""

    def telemetry(self, job: int, telemetry: Telemetry) -> None:
        """Send the latest ticks; they may be dropped."""

    def close(self) -> None:
        """No more is asked."""
