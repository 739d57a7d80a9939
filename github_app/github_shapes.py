"""What GitHub answers: small tolerant models of the fields the server uses, and no others.

GitHub adds fields at any time and its official schemas refuse many of its own examples, so everything
that is not read here may look as it likes.
"""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, TypeAdapter


class Token(BaseModel):
    """An installation token."""

    token: str
    expires_at: AwareDatetime


class Account(BaseModel):
    """A user or an organisation."""

    login: str


class RepositoryFacts(BaseModel):
    """A repository as it is now."""

    id: int
    name: str
    owner: Account
    private: bool
    default_branch: str


class Person(BaseModel):
    """A person by the id that stays."""

    id: int


class Permission(BaseModel):
    """A collaborator's permission: `admin`, `write`, `read` or `none`."""

    permission: str
    user: Person | None = None


class RepositoryName(BaseModel):
    """A repository, named."""

    id: int
    full_name: str


class Head(BaseModel):
    """The head of a pull request; `repo` is null where the fork was deleted."""

    sha: str
    repo: RepositoryName | None


class Base(BaseModel):
    """What a pull request would change."""

    ref: str
    repo: RepositoryName


class Pull(BaseModel):
    """A pull request; `state` is `open` or `closed`."""

    state: str
    head: Head
    base: Base


class File(BaseModel):
    """An entry of a repository; beyond a megabyte `encoding` is `none` and the content missing."""

    type: str
    encoding: str = ""
    content: str = ""


class CommitText(BaseModel):
    """What was written about a commit."""

    message: str = ""


class Commit(BaseModel):
    """A commit."""

    sha: str
    commit: CommitText


class Output(BaseModel):
    """What a check run shows."""

    annotations_count: int = 0


class CheckRun(BaseModel):
    """A check run; `external_id` is our job's id."""

    id: int
    external_id: str | None = None
    output: Output = Output()


class CheckRuns(BaseModel):
    """A page of them."""

    check_runs: list[CheckRun]


class Comment(BaseModel):
    """A comment on a pull request."""

    body: str | None = None


TOKEN = TypeAdapter(Token)
REPOSITORY = TypeAdapter(RepositoryFacts)
PERMISSION = TypeAdapter(Permission)
PULL = TypeAdapter(Pull)
COMMIT = TypeAdapter(Commit)
FILE = TypeAdapter[File | list[Any]](File | list[Any])
CHECK_RUN = TypeAdapter(CheckRun)
CHECK_RUNS = TypeAdapter(CheckRuns)
COMMENTS = TypeAdapter(list[Comment])
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
