"""A real PostgreSQL for tests: a cluster in a temporary directory, on a free port, gone afterwards."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from demo.processes import end_with_parent

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def missing() -> str | None:
    """Why there can be no PostgreSQL here, or None."""
    if not BINARIES:
        return "PostgreSQL's server binaries are not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and not _user():
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


def _user() -> str | None:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


def empty(url: str) -> None:
    """Remove all rows of an upgraded database but the one that an upgrade makes."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT IN ('alembic_version', 'facts')"
        )
        tables = SQL(", ").join(Identifier(name) for (name,) in rows)
        connection.execute(SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))
        connection.execute("DELETE FROM facts WHERE name <> 'server_id'")


class Cluster:
    """One PostgreSQL server. `database()` makes a new, empty database in it."""

    def __init__(self) -> None:
        self._names = itertools.count(1)
        self._user = _user() if os.geteuid() == 0 else None
        self._dir = Path(tempfile.mkdtemp(prefix="raas-pg-"))
        if self._user is not None:
            shutil.chown(self._dir, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C")
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if not self.start_once():
            raise RuntimeError((self._dir / "log").read_text())

    def start_once(self) -> bool:
        """Start the server; False where it ended at once (what a killed one left may still be ending)."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._dir,
            "fsync": "off",
            "max_connections": 200,
        }
        arguments = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        with (self._dir / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [BINARIES[0] / "postgres", "-D", self._dir / "data", *arguments],
                user=self._user,
                group=self._user,
                cwd=self._dir,
                stdout=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=partial(end_with_parent, signal.SIGQUIT),  # noqa: PLW1509  # one system call
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    @property
    def pid(self) -> int:
        """The server's process id; its children are the connections and its own workers."""
        assert self._server is not None
        return self._server.pid

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, sig: int = signal.SIGINT) -> None:
        """Stop the server; open connections are cut."""
        if self._server is not None:
            self._server.send_signal(sig)
            self._server.wait(30)
            self._server = None

    def close(self) -> None:
        """Stop the server and remove everything."""
        self.stop()
        shutil.rmtree(self._dir, ignore_errors=True)

    def database(self) -> str:
        """A new, empty database, as SQLAlchemy writes its URL."""
        name = f"test_{next(self._names)}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def _dsn(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [BINARIES[0] / program, "-D", self._dir / "data", *arguments],
            user=self._user,
            group=self._user,
            cwd=self._dir,
            stdout=subprocess.DEVNULL,
            check=True,
        )
