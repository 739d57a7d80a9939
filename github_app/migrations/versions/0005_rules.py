"""Rules of a robot's host; and an index for the time that an owner's jobs took on robots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """No rules: every robot serves whoever the server lets in, at any time."""
    op.add_column("runners", sa.Column("rules", Json))
    condition = sa.text("started_at IS NOT NULL")
    op.create_index(
        "ix_jobs_owner_started",
        "jobs",
        ["owner", "started_at"],
        postgresql_where=condition,
        sqlite_where=condition,
    )


def downgrade() -> None:
    """The rules are lost, and lanes name no robots any more that refuse their jobs (`!goose`)."""
    connection = op.get_bind()
    named = sa.text("SELECT DISTINCT lane FROM jobs WHERE lane LIKE '!%'")
    for lane in connection.scalars(named).all():
        plain = ",".join(part for part in lane.split(",") if not part.startswith("!"))
        connection.execute(
            sa.text("UPDATE jobs SET lane = :plain WHERE lane = :lane"), {"plain": plain, "lane": lane}
        )
    op.drop_index("ix_jobs_owner_started", "jobs")
    op.drop_column("runners", "rules")
