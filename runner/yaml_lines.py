"""A small, bounded YAML: plain data with the line of every key and value.

Of YAML, the mappings, lists and scalars of its core schema (so `on` is a word, not a truth value). Refused
are anchors, aliases, tags, several documents and duplicate keys: mistakes or attacks, in a file this small.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import yaml

DEPTH_MAX = 8
NODES_MAX = 2000

Path: TypeAlias = tuple[int | str, ...]


class YamlError(ValueError):
    """Not acceptable; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Lines:
    """Where each part of the document stands."""

    def __init__(self) -> None:
        self._lines: dict[Path, int] = {}

    def put(self, path: Path, line: int) -> None:
        """Note that `path` stands on `line`."""
        self._lines[path] = line

    def __contains__(self, path: Path) -> bool:
        return path in self._lines

    def of(self, path: Path) -> int:
        """The line of `path`, or of the nearest part around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


_SCALARS = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,18}"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)


def load(raw: bytes) -> tuple[Any, Lines]:
    """The document in `raw` (UTF-8) as plain data, None where it is empty, and its lines.

    Raises:
        YamlError: It is not YAML, or more than this module accepts.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError("the file is not UTF-8 text", raw[: error.start].count(b"\n") + 1) from error
    try:
        _check(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be read"
        raise YamlError(f"this is not valid YAML: {problem}", mark.line + 1 if mark else 1) from error
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        raise YamlError(
            "the file holds a character that YAML does not allow", text.count("\n", 0, position) + 1
        ) from error
    lines = Lines()
    return (None if node is None else _value(node, (), lines)), lines


def _check(text: str) -> None:
    """Walk the events, which need no recursion, and refuse what could blow up later."""
    if max(map(text.count, "[{")) > NODES_MAX:  # the parser's own work grows with the square of them
        raise YamlError("this is nested too deeply or has too many entries", 1)
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if getattr(event, "anchor", None) is not None:
            raise YamlError(
                "anchors (&) and aliases (*) are not accepted; write the value out, or in quotes", line
            )
        if (tag := getattr(event, "tag", None)) is not None:
            raise YamlError(f"tags such as `{tag[:40]}` are not accepted; leave it out", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        if documents > 1:
            raise YamlError("only one document is accepted; remove `---`", line)
        if depth > DEPTH_MAX or nodes > NODES_MAX:
            raise YamlError("this is nested too deeply or has too many entries", line)


def _value(node: yaml.Node, path: Path, lines: Lines) -> Any:
    if path not in lines:
        lines.put(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines) for index, item in enumerate(node.value)]
    style = node.style if isinstance(node, yaml.ScalarNode) else None
    return _scalar(str(node.value), style)


def _mapping(node: yaml.MappingNode, path: Path, lines: Lines) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlError("a key must be a plain word", line)
        key = str(key_node.value)
        if key in result:
            raise YamlError(f"the key `{key[:60]}` is there twice; keep one", line)
        lines.put((*path, key), line)
        result[key] = _value(value_node, (*path, key), lines)
    return result


def _scalar(text: str, style: str | None) -> Any:
    if style in ("'", '"', "|", ">"):
        return text
    for pattern, convert in _SCALARS:
        if pattern.fullmatch(text):
            return convert(text)
    return text
