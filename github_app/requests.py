"""What a repository wants run at a commit: its `.raas.yml`, read from GitHub, within our limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from github_app.allowance import EXCLUDED_MAX, Limits
from github_app.commands import Run
from github_app.github import GitHub, InvalidError, NotFoundError
from github_app.models import Repository
from github_app.queue import LANE_MAX, JobRequest, Refusal
from runner.protocol import Conclusion
from runner.repo_config import FILE_NAME, RepoConfig, RepoConfigError, parse

LABELS_LENGTH_MAX = LANE_MAX - EXCLUDED_MAX
SIMULATED = "simulated"
"""What a robot without hardware answers to (`RobotReport.plant`); no host can give it to a real one."""
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

    @property
    def wants_pull_request(self) -> bool:
        """Whether a pull request starts a job; likewise."""
        return self.error is not None or self.config.on.pull_request

    def request(
        self,
        *,
        trigger: str,
        trigger_key: str,
        requested_by: str,
        ref: str,
        pull_request: int | None = None,
        base_branch: str | None = None,
        head_repository: str | None = None,
        sessions: int = 1,
        refusal: Refusal | None = None,
    ) -> JobRequest:
        """The job to queue; or to refuse at once, with the offending line, or for the reason given."""
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
            sessions=sessions,
            pull_request=pull_request,
            base_branch=base_branch,
            head_repository=head_repository,
            config_error=None
            if self.error is None
            else {"message": self.error.message, "path": FILE_NAME, "line": self.error.line},
            refusal=refusal if self.error is None else Refusal(Conclusion.FAILURE, str(self.error)),
        )


@dataclass(frozen=True)
class Wanted:
    """What a command asks for: a wish, and how many sessions."""

    wish: Wish
    sessions: int = 1


def of_command(github: GitHub, most: Limits, repository: Repository, command: Run, sha: str) -> Wanted | str:
    """What `/raas run` asks for at a commit: what the repository wants there, changed by the options.

    Returns:
        Where it is refused, the sentences for whoever commented.

    Raises:
        GitHubError: GitHub could not be asked.
    """
    found = wish(github, most, repository, sha)
    if found is None:
        return (
            f"There is neither a `.raas.yml` nor a `run.py` at `{sha}`, so there is nothing to run. "
            "Add a `run.py` to the repository's root."
        )
    if found.error is not None:
        return Wanted(found)
    timeout_s = found.config.timeout if command.timeout_s is None else command.timeout_s
    sessions = command.sessions or 1
    robot = robot_of(found.config.robot, command)
    if timeout_s > most.timeout_max_s:
        return f"This host allows {most.timeout_max_s:g} s on the robot at most; lower `--timeout`."
    if sessions > most.sessions_max:
        return f"This host allows {most.sessions_max} sessions in one job at most; lower `-n`."
    if not labels_fit(robot):
        return f"The labels are longer than {LABELS_LENGTH_MAX} characters together; use fewer of `--robot`."
    config = found.config.model_copy(update={"robot": robot, "timeout": timeout_s})
    return Wanted(replace(found, config=config), sessions)


def robot_of(configured: Sequence[str], command: Run) -> list[str]:
    """The labels a robot must have: the kind stays, the command's labels stand instead of the others.

    A simulated robot has another name and place than a real one, so `--sim` drops what narrows the choice.
    """
    narrow = command.labels or (() if command.simulated else tuple(configured[1:]))
    simulated = (SIMULATED,) if command.simulated else ()
    return list(dict.fromkeys((configured[0], *narrow, *simulated)))


def wish(github: GitHub, most: Limits, repository: Repository, sha: str) -> Wish | None:
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
        check_limits(config, text, most)
    except RepoConfigError as error:
        return Wish(repository, sha, RepoConfig(), error)
    return Wish(repository, sha, config)


def check_limits(config: RepoConfig, text: bytes, most: Limits) -> None:
    """Whether this server grants what the file asks for.

    Raises:
        RepoConfigError: It does not.
    """
    if config.timeout > most.timeout_max_s:
        raise RepoConfigError(
            f"`timeout` is {config.timeout:g} s, but this host allows {most.timeout_max_s:g} s; lower it",
            _line_of(b"timeout", text),
        )
    if not labels_fit(config.robot):
        raise RepoConfigError(
            f"`robot`: the labels are longer than {LABELS_LENGTH_MAX} characters together; use fewer",
            _line_of(b"robot", text),
        )


def labels_fit(labels: Sequence[str]) -> bool:
    """Whether a lane has room for these labels, and for the names of robots that refuse the job."""
    return len(",".join(set(labels))) <= LABELS_LENGTH_MAX


def _line_of(key: bytes, text: bytes) -> int:
    """The line on which a key of the file's top level stands."""
    before = re.split(rb"(?m)^%s\s*:" % key, text, maxsplit=1)[0]
    return before.count(b"\n") + 1


def _without_config(github: GitHub, repository: Repository, sha: str) -> Wish | None:
    try:
        if github.file(repository, PROGRAM, sha) is None:
            if github.commit(repository, sha) is None:
                raise NotFoundError(f"{repository.full_name} has no commit {sha}")
            return None
    except InvalidError:
        pass  # too long to be handed out, but there
    return Wish(repository, sha, RepoConfig())
