"""The web pages: in a browser as a person would use them, and over HTTP for what nobody may do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from needs import need_chromium
from playwright.sync_api import Page, expect, sync_playwright
from standin import Site

SUMMARY = """### Upright 71 % of 20 s on **goose**
| metric | this run | simulation |
|---|---:|---|
| return | -312 | -290 |

<details><summary>Last log lines</summary>

```
<script>document.title = "hacked"</script>
```
</details>
<script>document.title = "hacked"</script><img src="x" onerror="document.title = 'hacked'">
"""


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a real browser."""
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=need_chromium(),
            args=["--no-sandbox", "--disable-background-networking", "--disable-sync", "--no-first-run"],
        )
        yield browser.new_page()
        browser.close()


def _sign_in(page: Page, hosted: Site, login: str) -> None:
    page.goto(hosted.github.url)
    page.get_by_label("You are").select_option(login)
    page.get_by_role("button", name="Switch").click()
    expect(page.get_by_label("You are")).to_have_value(login)


@pytest.mark.browser
def test_a_person_comments_and_presses_buttons(hosted: Site, page: Page) -> None:
    name = hosted.repository()
    hosted.world.push(name, {"a.py": "1\n2\n"}, user="alice", branch="topic", message="Swing up")
    pull = hosted.world.open_pull(name, head="topic", user="alice", title="Energy shaping")
    _sign_in(page, hosted, "alice")
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="Energy shaping").click()
    page.get_by_label("Comment as alice").fill("/raas run")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator(".card .markdown", has_text="/raas run")).to_be_visible()
    comment = hosted.world.comments(name, pull["number"])[-1]
    assert (comment["body"], comment["user"]["login"]) == ("/raas run", "alice")

    # What the App says appears without a reload, and without losing what is being typed.
    page.get_by_label("Comment as alice").fill("half a thou")
    button = {"label": "Run again", "description": "Queue it once more", "identifier": "run_again"}
    note = {"path": "a.py", "start_line": 2, "end_line": 2, "annotation_level": "failure", "message": "boom"}
    output = {"title": "Balanced 14 s", "summary": SUMMARY, "annotations": [note]}
    path = f"/repos/{name}/issues/comments/{comment['id']}/reactions"
    hosted.world.call(hosted.token(name), "POST", path, content="rocket")
    run = hosted.check_run(
        name, pull["head"]["sha"], conclusion="failure", output=output, actions=[button], external_id="1"
    )
    check = page.locator(f"#run-{run['id']}")
    expect(check.get_by_text("Balanced 14 s")).to_be_visible()
    expect(check.locator(".state")).to_contain_text("failure")
    expect(check.get_by_role("cell", name="-312")).to_be_visible()
    expect(page.locator(".reactions")).to_contain_text("rocket")
    expect(page.get_by_label("Comment as alice")).to_have_value("half a thou")
    assert page.title().startswith("Energy shaping")

    check.get_by_role("button", name="Run again").click()
    expect(check).to_be_visible()
    check.get_by_role("button", name="Re-run").click()
    expect(check).to_be_visible()
    told = [it.event for it in hosted.heard(name)][-2:]
    assert told == ["check_run.requested_action", "check_run.rerequested"]

    check.get_by_role("link", name="RaaS", exact=True).click()
    expect(page.get_by_role("heading", name="RaaS")).to_be_visible()
    page.get_by_role("link", name="a.py, line 2").click()
    expect(page.locator("#L2")).to_have_text("2")


@pytest.mark.browser
def test_a_person_sees_and_repeats_deliveries(hosted: Site, page: Page) -> None:
    hosted.world.settle()
    count = len(hosted.receiver.received)
    _sign_in(page, hosted, "host")
    page.get_by_role("link", name="RaaS").click()
    page.get_by_role("button", name="Redeliver").first.click()
    expect(page.get_by_text("again").first).to_be_visible()
    hosted.world.settle()
    assert len(hosted.receiver.received) == count + 1


def _get(hosted: Site, path: str, viewer: str = "") -> requests.Response:
    return requests.get(hosted.github.url + path, cookies={"viewer": viewer}, timeout=10)


def test_every_page_is_there(hosted: Site) -> None:
    name = hosted.repository(private=True)
    sha = hosted.world.push(name, {"dir/a b.txt": "x"}, user="alice", branch="topic")
    pull = hosted.world.open_pull(name, head="topic", user="alice")
    issue = hosted.world.open_issue(name, user="alice")
    run = hosted.check_run(name, sha)
    pages = [
        f"/{name}",
        f"/{name}/commit/{sha}",
        f"/{name}/pull/{pull['number']}",
        f"/{name}/pull/{pull['number']}.diff",
        f"/{name}/issues/{issue['number']}",
        f"/{name}/runs/{run['id']}",
        f"/{name}/blob/topic/dir/a b.txt",
        f"/{name}/raw/{sha}/dir/a b.txt",
    ]
    for path in pages:
        assert _get(hosted, path, "alice").status_code == 200, path
        assert _get(hosted, path).status_code == 404, f"{path} is private"
        assert _get(hosted, path, "stranger").status_code == 404, f"{path} is private"
    for path in ("/", "/alice", "/apps/raas", "/_static/style.css"):
        answer = _get(hosted, path)
        assert answer.status_code == 200, path
        assert name not in answer.text
    assert "default-src 'self'" in _get(hosted, "/").headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/nobody", "/alice/nothing", "/apps/nothing", "/_avatar/1.svg"])
def test_pages_that_are_not_there(hosted: Site, path: str) -> None:
    assert _get(hosted, path, "alice").status_code == 404


def test_forms_that_are_refused(hosted: Site) -> None:
    name = hosted.repository()
    sha = hosted.world.push(name, {"a": "1"}, user="alice")
    run = hosted.check_run(name, sha)
    number = hosted.world.open_issue(name, user="alice")["number"]
    hosted.world.user("reader")

    def post(path: str, viewer: str, **headers: str) -> int:
        return requests.post(
            f"{hosted.github.url}/{name}{path}",
            data={"body": "/raas run", "identifier": "x"},
            cookies={"viewer": viewer},
            headers=headers,
            allow_redirects=False,
            timeout=10,
        ).status_code

    comment = f"/issues/{number}/comment"
    assert post(comment, "") == 403
    assert post(comment, "alice", Origin="https://evil.example") == 403
    assert post(comment, "alice", **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert post(comment, "alice", Origin=hosted.github.url) == 302
    assert post(f"/runs/{run['id']}/rerequest", "reader") == 403
    assert post(f"/runs/{run['id']}/press", "alice") == 404, "no such button"
    assert post("/runs/1/rerequest", "alice") == 404


def test_switching_leads_to_this_site_only(hosted: Site) -> None:
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        answer = requests.post(
            f"{hosted.github.url}/_session",
            data={"login": "alice", "next": target},
            allow_redirects=False,
            timeout=10,
        )
        assert answer.headers["Location"] == "/"
