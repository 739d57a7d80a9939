"""The branch that a job's pull request would change: its runs are what the job is compared with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Older jobs have none, and are compared with the default branch as before."""
    op.add_column("jobs", sa.Column("base_branch", sa.String(255)))


def downgrade() -> None:
    """Everything is compared with the default branch again."""
    op.drop_column("jobs", "base_branch")
