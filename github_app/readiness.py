"""`/healthz` and `/readyz`: whether the process lives, and whether it can work.

A database that hangs answers neither yes nor no, and would keep whoever asks for as long as it likes. It is
therefore asked beside the request, by one question at a time; who asks meanwhile is told no, and a monitor
that asks every few seconds takes no further connection.
"""

from __future__ import annotations

import threading

from flask import Flask, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from github_app import answers, services
from github_app.db import Database, DatabaseError

PATIENCE_S = 5.0
"""For a database that is well this is a hundred times what it takes."""


class Probe:
    """Asks a database whether it is there and upgraded.

    Args:
        database: Not owned.
        patience_s: How long an answer is waited for.
    """

    def __init__(self, database: Database, patience_s: float = PATIENCE_S) -> None:
        self._database = database
        self._patience_s = patience_s
        self._asking = threading.Lock()

    def ask(self) -> bool:
        """Whether it answers now."""
        if not self._asking.acquire(timeout=self._patience_s):
            return False
        said: list[bool] = []
        answered = threading.Event()
        threading.Thread(target=self._ask, args=(said, answered), daemon=True, name="readyz").start()
        return answered.wait(self._patience_s) and said == [True]

    def _ask(self, said: list[bool], answered: threading.Event) -> None:
        try:
            with self._database.read() as session:
                session.execute(text("SELECT 1 FROM jobs WHERE id = 0"))
            said.append(True)
        except (SQLAlchemyError, DatabaseError):
            said.append(False)
        finally:
            self._asking.release()
            answered.set()


def install(app: Flask) -> None:
    """The two routes."""
    probe = Probe(services.of(app).db)

    @app.get("/healthz")
    def alive() -> Response:
        """The process answers."""
        return jsonify(status="ok")

    @app.get("/readyz")
    def ready() -> Response:
        """The process can work: its database answers and has the tables it should."""
        if services.current().dispatcher.closed:
            return answers.failure(503, "stopping", "the server is stopping")
        if not probe.ask():
            return answers.failure(503, "database", "the database does not answer or is not upgraded")
        return jsonify(status="ready")
