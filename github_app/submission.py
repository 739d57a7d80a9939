"""What somebody asks for at `/submit`, read from the form. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from sqlalchemy import ColumnElement, func

from github_app.models import Repository
from github_app.records import UNINSTALLED

URL_MAX = 500
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FORM = "write it like {web}/owner/name"


class AskedError(ValueError):
    """The form cannot be understood; the message says what to write."""


@dataclass(frozen=True)
class Asked:
    """A repository, and what to run of it.

    Attributes:
        ref: A branch, tag or SHA; empty: the default branch.
        labels: What the robot must have; empty: as `.raas.yml` says.
        timeout_s: Longest time on the robot, per session [s]; None: as `.raas.yml` says.
        sessions: How many; None: one.
    """

    owner: str
    name: str
    ref: str = ""
    labels: tuple[str, ...] = ()
    simulated: bool = False
    timeout_s: float | None = None
    sessions: int | None = None

    @classmethod
    def of(cls, form: Mapping[str, str], web_url: str) -> Asked:
        """From the form's fields.

        Args:
            form: `url`, `ref`, `robot`, `simulated`, `timeout` and `sessions`, as they were typed.
            web_url: GitHub's address: repositories from elsewhere are refused.

        Raises:
            AskedError: One of them means nothing.
        """
        owner, name, ref = _repository(form.get("url", "").strip(), web_url)
        ref = form.get("ref", "").strip() or ref
        if len(ref) > 255 or not ref.isprintable():
            raise AskedError("That is no branch, tag or commit.")
        label = form.get("robot", "").strip().lower()
        if label and not _LABEL.fullmatch(label):
            raise AskedError("A robot's label has small letters, digits, dot, dash and underscore.")
        return cls(
            owner=owner,
            name=name,
            ref=ref,
            labels=(label,) if label else (),
            simulated=form.get("simulated") == "yes",
            timeout_s=_number(form.get("timeout", ""), "time", 1, 86_400),
            sessions=_whole(form.get("sessions", "")),
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))  # a list where it went through JSON

    @property
    def repository(self) -> str:
        """`owner/name`, as it was typed."""
        return f"{self.owner}/{self.name}"

    def names(self) -> tuple[ColumnElement[bool], ...]:
        """The condition under which a row has this name."""
        return (
            func.lower(Repository.owner) == self.owner.lower(),
            func.lower(Repository.name) == self.name.lower(),
        )

    def stranger(self) -> Repository:
        """A repository of this name of which nothing is known."""
        return Repository(
            id=0,
            installation_id=UNINSTALLED,
            owner=self.owner,
            name=self.name,
            private=True,
            default_branch="",
        )


def _repository(url: str, web_url: str) -> tuple[str, str, str]:
    """Owner, name and ref of an address at GitHub, or of `owner/name`."""
    form = _FORM.format(web=web_url)
    if not url or len(url) > URL_MAX or not url.isprintable():
        raise AskedError(f"Name a repository: {form}.")
    if "://" in url:
        host = urlsplit(url).netloc.lower().rpartition("@")[2].removeprefix("www.")
        if host != urlsplit(web_url).netloc.lower():
            raise AskedError(f"Only repositories at {web_url} can be run: {form}.")
        url = urlsplit(url).path
    parts = [unquote(part) for part in url.strip("/").split("/")]
    if len(parts) < 2:
        raise AskedError(f"That names no repository: {form}.")
    owner, name, *rest = parts
    name = name.removesuffix(".git")
    if not _NAME.fullmatch(owner) or not _NAME.fullmatch(name):
        raise AskedError(f"That names no repository: {form}.")
    ref = "/".join(rest[1:]) if rest and rest[0] in ("tree", "commit") else ""
    return owner, name, ref


def _number(text: str, what: str, low: float, high: float) -> float | None:
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise AskedError(f"The {what} must be between {low:g} and {high:g}.")
    return number


def _whole(text: str) -> int | None:
    number = _number(text, "number of sessions", 1, 100)
    if number is not None and number != int(number):
        raise AskedError("The number of sessions must be a whole one.")
    return None if number is None else int(number)
