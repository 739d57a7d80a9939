"""The campaign of `make chaos` in its short, seeded forms."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from demo.processes import script
from tests.chaos.campaign import Campaign
from tests.chaos.grounds import Plan, site
from tests.chaos.verdict import wrong

PLANS = {
    "as installed": Plan(seed=2020, jobs=5),
    "several servers": Plan(seed=2021, jobs=5, postgresql=True, servers=2, runners=2, s3=True, lines=True),
}


@pytest.mark.docker
@pytest.mark.postgres
@pytest.mark.timeout(600)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_whatever_fails_every_job_is_concluded_once(plan: Plan, tmp_path: Path) -> None:
    subprocess.run([script("raas-runner"), "image", "build"], check=True, capture_output=True)
    with site(plan, tmp_path / "site") as grounds:
        campaign = Campaign(grounds, print)
        campaign.run()
        assert wrong(campaign) == []
