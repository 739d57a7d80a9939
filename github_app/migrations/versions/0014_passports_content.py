"""What a robot's passports say, read from the recordings made under them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from github_app.columns import JsonColumn

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Older passports are read too, as long as a recording made under them is kept."""
    op.add_column("passports", sa.Column("content", JsonColumn))


def downgrade() -> None:
    """Only their versions."""
    op.drop_column("passports", "content")
