"""What an installation sees of the network: the host's package index, as a server on a Unix socket.

A build container has no network. pip in it asks this process for pages of packages (`/simple/NAME/`, PEP
691) and for the files those pages list (`/file/N/FILENAME`), and for nothing else: a file is asked for by its
number in a page that was handed out, so no URL of a requirements file's author is ever fetched. The index's
address, its password and the machine's certificates stay here.

Files may lie elsewhere than the index, as the index says: at any public address by HTTPS, never at an address
inside the host's own network unless the index itself is there.

Started by `runner.dependencies` as a process of its own (`python -m runner.package_index`), away from the
runner's token, with its settings as JSON on the standard input. It ends when that is closed.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from html.parser import HTMLParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

import requests

SOCKET = "index.sock"
PAGE_MAX = 64 * 1024 * 1024
"""Longest page of an index, bytes."""
ASKED_MAX = 10_000
"""Most requests of one installation."""
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_NAME = re.compile(r"/simple/([a-z0-9][a-z0-9-]*)/")
_FILE = re.compile(r"/file/(\d{1,9})/[^/]+?(\.metadata)?")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*\.(?:whl|tar\.gz|zip)")
_CHUNK = 256 * 1024
_TIMEOUT_S = (10.0, 60.0)
_HOPS = 5


@dataclass(frozen=True)
class IndexSettings:
    """What one installation may reach.

    Attributes:
        folder: Where the socket is made.
        urls: The indexes' base URLs; the first that knows a package does not hide the others.
        bytes_max: Most bytes it may fetch.
        cert: A file of certificates, or empty for the usual ones.
        cpus: Processors this process may use; empty for all.
    """

    folder: str
    urls: list[str]
    bytes_max: int
    cert: str = ""
    cpus: list[int] = field(default_factory=list)

    def to_json(self) -> str:
        """For the process's standard input."""
        return json.dumps(asdict(self))


class RefusedError(Exception):
    """The index or a limit says no; the message is for the installation's log."""


class Index:
    """The host's indexes, asked by name and by number."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._files: list[tuple[str, str]] = []  # a file's URL, and the index that listed it
        self._left = settings.bytes_max
        self._asked = 0

    def page(self, name: str) -> bytes | None:
        """The files of a package in PEP 691's JSON, or None where no index knows it."""
        self._count()
        found = [item for url in self._settings.urls for item in self._listed(url, name)]
        if not found:
            return None
        answer = {"meta": {"api-version": "1.0"}, "name": name, "files": found}
        return json.dumps(answer).encode()

    def file(self, number: int, metadata: bool) -> Iterator[bytes]:
        """A listed file's bytes, or those of its metadata."""
        self._count()
        with self._lock:
            if number >= len(self._files):
                raise RefusedError("no page lists this file")
            url, index = self._files[number]
        for chunk in self._fetch(url + (".metadata" if metadata else ""), index, ""):
            with self._lock:
                self._left -= len(chunk)
                if self._left < 0:
                    raise RefusedError("the packages are larger than this host allows")
            yield chunk

    def _count(self) -> None:
        with self._lock:
            self._asked += 1
            if self._asked > ASKED_MAX:
                raise RefusedError("too many requests in one installation")

    def _listed(self, index: str, name: str) -> Iterator[dict[str, Any]]:
        place = urljoin(index.rstrip("/") + "/", f"{name}/")
        try:
            page = _bounded(self._fetch(place, index, _ACCEPT))
        except FileNotFoundError:
            return
        for item in _files_of(page, place):
            filename = item.pop("filename")
            url = item.pop("url")
            if _FILENAME.fullmatch(filename) and _permitted(url, index):
                with self._lock:
                    number = len(self._files)
                    self._files.append((url, index))
                yield {"filename": filename, "url": f"/file/{number}/{filename}", **item}

    def _fetch(self, url: str, index: str, accept: str) -> Iterator[bytes]:
        if url.startswith("file:"):
            yield from _local(url)
            return
        for _ in range(_HOPS):
            if not _permitted(url, index):
                raise RefusedError("the index leads to an address that is not accepted")
            verify = self._settings.cert or True
            with requests.get(
                url,
                headers={"Accept": accept or "*/*", "Accept-Encoding": "identity"},
                stream=True,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                verify=verify,
            ) as answer:
                if answer.is_redirect:
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    raise FileNotFoundError(url)
                if answer.status_code != HTTPStatus.OK:
                    raise RefusedError(f"the package index answers {answer.status_code}")
                yield from answer.iter_content(_CHUNK)
                return
        raise RefusedError("the package index redirects without end")


def _bounded(chunks: Iterator[bytes]) -> bytes:
    page = b""
    for chunk in chunks:
        page += chunk
        if len(page) > PAGE_MAX:
            raise RefusedError("a page of the package index is too long")
    return page


def _local(url: str) -> Iterator[bytes]:
    path = Path(url2pathname(urlsplit(url).path))
    if path.is_dir():
        path /= "index.html"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _permitted(url: str, index: str) -> bool:
    """Whether a page of `index` may lead to `url`."""
    here, there = urlsplit(index), urlsplit(url)
    if here.scheme == "file":
        return there.scheme == "file"
    if (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port):
        return True
    if there.scheme != "https" or not there.hostname:
        return False
    return _public(there.hostname) or not _public(here.hostname or "")


@cache
def _public(host: str) -> bool:
    """Whether every address of `host` is outside of private networks; a proxy may be the only one to know."""
    if any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return not _is_address(host)
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address).is_global for address in found)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _files_of(page: bytes, place: str) -> list[dict[str, Any]]:
    """The files a page lists, with absolute URLs, in the words of PEP 691."""
    try:
        data = json.loads(page)
    except ValueError:
        return _Anchors(place).read(page.decode(errors="replace"))
    known = ("filename", "url", "hashes", "requires-python", "yanked", "core-metadata")
    files = data.get("files", []) if isinstance(data, dict) else []
    return [
        {key: item[key] for key in known if key in item} | {"url": urljoin(place, str(item["url"]))}
        for item in files
        if isinstance(item, dict) and isinstance(item.get("filename"), str) and "url" in item
    ]


class _Anchors(HTMLParser):
    """The links of a PEP 503 page."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place
        self._found: list[dict[str, Any]] = []

    def read(self, page: str) -> list[dict[str, Any]]:
        """Every file of the page."""
        self.feed(page)
        return self._found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One link."""
        values = dict(attrs)
        if tag == "base" and values.get("href"):
            self._place = urljoin(self._place, values["href"] or "")
        if tag != "a" or not values.get("href"):
            return
        url, fragment = urldefrag(urljoin(self._place, values["href"] or ""))
        kind, _, digest = fragment.partition("=")
        item: dict[str, Any] = {"filename": unquote(url.rsplit("/", 1)[-1]), "url": url}
        item["hashes"] = {kind: digest} if digest else {}
        if python := values.get("data-requires-python"):
            item["requires-python"] = python
        if "data-yanked" in values:
            item["yanked"] = values["data-yanked"] or True
        if "data-core-metadata" in values or "data-dist-info-metadata" in values:
            item["core-metadata"] = True
        self._found.append(item)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, index: Index) -> None:
        super().__init__(path, _Handler)
        self.index = index


class _Handler(BaseHTTPRequestHandler):
    """Two kinds of GET; everything else is refused."""

    server: _Server
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """A page or a file."""
        try:
            if named := _NAME.fullmatch(self.path):
                self._answer(self.server.index.page(named[1]))
            elif numbered := _FILE.fullmatch(self.path):
                self._stream(self.server.index.file(int(numbered[1]), bool(numbered[2])))
            else:
                self.send_error(HTTPStatus.NOT_FOUND, "not a package")
        except FileNotFoundError:
            self.send_error(HTTPStatus.NOT_FOUND, "the package index does not have it")
        except RefusedError as error:
            self.send_error(HTTPStatus.FORBIDDEN, str(error))
        except (requests.RequestException, OSError) as error:
            print(f"package index: {type(error).__name__}", file=sys.stderr)  # the text may hold a password
            self.send_error(HTTPStatus.BAD_GATEWAY, "the package index does not answer this host")

    def _answer(self, page: bytes | None) -> None:
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND, "the package index does not have it")
            return
        self._head(_JSON)
        self.wfile.write(page)

    def _stream(self, chunks: Iterator[bytes]) -> None:
        first = next(chunks, b"")  # before the head: only now is it known whether it is there
        self._head("application/octet-stream")
        self.wfile.write(first)
        try:
            for chunk in chunks:
                self.wfile.write(chunk)
        except (RefusedError, requests.RequestException):
            self.close_connection = True  # pip sees a wrong digest

    def _head(self, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def address_string(self) -> str:
        """A Unix socket's client has none."""
        return "build"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """What is fetched is in the installation's own log."""


def main() -> None:
    """Serve until the standard input is closed."""
    settings = IndexSettings(**json.loads(sys.stdin.readline()))
    if settings.cpus:
        os.sched_setaffinity(0, settings.cpus)
    os.nice(10)
    os.chdir(settings.folder)  # a socket's path may have 107 characters, so it gets a short one
    server = _Server(SOCKET, Index(settings))
    Path(SOCKET).chmod(0o666)  # its folder is made for one installation; the container's user opens it
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
