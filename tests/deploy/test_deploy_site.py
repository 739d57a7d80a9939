"""What operators put into service, through its proxy: TLS, webhooks, live pages, runners and their files."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import sites
from server_process import WEBHOOK_SECRET
from sites import Site
from sse import Stream

from runner import artifacts
from runner.client import Client
from runner.protocol import Claim, ClaimedJob, Heartbeat, LogChunk, RobotReport

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

ROBOT = RobotReport.model_validate(
    {"kind": "pendulum", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
)
WAYS = {"processes": sites.processes, "compose": sites.compose}


@pytest.fixture(scope="module", params=sorted(WAYS, reverse=True))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        WAYS[request.param](tmp_path_factory.mktemp(request.param)) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("REQUESTS_CA_BUNDLE", str(running.authority))
        yield running


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[Client]:
    registered = Client(site.url).register(site.put_in("invite"))
    client = Client(site.url, registered.token, threading.Event())
    yield client
    client.close()


def running_job(site: Site, client: Client) -> ClaimedJob:
    site.put_in(secrets.token_hex(8))
    job = client.claim(Claim(key=secrets.token_hex(16), wait_s=20, robot=ROBOT, software="1")).job
    assert job is not None
    client.running(job.id, job.fence, 30)
    return job


def test_pages_are_served_with_our_headers_and_figures_are_not(site: Site) -> None:
    page = requests.get(site.url, timeout=20)
    assert page.status_code == 200
    assert page.headers["Strict-Transport-Security"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Content-Encoding"] == "gzip"
    assert requests.get(f"{site.url}/metrics", timeout=20).status_code == 404


def test_a_webhook_is_taken(site: Site) -> None:
    body = b'{"zen": "Design for failure."}'
    headers = {
        "X-Hub-Signature-256": "sha256="
        + hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest(),
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": secrets.token_hex(16),
        "Content-Type": "application/json",
    }
    answer = requests.post(f"{site.url}/webhooks/github", data=body, headers=headers, timeout=20)
    assert answer.status_code == 202
    headers["X-Hub-Signature-256"] = "sha256=" + "0" * 64
    assert (
        requests.post(f"{site.url}/webhooks/github", data=body, headers=headers, timeout=20).status_code
        == 401
    )


def test_a_live_page_is_told_at_once(site: Site, client: Client) -> None:
    job = running_job(site, client)
    with Stream(f"{site.url}/api/v1/jobs/{job.id}/events", trust=site.trust) as live:
        assert live.status == 200
        words = iter(live)
        for line in ("first", "second"):  # each comes before the next is said
            offset = len("first\n") if line == "second" else 0
            said = LogChunk(offset=offset, data=_base64(f"{line}\n"))
            client.heartbeat(job.id, Heartbeat(fence=job.fence, log=said))
            assert any(line in str(message.data) for message in words)
    assert requests.get(f"{site.url}/jobs/{job.id}", timeout=20).status_code == 200


def test_a_large_file_goes_up_and_comes_down(site: Site, client: Client, tmp_path: Path) -> None:
    job = running_job(site, client)
    data = os.urandom(40 << 20)
    (tmp_path / "large.bin").write_bytes(data)
    artifacts.upload(client, job.id, job.fence, tmp_path)
    answer = requests.get(f"{site.url}/jobs/{job.id}/artifacts/large.bin", timeout=60)
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(data).digest()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
