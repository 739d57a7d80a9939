"""`/setup`: from the token of the console to an App that works, and everything that must not work."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from needs import need_chromium
from playwright.sync_api import expect, sync_playwright
from standin import until
from web_lab import Browser, WebLab, open_github, open_web_lab

from demo.github import Running
from github_app import config, setup_state, triggers
from github_app.credentials import FILE_NAME
from github_app.models import Delivery, Runner
from github_app.moves import utc_now

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_github(tmp_path_factory.mktemp("github")) as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path, github: Running) -> Iterator[WebLab]:
    with open_web_lab(tmp_path, github) as opened:
        yield opened


@pytest.fixture
def browser(lab: WebLab) -> Browser:
    """One that has entered the token."""
    entered = Browser()
    entered.become(lab, "host")
    token = lab.token()
    entered.open(f"{lab.url}/setup")
    entered.send("/setup/token", token=token)
    return entered


def create(browser: Browser) -> requests.Response:
    browser.send("/settings/apps/new")
    return browser.send("/settings/apps/new/confirmed", name=f"RaaS {next(_NUMBERS)}")


def secrets_of(lab: WebLab) -> list[str]:
    """Everything that must never be seen; the key by its lines."""
    settings = lab.here.settings
    found = [settings.github_webhook_secret, settings.github_client_secret, settings.github_private_key]
    assert all(found)
    whole = "\n".join(it.reveal() for it in found if it).splitlines()
    return [line for line in whole if line and "-----" not in line]


def in_page(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, f"{pattern} is not in the page"
    return found[1]


def test_the_whole_way(lab: WebLab, browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert "Create the GitHub App" in browser.page.text
    manifest = browser.form("/settings/apps/new").fields["manifest"]
    page = create(browser)
    assert page.status_code == 200
    assert page.url == f"{lab.url}/setup"
    assert "The GitHub App is there" in page.text
    settings = lab.here.settings
    kept = settings.data_dir / FILE_NAME
    assert kept.stat().st_mode & 0o777 == 0o600
    assert settings.github_app_id is not None
    # Webhooks are believed at once, without a restart.
    lab.world.repository("host/spoon")
    browser.open(in_page(r'href="([^"]+/installations/new)"', page.text))
    page = browser.send("/installations", repository="host/spoon")
    assert page.url == f"{lab.url}/setup"
    assert "installed for host" in page.text
    lab.world.settle()
    with lab.here.db.read() as session:
        assert "installation" in {row.event for row in session.query(Delivery)}
    # The first robot; its token is shown once.
    page = browser.send("/setup/robot", name="goose", labels="pendulum, blue")
    token = in_page(r"--token ([\w-]+)", page.text)
    assert page.headers["Cache-Control"] == "no-store"
    assert token not in browser.open(f"{lab.url}/setup").text
    with lab.here.db.read() as session:
        assert session.query(Runner).one().labels == ["blue", "pendulum"]
    # GitHub's ping came before the secret was known; sent again, it arrives.
    assert "did not arrive" in browser.page.text
    browser.send("/setup/ping")
    lab.world.settle()
    page = browser.open(f"{lab.url}/setup")
    assert re.search(r"the latest \d+ arrived", page.text)
    assert re.search(r"permissions</th><td[^>]*>(<[^>]*>)*\s*ok", page.text)
    browser.send("/setup/finish")
    assert browser.open(f"{lab.url}/setup").status_code == 404
    # Nothing that is secret was shown, logged or put into an address.
    seen = "".join([manifest, page.text, caplog.text])
    assert not [it for it in secrets_of(lab) if it in seen]
    assert token not in caplog.text


def test_other_processes_use_the_app_without_a_restart(lab: WebLab, browser: Browser) -> None:
    other = config.load(lab.environment)  # a second process has settings of its own
    assert other.github_app_id is None
    create(browser)
    assert other.github_app_id == lab.here.settings.github_app_id is not None
    lab.token(again=True)
    browser.open(f"{lab.url}/setup")
    again = Browser()
    again.become(lab, "host")
    again.open(f"{lab.url}/setup")
    again.send("/setup/token", token=lab.token(again=True))
    create(again)
    assert other.github_app_id == lab.here.settings.github_app_id


def test_an_organisation_s_app(lab: WebLab, browser: Browser) -> None:
    lab.world.organization("lab", owner="host")
    browser.open(f"{lab.url}/setup?organization=lab")
    assert "/organizations/lab/settings/apps/new" in browser.form("/settings/apps/new").action
    create(browser)
    page = requests.get(lab.here.settings.credentials.current().html_url or "", timeout=10)
    assert page.ok
    assert Browser().open(f"{lab.url}/setup?organization=a/../b").status_code == 200  # the form for the token


@pytest.mark.parametrize("path", ["", "/created", "/installed/x"])
def test_nothing_is_there_before_the_token_and_after_the_end(lab: WebLab, path: str) -> None:
    assert Browser().open(f"{lab.url}/setup{path}").status_code == 404
    assert Browser().open(f"{lab.url}/setup/created?code=a&state=b").status_code == 404


def test_a_wrong_used_or_old_token_opens_nothing(lab: WebLab) -> None:
    first, browser = lab.token(), Browser()
    browser.open(f"{lab.url}/setup")
    for wrong in ("", "x", first + "x", "ä\x00"):
        browser.open(f"{lab.url}/setup")
        assert browser.send("/setup/token", token=wrong).status_code == 403
    second = lab.token()
    browser.open(f"{lab.url}/setup")
    assert browser.send("/setup/token", token=first).status_code == 403
    browser.open(f"{lab.url}/setup")
    assert "Create the GitHub App" in browser.send("/setup/token", token=second).text
    other = Browser()
    other.open(f"{lab.url}/setup")
    assert other.send("/setup/token", token=second).status_code == 403
    with lab.here.db.write() as session:
        late = setup_state.issue(session, utc_now() - timedelta(hours=2))
        assert setup_state.redeem(session, late, utc_now()) is None
    assert Browser().open(f"{lab.url}/setup").status_code == 404


def test_a_forged_state_and_another_browser_are_refused(lab: WebLab, browser: Browser) -> None:
    page = browser.page
    browser.send("/settings/apps/new")
    answer = browser.send("/settings/apps/new/confirmed", follow=False, name="Mine")
    back = answer.headers["Location"]
    query = parse_qs(urlsplit(back).query)
    forged = back.replace(query["state"][0], "0" * 64)
    assert browser.open(forged).status_code == 403
    assert Browser().open(back).status_code == 404
    assert lab.here.settings.github_app_id is None
    assert browser.open(back).status_code == 200
    made = lab.here.settings.github_app_id
    # The same code again, and a second App's code: nothing changes any more.
    browser.page = page
    browser.send("/settings/apps/new")
    answer = browser.send("/settings/apps/new/confirmed", follow=False, name="Evil")
    assert browser.open(back).status_code == 200
    browser.open(answer.headers["Location"])
    assert lab.here.settings.github_app_id == made


def test_a_code_that_github_does_not_know(lab: WebLab, browser: Browser) -> None:
    state = parse_qs(urlsplit(browser.form("/settings/apps/new").action).query)["state"][0]
    for code in ("unknown", "", "../../app", "a" * 500):
        answer = browser.open(f"{lab.url}/setup/created?state={state}&code={code}")
        assert answer.status_code == 502
        assert lab.here.settings.github_app_id is None
    lab.world.fault(method="POST", path="/conversions$", times=1, status=503)
    assert browser.open(f"{lab.url}/setup/created?state={state}&code=abc").status_code == 502


def test_forms_of_other_sites_are_refused(lab: WebLab, browser: Browser) -> None:
    create(browser)
    form = browser.form("/setup/robot")
    token = form.fields["csrf"]

    def post(origin: str | None, csrf: str) -> int:
        headers = {"Origin": origin} if origin else {}
        data = {"name": "mallory", "labels": "", "csrf": csrf}
        url = f"{lab.url}/setup/robot"
        return browser.http.post(url, data=data, headers=headers, timeout=10).status_code

    for origin in ("https://evil.example", "null", None, f"{lab.url}.evil.example"):
        assert post(origin, token) == 403
    for wrong in ("", "x", token[:-1], "ä"):
        assert post(lab.url, wrong) == 403
    with lab.here.db.read() as session:
        assert session.query(Runner).count() == 0
    assert post(lab.url, token) == 200


def test_an_app_in_the_settings_closes_set_up(tmp_path: Path, github: Running) -> None:
    with open_web_lab(tmp_path, github, RAAS_GITHUB_WEBHOOK_SECRET="given") as lab:
        token = lab.token()
        assert Browser().open(f"{lab.url}/setup").status_code == 404
        answer = requests.post(
            f"{lab.url}/setup/token", data={"token": token}, headers={"Origin": lab.url}, timeout=10
        )
        assert answer.status_code == 404


@pytest.mark.browser
def test_in_a_real_browser(lab: WebLab) -> None:
    lab.world.user("host")
    lab.world.repository("host/spoon")
    token = lab.token()
    with sync_playwright() as tools:
        chromium = tools.chromium.launch(
            executable_path=need_chromium(),
            args=["--no-sandbox", "--disable-background-networking", "--disable-sync", "--no-first-run"],
        )
        page = chromium.new_page()
        problems: list[str] = []
        page.on("console", lambda it: problems.append(it.text) if it.type == "error" else None)
        page.goto(lab.github.url)
        page.get_by_label("You are").select_option("host")
        page.get_by_role("button", name="Switch").click()
        page.goto(f"{lab.url}/setup")
        page.get_by_label("One-time token").fill(token)
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("button", name="on your own account").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Create GitHub App for host")
        page.get_by_label("GitHub App name").fill("RaaS in a browser")
        page.get_by_role("button", name="Create GitHub App").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The GitHub App is there")
        assert page.url == f"{lab.url}/setup"
        page.get_by_role("link", name="Choose the repositories").click()
        page.get_by_label("host/spoon").check()
        page.get_by_role("button", name="Install").click()
        expect(page.get_by_text("It is installed for host")).to_be_visible()
        page.get_by_role("button", name="Make a token").click()
        expect(page.get_by_label("Commands for the Raspberry Pi")).to_contain_text("raas-runner register")
        page.get_by_role("button", name="send its ping again").click()
        until(lambda: any(it.redelivery for it in lab.world.deliveries("ping")), 30)
        lab.world.settle()
        page.get_by_role("link", name="Look again").click()
        expect(page.get_by_role("row", name="deliveries")).to_contain_text("arrived")
        page.get_by_role("button", name="Finish").click()
        assert page.url == f"{lab.url}/"
        assert problems == []
        chromium.close()
    assert triggers.process_pending(lab.app) >= 1
