"""Fair queue: who a job counts for, and the row that its submissions lock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", columns, postgresql_where=condition, sqlite_where=condition)


def upgrade() -> None:
    """Every job gets its repository's owner; waiting ones keep their places."""
    op.create_table(
        "owners",
        sa.Column("login", sa.String(100), nullable=False),
        sa.Column("latest_tag", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("login", name="pk_owners"),
    )
    op.add_column("jobs", sa.Column("owner", sa.String(100), nullable=False, server_default=""))
    op.execute(
        "UPDATE jobs SET owner = (SELECT lower(owner) FROM repositories WHERE repositories.id = repository_id)"
    )
    # Tags were job numbers. The time begins behind all of them.
    op.execute(
        "INSERT INTO owners (login, latest_tag) SELECT owner, max(order_key) + 1 FROM jobs GROUP BY owner"
    )
    _index("ix_jobs_owner_queued", ["owner", "lane", "order_key"], "status = 'queued'")
    _index("ix_jobs_owner_claimed", ["owner", "lane", "order_key"], "attempt > 0")
    _index("ix_jobs_lane_claimed", ["lane", "order_key"], "attempt > 0")


def downgrade() -> None:
    """Tags stay what they are: only their order matters."""
    for name in ("ix_jobs_owner_queued", "ix_jobs_owner_claimed", "ix_jobs_lane_claimed"):
        op.drop_index(name, "jobs")
    op.drop_column("jobs", "owner")
    op.drop_table("owners")
