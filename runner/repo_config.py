"""`.raas.yml`: what a repository asks for. Model, JSON Schema, and errors that name the line.

    version: 1
    robot: pendulum              # which kind of robot; labels narrow it: [pendulum, goose]
    run: python run.py           # a shell command, started in the repository's folder
    image: slim                  # slim | ml (adds PyTorch); absent: the host's choice
    requirements: requirements.txt   # absent: this one where it is there; false: install nothing
    timeout: 120                 # seconds on the robot
    on:                          # absent: every push and every pull request
      push: {branches: [main]}   # as `true`: every branch
      pull_request: true         # where `on` is given, only what it lists starts a job
    precheck: simulation         # run in simulation first, stop on failure
    require: {upright: 0.5}      # at least; or {max: 5} or {min: -500, max: -100} for one score
    artifacts: ["results/**"]    # which files below /artifacts are kept; absent: all

The file is written by strangers and read by the server: it is bounded in size, depth and count; anchors,
aliases and tags are refused; nothing in it is ever executed here. No file means `RepoConfig()`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_serializer,
)

from runner.globs import glob_match
from runner.protocol import Name
from runner.yaml_lines import Lines, Path, YamlError, load

FILE_NAME = ".raas.yml"
SIZE_MAX = 32 * 1024
"""Longest file, bytes."""
TIMEOUT_DEFAULT_S = 120.0
TIMEOUT_MAX_S = 24 * 3600.0
"""What the file may say [s]; the server's own maximum is lower."""


class RepoConfigError(ValueError):
    """The file is wrong.

    Attributes:
        message: One sentence: what, and what to write instead.
        line: The offending line, from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"{FILE_NAME} line {line}: {message}")
        self.message = message
        self.line = line


def _listed(value: Any) -> Any:
    """One item stands for a list of one."""
    return [value] if isinstance(value, str) else value


def _push(value: Any) -> Any:
    """`push: true` and a bare `push:` mean every branch, `push: false` means none."""
    if value is True or value is None:
        return {}
    return None if value is False else value


def _triggers(value: Any) -> Any:
    """`on: push` and `on: [push, pull_request]` are short forms."""
    names = _listed(value)
    if not isinstance(names, list):
        return value
    return dict.fromkeys((name if isinstance(name, str) else repr(name) for name in names), True)


def _requirement(value: Any) -> Any:
    """A bare number is a lower bound."""
    return {"min": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


def _inside(path: str) -> str:
    if path.startswith(("/", "~")) or "\\" in path or ".." in path.split("/"):
        raise ValueError("must be a path inside the repository")
    return path


_Line = StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_inside)]


class _Part(BaseModel):
    """Base of the model: an unknown key is a mistake of spelling, not a wish for later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class PushTrigger(_Part):
    """Which pushes start a job; `branches` are patterns (`release/*`), None is every branch."""

    branches: Annotated[list[Pattern] | None, BeforeValidator(_listed, json_schema_input_type=Any)] = Field(
        default=None, max_length=50
    )

    def matches(self, branch: str) -> bool:
        """Whether a push to `branch` (without `refs/heads/`) starts a job."""
        return self.branches is None or any(glob_match(pattern, branch) for pattern in self.branches)


class Triggers(_Part):
    """What starts a job by itself; the comment `/raas run` and the web form always may."""

    push: Annotated[
        PushTrigger | None, BeforeValidator(_push, json_schema_input_type=PushTrigger | bool | None)
    ] = None
    pull_request: bool = False

    @field_serializer("push")
    def _push_as_written(self, push: PushTrigger | None) -> PushTrigger | bool:
        return push or False  # null would be read as a bare `push:`


class Requirement(_Part):
    """The bounds one score must keep, each included."""

    min: float | None = None
    max: float | None = None

    def met_by(self, value: float | None) -> bool:
        """Whether `value` is known and within the bounds."""
        if value is None:
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        parts = [("at least", self.min), ("at most", self.max)]
        return " and ".join(f"{word} {bound:g}" for word, bound in parts if bound is not None)


Score = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class RepoConfig(_Part):
    """The file, checked, with defaults filled in. Also valid as the `config` of `protocol.ClaimedJob`.

    Attributes:
        version: Of this format.
        robot: Labels a robot must all have; the first is its kind.
        run: Shell command, started in the repository's folder.
        image: Which base image; None is the host's choice.
        requirements: Path of a requirements file; None is `requirements.txt` if there is one, False is none.
        timeout: Longest time on the robot, per session [s].
        on: What starts a job by itself.
        precheck: Whether to run in simulation first.
        require: Bounds on scores; success needs all of them.
        artifacts: Patterns of the files below `/artifacts` that are kept.
    """

    version: Literal[1] = 1
    robot: Annotated[list[Name], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = Field(
        default=["pendulum"], min_length=1, max_length=8
    )
    run: Annotated[str, _Line] = "python run.py"
    image: Literal["slim", "ml"] | None = None
    requirements: Pattern | Literal[False] | None = None
    timeout: float = Field(default=TIMEOUT_DEFAULT_S, ge=1, le=TIMEOUT_MAX_S)
    on: Annotated[Triggers, BeforeValidator(_triggers, json_schema_input_type=Triggers | str | list[str])] = (
        Triggers(push=PushTrigger(), pull_request=True)
    )
    precheck: Literal["simulation"] | None = None
    require: dict[
        Score,
        Annotated[Requirement, BeforeValidator(_requirement, json_schema_input_type=float | Requirement)],
    ] = Field(default={}, max_length=20)
    artifacts: Annotated[list[Pattern], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = (
        Field(default=["**"], max_length=50)
    )

    def keeps(self, name: str) -> bool:
        """Whether the file `name` below `/artifacts` is kept."""
        return any(glob_match(pattern, name) for pattern in self.artifacts)


def parse(text: str | bytes) -> RepoConfig:
    """The configuration in `text`, the content of a `.raas.yml`.

    Raises:
        RepoConfigError: It is not one; with the line.
    """
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > SIZE_MAX:
        raise RepoConfigError(f"the file is longer than {SIZE_MAX // 1024} kB; shorten it", 1)
    try:
        data, lines = load(raw)
    except YamlError as error:
        raise RepoConfigError(str(error), error.line) from error
    if data is None:
        return RepoConfig()
    if not isinstance(data, dict):
        raise RepoConfigError("the file must hold `key: value` lines, such as `run: python run.py`", 1)
    try:
        return RepoConfig.model_validate(data)
    except ValidationError as error:
        raise _explained(error, lines) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    schema = RepoConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": FILE_NAME}


def _explained(error: ValidationError, lines: Lines) -> RepoConfigError:
    """The first mistake in the order of the file."""
    found = [(lines.of(_path(item["loc"])), _sentence(dict(item))) for item in error.errors()]
    line, sentence = min(found)
    return RepoConfigError(sentence, line)


def _path(loc: tuple[int | str, ...]) -> Path:
    found = tuple(part for part in loc if part != "[key]")
    return found[:1] if found[:1] == ("requirements",) else found  # what follows are names of our own types


def _sentence(item: dict[str, Any]) -> str:
    path = _path(item["loc"])
    name = ".".join(str(part) for part in path)
    kind, context = item["type"], item.get("ctx", {})
    if name == "requirements":  # a path or false: what pydantic says of each is no help
        return f"`requirements` must be a path inside the repository, or false, not {_shown(item['input'])}"
    if kind == "model_type" and path[0] == "require":
        return f"`{name}` must be a number, or a mapping of min and max, not {_shown(item['input'])}"
    if kind == "extra_forbidden":
        return f"unknown key `{name}`{_suggestion(path)}"
    if kind in _WORDS:
        return f"`{name}` {_WORDS[kind](context, item['input'])}"
    return f"`{name}`: {item['msg'].removeprefix('Value error, ')}"


_WORDS: dict[str, Callable[[dict[str, Any], Any], str]] = {
    "string_type": lambda _, value: (
        f"must be text, not {_shown(value)}; put it in quotes if it is meant as text"
    ),
    "string_pattern_mismatch": lambda _, value: f"has characters that are not allowed: {_shown(value)}",
    "string_too_short": lambda *_: "must not be empty",
    "string_too_long": lambda context, _: f"must be at most {context['max_length']} characters long",
    "float_type": lambda _, value: f"must be a number, not {_shown(value)}",
    "bool_type": lambda _, value: f"must be true or false, not {_shown(value)}",
    "list_type": lambda _, value: f"must be text or a list, not {_shown(value)}",
    "dict_type": lambda _, value: f"must be a mapping such as {{upright: 0.5}}, not {_shown(value)}",
    "model_type": lambda _, value: f"must be a mapping, not {_shown(value)}",
    "literal_error": lambda context, value: f"must be {context['expected']}, not {_shown(value)}",
    "greater_than_equal": lambda context, _: f"must be at least {context['ge']:g}",
    "less_than_equal": lambda context, _: f"must be at most {context['le']:g}",
    "too_long": lambda context, _: f"has too many entries; at most {context['max_length']} are allowed",
    "too_short": lambda *_: "must not be empty",
}


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _suggestion(path: Path) -> str:
    """The nearest known key at this place, or the list of all."""
    model: type[BaseModel] = (RepoConfig, Triggers, PushTrigger)[min(len(path), 3) - 1]
    if path[0] == "require":
        model = Requirement
    known = list(model.model_fields)
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"
