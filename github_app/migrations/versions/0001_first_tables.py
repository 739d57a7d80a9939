"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Time = sa.DateTime(timezone=True)


def _index(name: str, table: str, columns: list[str], where: str | None = None) -> None:
    condition = sa.text(where) if where else None
    op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition)


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "deliveries",
        sa.Column("id", RowId, nullable=False),
        sa.Column("guid", sa.String(100), nullable=False),
        sa.Column("event", sa.String(100), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", Time, nullable=False),
        sa.Column("processed_at", Time),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", Time, nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("guid", name="uq_deliveries_guid"),
    )
    _index("ix_deliveries_waiting", "deliveries", ["next_try_at"], "processed_at IS NULL")
    op.create_table(
        "facts",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_facts"),
    )
    op.create_table(
        "repositories",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("installation_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("default_branch", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
    )
    op.create_table(
        "runners",
        sa.Column("id", RowId, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("invite_hash", sa.String(64)),
        sa.Column("invite_expires_at", Time),
        sa.Column("token_hash", sa.String(64)),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("revoked_at", Time),
        sa.Column("seen_at", Time),
        sa.Column("software", sa.String(50)),
        sa.Column("robot", Json),
        sa.PrimaryKeyConstraint("id", name="pk_runners"),
        sa.UniqueConstraint("invite_hash", name="uq_runners_invite_hash"),
        sa.UniqueConstraint("name", name="uq_runners_name"),
        sa.UniqueConstraint("token_hash", name="uq_runners_token_hash"),
    )
    _create_jobs()
    op.create_table(
        "job_events",
        sa.Column("id", RowId, nullable=False),
        sa.Column("job_id", RowId, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_events_job_id_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_job_events"),
    )
    _index("ix_job_events_job_id", "job_events", ["job_id"])
    op.create_table(
        "log_chunks",
        sa.Column("id", RowId, nullable=False),
        sa.Column("job_id", RowId, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_log_chunks_job_id_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_log_chunks"),
        sa.UniqueConstraint("job_id", "attempt", "start", name="uq_log_chunks_job_id"),
    )
    op.create_table(
        "artifacts",
        sa.Column("id", RowId, nullable=False),
        sa.Column("job_id", RowId, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("stored_at", Time),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_artifacts_job_id_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
        sa.UniqueConstraint("job_id", "attempt", "name", name="uq_artifacts_job_id"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", RowId, nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("trigger", sa.String(30), nullable=False),
        sa.Column("trigger_key", sa.String(255), nullable=False),
        sa.Column("requested_by", sa.String(100), nullable=False),
        sa.Column("sha", sa.String(40), nullable=False),
        sa.Column("ref", sa.String(255), nullable=False),
        sa.Column("pull_request", sa.Integer()),
        sa.Column("head_repository", sa.String(300)),
        sa.Column("rerun_of", RowId),
        sa.Column("config", Json, nullable=False),
        sa.Column("config_error", Json),
        sa.Column("labels", Json, nullable=False),
        sa.Column("lane", sa.String(255), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("conclusion", sa.String(20)),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("cancel_reason", sa.Text()),
        sa.Column("order_key", sa.Double(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("claimed_at", Time),
        sa.Column("started_at", Time),
        sa.Column("completed_at", Time),
        sa.Column("runner_id", RowId),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.String(64)),
        sa.Column("claim_key", sa.String(64)),
        sa.Column("lease_expires_at", Time),
        sa.Column("phase", sa.String(200), nullable=False),
        sa.Column("results", Json),
        sa.Column("log_length", sa.BigInteger(), nullable=False),
        sa.Column("latest_event", sa.BigInteger(), nullable=False),
        sa.Column("reported_event", sa.BigInteger(), nullable=False),
        sa.Column("check_run_id", sa.BigInteger()),
        sa.Column("report_tries", sa.Integer(), nullable=False),
        sa.Column("next_report_at", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_jobs_repository_id_repositories"
        ),
        sa.ForeignKeyConstraint(["rerun_of"], ["jobs.id"], name="fk_jobs_rerun_of_jobs"),
        sa.ForeignKeyConstraint(["runner_id"], ["runners.id"], name="fk_jobs_runner_id_runners"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("claim_key", name="uq_jobs_claim_key"),
        sa.UniqueConstraint("trigger_key", name="uq_jobs_trigger_key"),
    )
    live = "status IN ('claimed', 'running')"
    _index("ix_jobs_repository_id", "jobs", ["repository_id"])
    _index("ix_jobs_sha", "jobs", ["sha"])
    _index("ix_jobs_queued", "jobs", ["lane", "order_key", "id"], "status = 'queued'")
    _index("ix_jobs_leased", "jobs", ["lease_expires_at"], live)
    _index("ix_jobs_held", "jobs", ["runner_id"], live)
    _index("ix_jobs_unreported", "jobs", ["next_report_at"], "reported_event < latest_event")


def downgrade() -> None:
    """Remove all tables; their indexes go with them."""
    for table in ("artifacts", "log_chunks", "job_events", "jobs", "runners", "repositories", "facts"):
        op.drop_table(table)
    op.drop_table("deliveries")
