"""requirements.txt, read strictly: names, extras, version specifiers, markers and hashes, and nothing else.

pip's own format also takes URLs, paths, other files and options that name an index; each of them would let a
stranger choose what this machine talks to or reads. They are refused here, with the line and what to write
instead, and what pip gets is written anew from what was understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name

FILE_NAME = "requirements.txt"
SIZE_MAX = 64 * 1024
"""Longest file, bytes."""
COUNT_MAX = 200
"""Most requirements in it."""

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash=(\S*)")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_OPTION = re.compile(r"(?:^|\s)(-{1,2}[A-Za-z][\w-]*)")
_PATH = re.compile(r"^(?:[./~]|file:|[A-Za-z]:\\)|\.(?:whl|zip|tar\.gz|tar\.bz2)\b(?!.*@)", re.IGNORECASE)
_URL = re.compile(r"(?:^|@\s*)(?:[A-Za-z][\w.+-]*://|git\+|hg\+|svn\+|bzr\+)")


class RequirementsError(ValueError):
    """The file asks for something that is not accepted.

    Attributes:
        message: One sentence: what, and what to write instead.
        line: The offending line, from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True)
class Requirement:
    """One package asked for.

    Attributes:
        name: Its normalised name.
        text: As pip gets it, in one form for all ways of writing the same.
        line: Where it was asked for, from 1.
    """

    name: str
    text: str
    line: int


def parse(content: bytes) -> list[Requirement]:
    """The requirements in a file's `content`, in the order of the file.

    Raises:
        RequirementsError: It holds anything but names, extras, versions, markers and SHA-256 hashes.
    """
    if len(content) > SIZE_MAX:
        raise RequirementsError(f"the file is longer than {SIZE_MAX // 1024} kB; shorten it", 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RequirementsError("the file is not UTF-8 text; save it as such", line) from error
    found = [_requirement(line, number) for number, line in _logical_lines(text)]
    if len(found) > COUNT_MAX:
        raise RequirementsError(f"more than {COUNT_MAX} packages; name only what is imported", found[-1].line)
    return found


def normalised(requirements: list[Requirement]) -> str:
    """What pip gets: a line each, sorted, so that two ways of writing the same are the same."""
    return "".join(f"{text}\n" for text in sorted({item.text for item in requirements}))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, joined where they end in a backslash; each with its first line's number."""
    start, joined = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        start = start if joined else number
        bare = _COMMENT.sub("", line).rstrip()
        joined += bare.removesuffix("\\") + " "
        if not bare.endswith("\\"):
            if joined.strip():
                yield start, joined.strip()
            joined = ""
    if joined.strip():
        yield start, joined.strip()


def _requirement(line: str, number: int) -> Requirement:
    hashes = _HASH.findall(line)
    bare = _HASH.sub("", line).strip()
    _refuse(bare, number)
    if not all(map(_SHA256.fullmatch, hashes)):
        raise RequirementsError("only `--hash=sha256:…` with 64 hexadecimal digits is accepted", number)
    try:
        parsed = Parsed(bare)
    except InvalidRequirement as error:
        raise RequirementsError(
            f"`{bare[:80]}` is not a package with a version, such as `scipy>=1.10`", number
        ) from error
    if parsed.url is not None:
        raise RequirementsError(_NO_URL.format(bare[:80]), number)
    name = canonicalize_name(parsed.name)
    return Requirement(name, _text(name, parsed, sorted(set(hashes))), number)


def _text(name: str, parsed: Parsed, hashes: list[str]) -> str:
    extras = f"[{','.join(sorted(map(canonicalize_name, parsed.extras)))}]" if parsed.extras else ""
    marker = f"; {parsed.marker}" if parsed.marker else ""
    tail = "".join(f" --hash={item}" for item in hashes)
    return f"{name}{extras}{parsed.specifier}{marker}{tail}"


_NO_URL = "`{}` is a URL; name a package of the index with a version, or put the code into the repository"
_OPTIONS = {
    ("-r", "--requirement"): "other files are not read; write their lines into this one",
    ("-c", "--constraint"): "constraints are not read; write the versions into this file",
    (
        "-e",
        "--editable",
    ): "nothing is installed from a path; put the code into the repository, it is importable",
    ("-i", "--index-url", "--extra-index-url", "--no-index", "--trusted-host"): (
        "the robot's host names the package index; leave the option out"
    ),
    ("-f", "--find-links"): "the robot's host names the package index; leave the option out",
    ("--no-binary", "--only-binary", "--prefer-binary"): (
        "the robot's host decides whether packages may be built; leave the option out"
    ),
    ("--pre",): "name the pre-release itself, such as `jax==0.6.0rc1`, and leave the option out",
}


def _refuse(bare: str, number: int) -> None:
    """What pip would take and we do not, told in its own words."""
    if option := _OPTION.search(bare):
        name = option.group(1)
        short = name[:2] if not name.startswith("--") else name
        advice = next((text for names, text in _OPTIONS.items() if short in names), "leave the option out")
        raise RequirementsError(f"`{name}` is not accepted: {advice}", number)
    if _URL.search(bare):
        raise RequirementsError(_NO_URL.format(bare[:80]), number)
    if _PATH.search(bare):
        raise RequirementsError(
            f"`{bare[:80]}` is a path; nothing is installed from one: put the code into the repository",
            number,
        )
