"""The source of a job: the tarball that a runner gets, bounded. It is passed on, and kept nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from github_app.github import ForbiddenError, GitHub, InvalidError, NotFoundError
from github_app.github_errors import SourceError
from github_app.models import Job


@contextmanager
def open_source(github: GitHub, job: Job) -> Iterator[Iterator[bytes]]:
    """The gzipped tarball of exactly the job's commit, at most `source_bytes_max` of the settings long.

    It is asked of the repository the App is installed on, where the commits of its pull requests can be
    had too: the App has no token for a private fork.

    Raises:
        SourceError: No such commit or repository; or, while reading, too long.
        GitHubUnavailableError: Later, perhaps.
    """
    try:
        with github.tarball(job.repository, job.sha) as chunks:
            yield _bounded(chunks, github.settings.source_bytes_max)
    except (NotFoundError, InvalidError) as error:
        raise SourceError(
            f"GitHub has no commit {job.sha} in {job.repository.full_name} any more; push it again.",
        ) from error
    except ForbiddenError as error:
        raise SourceError(
            f"The App may not read {job.repository.full_name} any more; check its installation.",
        ) from error


def _bounded(chunks: Iterator[bytes], size_max: int) -> Iterator[bytes]:
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > size_max:
            raise SourceError(
                f"The repository is larger than {size_max // 1_000_000} MB packed; "
                "remove large files from it, or download them elsewhere.",
            )
        yield chunk
