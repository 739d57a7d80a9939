"""Text that strangers wrote, made harmless before anybody else sees it. Pure.

A job's log, its error messages and file names come from code nobody here has read. `plain` takes out what
deceives a reader (terminal escapes, control and bidirectional characters) and what looks like a secret;
everything shown passes through it. `inline` and `fenced` put the result into GitHub's Markdown so that
none of it acts: no heading, link, image, HTML or mention.
"""

from __future__ import annotations

import re

REPLACED = "\N{REPLACEMENT CHARACTER}"
REMOVED = "[secret removed]"
FENCE_RUN_MAX = 20
"""Longer runs of backticks are shortened, which bounds the fence around them."""
_BREAK = "\N{ZERO WIDTH SPACE}"

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC: window titles, links
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"
)
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # all but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional
    "\ud800-\udfff]"
)
_INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b-\u200d\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SEPARATORS = re.compile("[\u2028\u2029]")

_SECRETS = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)"
    r"|\bgh[pousr]_[\w.-]{16,}"
    r"|\bgithub_pat_\w{20,}"
    r"|\beyJ[\w-]{8,2000}\.[\w-]{8,}\.[\w-]*"  # JSON web tokens
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{35}"
    r"|\b(?:glpat-|xox[abeprs]-|sk-|sk_live_|rk_live_|hf_|npm_|pypi-|dop_v1_)[\w-]{16,}"
    r"|\braas[a-z]{0,10}_[\w-]{20,}"
    r"|(?<=://)[^\s/:@]{1,200}:[^\s/@]{1,200}(?=@)"  # user:password@ in a URL
)
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}")
_ASSIGNED = re.compile(
    r"(?i)\b((?:[a-z0-9]{1,30}_){0,4}(?:password|passwd|secret|api_?key|access_key|token)[\"']?\s{0,3}[=:]\s{0,3}"
    r"[\"']?|authorization:\s{0,3}\w{1,20}\s{1,3}|bearer\s{1,3})([^\s\"']{8,})"
)
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~$&])")
_BEGINNING = re.compile(r"^(\d{0,9})([-+.)=])")
"""What would make a list or a heading of a line that begins with it."""


def plain(text: str) -> str:
    """The text as a reader may see it: lines of visible characters in reading order, without secrets.

    A line that was overwritten (carriage returns, as progress bars do) is left as it ended. The number of
    lines is unchanged, except where a private key stood.
    """
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    text = _INVISIBLE.sub("", _CONTROL.sub(REPLACED, _SEPARATORS.sub(" ", text)))
    return redacted(text)


def redacted(text: str) -> str:
    """The text without what looks like a secret: known forms of tokens, keys, passwords in URLs."""
    return _ASSIGNED.sub(rf"\1{REMOVED}", _SECRETS.sub(REMOVED, _without_cut_key(text)))


def _without_cut_key(text: str) -> str:
    """Without the rest of a private key whose beginning was cut off above."""
    end = _KEY_END.search(text)
    if end is None or "PRIVATE KEY-----" in text[: end.start()]:
        return text
    before = text[: end.start()].split("\n")
    while len(before) > 1 and _KEY_LINE.fullmatch(before[-2]):
        del before[-2]
    return "\n".join([*before[:-1], REMOVED]) + text[end.end() :]


def one_line(text: str, length: int) -> str:
    """Plain text on one line, at most `length` characters."""
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"


def inline(text: str, length: int = 1000) -> str:
    """Plain text as part of a Markdown line that shows it literally.

    Markdown's own characters are escaped. What GitHub makes of finished text (mentions, links from bare
    addresses, references to issues) escapes would not stop, so an invisible character breaks those up.
    """
    flat = _BEGINNING.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", one_line(text, length)))
    flat = flat.replace("@", f"@{_BREAK}").replace("://", f":{_BREAK}//").replace(r"\#", rf"\#{_BREAK}")
    return re.sub(r"(?i)\b(www(?=\.)|gh(?=-\d))", rf"\1{_BREAK}", flat)


def fenced(text: str) -> str:
    """Plain text as a code block that it cannot end: the fence is longer than any run of backticks in it."""
    body = re.sub(rf"`{{{FENCE_RUN_MAX},}}", "`" * FENCE_RUN_MAX, plain(text))
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{body}\n{fence}"


def tail(text: str, size: int) -> str:
    """The end of the text, at most `size` bytes of UTF-8, beginning with a whole character."""
    return text.encode()[-size:].decode(errors="ignore") if size > 0 else ""


def head(text: str, size: int) -> str:
    """The beginning of the text, at most `size` bytes of UTF-8, ending with a whole character."""
    return text.encode()[:size].decode(errors="ignore") if size > 0 else ""
