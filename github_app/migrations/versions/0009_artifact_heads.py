"""Where a confirmed artifact lies, and the beginning of those that a page can show."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Files that are there stay where they are, and are shown by their links only."""
    op.add_column("artifacts", sa.Column("place", sa.String(100)))
    op.add_column("artifacts", sa.Column("head", sa.LargeBinary))


def downgrade() -> None:
    """The beginnings are lost. Files with a place of their own are found no more: keep that in mind."""
    op.drop_column("artifacts", "head")
    op.drop_column("artifacts", "place")
