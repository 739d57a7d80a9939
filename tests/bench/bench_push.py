"""From a push to its check run: how long a researcher looks at a commit without one.

A whole server and the stand-in run as processes. The clock starts when `git push` has returned, and stops
when GitHub's API shows the check run; the push itself is reported beside it.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from demo.processes import wait_until
from demo.stack import Stack, running
from tests.bench.report import Report

PUSHES = 15
OWNER, NAME = "ada", "ada/quick"


def main() -> None:
    """Push `PUSHES` times after a warm-up, print medians and the slowest."""
    with TemporaryDirectory() as folder, running(Path(folder)) as stack:
        stack.world.user(OWNER)
        stack.world.repository(NAME)
        stack.world.install(stack.app.id, NAME)
        work = Path(folder, "work")
        _git(Path(folder), "clone", "--quiet", stack.world.clone_url(NAME, OWNER), str(work))
        times = [_once(stack, work, number) for number in range(PUSHES + 1)][1:]
    report = Report("push")
    report.add("git push itself [s]", median(push for push, _ in times))
    seen = sorted(visible for _, visible in times)
    report.add(
        "push to visible check run, median [s]",
        median(seen),
        peer=1.0,
        peer_name="limit",
        bar="< 1 s",
        met=median(seen) < 1.0,
    )
    report.add("push to visible check run, slowest but one [s]", seen[-2])
    report.close()


def _once(stack: Stack, work: Path, number: int) -> tuple[float, float]:
    """Seconds of the push, and from its end to the check run."""
    (work / "run.py").write_text(f"print({number})\n")
    _git(work, "add", "--all")
    author = ("-c", f"user.name={OWNER}", "-c", f"user.email={OWNER}@users.noreply.github.localhost")
    _git(work, *author, "commit", "--quiet", "-m", f"Change {number}")
    sha = _git(work, "rev-parse", "HEAD")
    started = time.perf_counter()
    _git(work, "push", "--quiet", "origin", f"HEAD:refs/heads/b{number}")
    pushed = time.perf_counter()
    wait_until(
        lambda: bool(stack.world.check_runs(NAME, sha, app_id=stack.app.id)),
        60,
        "the check run",
        every_s=0.01,
    )
    return pushed - started, time.perf_counter() - pushed


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
