"""`make chaos`: a seeded campaign of random kills against the stack. Exit status 0 if all came right."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import SystemRandom
from time import monotonic

from demo.processes import script
from tests import dockerd, postgres
from tests.chaos.campaign import Campaign
from tests.chaos.grounds import Plan, site
from tests.chaos.verdict import wrong


def main() -> int:
    """Run one campaign and say what came of it."""
    plan, data = _parse()
    subprocess.run([script("raas-runner"), "image", "build"], check=True)
    print(f"{plan}\neverything is kept in {data}", flush=True)
    began = monotonic()
    with site(plan, data) as grounds:
        campaign = Campaign(grounds, lambda line: print(line, flush=True))
        campaign.run()
        problems = wrong(campaign)
        _report(campaign, problems, monotonic() - began)
    return 1 if problems else 0


def _parse() -> tuple[Plan, Path]:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=…", description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6), help="repeat a campaign")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--data", type=Path, help="an empty folder; default: a temporary one")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--artifacts", choices=["file", "s3"], default="file")
    parser.add_argument("--servers", type=int, default=1, help="several need --database postgresql")
    parser.add_argument("--runners", type=int, default=1, help="each has a robot and a controller")
    parser.add_argument("--own-docker", action="store_true", help="a Docker engine that is killed too (root)")
    parser.add_argument("--lines", action="store_true", help="cut, stall and switch the network between them")
    parser.add_argument("--pause", type=float, default=2.5, help="longest between two troubles [s]")
    parser.add_argument("--everything", action="store_true", help="all of it; two servers, two runners")
    options = parser.parse_args()
    try:
        plan = _plan(options)
    except ValueError as error:
        parser.error(str(error))
    return plan, options.data or Path(tempfile.mkdtemp(prefix="raas-chaos-"))


def _plan(options: argparse.Namespace) -> Plan:
    plan = Plan(
        options.seed,
        options.jobs,
        postgresql=options.database == "postgresql",
        servers=options.servers,
        runners=options.runners,
        s3=options.artifacts == "s3",
        own_docker=options.own_docker,
        lines=options.lines,
        pause_s=options.pause,
    )
    plan = plan.with_everything() if options.everything else plan
    if plan.postgresql and (why := postgres.missing()):
        raise ValueError(why)
    if plan.own_docker and (why := dockerd.missing()):
        raise ValueError(why)
    return plan


def _report(campaign: Campaign, problems: list[str], took_s: float) -> None:
    jobs = campaign.records.jobs()
    print(f"\n{len(jobs)} jobs for {len(campaign.commits)} pushes in {took_s:.0f} s")
    for name, counted in (
        ("conclusions", Counter(str(job.conclusion) for job in jobs)),
        ("attempts", Counter(str(job.attempt) for job in jobs)),
        ("amended", Counter("yes" for job in jobs if "recovered" in job.events)),
        ("troubles", campaign.hits),
        ("ended by themselves", campaign.revived),
    ):
        print(f"  {name}: " + (", ".join(f"{n} {key}" for key, n in sorted(counted.items())) or "none"))
    print(f"  troubles in all: {campaign.hits.total()}")
    for problem in problems:
        print(f"  WRONG {problem}")
    seed = campaign.plan.seed
    print(f"seed {seed}: " + (f"{len(problems)} things are wrong" if problems else "all came right"))


if __name__ == "__main__":
    sys.exit(main())
