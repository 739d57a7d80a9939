"""What GitHub's webhooks say: tolerant models of the fields the server uses, and no others.

`MODELS` holds the events the server acts upon. A delivery of one of these that does not fit its model is
refused when it arrives; deliveries of all other events only have to be JSON objects.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

Id = Annotated[int, Field(ge=1, lt=1 << 63)]


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

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
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
    "issue_comment": IssueComment,
    "installation": InstallationEvent,
    "installation_repositories": InstallationRepositories,
    "repository": RepositoryEvent,
}
