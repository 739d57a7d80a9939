"""Robots' passports, draining and cameras; each repository's best runs; what their pages look up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_STARTED = sa.text("started_at IS NOT NULL")


def upgrade() -> None:
    """Histories begin now: older passports are not known. Runs count from now on."""
    op.add_column("runners", sa.Column("drained_at", sa.DateTime(timezone=True)))
    op.add_column("runners", sa.Column("drained_by", sa.String(100)))
    op.add_column("runners", sa.Column("camera_url", sa.String(500)))
    op.create_table(
        "passports",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("runner_id", RowId, sa.ForeignKey("runners.id"), nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("plant", sa.String(20), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_passports_robot", "passports", ["runner_id", "since"])
    op.create_table(
        "bests",
        sa.Column("task", sa.String(40), primary_key=True),
        sa.Column("plant", sa.String(20), primary_key=True),
        sa.Column("runner_id", RowId, sa.ForeignKey("runners.id"), primary_key=True),
        sa.Column("repository_id", sa.BigInteger, sa.ForeignKey("repositories.id"), primary_key=True),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        sa.Column("job_id", RowId, sa.ForeignKey("jobs.id"), nullable=False),
    )
    op.create_index("ix_bests_job_id", "bests", ["job_id"])
    op.create_index("ix_bests_board", "bests", ["task", "plant", "rank"])
    op.create_index("ix_repositories_full_name", "repositories", ["owner", "name"])
    op.create_index(
        "ix_jobs_robot_started",
        "jobs",
        ["runner_id", "started_at", "completed_at"],
        postgresql_where=_STARTED,
        sqlite_where=_STARTED,
    )


def downgrade() -> None:
    """Drained robots take jobs again; histories and the leaderboard are lost."""
    op.drop_index("ix_jobs_robot_started", "jobs")
    op.drop_index("ix_repositories_full_name", "repositories")
    op.drop_table("bests")
    op.drop_table("passports")
    for column in ("camera_url", "drained_by", "drained_at"):
        op.drop_column("runners", column)
