"""A reader of server-sent events, over nothing but a socket: what it was sent is seen as it comes."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Message:
    """One event; `id` is empty where it has none of its own."""

    event: str
    data: Any
    id: str


class Stream:
    """One connection to a stream.

    Args:
        url: Where it is.
        last_id: Sent as `Last-Event-ID`.
        timeout_s: How long to wait for the next byte [s].
        trust: Whose certificates are good, for https.
    """

    def __init__(
        self, url: str, last_id: str = "", *, timeout_s: float = 60.0, trust: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        self._connection = (
            http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
            if trust is None
            else http.client.HTTPSConnection(parts.netloc, timeout=timeout_s, context=trust)
        )
        self._connection.connect()
        self.socket: socket.socket = self._connection.sock
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()
        self.status = self.answer.status
        self.comments = 0

    def __iter__(self) -> Iterator[Message]:
        fields: dict[str, str] = {}
        while line := self.answer.readline():
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                self.comments += 1
            elif text:
                name, _, value = text.partition(":")
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                yield Message(
                    fields.get("event", "message"), json.loads(fields["data"]), fields.get("id", "")
                )
                fields = {}
            else:
                fields = {}

    def close(self) -> None:
        """Hang up, in the middle of whatever comes."""
        self.answer.close()
        self._connection.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Reader:
    """What somebody knows of a job who reads its stream through all disconnections.

    Attributes:
        last_id: Where to go on.
        states: Kinds of its events, in order.
        logs: Lines by attempt, as text with line feeds.
        faults: What was lost or came twice.
        ended: The data of `end`, once it came.
    """

    last_id: str = ""
    states: list[str] = field(default_factory=list)
    logs: dict[int, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    heads: int = 0
    frames: list[Any] = field(default_factory=list)
    ended: dict[str, Any] | None = None

    def hear(self, message: Message) -> None:
        """Take a message in."""
        self.last_id = message.id or self.last_id
        if message.event == "state":
            self.states.append(message.data["kind"])
        elif message.event == "log":
            self._log(message.data)
        elif message.event == "head":
            self.heads += 1
        elif message.event == "telemetry":
            self.frames.append(message.data)
        elif message.event == "end":
            self.ended = message.data

    def _log(self, data: dict[str, Any]) -> None:
        so_far = self.logs.get(data["attempt"], "")
        if self.logs and data["attempt"] < max(self.logs):
            self.faults.append(f"attempt {data['attempt']} after {max(self.logs)}")
        if data["offset"] != len(so_far.encode()):
            self.faults.append(f"bytes {data['offset']} to {data['end']} after {len(so_far.encode())}")
        if data["line"] != so_far.count("\n") + 1:
            self.faults.append(f"line {data['line']} after {so_far.count(chr(10))}")
        lines = [line if isinstance(line, str) else _text(line) for line in data["lines"]]
        self.logs[data["attempt"]] = so_far + "\n".join(lines) + ("" if data["open"] else "\n")


def _text(line: dict[str, Any]) -> str:
    return "".join(text for text, _ in line["runs"])
