"""What every answer tells browsers: asked of each route there is, so that a new one is tested at once."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_world import MakeSettings, World
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from github_app import app as application

ARGUMENTS = {"job_id": 1, "number": 1, "artifact_id": 1, "name": "goose", "filename": "raas.css", "key": "k"}
PUBLIC = ("GET /schema/", "OPTIONS /schema/", "GET /badge/", "GET /repos")
"""What other sites may show: the schema of `.raas.yml`, which editors fetch, and badges."""
OWN_POLICY = re.compile(r"default-src 'none'")
WITH_APP = {"GITHUB_CLIENT_ID": "Iv1.abc", "GITHUB_CLIENT_SECRET": "shhh", "PUBLIC_URL": "https://raas.test"}
WITH_APP |= {"GITHUB_WEBHOOK_SECRET": "a-secret-of-the-webhook"}


@pytest.fixture
def world(make_settings: MakeSettings, sqlite_template: Path) -> Iterator[World]:
    """A server behind TLS."""
    settings = make_settings(**WITH_APP)
    (settings.data_dir / "raas.sqlite3").write_bytes(sqlite_template.read_bytes())
    app = application.create_app(settings)
    yield World(app)
    application.close(app)


def answers(world: World) -> Iterator[tuple[str, TestResponse]]:
    """Of every route by every method, as a stranger and from another site."""
    world.submit()
    world.robot()
    for rule in world.app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD"}):
            yield f"{method} {rule.rule}", ask(world, rule, method)


def ask(world: World, rule: Rule, method: str) -> TestResponse:
    """One request, its stream not read to the end."""
    built = rule.build({name: ARGUMENTS.get(name, "x") for name in rule.arguments})
    assert built is not None, f"{rule.rule}: give its arguments in ARGUMENTS"
    client = world.app.test_client()
    headers = {"Origin": "https://evil.example"}
    return client.open(built[1], method=method, base_url="https://raas.test", headers=headers, buffered=False)


def test_every_route_says_what_browsers_may_do(world: World) -> None:
    asked = 0
    for what, answer in answers(world):
        headers = answer.headers
        asked += 1
        assert OWN_POLICY.search(headers["Content-Security-Policy"]), what
        assert "unsafe" not in headers["Content-Security-Policy"], what
        assert headers["X-Content-Type-Options"] == "nosniff", what
        assert headers["X-Frame-Options"] == "DENY", what
        assert headers["Referrer-Policy"] in {"same-origin", "no-referrer"}, what
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", what
        assert headers["Strict-Transport-Security"].startswith("max-age="), what
        for cookie in headers.getlist("Set-Cookie"):
            assert {"Secure", "HttpOnly"} <= set(cookie.split("; ")), what
            assert re.search(r"SameSite=(Lax|Strict)", cookie), what
            assert cookie.startswith("__Host-"), what
        answer.close()
    assert asked > 40


def test_so_does_the_answer_to_a_delivery(world: World) -> None:
    body, secret = b'{"zen": "x"}', world.services.settings.github_webhook_secret
    assert secret is not None
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "star",
        "X-GitHub-Delivery": "1",
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.reveal().encode(), body, "sha256").hexdigest(),
    }
    answer = world.app.test_client().post("/webhooks/github", data=body, headers=headers)
    assert answer.status_code == 202
    usual = world.app.test_client().get("/nothing").headers
    missing = set(usual.keys()) - set(answer.headers.keys())
    assert not {name for name in missing if not name.startswith("X-RateLimit")}


def test_no_other_site_may_read_anything_and_none_may_act(world: World) -> None:
    for what, answer in answers(world):
        allowed = [name for name in set(answer.headers.keys()) if name.lower().startswith("access-control-")]
        assert not allowed or what.startswith(PUBLIC), what
        if what.startswith(("POST /submit", "POST /sign-out", "POST /setup", "POST /jobs")):
            assert answer.status_code >= 400, what
        answer.close()


def test_signing_in_sets_a_cookie_that_stays_here(world: World) -> None:
    answer = world.app.test_client().get("/sign-in?next=/", base_url="https://raas.test")
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert re.match(r"__Host-\S+=", cookie)
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
