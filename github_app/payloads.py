"""What GitHub's webhooks say: tolerant models of the fields the server uses, and no others.

`MODELS` holds the events the server acts upon. A delivery of one of these that does not fit its model is
refused when it arrives; deliveries of all other events only have to be JSON objects.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

Id = Annotated[int, Field(ge=1, lt=1 << 63)]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Account(BaseModel):
    """A person, an organisation or a program; `type` is `User`, `Organization` or `Bot`."""

    login: Annotated[str, Field(max_length=100)]
    type: str = "User"


class Installation(BaseModel):
    """Where the App is installed."""

    id: Id


class Repository(BaseModel):
    """A repository at the time of the event."""

    id: Id
    name: Annotated[str, Field(max_length=200)]
    owner: Account
    private: bool
    default_branch: Annotated[str, Field(max_length=255)] = "main"


class NamedRepository(BaseModel):
    """A repository in a list of an installation: its owner is only part of the name."""

    id: Id
    full_name: Annotated[str, Field(max_length=301, pattern=r"^[^/]+/[^/]+$")]
    private: bool


class Commit(BaseModel):
    """The newest commit of a push."""

    id: Sha
    message: str


class Push(BaseModel):
    """`push`: a branch or tag was created, moved or deleted. `head_commit` is null where it was deleted."""

    ref: str
    deleted: bool
    head_commit: Commit | None
    repository: Repository
    installation: Installation
    sender: Account


class Comment(BaseModel):
    """A comment on an issue or pull request; the body is null where it is empty."""

    id: Id
    body: str | None
    created_at: AwareDatetime


class PullRequestLink(BaseModel):
    """Present in an issue that is a pull request."""


class Issue(BaseModel):
    """An issue or pull request."""

    number: Id
    pull_request: PullRequestLink | None = None


class IssueComment(BaseModel):
    """`issue_comment`: a comment was created, edited or deleted."""

    action: str
    comment: Comment
    issue: Issue
    repository: Repository
    installation: Installation
    sender: Account


class HeadRepository(BaseModel):
    """Where the head of a pull request lives."""

    id: Id
    full_name: Annotated[str, Field(max_length=301)]


class Head(BaseModel):
    """The head of a pull request; `repo` is null where the fork was deleted."""

    sha: Sha
    ref: str
    repo: HeadRepository | None = None


class Base(BaseModel):
    """The branch that a pull request would change."""

    ref: Annotated[str, Field(max_length=255)]


class PullRequest(BaseModel):
    """A pull request at the time of the event."""

    head: Head
    base: Base


class PullRequestEvent(BaseModel):
    """`pull_request`: opened, moved by a push (`synchronize`), reopened, closed and so on."""

    action: str
    number: Id
    pull_request: PullRequest
    repository: Repository
    installation: Installation
    sender: Account


class App(BaseModel):
    """The App a check belongs to."""

    id: Id


class CheckRun(BaseModel):
    """A check run; `external_id` is our job's id, if it is ours."""

    id: Id
    head_sha: Sha
    external_id: str | None = None
    app: App | None = None


class RequestedAction(BaseModel):
    """The button that was pressed."""

    identifier: Annotated[str, Field(max_length=100)]


class CheckRunEvent(BaseModel):
    """`check_run`: created, completed, `rerequested`, or a button was pressed (`requested_action`)."""

    action: str
    check_run: CheckRun
    requested_action: RequestedAction | None = None
    repository: Repository
    installation: Installation
    sender: Account


class CheckSuite(BaseModel):
    """All check runs of one App at one commit."""

    head_sha: Sha
    app: App | None = None


class CheckSuiteEvent(BaseModel):
    """`check_suite`: requested, completed, `rerequested`."""

    action: str
    check_suite: CheckSuite
    repository: Repository
    installation: Installation
    sender: Account


class InstallationEvent(BaseModel):
    """`installation`: the App was installed, removed, suspended and so on."""

    action: str
    installation: Installation
    repositories: list[NamedRepository] = []


class InstallationRepositories(BaseModel):
    """`installation_repositories`: the repositories of an installation changed."""

    installation: Installation
    repositories_added: list[NamedRepository]
    repositories_removed: list[NamedRepository]


class RepositoryEvent(BaseModel):
    """`repository`: renamed, transferred, made private or public, deleted and so on."""

    action: str
    repository: Repository
    installation: Installation


MODELS: dict[str, type[BaseModel]] = {
    "push": Push,
    "pull_request": PullRequestEvent,
    "issue_comment": IssueComment,
    "check_run": CheckRunEvent,
    "check_suite": CheckSuiteEvent,
    "installation": InstallationEvent,
    "installation_repositories": InstallationRepositories,
    "repository": RepositoryEvent,
}
