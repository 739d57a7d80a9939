"""The campaign of `make chaos` in its short, seeded form."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from demo.processes import script
from tests.chaos.campaign import Campaign
from tests.chaos.grounds import Plan, site
from tests.chaos.verdict import wrong

pytestmark = [pytest.mark.docker, pytest.mark.postgres, pytest.mark.timeout(600)]


def test_whatever_fails_every_job_is_concluded_once(tmp_path: Path) -> None:
    subprocess.run([script("raas-runner"), "image", "build"], check=True, capture_output=True)
    plan = Plan(seed=2020, jobs=4, postgresql=True, servers=2, s3=True, lines=True, pause_s=2.0)
    with site(plan, tmp_path / "site") as grounds:
        campaign = Campaign(grounds, print)
        campaign.run()
        assert wrong(campaign) == []
