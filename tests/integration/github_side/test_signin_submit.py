"""`/submit`, and the buttons of a job's page: what signed-in people may do, and what nobody may."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
import requests
from sqlalchemy import select
from web_lab import Browser, WebLab, open_github, open_web_lab, signed_in

from demo.github import Running
from github_app.models import Job, Repository

PROGRAM = {"run.py": "print('hello')\n"}
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_github(tmp_path_factory.mktemp("github")) as running:
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, github: Running) -> Iterator[WebLab]:
    owners = {"RAAS_OWNERS": "alice,bob,stranger"}
    with open_web_lab(tmp_path_factory.mktemp("server"), github, **owners) as opened:
        opened.make_app()
        yield opened


@pytest.fixture(scope="module")
def alice(lab: WebLab) -> Browser:
    return signed_in(lab, "alice")


@pytest.fixture(scope="module")
def various(lab: WebLab) -> None:
    """Repositories that cannot be run, each for its own reason, and one that can."""
    for name in ("zoe/hidden", "alice/hidden"):
        lab.world.repository(name, private=True)
    for name, files in (("known", PROGRAM), ("empty", {"a": "b"}), ("wrong", {".raas.yml": "timeout: no"})):
        lab.world.repository(f"zoe/{name}")
        lab.world.push(f"zoe/{name}", files, user="zoe")


def public(lab: WebLab, owner: str = "zoe") -> tuple[str, str]:
    """A public repository of somebody who never heard of us; name and commit."""
    name = f"{owner}/project-{next(_NUMBERS)}"
    lab.world.repository(name)
    return name, lab.world.push(name, PROGRAM, user=owner, message="Swing up\n\nand more")


def job_of(lab: WebLab, page: requests.Response) -> Job:
    with lab.here.db.read() as session:
        return session.get_one(Job, int(page.url.rsplit("/", 1)[1]))


def jobs(lab: WebLab) -> int:
    with lab.here.db.read() as session:
        return len(session.scalars(select(Job.id)).all())


def look(lab: WebLab, browser: Browser, **fields: str) -> requests.Response:
    browser.open(f"{lab.url}/submit")
    return browser.send("/submit/look", **fields)


def test_a_commit_is_shown_and_then_exactly_it_is_queued(lab: WebLab, alice: Browser) -> None:
    name, sha = public(lab)
    page = look(lab, alice, url=f"{lab.github.url}/{name}", timeout="30", sessions="2")
    assert page.status_code == 200
    for words in (sha, "Swing up", "python run.py", "30 s on the robot, 2 times"):
        assert words in page.text
    lab.world.push(name, {"run.py": "print('swapped')"}, user="zoe")
    page = alice.send("/submit")
    job = job_of(lab, page)
    assert (job.sha, job.owner, job.requested_by, job.trigger) == (sha, "alice", "alice", "web")
    assert (job.timeout_s, job.sessions, job.ref) == (30.0, 2, "main")
    lab.work()
    assert lab.world.check_runs(name, sha) == []


def test_the_same_form_again_is_the_same_job(lab: WebLab, alice: Browser) -> None:
    name, _ = public(lab)
    look(lab, alice, url=name)
    shown = alice.page
    first = job_of(lab, alice.send("/submit"))
    alice.page = shown
    assert job_of(lab, alice.send("/submit")).id == first.id


def test_a_branch_from_its_address(lab: WebLab, alice: Browser) -> None:
    name, _ = public(lab)
    sha = lab.world.push(name, {"n": "1"}, user="zoe", branch="topic/x")
    assert sha in look(lab, alice, url=f"{lab.github.url}/{name}/tree/topic/x").text
    assert sha in look(lab, alice, url=f"{name}.git", ref=sha[:10]).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "https://example.org/a/b"}, "Only repositories at"),
        ({"url": "nothing"}, "names no repository"),
        ({"url": "zoe/../../etc"}, "names no repository"),
        ({"url": "zoe/missing"}, "no public repository zoe/missing"),
        ({"url": "zoe/hidden"}, "no public repository zoe/hidden"),
        ({"url": "alice/hidden"}, "no public repository alice/hidden"),
        ({"url": "zoe/known", "ref": "nope"}, "no branch, tag or commit nope"),
        ({"url": "zoe/known", "timeout": "100000"}, "must be between"),
        ({"url": "zoe/known", "timeout": "5000"}, "allows 600 s"),
        ({"url": "zoe/known", "sessions": "50"}, "allows 10 sessions"),
        ({"url": "zoe/known", "sessions": "1.5"}, "whole"),
        ({"url": "zoe/known", "robot": "a b"}, "label"),
        ({"url": "zoe/empty"}, "nothing to run"),
        ({"url": "zoe/wrong"}, ".raas.yml is wrong"),
    ],
)
@pytest.mark.usefixtures("various")
def test_refusals_say_why(lab: WebLab, alice: Browser, fields: dict[str, str], words: str) -> None:
    before = jobs(lab)
    page = look(lab, alice, **fields)
    assert page.status_code == 422
    assert words in page.text
    assert jobs(lab) == before


def test_only_those_the_host_has_let_in(lab: WebLab) -> None:
    name, _ = public(lab)
    page = look(lab, signed_in(lab, "mallory"), url=name)
    assert "mallory may not use the robots of this host" in page.text


def test_nobody_submits_without_signing_in_or_what_was_shown_to_others(lab: WebLab, alice: Browser) -> None:
    name, _ = public(lab)
    nobody = Browser()
    assert "Sign in with GitHub" in nobody.open(f"{lab.url}/submit").text
    url, headers = f"{lab.url}/submit", {"Origin": lab.url}
    assert nobody.http.post(url, headers=headers, timeout=10).status_code == 403
    look(lab, alice, url=name)
    sealed = alice.form("/submit").fields["sealed"]
    bob = signed_in(lab, "bob")
    bob.open(url)
    token = bob.form("/submit/look").fields["csrf"]
    before = jobs(lab)
    for wrong in (sealed, sealed[:-2], "", "x.y.z"):
        sent = {"csrf": token, "sealed": wrong}
        assert bob.http.post(url, data=sent, headers=headers, timeout=10).status_code == 403
    assert jobs(lab) == before


def test_a_repository_that_became_private_is_not_run(lab: WebLab, alice: Browser) -> None:
    name, _ = public(lab)
    look(lab, alice, url=name)
    lab.world.change_repository(name, user="zoe", private=True)
    assert alice.send("/submit").status_code == 422


def test_one_s_own_job_is_cancelled_and_run_again(lab: WebLab, alice: Browser) -> None:
    name, sha = public(lab)
    look(lab, alice, url=name)
    job = job_of(lab, alice.send("/submit"))
    assert "Cancel" in alice.page.text
    other = signed_in(lab, "bob")
    other.open(f"{lab.url}/jobs/{job.id}")
    refused = other.press("cancel")
    assert refused.status_code == 403
    assert "Only people with write permission" in refused.text
    alice.press("cancel")
    assert job_of(lab, alice.page).conclusion == "cancelled"
    again = job_of(lab, alice.press("run_again"))
    assert (again.rerun_of, again.sha, again.trigger, again.owner) == (job.id, sha, "web", "alice")
    lab.work()
    assert lab.world.check_runs(name, sha) == []


def pushed(lab: WebLab) -> Job:
    """A job of a repository of alice's that has the App."""
    name = f"alice/installed-{next(_NUMBERS)}"
    lab.world.repository(name)
    lab.world.install(lab.here.settings.github_app_id or 0, name)
    lab.world.push(name, PROGRAM, user="alice")
    lab.work()
    with lab.here.db.read() as session:
        return session.scalars(select(Job).order_by(Job.id.desc())).unique().first() or pytest.fail("no job")


def test_buttons_need_write_permission_at_github(lab: WebLab, alice: Browser) -> None:
    job = pushed(lab)
    name = job.repository.full_name
    bob = signed_in(lab, "bob")
    bob.open(f"{lab.url}/jobs/{job.id}")
    shown = bob.page
    assert bob.press("cancel").status_code == 403
    lab.world.collaborator(name, "bob", "triage")
    bob.page = shown
    assert bob.press("cancel").status_code == 403
    lab.world.collaborator(name, "bob", "write")
    bob.page = shown
    assert job_of(lab, bob.press("cancel")).conclusion == "cancelled"
    # What the job does not offer now is refused.
    bob.page = shown
    assert bob.press("cancel").status_code == 403
    bob.page = shown
    assert bob.press("approve").status_code == 403
    again = job_of(lab, bob.open(f"{lab.url}/jobs/{job.id}") and bob.press("run_again"))
    assert (again.rerun_of, again.trigger) == (job.id, "rerun")
    lab.work()
    assert len(lab.world.check_runs(name, job.sha)) == 2


def test_buttons_are_for_those_who_are_signed_in(lab: WebLab) -> None:
    job = pushed(lab)
    nobody = Browser()
    assert "Sign in" in nobody.open(f"{lab.url}/jobs/{job.id}").text
    url = f"{lab.url}/jobs/{job.id}/press"
    sent = {"press": "cancel"}
    assert nobody.http.post(url, data=sent, headers={"Origin": lab.url}, timeout=10).status_code == 403
    evil = {"Origin": "https://evil.example"}
    assert signed_in(lab, "alice").http.post(url, data=sent, headers=evil, timeout=10).status_code == 403


def test_a_private_job_that_one_may_not_see_has_no_buttons(lab: WebLab, alice: Browser) -> None:
    job = pushed(lab)
    lab.world.change_repository(job.repository.full_name, user="alice", private=True)
    lab.work()
    bob = signed_in(lab, "bob")
    bob.open(f"{lab.url}/")
    token = bob.form("/sign-out").fields["csrf"]
    for number in (job.id, 999_999):
        url = f"{lab.url}/jobs/{number}/press"
        sent = {"csrf": token, "press": "cancel"}
        assert bob.http.post(url, data=sent, headers={"Origin": lab.url}, timeout=10).status_code == 404


def test_github_away_is_said(lab: WebLab, alice: Browser) -> None:
    job = pushed(lab)
    alice.open(f"{lab.url}/jobs/{job.id}")
    lab.world.fault(method="GET", path="/permission$", times=3, status=502)
    assert alice.press("cancel").status_code == 502
    lab.world.clear_faults()
    name, _ = public(lab)
    lab.world.fault(method="GET", path=f"/repos/{name}", times=3, status=502)
    assert "could not be asked" in look(lab, alice, url=name).text
    lab.world.clear_faults()


def test_the_source_of_a_public_repository_without_the_app_can_be_had(lab: WebLab, alice: Browser) -> None:
    name, sha = public(lab)
    look(lab, alice, url=name)
    job = job_of(lab, alice.send("/submit"))
    with lab.here.db.read() as session:
        assert session.get_one(Repository, job.repository_id).installation_id == 0
    with lab.here.github.tarball(job.repository, sha) as pieces:
        assert b"".join(pieces)[:2] == b"\x1f\x8b"
