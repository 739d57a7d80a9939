"""A name for the server that robots tell it by: job numbers begin anew in a new database."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

FACT = "server_id"


def upgrade() -> None:
    """Made up once; one that was there before stays."""
    facts = sa.table("facts", sa.column("name", sa.String), sa.column("value", sa.Text))
    made = sa.select(sa.literal(FACT), sa.literal(secrets.token_hex(8)))
    there = sa.exists().where(facts.c.name == FACT)
    op.execute(facts.insert().from_select(["name", "value"], made.where(~there)))


def downgrade() -> None:
    """It stays, unread: after the next upgrade robots must know the same server again."""
