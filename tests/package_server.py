"""A package index of a test's own: wheels made here, served as PEP 503 says."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def wheel(
    name: str, version: str, files: dict[str, bytes], requires: tuple[str, ...] = ()
) -> tuple[str, bytes]:
    """A pure Python wheel: its file name and its bytes."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {item}\n" for item in requires)
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(data)},{len(data)}\n" for path, data in content.items())
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(path, data)
    return f"{name}-{version}-py3-none-any.whl", target.getvalue()


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def source_package(name: str, version: str, backend: str) -> tuple[str, bytes]:
    """A source archive that builds itself with `backend`, a module of its own."""
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        for path, text in {"pyproject.toml": pyproject, "backend.py": backend, "PKG-INFO": metadata}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return f"{name}-{version}.tar.gz", target.getvalue()


@dataclass
class PackageServer:
    """What it has, what it was asked for, and whether it answers."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    stuck: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def add(self, package: tuple[str, bytes]) -> None:
        self.files[package[0]] = package[1]

    def page(self, name: str) -> bytes | None:
        own = {
            file: f"/files/{file}#sha256={hashlib.sha256(data).hexdigest()}"
            for file, data in self.files.items()
            if file.split("-")[0].replace("_", "-") == name
        }
        found = own | {f: url for f, url in self.links.items() if f.split("-")[0] == name}
        anchors = "".join(f'<a href="{url}">{file}</a>\n' for file, url in found.items())
        return f"<!DOCTYPE html><html><body>\n{anchors}</body></html>".encode() if found else None


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[PackageServer]:
    server = PackageServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            if server.stuck.is_set():
                server.release.wait(60)
            parts = self.path.strip("/").split("/")
            data = server.page(parts[1]) if parts[0] == "simple" else server.files.get(parts[-1])
            self.send_response(200 if data else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer((host, 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    server.url = f"http://{host}:{http.server_address[1]}/simple/"
    try:
        yield server
    finally:
        server.release.set()
        http.shutdown()
        http.server_close()


def write_all(folder: Path, *packages: tuple[str, bytes]) -> Path:
    """A folder of wheels."""
    folder.mkdir()
    for name, data in packages:
        (folder / name).write_bytes(data)
    return folder
