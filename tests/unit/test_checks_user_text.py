"""Text of strangers, made harmless. Markdown is judged by an independent parser, as GitHub's would."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from github_app.user_text import FENCE_RUN_MAX, fenced, head, inline, one_line, plain, redacted, tail

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
hostile = st.text(
    alphabet=st.one_of(
        st.sampled_from("`~<>[]()!@#*_|\\\n\r\x1b\t:/&;-=.1 awgh\u202e\u200b"), st.characters()
    )
)
TABLE = ("table", "thead", "tbody", "tr", "th", "td")
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("10%\r50%\r100%\r\nnext", "100%\nnext"),
        ("a\x00b\x07c", "a\ufffdb\ufffdc"),
        ("user\u202etxt.exe", "user\ufffdtxt.exe"),
        ("in\u200bvisible\ufeff", "invisible"),
        ("tab\tkept\nline", "tab\tkept\nline"),
        ("\x1b]0;never closed\nnext line", "\nnext line"),
    ],
)
def test_plain_shows_what_a_terminal_would(raw: str, shown: str) -> None:
    assert plain(raw) == shown


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_" + "a1B2" * 9,
        "ghs_12345_" + "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl",
        "github_pat_" + "A" * 30,
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123-_",
        "hf_" + "x" * 34,
        "sk-" + "proj_" + "y" * 40,
        "xoxb-" + "1" * 20,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
        "https://user:hunter22@example.org/",
        "password = hunter2hunter2",
        "AWS_SECRET_ACCESS_KEY=abcdefghijklmnop",
        "Authorization: Bearer abcdefghijklmnop",
        "\x1b[1mghp_\x1b[0m" + "a1B2" * 9,
    ],
)
def test_secrets_are_removed(secret: str) -> None:
    shown = plain(f"before {secret} after")
    assert "removed" in shown
    for word in re.findall(r"[A-Za-z0-9]{8,}", plain(secret)):
        assert word in "https password secret removed example Authorization"


def test_the_rest_of_a_key_whose_beginning_was_cut_is_removed() -> None:
    assert "MIIE" not in redacted("MIIEpAIBAAKCAQEA1234\n-----END PRIVATE KEY-----\nnext")


@pytest.mark.parametrize(
    "text", ["return -312.5", "token 3 of 5", "e5a7c0de" * 5, "http://example.org/a:b@c"]
)
def test_ordinary_words_stay(text: str) -> None:
    assert plain(text) == text


@given(hostile)
def test_plain_is_visible_text_in_reading_order(raw: str) -> None:
    shown = plain(raw)
    shown.encode()
    for character in shown:
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        assert character not in BIDI
    assert plain(shown) == shown


@given(hostile, st.integers(1, 200))
def test_one_line_is_one_short_line(raw: str, length: int) -> None:
    shown = one_line(raw, length)
    assert len(shown) <= length
    assert "\n" not in shown


def blocks(text: str) -> list[str]:
    return [token.type for token in MARKDOWN.parse(text)]


@given(hostile)
@example("a | b")
@example("](http://evil.example)")
@example("1. list")
@example("&lt;script&gt;")
@example("## heading")
@example("- - list")
def test_inline_is_shown_literally(raw: str) -> None:
    """Parsed as Markdown, there is nothing but text, and the text is what was put in."""
    for before in ("### ", "- ", ""):
        plain_word = "x" if one_line(raw, 1000) else ""
        assert blocks(f"{before}{inline(raw)}") == blocks(f"{before}{plain_word}")
    tokens = MARKDOWN.parse(f"| a |\n|---|\n| x {inline(raw)} |")
    kinds = {token.type for token in tokens}
    assert kinds <= {"inline"} | {f"{part}_{side}" for part in TABLE for side in ("open", "close")}
    cell = [token for token in tokens if token.type == "inline"][-1]
    assert {child.type for child in cell.children or []} <= {"text", "text_special"}
    text = "".join(child.content for child in cell.children or []).replace("\u200b", "")
    assert text == " ".join(f"x {one_line(raw, 1000)}".split())


@given(hostile)
@example("@octocat")
@example("@lab/team www.evil.example https://evil.example #12 lab/r#12 GH-12")
def test_inline_leaves_nothing_for_github_to_link(raw: str) -> None:
    text = re.sub(r"\\(.)", r"\1", inline(raw))  # as it stands after Markdown
    assert not re.search(r"@[A-Za-z0-9]", text)
    assert not re.search(r"#\d", text)
    assert not re.search(r"(?i)://|\bwww\.|\bgh-\d", text)


@given(hostile)
@example("```\n# out\n```")
@example("`" * 1000)
@example("~~~\n</details>")
def test_a_fence_holds(raw: str) -> None:
    block = fenced(raw)
    tokens = MARKDOWN.parse(f"<details>\n\n{block}\n\n</details>\n")
    assert [token.type for token in tokens] == ["html_block", "fence", "html_block"]
    assert len(block.encode()) <= len(plain(raw).encode()) + 2 * (FENCE_RUN_MAX + 1) + 10


@given(st.text(), st.integers(0, 50))
def test_cuts_fit_and_end_with_whole_characters(text: str, size: int) -> None:
    for cut, where in ((head(text, size), text.startswith), (tail(text, size), text.endswith)):
        assert len(cut.encode()) <= size
        assert where(cut)


@pytest.mark.timeout(60)  # a second at most on an idle machine; minutes where time grows with the square
@pytest.mark.parametrize(
    "piece",
    [
        *("password", "a_", "://a", "://a:b", "x@", "`", "\r", "\x1b[", "eyJ", "eyJ-", "A" * 70 + "\n"),
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----\n",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    plain(text)
    fenced(text)
