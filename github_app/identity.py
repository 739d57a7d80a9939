"""Who this server is to robots: a random name, made up once for each database and kept in it.

Job numbers begin anew in a new database, so a robot's ledger keeps them beside this name. It goes with the
database, into backups too: a server that was restored is the one it was, and its jobs run no second time.
"""

from __future__ import annotations

from functools import cached_property

from github_app.db import Database
from github_app.models import Fact

FACT = "server_id"
"""Where it is kept (`models.Fact`); a migration made it."""


class Identity:
    """The identity in a database, read once.

    Args:
        database: Up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @cached_property
    def name(self) -> str:
        """Hexadecimal digits; see `raas_gym.control.SERVER_ID`."""
        with self._database.read() as session:
            return session.get_one(Fact, FACT).value
