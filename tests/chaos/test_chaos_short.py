"""The campaign of `make chaos` in its short, seeded form."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from demo.processes import script
from demo.stack import Stack
from tests.chaos.campaign import FAST, Campaign
from tests.chaos.verdict import wrong

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]


def test_whatever_fails_every_job_is_concluded_once(tmp_path: Path) -> None:
    subprocess.run([script("raas-runner"), "image", "build"], check=True, capture_output=True)
    stack = Stack(tmp_path / "stack", FAST, conformance=True)
    try:
        stack.start()
        campaign = Campaign(stack, seed=2020, jobs=6, say=print)
        campaign.run()
        assert wrong(campaign) == []
    finally:
        stack.stop()
