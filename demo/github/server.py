"""Serving: werkzeug's threaded server, in this process (tests) or as one (`python -m demo.github`)."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from demo.github.app import create_app
from demo.github.hub import Hub
from demo.github.rest.api import openapi_path
from demo.github.settings import Settings
from demo.github.world import World

if TYPE_CHECKING:
    from demo.github.conformance import Conformance


class _Handler(WSGIRequestHandler):
    """Logs nothing for each request, and nothing when a connection was dropped on demand."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        pass


@dataclass(frozen=True)
class Running:
    """A stand-in that answers."""

    url: str
    api_url: str
    admin_token: str
    hub: Hub
    server: BaseWSGIServer

    @property
    def world(self) -> World:
        """Return a client of the admin interface."""
        return World(self.url, self.admin_token, api_url=self.api_url)


@contextmanager
def listening(
    data_dir: Path, *, host: str = "127.0.0.1", port: int = 0, conformance: bool = False, **options: Any
) -> Iterator[Running]:
    """Bind the port, then build the stand-in, so that its links carry the port that was really given.

    `options` are further fields of `Settings`. With `conformance` every exchange and every webhook is held
    to GitHub's official description: see `hub.conformance.violations`. The caller runs
    `server.serve_forever()`.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    server = _bind(host, port)
    with _closing(server):
        shown_host = f"[{host}]" if ":" in host else host
        given = {name: value for name, value in options.items() if value is not None}
        url = f"http://{shown_host}:{server.port}"
        settings = Settings(data_dir=data_dir, public_url=url, **given)
        hub = Hub(settings)
        server.app = app = create_app(hub)
        if conformance:
            hub.conformance = _conformance(app, settings.api_prefix)
        hub.start()
        try:
            write_admin_file(settings)
            yield Running(settings.public_url, settings.api_url, settings.admin_token, hub, server)
        finally:
            hub.stop()


def _bind(host: str, port: int) -> BaseWSGIServer:
    # Bound here, since werkzeug would end the process where the port is taken.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=128) as bound:
        server = make_server(
            host, port, _not_ready, threaded=True, request_handler=_Handler, fd=bound.fileno()
        )
    server.daemon_threads = True  # type: ignore[attr-defined]
    return server


@contextmanager
def _closing(server: BaseWSGIServer) -> Iterator[None]:
    try:
        yield
    finally:
        server.server_close()


def _conformance(app: Flask, api_prefix: str) -> "Conformance":
    # Imported here since only tests have openapi-core.
    from demo.github.conformance import Conformance  # noqa: PLC0415

    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("api.")]
    return Conformance(
        (method, openapi_path(rule.rule.removeprefix(api_prefix)))
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


def _not_ready(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("503 Service Unavailable", [])
    return [b""]


def write_admin_file(settings: Settings) -> None:
    """Leave address and admin token in the data folder, readable by its owner alone."""
    path, temporary = settings.data_dir / "admin.json", settings.data_dir / "admin.json.new"
    document = {"url": settings.public_url, "api_url": settings.api_url, "admin_token": settings.admin_token}
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file)
    temporary.replace(path)


@contextmanager
def serve_in_thread(data_dir: Path, **options: Any) -> Iterator[Running]:
    """Serve in a thread of this process for as long as the context lasts."""
    with listening(data_dir, **options) as running:
        thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield running
        finally:
            running.server.shutdown()
            thread.join()
