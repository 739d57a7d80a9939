"""`make chaos`: a seeded campaign of random kills against the stack. Exit status 0 if all came right."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import SystemRandom

from demo.processes import script
from demo.stack import Stack
from tests.chaos.campaign import FAST, Campaign
from tests.chaos.verdict import wrong


def main() -> int:
    """Run one campaign and say what came of it."""
    options = _parse()
    subprocess.run([script("raas-runner"), "image", "build"], check=True)
    data = options.data or Path(tempfile.mkdtemp(prefix="raas-chaos-"))
    print(f"seed {options.seed}, {options.jobs} jobs, everything is kept in {data}", flush=True)
    stack = Stack(data, FAST, conformance=True)
    try:
        stack.start()
        campaign = Campaign(stack, options.seed, options.jobs, lambda line: print(line, flush=True))
        campaign.run()
        problems = wrong(campaign)
        _report(campaign, problems)
    finally:
        stack.stop()
    return 1 if problems else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=…", description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6), help="repeat a campaign")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--data", type=Path, help="an empty folder; default: a temporary one")
    return parser.parse_args()


def _report(campaign: Campaign, problems: list[str]) -> None:
    jobs = campaign.records.jobs()
    print(f"\n{len(jobs)} jobs for {len(campaign.commits)} pushes")
    for name, counted in (
        ("conclusions", Counter(str(job.conclusion) for job in jobs)),
        ("attempts", Counter(str(job.attempt) for job in jobs)),
        ("amended", Counter("yes" for job in jobs if "recovered" in job.events)),
        ("troubles", campaign.hits),
    ):
        print(f"  {name}: " + ", ".join(f"{value} {key}" for key, value in sorted(counted.items())))
    for problem in problems:
        print(f"  WRONG {problem}")
    print(f"seed {campaign.seed}: " + (f"{len(problems)} things are wrong" if problems else "all came right"))


if __name__ == "__main__":
    sys.exit(main())
