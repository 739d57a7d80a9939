"""What can go wrong when GitHub is asked: the small family that `github_app.github` raises."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime


class GitHubError(Exception):
    """GitHub did not do what was asked. The message says what happened."""


class NotFoundError(GitHubError):
    """There is no such thing, or the App may not know of it."""


class ForbiddenError(GitHubError):
    """The App or its installation may not do this; or the App is not set up."""


class InvalidError(GitHubError):
    """GitHub understood and refuses (400, 409, 422): the same request will never do."""


class GitHubUnavailableError(GitHubError):
    """No answer, a 5xx, or not GitHub's words: try again later."""


class RateLimitedError(GitHubUnavailableError):
    """Too many requests; `until` is when to try again."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class SourceError(Exception):
    """The source of a job cannot be had, ever; the message is for the job's reason."""


def of_status(status: int) -> Callable[[str], GitHubError]:
    """The error that an HTTP status of GitHub's API means."""
    if status in (404, 410, 451):
        return NotFoundError
    if status in (401, 403):
        return ForbiddenError
    return InvalidError if status < 500 else GitHubUnavailableError
