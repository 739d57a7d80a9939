"""The manifest flow and the OAuth web flow, step by step, held to GitHub's description where it has them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from standin import MANIFEST, Site

from demo.github.world import App

CALLBACK = "https://raas.example/sign-in/done"
VERIFIER = secrets.token_urlsafe(32)
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
_NUMBERS = count(1)


def browser(hosted: Site, login: str) -> requests.Session:
    hosted.world.user(login)
    session = requests.Session()
    session.trust_env = False
    session.cookies.set("viewer", login)
    return session


def send(hosted: Site, login: str, path: str, **fields: str) -> requests.Response:
    url = hosted.github.url + path
    return browser(hosted, login).post(url, data=fields, allow_redirects=False, timeout=20)


def query(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def manifest(**changes: Any) -> str:
    hook = {"url": "https://raas.example/webhooks/github"}
    declared: dict[str, Any] = {"url": "https://raas.example", "hook_attributes": hook}
    declared |= {"redirect_url": "https://raas.example/created", "callback_urls": [CALLBACK]}
    declared |= {"default_permissions": {"checks": "write"}, "default_events": ["push"]}
    return json.dumps(declared | changes)


@pytest.fixture
def app(hosted: Site) -> App:
    name = f"signing in {next(_NUMBERS)}"
    return hosted.world.app(name, manifest=MANIFEST, callback_urls=[CALLBACK], owner="host")


def agreed(hosted: Site, app: App, login: str = "alice", **more: str) -> dict[str, str]:
    """What GitHub brings back after a person said yes."""
    fields = {"client_id": app.client_id, "redirect_uri": CALLBACK, "state": "s", "decision": "authorize"}
    answer = send(hosted, login, "/login/oauth/authorize", **fields | more)
    assert answer.headers["Location"].startswith(CALLBACK)
    return query(answer.headers["Location"])


def exchange(hosted: Site, app: App, **fields: str) -> dict[str, Any]:
    sent = {"client_id": app.client_id, "client_secret": app.client_secret, **fields}
    url = f"{hosted.github.url}/login/oauth/access_token"
    answer = requests.post(url, data=sent, headers={"Accept": "application/json"}, timeout=20)
    assert answer.status_code == 200  # GitHub's errors too
    found: dict[str, Any] = answer.json()
    return found


def test_an_app_from_a_manifest(hosted: Site) -> None:
    fields = {"manifest": manifest(), "state": "abc", "name": "From a manifest"}
    answer = send(hosted, "host", "/settings/apps/new/confirmed", **fields)
    back = query(answer.headers["Location"])
    assert back["state"] == "abc"
    path = f"/app-manifests/{back['code']}/conversions"
    made = hosted.world.api("POST", path)
    assert made.status_code == 201
    told = made.json()
    assert told["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert (told["owner"]["login"], told["events"]) == ("host", ["push"])
    assert told["permissions"] == {"metadata": "read", "checks": "write"}
    assert hosted.world.api("POST", path).status_code == 404
    assert hosted.world.api("POST", "/app-manifests/unknown/conversions").status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"url": None},
        {"redirect_url": "javascript:1"},
        {"hook_attributes": {}},
        {"callback_urls": [CALLBACK] * 11},
    ],
)
def test_a_manifest_that_github_refuses(hosted: Site, changes: dict[str, Any]) -> None:
    answer = send(hosted, "host", "/settings/apps/new", manifest=manifest(**changes))
    assert answer.status_code == 400


def test_nobody_registers_for_others(hosted: Site) -> None:
    hosted.world.organization("guild", owner="host")
    fields = {"manifest": manifest(), "organization": "guild", "name": "Not yours"}
    assert send(hosted, "mallory", "/settings/apps/new/confirmed", **fields).status_code == 404
    too_long = {"manifest": manifest(), "name": "x" * 35}
    assert send(hosted, "host", "/settings/apps/new/confirmed", **too_long).status_code == 422


def test_a_token_of_a_person_and_what_it_reaches(hosted: Site, app: App) -> None:
    name = hosted.repository(private=True)
    hosted.world.install(app.id, name)
    code = agreed(hosted, app, code_challenge=CHALLENGE, code_challenge_method="S256")["code"]
    answer = exchange(hosted, app, code=code, code_verifier=VERIFIER, redirect_uri=CALLBACK)
    token = answer["access_token"]
    assert (answer["token_type"], answer["scope"], token[:4]) == ("bearer", "", "ghu_")
    call = hosted.world.call
    assert call(token, "GET", "/user")["login"] == "alice"
    (installation,) = call(token, "GET", "/user/installations")["installations"]
    path = f"/user/installations/{installation['id']}/repositories"
    assert [it["full_name"] for it in call(token, "GET", path)["repositories"]] == [name]
    stranger = exchange(hosted, app, code=agreed(hosted, app, "mallory")["code"])["access_token"]
    assert call(stranger, "GET", "/user/installations")["total_count"] == 0
    assert hosted.world.api("GET", path, token=stranger).status_code == 404
    personal = hosted.world.user("alice").token
    assert hosted.world.api("GET", "/user/installations", token=personal).status_code == 403

    revoke = f"{hosted.github.api_url}/applications/{app.client_id}/token"
    body = {"access_token": token}
    assert requests.delete(revoke, json=body, auth=(app.client_id, "wrong"), timeout=20).status_code == 401
    right = (app.client_id, app.client_secret)
    assert requests.delete(revoke, json=body, auth=right, timeout=20).status_code == 204
    assert requests.delete(revoke, json=body, auth=right, timeout=20).status_code == 422
    assert hosted.world.api("GET", "/user", token=token).status_code == 401


def test_the_exchange_refuses(hosted: Site, app: App) -> None:
    pkce = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    cases: list[tuple[dict[str, str], dict[str, str], str]] = [
        ({}, {"code": "unknown"}, "bad_verification_code"),
        ({}, {"client_secret": "wrong"}, "incorrect_client_credentials"),
        ({}, {"client_id": "unknown"}, "incorrect_client_credentials"),
        ({}, {"redirect_uri": "https://evil.example"}, "redirect_uri_mismatch"),
        (pkce, {}, "bad_verification_code"),
        (pkce, {"code_verifier": "x" * 43}, "bad_verification_code"),
    ]
    for asked, sent, error in cases:
        code = agreed(hosted, app, **asked)["code"]
        assert exchange(hosted, app, **{"code": code, **sent})["error"] == error
    code = agreed(hosted, app)["code"]
    assert "access_token" in exchange(hosted, app, code=code)
    assert exchange(hosted, app, code=code)["error"] == "bad_verification_code"


def test_the_authorize_page_leads_nowhere_else(hosted: Site, app: App) -> None:
    asked = {"client_id": app.client_id, "redirect_uri": "https://evil.example/", "state": "s"}
    url = f"{hosted.github.url}/login/oauth/authorize"
    answer = browser(hosted, "alice").get(url, params=asked, allow_redirects=False, timeout=20)
    assert answer.headers["Location"].startswith(CALLBACK)
    assert query(answer.headers["Location"]) | {"error_description": ""} == {
        "error": "redirect_uri_mismatch",
        "error_description": "",
        "state": "s",
    }
    assert agreed(hosted, app, decision="cancel")["error"] == "access_denied"
    plain = {"client_id": app.client_id, "code_challenge": "x", "code_challenge_method": "plain"}
    answer = browser(hosted, "alice").get(url, params=plain, allow_redirects=False, timeout=20)
    assert query(answer.headers["Location"])["error"] == "invalid_request"
    evil = {"Origin": "https://evil.example"}
    sent = {"client_id": app.client_id, "decision": "authorize"}
    assert browser(hosted, "alice").post(url, data=sent, headers=evil, timeout=20).status_code == 403
