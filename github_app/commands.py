"""Commands in comments: `/raas run`, `cancel`, `status`, `help`, each on a line of its own. Pure.

A comment is Markdown, and people quote and show commands without meaning them. Lines inside fenced or
indented code, code spans, quotations, HTML comments (templates of pull requests hide hints there) and `<pre>`
blocks are therefore no commands. Case and surrounding space do not matter, except in the name of a branch. A
line that begins with `/raas` but says nothing known is a `Mistake`, so that its author can be told instead of
waiting in vain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

COMMANDS_MAX = 10
"""Commands heard in one comment; the rest is not read."""
LABELS_MAX = 7
"""Labels of one run, beside the robot's kind."""

USAGE = """\
| command | what it does |
|---|---|
| `/raas run` | runs the head of this pull request |
| `/raas run SHA` | exactly that commit, if it is the head; a pull request from a fork needs the whole SHA |
| `… --robot LABEL` | on a robot with this label |
| `… --sim` | on a simulated robot |
| `… --timeout S` | at most so many seconds on the robot |
| `… -n N` | N sessions in one job |
| `… --ref REF` | the head of another branch or tag of this repository |
| `/raas cancel` | cancels what waits or runs for this pull request; `/raas cancel JOB` one job |
| `/raas status` | says how this pull request's jobs stand |
| `/raas help` | says this |"""


@dataclass(frozen=True)
class Run:
    """Run a commit.

    Attributes:
        sha: 7 to 40 lower-case hexadecimal digits that must name the head, where given.
        labels: What the robot must have, instead of what `.raas.yml` says beside its kind.
        simulated: On a simulated robot, and no other.
        timeout_s: Longest time on the robot, per session [s]; None: as `.raas.yml` says.
        sessions: How many sessions; None: one.
        ref: A branch or tag of the repository instead of the pull request's head.
    """

    sha: str | None = None
    labels: tuple[str, ...] = ()
    simulated: bool = False
    timeout_s: float | None = None
    sessions: int | None = None
    ref: str | None = None


@dataclass(frozen=True)
class Cancel:
    """Cancel one job, or all of this pull request."""

    job: int | None = None


@dataclass(frozen=True)
class Status:
    """Say how the pull request's jobs stand."""


@dataclass(frozen=True)
class Help:
    """Say what can be said."""


@dataclass(frozen=True)
class Mistake:
    """A line addressed to us that means nothing; `message` says what to write instead."""

    message: str


Command = Run | Cancel | Status | Help | Mistake

_FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_ADDRESSED = re.compile(r"^ {0,3}/raas(?:\s+(?P<rest>.*))?$", re.IGNORECASE)
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<pre\b.*?(?:</pre\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_TICKS = re.compile(r"`+")
_SHA = re.compile(r"^[0-9a-f]{7,40}$")
_NAME = re.compile(r"^[a-z-]{1,20}$")
_LABEL = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")
_REF = re.compile(r"^(?!.*(?:\.\.|//|\.lock$|[/.]$))[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}$")
_JOB = re.compile(r"^#?(?P<number>[1-9][0-9]{0,17})$")
_NUMBER = re.compile(r"^[0-9]{1,6}(?:\.[0-9]{1,3})?$")
_OPTION = re.compile(r"^(?:-{1,2}|[\u2013\u2014])(?=[a-z])", re.IGNORECASE)
"""Phones and word processors make one dash of two."""
_REPLACED = "\N{REPLACEMENT CHARACTER}"
"""Begins no command."""
_HINT = "Comment `/raas help` to see all commands."


def parse(body: str) -> list[Command]:
    """The commands in a comment's Markdown, in order, each once, at most `COMMANDS_MAX`."""
    found: dict[Command, None] = {}
    for line in _spoken(body):
        if match := _ADDRESSED.match(line):
            found.setdefault(_command((match["rest"] or "").split()))
        if len(found) == COMMANDS_MAX:
            break
    return list(found)


def _command(words: list[str]) -> Command:
    if not words:
        return Mistake(f"`/raas` alone does nothing; `/raas run` runs this pull request's head. {_HINT}")
    name = words[0].lower()
    if name not in _PARSERS:
        named = f"`{name}` is no command" if _NAME.match(name) else "There is no such command"
        return Mistake(f"{named}; `/raas run` runs this pull request's head. {_HINT}")
    return _PARSERS[name](words[1:])


def _alone(command: Command, rest: list[str]) -> Command:
    name = type(command).__name__.lower()
    return Mistake(f"`/raas {name}` takes no further words. {_HINT}") if rest else command


def _cancel(rest: list[str]) -> Command:
    if not rest:
        return Cancel()
    match = _JOB.match(rest[0])
    if len(rest) > 1 or match is None:
        return Mistake(f"After `/raas cancel` there may be the number of one job. {_HINT}")
    return Cancel(int(match["number"]))


def _run(rest: list[str]) -> Command:
    command, words = Run(), _options(rest)
    while words:
        word = words.pop(0)
        option = _OPTION.sub("", word).lower() if _OPTION.match(word) else None
        if option in ("sim", "simulation", "simulated"):
            command = replace(command, simulated=True)
        elif option in _VALUES:
            changed = _VALUES[option](command, words.pop(0)) if words else None
            if changed is None:
                return Mistake(f"`/raas run`: {_WANTED[option]}. {_HINT}")
            command = changed
        elif option is None and command.sha is None and _SHA.match(word.lower()):
            command = replace(command, sha=word.lower())
        else:
            return Mistake(f"`/raas run`: {_unknown(word, option)}. {_HINT}")
    if command.simulated and "hardware" in command.labels:
        return Mistake(f"`/raas run`: it is either `--sim` or `--robot hardware`. {_HINT}")
    return command


def _options(words: list[str]) -> list[str]:
    """`--robot=goose` as two words."""
    return [
        part
        for word in words
        for part in (word.split("=", 1) if _OPTION.match(word) and "=" in word else [word])
    ]


def _unknown(word: str, option: str | None) -> str:
    if option is not None:
        shown = f"`--{option}` is no option" if _NAME.match(option) else "there is no such option"
        return f"{shown}; there are `--robot`, `--sim`, `--timeout`, `-n` and `--ref`"
    if _NAME.match(word):
        return f"`{word}` is no commit; for a branch or tag write `--ref` and its name"
    return "besides options there may be one commit, 7 to 40 hexadecimal digits"


def _labelled(command: Run, value: str) -> Run | None:
    labels = tuple(label for label in value.lower().split(",") if label)
    if not labels or not all(map(_LABEL.match, labels)):
        return None
    together = tuple(dict.fromkeys((*command.labels, *labels)))
    return replace(command, labels=together) if len(together) <= LABELS_MAX else None


def _timed(command: Run, value: str) -> Run | None:
    number = value.lower().removesuffix("s")
    return replace(command, timeout_s=float(number)) if _NUMBER.match(number) and float(number) >= 1 else None


def _repeated(command: Run, value: str) -> Run | None:
    return replace(command, sessions=int(value)) if re.match(r"^[1-9][0-9]{0,5}$", value) else None


def _elsewhere(command: Run, value: str) -> Run | None:
    return replace(command, ref=value) if _REF.match(value) else None


_VALUES: dict[str | None, Callable[[Run, str], Run | None]] = {
    "robot": _labelled,
    "timeout": _timed,
    "n": _repeated,
    "ref": _elsewhere,
}
_WANTED: dict[str | None, str] = {
    "robot": f"after `--robot` comes the label of a robot, like `--robot goose` (at most {LABELS_MAX})",
    "timeout": "after `--timeout` come seconds, 1 or more, like `--timeout 60`",
    "n": "after `-n` comes how many sessions, like `-n 5`",
    "ref": "after `--ref` comes the name of a branch or tag, like `--ref main`",
}
_PARSERS: dict[str, Callable[[list[str]], Command]] = {
    "run": _run,
    "cancel": _cancel,
    "status": partial(_alone, Status()),
    "help": partial(_alone, Help()),
}


def _spoken(body: str) -> Iterator[str]:
    """The lines outside of code, quotations and hidden parts."""
    paragraph: list[str] = []
    for line in [*_outside_blocks(body), ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield from _without_spans("\n".join(paragraph)).split("\n")
            paragraph = []


def _without_spans(paragraph: str) -> str:
    """Code spans replaced, which end with as many backticks as they begin with and may reach over lines."""
    runs = list(_TICKS.finditer(paragraph))
    later: dict[int, list[int]] = {}
    for index in range(len(runs) - 1, -1, -1):
        later.setdefault(len(runs[index][0]), []).append(index)
    kept, position, index = "", 0, 0
    while index < len(runs):
        same = later[len(runs[index][0])]
        while same and same[-1] <= index:
            same.pop()
        if same:
            kept += paragraph[position : runs[index].start()] + _REPLACED
            index = same[-1]
            position = runs[index].end()
        index += 1
    return kept + paragraph[position:]


def _outside_blocks(body: str) -> Iterator[str]:
    """The lines, with an empty one for each that is code or quotation: spans do not reach over them."""
    closing: re.Pattern[str] | None = None
    for line in _without_hidden(body).splitlines():
        if closing is not None:
            closing = None if closing.match(line) else closing
            yield ""
        elif closing := _opened(line):
            yield ""
        else:
            quoted = line.startswith(("    ", "\t")) or line.lstrip().startswith(">")
            yield "" if quoted else line.rstrip()


def _opened(line: str) -> re.Pattern[str] | None:
    """What closes the code block that `line` opens, if it opens one."""
    match = _FENCE.match(line)
    if match is None or (match["fence"][0] == "`" and "`" in match["info"]):
        return None
    return re.compile(rf"^ {{0,3}}{re.escape(match['fence'][0])}{{{len(match['fence'])},}}\s*$")


def _without_hidden(body: str) -> str:
    """Hidden parts replaced, so that no line is glued together."""
    return _HIDDEN.sub(_REPLACED, body)
