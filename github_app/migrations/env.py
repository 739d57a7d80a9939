"""How Alembic runs here: only from `github_app.db`, on the connection it hands over, in one transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from github_app.models import Job

UPGRADE_LOCK = 0x5241_4153
"""PostgreSQL advisory lock: two servers that start at once upgrade one after the other."""


def run(connection: Connection) -> None:
    """Run the migrations that were asked for."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
    context.configure(
        connection=connection,
        target_metadata=Job.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
