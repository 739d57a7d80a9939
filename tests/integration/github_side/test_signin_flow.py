"""Signing in with GitHub: as it should go, and every way in which it must not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from needs import need_chromium
from playwright.sync_api import expect, sync_playwright
from sqlalchemy import select, update
from standin import until
from web_lab import Browser, WebLab, open_github, open_web_lab, signed_in

from demo.github import Running
from demo.github.models import AuthorizationCode, UserToken
from github_app import readable, sessions
from github_app.models import Job, WebSession
from github_app.moves import utc_now

PROGRAM = {"run.py": "print('hello')\n"}


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_github(tmp_path_factory.mktemp("github")) as running:
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, github: Running) -> Iterator[WebLab]:
    """A server with an App."""
    with open_web_lab(tmp_path_factory.mktemp("server"), github) as opened:
        opened.make_app()
        yield opened


def came_back(lab: WebLab, login: str) -> tuple[Browser, str]:
    """A browser that is just about to come back from GitHub, and the address it was sent to."""
    browser = Browser()
    browser.become(lab, login)
    browser.open(f"{lab.url}/sign-in?next=/")
    answer = browser.send("/login/oauth/authorize", follow=False, decision="authorize")
    return browser, answer.headers["Location"]


def private_job(lab: WebLab, name: str) -> int:
    """A job of a private repository; its id."""
    lab.world.repository(name, private=True)
    lab.world.install(int(lab.here.settings.github_app_id or 0), name)
    lab.world.push(name, PROGRAM, user=name.split("/", maxsplit=1)[0])
    lab.work()
    page = lab.app.test_client().get("/api/v1/jobs").get_json()
    assert name not in str(page)
    with lab.here.db.read() as session:
        return max(session.scalars(select(Job.id)))


def test_in_and_out(lab: WebLab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="github_app")
    browser = signed_in(lab, "alice", "/jobs/7")
    assert browser.page.url == f"{lab.url}/jobs/7"
    browser.open(lab.url)
    assert '<span class="who">alice</span>' in browser.page.text
    assert browser.page.headers["Cache-Control"] == "private, no-store"
    assert "Cookie" in browser.page.headers["Vary"]
    (cookie,) = [it for it in browser.http.cookies if it.name == "raas-session"]
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert not [it for it in browser.http.cookies if it.name == "raas-sign-in"]
    browser.send("/sign-out")
    assert "Sign in" in browser.open(lab.url).text
    # The cookie is worth nothing any more, wherever it was copied to.
    browser.http.cookies.set("raas-session", cookie.value, domain="127.0.0.1")
    assert "Sign in" in browser.open(lab.url).text
    assert str(cookie.value) not in caplog.text


def test_github_s_token_is_not_kept_anywhere(lab: WebLab) -> None:
    signed_in(lab, "alice")
    with lab.github.hub.read() as scope:
        granted = scope.session.scalars(select(UserToken).where(UserToken.app_id.is_not(None))).all()
    assert granted == []
    with lab.here.db.read() as session:
        kept = " ".join(str(vars(row)) for row in session.scalars(select(WebSession)))
    assert "ghu_" not in kept


def test_each_sign_in_is_a_new_session(lab: WebLab) -> None:
    browser = signed_in(lab, "alice")
    before = browser.http.cookies["raas-session"]
    browser.open(f"{lab.url}/sign-in")
    browser.send("/login/oauth/authorize", decision="authorize")
    assert browser.http.cookies["raas-session"] != before
    with lab.here.db.read() as session:
        assert sessions.find(session, before, utc_now()) is None


def test_a_session_ends_by_itself(lab: WebLab) -> None:
    browser = signed_in(lab, "alice")
    with lab.here.db.write() as session:
        session.execute(update(WebSession).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert "Sign in" in browser.open(lab.url).text


def test_a_forged_state_and_another_browser_are_refused(lab: WebLab) -> None:
    browser, back = came_back(lab, "mallory")
    state = parse_qs(urlsplit(back).query)["state"][0]
    victim = Browser()
    assert victim.open(back).status_code == 403  # signing somebody in as the attacker
    victim.become(lab, "alice")
    victim.open(f"{lab.url}/sign-in")
    assert victim.open(back).status_code == 403
    assert browser.open(back.replace(state, "x" + state[1:])).status_code == 403
    assert browser.open(back.replace(f"state={state}", "")).status_code == 403
    assert "raas-session" not in {**browser.http.cookies, **victim.http.cookies}


def test_a_code_counts_once_and_in_its_own_browser(lab: WebLab) -> None:
    browser, back = came_back(lab, "alice")
    sealed = browser.http.cookies["raas-sign-in"]
    assert browser.open(back).ok
    assert browser.open(back).status_code == 403
    again = Browser()
    again.http.cookies.set("raas-sign-in", sealed, domain="127.0.0.1")
    assert again.open(back).status_code == 403
    # A code that was made for another browser fails by PKCE, even with a state that fits.
    stolen = parse_qs(urlsplit(came_back(lab, "alice")[1]).query)["code"][0]
    thief, own = came_back(lab, "mallory")
    code = parse_qs(urlsplit(own).query)["code"][0]
    assert thief.open(own.replace(code, stolen)).status_code == 403
    assert "raas-session" not in thief.http.cookies


def test_an_old_code_is_refused(lab: WebLab) -> None:
    browser, back = came_back(lab, "alice")
    with lab.github.hub.write() as scope:
        scope.session.execute(update(AuthorizationCode).values(expires_at=0))
    assert browser.open(back).status_code == 403


def test_saying_no_signs_nobody_in(lab: WebLab) -> None:
    browser = Browser()
    browser.become(lab, "alice")
    browser.open(f"{lab.url}/sign-in")
    page = browser.send("/login/oauth/authorize", decision="cancel")
    assert page.status_code == 403
    assert "you did not agree" in page.text


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/\tevil", "javascript:1", ""],
)
def test_it_leads_to_no_other_site(lab: WebLab, target: str) -> None:
    browser = Browser()
    browser.become(lab, "alice")
    browser.http.get(f"{lab.url}/sign-in", params={"next": target}, timeout=10)
    browser.page = browser.http.get(f"{lab.url}/sign-in", params={"next": target}, timeout=10)
    assert browser.send("/login/oauth/authorize", decision="authorize").url == f"{lab.url}/"


def test_github_away_is_said(lab: WebLab) -> None:
    browser, back = came_back(lab, "alice")
    lab.world.fault(method="GET", path="/user$", times=1, status=502)
    page = browser.open(back)
    assert page.status_code == 502
    assert "could not be asked who you are" in page.text


def test_signing_out_needs_our_own_form(lab: WebLab) -> None:
    browser = signed_in(lab, "alice")
    form = browser.form("/sign-out")
    url = f"{lab.url}/sign-out"
    evil = {"Origin": "https://evil.example"}
    assert browser.http.post(url, data=form.fields, headers=evil, timeout=10).status_code == 403
    assert browser.http.post(url, headers={"Origin": lab.url}, timeout=10).status_code == 403
    other = signed_in(lab, "mallory").form("/sign-out").fields
    assert browser.http.post(url, data=other, headers={"Origin": lab.url}, timeout=10).status_code == 403
    assert "alice" in browser.open(lab.url).text


def test_private_jobs_are_shown_to_those_who_can_read_them(lab: WebLab) -> None:
    job = private_job(lab, "bob/secret")
    lab.world.collaborator("bob/secret", "carol", "read")
    paths = [f"/jobs/{job}", f"/jobs/{job}/log", f"/api/v1/jobs/{job}"]
    for path in paths:
        assert Browser().open(lab.url + path).status_code == 404
    owner, reader, stranger = (signed_in(lab, login) for login in ("bob", "carol", "mallory"))
    for path in paths:
        assert [it.open(lab.url + path).status_code for it in (owner, reader, stranger)] == [200, 200, 404]
    for path in ("/", "/api/v1/jobs"):
        shown = ["bob/secret" in it.open(lab.url + path).text for it in (owner, reader, stranger)]
        assert shown == [True, True, False]


def test_who_was_removed_sees_nothing_once_github_is_asked_again(
    lab: WebLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable, "REMEMBERED_S", 0.2)
    job = private_job(lab, "bob/hidden")
    lab.world.collaborator("bob/hidden", "dave", "read")
    browser = signed_in(lab, "dave")
    assert browser.open(f"{lab.url}/jobs/{job}").status_code == 200
    lab.world.collaborator("bob/hidden", "dave", "none")
    until(lambda: browser.open(f"{lab.url}/jobs/{job}").status_code == 404, 30)
    assert "bob/hidden" not in browser.open(lab.url).text


def test_a_login_that_is_somebody_else_s_by_now_opens_nothing(lab: WebLab) -> None:
    job = private_job(lab, "bob/renamed")
    browser = signed_in(lab, "bob")
    with lab.here.db.write() as session:
        session.execute(update(WebSession).where(WebSession.login == "bob").values(person_id=4))
    assert browser.open(f"{lab.url}/jobs/{job}").status_code == 404


def test_the_cookies_over_https(lab: WebLab, tmp_path: Path, github: Running) -> None:
    with open_web_lab(tmp_path, github, RAAS_PUBLIC_URL="https://raas.example") as other:
        client = other.app.test_client()
        other.here.settings.credentials.save(lab.here.settings.credentials.current())
        (cookie,) = client.get("/sign-in").headers.getlist("Set-Cookie")
        assert cookie.startswith("__Host-raas-sign-in=")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.browser
def test_in_a_real_browser(lab: WebLab) -> None:
    lab.world.user("alice")
    with sync_playwright() as tools:
        chromium = tools.chromium.launch(
            executable_path=need_chromium(),
            args=["--no-sandbox", "--disable-background-networking", "--disable-sync", "--no-first-run"],
        )
        page = chromium.new_page()
        problems: list[str] = []
        page.on("console", lambda it: problems.append(it.text) if it.type == "error" else None)
        page.goto(lab.github.url)
        page.get_by_label("You are").select_option("alice")
        page.get_by_role("button", name="Switch").click()
        page.goto(lab.url)
        page.get_by_role("link", name="Sign in").click()
        page.get_by_role("button", name="Authorize").click()
        expect(page.locator(".viewer .who")).to_contain_text("alice")
        assert page.url == f"{lab.url}/"
        assert page.evaluate("document.cookie") == "" or "raas" not in page.evaluate("document.cookie")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in")).to_be_visible()
        assert problems == []
        chromium.close()
