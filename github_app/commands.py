"""Commands in comments: `/raas run [SHA]` on a line of its own. Pure: text in, commands out.

A comment is Markdown, and people quote and show commands without meaning them. Lines inside fenced or
indented code, quotations, HTML comments (templates of pull requests hide hints there) and `<pre>` blocks
are therefore no commands. Case and surrounding space do not matter. A line that begins with `/raas` but
says nothing known is a `Mistake`, so that its author can be told instead of waiting in vain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

COMMANDS_MAX = 10
"""Commands heard in one comment; the rest is not read."""

USAGE = "`/raas run` runs the head of this pull request, `/raas run SHA` exactly that commit."


@dataclass(frozen=True)
class Run:
    """Run the pull request's head; `sha`, 7 to 40 lower-case hexadecimal digits, must name it where given."""

    sha: str | None = None


@dataclass(frozen=True)
class Mistake:
    """A line addressed to us that means nothing; `message` says what to write instead."""

    message: str


Command = Run | Mistake

_FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_ADDRESSED = re.compile(r"^ {0,3}/raas(?:\s+(?P<rest>.*))?$", re.IGNORECASE)
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<pre\b.*?(?:</pre\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_SHA = re.compile(r"^[0-9a-f]{7,40}$")
_NAME = re.compile(r"^[a-z-]{1,20}$")


def parse(body: str) -> list[Command]:
    """The commands in a comment's Markdown, in order, each once, at most `COMMANDS_MAX`."""
    found: dict[Command, None] = {}
    for line in _spoken(body):
        if match := _ADDRESSED.match(line):
            found.setdefault(_command((match["rest"] or "").lower().split()))
        if len(found) == COMMANDS_MAX:
            break
    return list(found)


def _command(words: list[str]) -> Command:
    if not words:
        return Mistake(f"`/raas` alone does nothing. {USAGE}")
    if words[0] != "run":
        named = f"`{words[0]}` is no command" if _NAME.match(words[0]) else "There is no such command"
        return Mistake(f"{named}. {USAGE}")
    if len(words) > 2 or (len(words) == 2 and not _SHA.match(words[1])):
        return Mistake(f"After `/raas run` there may be one commit, 7 to 40 hexadecimal digits. {USAGE}")
    return Run(words[1] if len(words) == 2 else None)


def _spoken(body: str) -> Iterator[str]:
    """The lines outside of code, quotations and hidden parts."""
    closing: re.Pattern[str] | None = None
    for line in _without_hidden(body).splitlines():
        if closing is not None:
            closing = None if closing.match(line) else closing
            continue
        if closing := _opened(line):
            continue
        if not line.startswith(("    ", "\t")) and not line.lstrip().startswith(">"):
            yield line.rstrip()


def _opened(line: str) -> re.Pattern[str] | None:
    """What closes the code block that `line` opens, if it opens one."""
    match = _FENCE.match(line)
    if match is None or (match["fence"][0] == "`" and "`" in match["info"]):
        return None
    return re.compile(rf"^ {{0,3}}{re.escape(match['fence'][0])}{{{len(match['fence'])},}}\s*$")


def _without_hidden(body: str) -> str:
    """Hidden parts replaced by something that begins no command, so that no line is glued together."""
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", body)
