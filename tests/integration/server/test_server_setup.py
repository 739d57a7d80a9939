"""A real server without an App: what its console says, and that it takes an App over while it runs."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from server_process import ServerProcess

from github_app.credentials import AppCredentials, Credentials
from github_app.parsers import Secret


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path / "data", GITHUB_WEBHOOK_SECRET="")
    process.environment["RAAS_PUBLIC_URL"] = process.url
    yield process
    process.close()


def delivered(server: ServerProcess, secret: str) -> int:
    body = b'{"zen": "x"}'
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Delivery": "0-1",
        "X-GitHub-Event": "ping",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    return requests.post(f"{server.url}/webhooks/github", body, headers=headers, timeout=30).status_code


def test_the_console_s_token_and_an_app_that_comes_later(server: ServerProcess, tmp_path: Path) -> None:
    server.start()
    said = server.log.read_text()
    assert f"open {server.url}/setup" in said
    token = re.search(r"one-time token, good for an hour: ([\w-]{43})\n", said)
    assert token is not None
    url, ours = f"{server.url}/setup/token", {"Origin": server.url}
    answer = requests.post(url, {"token": token[1]}, headers=ours, timeout=30, allow_redirects=False)
    assert answer.status_code == 303
    assert delivered(server, "new") == 503
    made = AppCredentials(7, Secret("key"), Secret("new"), "Iv1", Secret("client"), "https://gh/apps/a")
    Credentials(AppCredentials(), tmp_path / "data").save(made)
    assert delivered(server, "new") == 202
    assert delivered(server, "old") == 401
    assert server.log.read_text().count(token[1]) == 1
