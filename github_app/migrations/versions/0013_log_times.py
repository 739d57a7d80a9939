"""When within a session the parts of a log were written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from github_app.columns import JsonColumn

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of older logs nothing is known, and their pages show no times."""
    op.add_column("log_chunks", sa.Column("times", JsonColumn))


def downgrade() -> None:
    """Logs without times again."""
    op.drop_column("log_chunks", "times")
