"""A line that breaks: an HTTP proxy that hands requests on and does something to some of the answers.

Which request meets which trouble comes from a seed. What a trouble does to a request matters as much as what
it does to the answer: after `UNHEARD` nothing has happened, after all others everything has.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Trouble(Enum):
    """What happens to one exchange."""

    UNHEARD = "answered 502, never handed on"
    LOST = "handed on, hung up without an answer"
    CUT = "hung up in the middle of the answer"
    STALLED = "half an answer, then silence"
    SLOW = "the answer in small pieces"
    REPLACED = "handed on, answered 503"


class FaultyProxy:
    """One proxy for one server.

    Attributes:
        upstream: Where requests go, as `http://host:port`; set it before the first one.
        share: Part of the requests that meet trouble, 0 to 1.
        met: How many requests met which trouble.
    """

    def __init__(self, seed: int, *, silence_s: float) -> None:
        self.upstream = ""
        self.share = 0.0
        self.met: Counter[Trouble] = Counter()
        self.silence_s = silence_s
        self.closing = threading.Event()
        self._random = random.Random(seed)  # the same troubles each time
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))

    @property
    def url(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def pick(self) -> Trouble | None:
        """The next request's trouble."""
        with self._lock:
            if self._random.random() >= self.share:
                return None
            trouble = self._random.choice(list(Trouble))
            self.met[trouble] += 1
            return trouble


@contextmanager
def faulty_proxy(seed: int, *, silence_s: float = 6.0) -> Iterator[FaultyProxy]:
    """A proxy that runs; without trouble until `share` is set.

    Args:
        seed: Of the troubles.
        silence_s: How long a stalled answer is silent before the proxy hangs up [s].
    """
    proxy = FaultyProxy(seed, silence_s=silence_s)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        proxy.server.shutdown()
        thread.join()
        proxy.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = self.proxy.pick()
        answer = _plain(502) if trouble is Trouble.UNHEARD else self._forward(body)
        if trouble is Trouble.REPLACED:
            answer = _plain(503)
        with suppress(OSError):  # the client may have given up
            self._answer(answer, trouble)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815  # the base class's names

    def _forward(self, body: bytes) -> bytes:
        there = urlsplit(self.proxy.upstream)
        line = http.client.HTTPConnection(there.hostname or "", there.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        try:
            line.request(self.command, self.path, body or None, {**headers, "Connection": "close"})
            got = line.getresponse()
            content = got.read()
        except OSError:
            return _plain(502)
        finally:
            line.close()
        ended = ("transfer-encoding", "content-length", "connection")
        kept = [(name, value) for name, value in got.getheaders() if name.lower() not in ended]
        return _message(got.status, kept, content)

    def _answer(self, answer: bytes, trouble: Trouble | None) -> None:
        self.close_connection = True
        if trouble is Trouble.LOST:
            return
        if trouble in (Trouble.CUT, Trouble.STALLED):
            self.wfile.write(answer[: len(answer) // 2])
            self.wfile.flush()
            if trouble is Trouble.STALLED:
                self.proxy.closing.wait(self.proxy.silence_s)
            return
        if trouble is Trouble.SLOW:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            step = max(1, len(answer) // 20)
            for begin in range(0, len(answer), step):
                self.wfile.write(answer[begin : begin + step])
                self.wfile.flush()
                time.sleep(0.02)  # that is the trouble
            return
        self.wfile.write(answer)


def _plain(status: int) -> bytes:
    return _message(status, [("Content-Type", "text/plain")], b"the line is bad")


def _message(status: int, headers: list[tuple[str, str]], content: bytes) -> bytes:
    reason = http.client.responses.get(status, "")
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + content
