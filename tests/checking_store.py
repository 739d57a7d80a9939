"""An S3 that looks at what it is given, as Amazon's does: a proxy that refuses content of another SHA-256.

What stands behind (`s3_server`) checks signatures and keeps whatever checksum is claimed.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_BAD = b"<Error><Code>BadDigest</Code><Message>The SHA-256 is another one.</Message></Error>"


@contextmanager
def checking(upstream: str) -> Iterator[str]:
    """Serve `upstream` (http://host:port) with the check; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            claimed = self.headers.get("x-amz-checksum-sha256")
            if claimed and claimed != base64.b64encode(hashlib.sha256(body).digest()).decode():
                self.answer(
                    400, [("Content-Type", "application/xml"), ("Content-Length", str(len(_BAD)))], _BAD
                )
                return
            behind = http.client.HTTPConnection(upstream.removeprefix("http://"), timeout=60)
            behind.request(self.command, self.path, body or None, dict(self.headers))
            response = behind.getresponse()
            self.answer(response.status, response.getheaders(), response.read())
            behind.close()

        do_GET = do_HEAD = do_PUT = do_DELETE = hand_on  # noqa: N815 - named by http.server

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
