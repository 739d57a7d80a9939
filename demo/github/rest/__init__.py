"""The REST API: one module for each chapter of GitHub's reference that the stand-in speaks."""

from collections.abc import Callable

from demo.github.rest import app_users, apps, checks, comments, meta, pulls, repositories
from demo.github.rest.api import Api

CHAPTERS: tuple[Callable[[Api], None], ...] = (
    meta.add,
    apps.add,
    app_users.add,
    repositories.add,
    pulls.add,
    comments.add,
    checks.add,
)
