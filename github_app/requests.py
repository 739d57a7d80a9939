"""What a repository wants run at a commit: its `.raas.yml`, read from GitHub, within our limits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from github_app.config import Settings
from github_app.github import GitHub, InvalidError, NotFoundError
from github_app.models import Repository
from github_app.queue import JobRequest, Refusal, lane_of
from runner.protocol import Conclusion
from runner.repo_config import FILE_NAME, RepoConfig, RepoConfigError, parse

PROGRAM = "run.py"
"""A repository without `.raas.yml` is run if it has this; with neither it is left alone."""


@dataclass(frozen=True)
class Wish:
    """A repository at a commit that can be run, or whose `.raas.yml` is wrong (`error`)."""

    repository: Repository
    sha: str
    config: RepoConfig
    error: RepoConfigError | None = None

    def wants_push(self, branch: str) -> bool:
        """Whether a push to this branch starts a job. A wrong file is always reported."""
        if self.error is not None:
            return True
        return self.config.on.push is not None and self.config.on.push.matches(branch)

    def request(
        self,
        *,
        trigger: str,
        trigger_key: str,
        requested_by: str,
        ref: str,
        pull_request: int | None = None,
        head_repository: str | None = None,
    ) -> JobRequest:
        """The job to queue; or to refuse at once, with the offending line."""
        return JobRequest(
            repository_id=self.repository.id,
            trigger=trigger,
            trigger_key=trigger_key,
            requested_by=requested_by,
            sha=self.sha,
            ref=ref[:255],
            config=self.config.model_dump(mode="json"),
            labels=sorted(set(self.config.robot)),
            timeout_s=self.config.timeout,
            pull_request=pull_request,
            head_repository=head_repository,
            config_error=None
            if self.error is None
            else {"message": self.error.message, "path": FILE_NAME, "line": self.error.line},
            refusal=None if self.error is None else Refusal(Conclusion.FAILURE, str(self.error)),
        )


def wish(github: GitHub, settings: Settings, repository: Repository, sha: str) -> Wish | None:
    """What the repository wants at this commit; None where it is not meant for us.

    Raises:
        GitHubError: GitHub could not be asked.
    """
    try:
        text = github.file(repository, FILE_NAME, sha)
    except InvalidError:
        return Wish(repository, sha, RepoConfig(), RepoConfigError("the file is too long; shorten it", 1))
    if text is None:
        return _without_config(github, repository, sha)
    try:
        config = parse(text)
        check_limits(config, text, settings)
    except RepoConfigError as error:
        return Wish(repository, sha, RepoConfig(), error)
    return Wish(repository, sha, config)


def check_limits(config: RepoConfig, text: bytes, settings: Settings) -> None:
    """Whether this server grants what the file asks for.

    Raises:
        RepoConfigError: It does not.
    """
    if config.timeout > settings.timeout_max_s:
        raise RepoConfigError(
            f"`timeout` is {config.timeout:g} s, but this host allows {settings.timeout_max_s:g} s; lower it",
            _line_of(b"timeout", text),
        )
    try:
        lane_of(config.robot)
    except ValueError as error:
        raise RepoConfigError(f"`robot`: {error}", _line_of(b"robot", text)) from error


def _line_of(key: bytes, text: bytes) -> int:
    """The line on which a key of the file's top level stands."""
    before = re.split(rb"(?m)^%s\s*:" % key, text, maxsplit=1)[0]
    return before.count(b"\n") + 1


def _without_config(github: GitHub, repository: Repository, sha: str) -> Wish | None:
    try:
        if github.file(repository, PROGRAM, sha) is None:
            if not github.has_commit(repository, sha):
                raise NotFoundError(f"{repository.full_name} has no commit {sha}")
            return None
    except InvalidError:
        pass  # too long to be handed out, but there
    return Wish(repository, sha, RepoConfig())
