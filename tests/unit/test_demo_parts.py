"""The stand-in's pure parts: refs that moved, Markdown, tokens in headers, faults, limits."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.github import auth
from demo.github.errors import ApiError
from demo.github.events import hears
from demo.github.faults import Fault, Faults
from demo.github.git_store import NO_SHA
from demo.github.hookshot import signatures
from demo.github.limits import Limits
from demo.github.pushes import Move, moves
from demo.github.rest.api import openapi_path
from demo.github.settings import Settings
from demo.github.web import markdown

REFS = st.dictionaries(
    st.sampled_from(["refs/heads/a", "refs/heads/b/c", "refs/tags/t"]), st.sampled_from("123")
)


@given(REFS, REFS)
def test_moves_lead_from_one_state_to_the_other(before: dict[str, str], after: dict[str, str]) -> None:
    state = dict(before)
    for move in moves(before, after):
        assert move.old != move.new
        assert state.get(move.ref, NO_SHA) == move.old
        state.pop(move.ref, None)
        if not move.deleted:
            state[move.ref] = move.new
    assert state == after


def test_a_branch_and_a_tag() -> None:
    assert Move("refs/heads/a/b", NO_SHA, "1").branch == "a/b"
    assert Move("refs/heads/a/b", NO_SHA, "1").created
    assert Move("refs/tags/a", "1", NO_SHA).branch is None


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[link](javascript:alert(1))",
        "<a href='data:text/html,x'>x</a>",
        "<iframe src='https://evil.example'></iframe>",
        "<form action='/'><button>Go</button></form>",
        "<style>body{display:none}</style>",
        "<p style='position:fixed'>x</p>",
        "<details ontoggle=alert(1) open>x</details>",
    ],
)
def test_markdown_lets_nothing_harmful_through(hostile: str) -> None:
    html = str(markdown.render(hostile)).lower()
    for word in (
        "<script",
        "onerror",
        "ontoggle",
        '="javascript:',
        '="data:',
        "<iframe",
        "<form",
        "<style",
        "fixed",
    ):
        assert word not in html


def test_markdown_shows_what_check_runs_use() -> None:
    html = markdown.render(
        "| a | b |\n|---|--:|\n| 1 | **2** |\n\n<details><summary>Log</summary>\n\n`x`\n</details>"
    )
    for part in ("<table>", "<strong>2</strong>", "<details>", "<summary>Log</summary>", "<code>x</code>"):
        assert part in html
    assert markdown.render(None) == ""


def test_the_secret_of_a_header() -> None:
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert auth.credential(None) is None
    assert auth.credential("Bearer abc") == auth.credential("token abc") == "abc"
    assert auth.credential(basic("x-access-token:abc")) == "abc"
    assert auth.credential(basic("abc:")) == auth.credential(basic("abc:x-oauth-basic")) == "abc"
    for wrong in ("Basic %%%", "Digest abc", "abc"):
        with pytest.raises(ApiError):
            auth.credential(wrong)


def test_who_hears_of_what() -> None:
    writes = {"checks": "write", "metadata": "read"}
    assert hears([], writes, "check_run"), "whoever writes checks is told without asking"
    assert not hears([], {"checks": "read"}, "check_run")
    assert hears(["check_run"], {"checks": "read"}, "check_run")
    assert not hears(["push"], writes, "push"), "subscribed, but may not read the contents"
    assert hears([], {}, "installation")


def test_signatures() -> None:
    found = signatures("secret", b"payload")
    assert (
        found["X-Hub-Signature-256"]
        == "sha256=" + hmac.new(b"secret", b"payload", hashlib.sha256).hexdigest()
    )
    assert found["X-Hub-Signature"] == "sha1=" + hmac.new(b"secret", b"payload", hashlib.sha1).hexdigest()


def test_faults_happen_in_order_and_so_often() -> None:
    faults = Faults()
    faults.add(Fault(method="GET", path="/a$", times=2, status=500))
    faults.add(Fault(path="/a", status=502))
    taken = [faults.take("GET", "/x/a") for _ in range(4)]
    assert [fault and fault.status for fault in taken] == [500, 500, 502, None]
    faults.add(Fault(method="POST", path="/a"))
    assert faults.take("GET", "/x/a") is None


def test_an_hours_requests() -> None:
    limits = Limits(hourly=2, content_per_minute=1)
    limits.spend("a")
    limits.refund("a")
    limits.spend("a")
    limits.spend("a")
    with pytest.raises(ApiError, match="403") as failure:
        limits.spend("a")
    assert failure.value.headers["X-RateLimit-Remaining"] == "0"
    limits.spend("b")
    limits.spend_content("a")
    with pytest.raises(ApiError) as secondary:
        limits.spend_content("a")
    assert 0 < int(secondary.value.headers["Retry-After"]) <= 60
    limits.exhaust(remaining=0, reset_in_s=-1)
    limits.spend("a")


def test_rules_as_githubs_description_writes_them() -> None:
    assert openapi_path("/repos/<owner>/<repo>/commits/<path:ref>") == "/repos/{owner}/{repo}/commits/{ref}"


@pytest.mark.parametrize(
    ("url", "prefix"), [("127.0.0.1", ""), ("http://h/", ""), ("http://h", "api"), ("http://h", "/api/")]
)
def test_addresses_that_would_break_links(
    url: str, prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(ValueError, match="must"):
        Settings(tmp_path_factory.getbasetemp(), url, prefix)
