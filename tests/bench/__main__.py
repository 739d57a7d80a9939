"""`make bench`: every `bench_*.py` beside this file, or those named: `make bench ARGS="link webhooks"`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run them one after the other, each in a process of its own; 0 if all ran."""
    chosen = sorted(HERE.glob("bench_*.py"))
    if names:
        chosen = [path for path in chosen if path.stem.removeprefix("bench_") in names]
    failed = []
    for path in chosen:
        print(f"\n## {path.stem.removeprefix('bench_')}", flush=True)
        if subprocess.run(
            [sys.executable, "-m", f"tests.bench.{path.stem}"], cwd=HERE.parents[1], check=False
        ).returncode:
            failed.append(path.stem)
    if failed:
        print(f"\ndid not run to the end: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
