"""What the store needs to close an artifact's upload, and when its content was looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEX = "ix_artifacts_unverified"


def upgrade() -> None:
    """Files that are there were looked at when they were confirmed."""
    op.add_column("artifacts", sa.Column("ticket", sa.Text))
    op.add_column("artifacts", sa.Column("verified_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE artifacts SET verified_at = stored_at")
    waiting = sa.text("stored_at IS NOT NULL AND verified_at IS NULL")
    op.create_index(
        INDEX, "artifacts", ["stored_at"], sqlite_where=waiting, postgresql_where=waiting
    )


def downgrade() -> None:
    """Files that nobody has looked at are served as if somebody had."""
    op.drop_index(INDEX, "artifacts")
    op.drop_column("artifacts", "verified_at")
    op.drop_column("artifacts", "ticket")
