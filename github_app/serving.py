"""The server as processes: gunicorn with gevent workers, the background loops inside each of them.

Import this only after `gevent.monkey.patch_all()`, as `cli.serve` does: a library that was imported before
keeps waiting in a way that stops every greenlet.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from types import FrameType
from typing import IO, Any, cast

import click
import gevent
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.ggevent import GeventWorker

from github_app import app as application
from github_app import logs, metrics, services, setup_state
from github_app.background import Background
from github_app.config import Settings
from github_app.db import Database, DatabaseError, lock_data_dir
from github_app.models import Fact
from github_app.moves import utc_now
from github_app.setup_state import SetupClosedError
from github_app.stores import FileStore, open_store

CONNECTIONS = 10_000
"""Connections a worker may hold: each waiting runner and each live page has one."""
GRACE_S = 20
"""After SIGTERM requests have so long to end [s]; waiting runners are sent away at once."""
YOUNG_MAX, MIDDLE_MAX, NEVER = 5_000, 20, 1_000_000_000
"""Python's thresholds for collecting garbage; what has become old is left to `FULL_COLLECTION_S`."""
FULL_COLLECTION_S = 600.0
_PR_SET_PDEATHSIG = 1


class Worker(GeventWorker):
    """A gevent worker that runs the background loops, and ends long polls when it is to stop."""

    _flask: Flask | None = None
    _background: Background | None = None

    def init_process(self) -> None:
        """Begin, bound to the arbiter's life."""
        _end_with(self.ppid)
        super().init_process()

    def load_wsgi(self) -> None:
        """Make the application and begin the loops."""
        super().load_wsgi()
        self._flask = cast(Flask, self.wsgi)
        self._background = Background(self._flask)
        self._background.start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: let go of those who wait, so that the rest can end in time."""
        if self._flask is not None:
            # A signal arrives between greenlets, where nothing may wait, not even for a lock.
            gevent.spawn(_send_away, self._flask)
        super().handle_exit(sig, frame)

    def run(self) -> None:
        """Serve until told to stop, then end the loops."""
        # What is there now stays: looking through it would stop everybody for a tenth of a second each time.
        gc.collect()
        gc.freeze()
        # So would looking through what thousands of waiting runners hold, every few seconds, to find nothing.
        gc.set_threshold(YOUNG_MAX, MIDDLE_MAX, NEVER)
        gevent.spawn(_collect_now_and_then)
        try:
            super().run()
        finally:
            if self._background is not None and self._flask is not None:
                self._background.stop()
                application.close(self._flask)


def _forget(arbiter: object, worker: Worker) -> None:
    metrics.forget(int(worker.pid))


def _end_with(parent: int) -> None:
    """Die at once when the arbiter is killed.

    Gunicorn's worker would notice within a second and then finish its work for up to half a minute. All
    that time it holds the data directory's lock and answers on the port, so that a server started anew
    would refuse to run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before this was set
            os.kill(os.getpid(), signal.SIGKILL)


def _collect_now_and_then() -> None:
    while True:
        gevent.sleep(FULL_COLLECTION_S)
        gc.collect()


def _send_away(flask: Flask) -> None:
    services.of(flask).dispatcher.close()


class Server(BaseApplication):
    """Gunicorn without its command line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """What gunicorn is told."""
        options: dict[str, Any] = {
            "bind": self._settings.bind,
            "workers": self._settings.workers,
            "worker_class": f"{__name__}.Worker",
            "worker_connections": CONNECTIONS,
            "graceful_timeout": GRACE_S,
            "timeout": 60,
            "keepalive": 5,
            "accesslog": None,
            "loglevel": "warning",
            "proc_name": "raas-server",
            "control_socket_disable": True,
            "child_exit": _forget,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """One application a worker."""
        level = logging.DEBUG if self._settings.log_debug else logging.INFO
        logs.configure(level, as_json=self._settings.log_as_json)
        return application.create_app(self._settings)


def prepare(settings: Settings) -> None:
    """Bring a new or an embedded database up to date; refuse one that somebody else has to upgrade.

    Raises:
        DatabaseError: The database or the artifact directory cannot be used as it is.
    """
    database = Database(settings.database_url)
    try:
        current, wanted = database.revisions()
        if database.is_sqlite or current is None:
            database.upgrade()
        elif current != wanted:
            database.refuse_newer()
            raise DatabaseError(
                f"the database is at revision {current}, this software wants {wanted};"
                " run `raas-server upgrade`"
            )
        store = open_store(settings)
        if isinstance(store, FileStore):
            _check_directory(database, store)
    finally:
        database.close()


def _check_directory(database: Database, store: FileStore) -> None:
    """Several hosts with a local artifact directory each would not find one another's files."""
    if database.is_sqlite:
        return
    mine = f"file:{store.identity()}"
    with database.write() as session:
        fact = session.get(Fact, "artifact_store", with_for_update=True)
        if fact is not None and fact.value.startswith("file:") and fact.value != mine:
            raise DatabaseError(
                "this database's artifacts lie in another directory, perhaps on another host;"
                " set RAAS_ARTIFACTS to an S3, or share that directory,"
                " or, if it is gone, delete `artifact_store` from `facts`"
            )
        session.merge(Fact(name="artifact_store", value=mine))


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        DatabaseError: The database cannot be used as it is, or another server uses it.
    """
    lock: IO[str] | None = lock_data_dir(settings.data_dir) if settings.is_sqlite else None
    prepare(settings)
    _invite_to_set_up(settings)
    _allow_many_files()
    try:
        Server(settings).run()
    finally:
        if lock is not None:
            lock.close()


def _invite_to_set_up(settings: Settings) -> None:
    """Where there is no App yet, say on the console how to make one."""
    if settings.credentials.current().any:
        return
    database = Database(settings.database_url)
    try:
        with database.write() as session:
            token = setup_state.issue(session, utc_now())
    except SetupClosedError as error:
        click.echo(f"raas-server: there are no credentials of a GitHub App: {error}", err=True)
        return
    finally:
        database.close()
    click.echo(f"raas-server: there is no GitHub App yet: open {settings.public_url}/setup", err=True)
    click.echo(f"raas-server: one-time token, good for an hour: {token}", err=True)


def _allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
