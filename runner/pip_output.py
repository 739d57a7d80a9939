"""What pip printed, as a sentence for whoever wrote the requirements. Pure."""

from __future__ import annotations

import re

from runner.visible import one_line

LENGTH_MAX = 700
_LINES_MAX = 12
_ERROR = "ERROR:"
_ASIDE = "ERROR: Ignored the following"
_VERSIONS = re.compile(r"\(from versions: (?:[^,()]+, ){3,}((?:[^,()]+, ){4}[^,()]+)\)")
"""All there are, by age; what is wrong stands behind them."""
_OUR_COPY = re.compile(r" \(from -r \S+ \(line \d+\)\)")
_GATEWAY = re.compile(r"http://127\.0\.0\.1:\d+/(?:simple|file)/\S*")


def reason(output: str) -> str:
    """What went wrong, in a line and in pip's words, less what says nothing to anybody but us."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(_ASIDE)]
    start = next((n for n, line in enumerate(lines) if line.startswith(_ERROR)), max(len(lines) - 1, 0))
    told = " ".join(line.removeprefix(_ERROR).strip() for line in lines[start : start + _LINES_MAX])
    told = _OUR_COPY.sub("", _GATEWAY.sub("the package index", told))
    told = one_line(_VERSIONS.sub(r"(from versions: …, \1)", told)).rstrip(".") or "pip gave no reason"
    return told if len(told) <= LENGTH_MAX else told[: LENGTH_MAX - 1] + "…"
