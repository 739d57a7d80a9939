"""The Python traceback in a log: what to tell, and which line of the repository to mark. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from runner.hardening import SOURCE_DIR
from runner.protocol import Annotation


@dataclass(frozen=True)
class Traceback:
    """The last Python traceback of a log.

    Attributes:
        error: Its last line, such as `ValueError: no`.
        path: The innermost file of the repository on the way, or empty.
        line: The line in it.
        text: All of it.
    """

    error: str
    path: str
    line: int
    text: str


_START = "Traceback (most recent call last):"
_FRAME = re.compile(r'^ {2}File "([^"\n]{1,500})", line (\d{1,7})(?:, in .*)?$')
_ERROR = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$")
_TRACEBACK_LINES_MAX = 400
_NO_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]{1,100})'$")


def traceback(log: str) -> Traceback | None:
    """The last traceback in `log`, where it has one."""
    start = log.rfind(_START)
    if start < 0:
        return _syntax_error(log)
    lines = log[start:].splitlines()[:_TRACEBACK_LINES_MAX]
    end = next((i for i, line in enumerate(lines[1:], 1) if line and not line.startswith(" ")), None)
    if end is None or not _ERROR.match(lines[end]):
        return None
    return _located(lines[: end + 1], lines[end])


def advice(error: str) -> str:
    """What to do about an error, a sentence; empty where the error says it itself."""
    found = _NO_MODULE.match(error)
    if found is None:
        return ""
    if found[1].partition(".")[0] == "torch":
        return "`image: ml` in .raas.yml has it."
    return "If it is a package, name it in requirements.txt."


def _syntax_error(log: str) -> Traceback | None:
    """A syntax error in the main file has frames but no heading."""
    lines = log.splitlines()[-20:]
    for end in range(len(lines) - 1, 0, -1):
        if re.match(r"^(SyntaxError|IndentationError|TabError): ", lines[end]):
            starts = [i for i in range(end) if _FRAME.match(lines[i])]
            return _located(lines[starts[-1] : end + 1], lines[end]) if starts else None
    return None


def _located(lines: list[str], error: str) -> Traceback:
    frames = [match for match in map(_FRAME.match, lines) if match]
    prefix = SOURCE_DIR + "/"
    ours = [(m[1].removeprefix(prefix), int(m[2])) for m in frames if m[1].startswith(prefix)]
    path, line = ours[-1] if ours else ("", 0)
    return Traceback(error, path, line, "\n".join(lines))


def marks(log: str, is_file: Callable[[str], bool]) -> list[Annotation]:
    """A remark on the repository's line where the program crashed, if it is the repository's.

    Args:
        log: The end of the output.
        is_file: Whether a path names a file of the repository: output can claim anything.
    """
    found = traceback(log)
    if found is None or not found.path or found.line < 1 or len(found.path) > 500 or not is_file(found.path):
        return []
    return [
        Annotation(
            path=found.path,
            line=found.line,
            title=found.error[:255],
            message=found.text[-4000:] or found.error,
        )
    ]
