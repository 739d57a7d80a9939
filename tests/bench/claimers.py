"""Runners that claim, one after the other or several at once, in a process like the server's.

The standard library is patched for gevent before anything else is imported, as `raas-server serve` does it: a
claim that waits for the database lets others go on. Started by `bench_claims` with the database's URL; each
line of input, `AT_ONCE FIRST COUNT`, is answered by the claims per second of `COUNT` runners, `FIRST` first.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import secrets  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402

from github_app import swift_claim  # noqa: E402
from github_app.claims import ClaimRequest  # noqa: E402
from github_app.db import Database  # noqa: E402
from runner.protocol import RobotReport  # noqa: E402

ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)


def claim(database: Database, runners: range) -> None:
    """Each of them gets a job."""
    for runner in runners:
        wish = ClaimRequest(runner, secrets.token_hex(16), ROBOT)
        if swift_claim.claim(database, wish, lease_s=30.0) is None:
            raise RuntimeError(f"there was no job for runner {runner}")


def main() -> None:
    """Claim as told."""
    database = Database(sys.argv[1])
    for line in sys.stdin:
        at_once, first, count = map(int, line.split())
        each = count // at_once
        began = time.perf_counter()
        crowd = [
            gevent.spawn(claim, database, range(start, start + each))
            for start in range(first, first + count, each)
        ]
        gevent.joinall(crowd, raise_error=True)
        print(count / (time.perf_counter() - began), flush=True)
    database.close()


if __name__ == "__main__":
    main()
