"""Alembic migrations; `raas-server upgrade` runs them."""
