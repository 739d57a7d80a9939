"""The stand-in's state: accounts, repositories, Apps, conversations, checks, deliveries.

Times are whole seconds since the epoch (UTC), as GitHub's are. Secrets that GitHub shows once are stored as
SHA-256 only; a webhook secret is kept, since it signs.
"""

from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

ROLES = ("none", "read", "triage", "write", "maintain", "admin")
"""What a person may do with a repository, weakest first."""


NUMBERED = {"sqlite_autoincrement": True}
"""An id is never used twice, not even after a deletion."""


class Base(DeclarativeBase):
    """All tables."""


class Account(Base):
    """A person, an organization, or an App's bot."""

    __tablename__ = "accounts"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]  # User | Organization | Bot
    created_at: Mapped[int]


class Membership(Base):
    """A person in an organization: `admin` (owner) or `member`."""

    __tablename__ = "memberships"

    organization_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    role: Mapped[str]


class UserToken(Base):
    """A personal access token, or a token a person granted an App (`app_id` set)."""

    __tablename__ = "user_tokens"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    app_id: Mapped[int | None] = mapped_column(ForeignKey("apps.id"))
    user: Mapped[Account] = relationship()


class Repository(Base):
    """A repository; its objects are in the bare repository named after its id."""

    __tablename__ = "repositories"
    __table_args__ = (UniqueConstraint("owner_id", "name"), NUMBERED)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str]
    private: Mapped[bool] = mapped_column(default=False)
    archived: Mapped[bool] = mapped_column(default=False)
    description: Mapped[str | None]
    default_branch: Mapped[str] = mapped_column(default="main")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("repositories.id", ondelete="SET NULL"))
    next_number: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[int]
    updated_at: Mapped[int]
    pushed_at: Mapped[int]
    owner: Mapped[Account] = relationship()
    parent: Mapped["Repository | None"] = relationship(remote_side="Repository.id")

    @property
    def full_name(self) -> str:
        """The name people use: owner/name."""
        return f"{self.owner.login}/{self.name}"


class Collaborator(Base):
    """A person's role on a repository that is not theirs."""

    __tablename__ = "collaborators"

    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    role: Mapped[str]


class App(Base):
    """A GitHub App with the public half of its key."""

    __tablename__ = "apps"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    owner_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    bot_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    external_url: Mapped[str]
    public_key: Mapped[str] = mapped_column(Text)
    client_id: Mapped[str] = mapped_column(unique=True)
    client_secret_hash: Mapped[str]
    callback_urls: Mapped[list[str]] = mapped_column(JSON, default=list)
    setup_url: Mapped[str | None]
    webhook_url: Mapped[str | None]
    webhook_secret: Mapped[str | None]
    permissions: Mapped[dict[str, str]] = mapped_column(JSON)
    events: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[int]
    updated_at: Mapped[int]
    owner: Mapped[Account] = relationship(foreign_keys=[owner_id])
    bot: Mapped[Account] = relationship(foreign_keys=[bot_id])

    @property
    def hook_id(self) -> int:
        """The id of the App's only webhook."""
        return 400_000_000 + self.id


class ManifestCode(Base):
    """A code that is traded once, within an hour, for a new App's secrets; they are gone afterwards."""

    __tablename__ = "manifest_codes"

    code_hash: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    private_key: Mapped[str] = mapped_column(Text)
    client_secret: Mapped[str]
    expires_at: Mapped[int]
    app: Mapped["App"] = relationship()


class AuthorizationCode(Base):
    """A code of the OAuth web flow, good once and for ten minutes; `challenge` is PKCE's."""

    __tablename__ = "authorization_codes"

    code_hash: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    redirect_uri: Mapped[str]
    challenge: Mapped[str | None]
    expires_at: Mapped[int]
    app: Mapped["App"] = relationship()
    user: Mapped[Account] = relationship()


class Installation(Base):
    """An App on an account: on all of its repositories or on chosen ones."""

    __tablename__ = "installations"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    selection: Mapped[str]  # all | selected
    permissions: Mapped[dict[str, str]] = mapped_column(JSON)
    events: Mapped[list[str]] = mapped_column(JSON)
    suspended_at: Mapped[int | None]
    created_at: Mapped[int]
    updated_at: Mapped[int]
    app: Mapped[App] = relationship()
    account: Mapped[Account] = relationship()


class InstalledRepository(Base):
    """A repository chosen in an installation with `selection` selected."""

    __tablename__ = "installed_repositories"

    installation_id: Mapped[int] = mapped_column(ForeignKey("installations.id"), primary_key=True)
    repository_id: Mapped[int] = mapped_column(
        ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True
    )


class InstallationToken(Base):
    """A token of one installation, possibly narrowed."""

    __tablename__ = "installation_tokens"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    installation_id: Mapped[int] = mapped_column(ForeignKey("installations.id"))
    permissions: Mapped[dict[str, str]] = mapped_column(JSON)
    repository_ids: Mapped[list[int] | None] = mapped_column(JSON)
    expires_at: Mapped[int]
    installation: Mapped[Installation] = relationship()


class Issue(Base):
    """A conversation: an issue, or the conversation half of a pull request."""

    __tablename__ = "issues"
    __table_args__ = (UniqueConstraint("repository_id", "number"), NUMBERED)

    id: Mapped[int] = mapped_column(primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repositories.id", ondelete="CASCADE"))
    number: Mapped[int]
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    title: Mapped[str]
    body: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(default="open")
    locked: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int]
    updated_at: Mapped[int]
    closed_at: Mapped[int | None]
    repository: Mapped[Repository] = relationship()
    user: Mapped[Account] = relationship()
    pull: Mapped["Pull | None"] = relationship(back_populates="issue")
    comments: Mapped[list["Comment"]] = relationship(order_by="Comment.id", back_populates="issue")


class Pull(Base):
    """The code half of a pull request. `head_sha` and `base_sha` follow the branches while it is open.

    `head_repository` is None once the fork is deleted.
    """

    __tablename__ = "pulls"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"), unique=True)
    head_repository_id: Mapped[int | None] = mapped_column(ForeignKey("repositories.id", ondelete="SET NULL"))
    head_owner_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    head_ref: Mapped[str]
    head_sha: Mapped[str]
    base_ref: Mapped[str]
    base_sha: Mapped[str]
    draft: Mapped[bool] = mapped_column(default=False)
    merged_at: Mapped[int | None]
    merged_by_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    merge_commit_sha: Mapped[str | None]
    mergeable: Mapped[bool | None]
    issue: Mapped[Issue] = relationship(back_populates="pull")
    head_repository: Mapped[Repository | None] = relationship()
    head_owner: Mapped[Account] = relationship(foreign_keys=[head_owner_id])
    merged_by: Mapped[Account | None] = relationship(foreign_keys=[merged_by_id])

    @property
    def head_label(self) -> str:
        """The head as GitHub writes it: owner:branch."""
        return f"{self.head_owner.login}:{self.head_ref}"


class Comment(Base):
    """A comment in a conversation."""

    __tablename__ = "comments"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    app_id: Mapped[int | None] = mapped_column(ForeignKey("apps.id"))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int]
    updated_at: Mapped[int]
    issue: Mapped[Issue] = relationship(back_populates="comments")
    user: Mapped[Account] = relationship()
    app: Mapped[App | None] = relationship()
    reactions: Mapped[list["Reaction"]] = relationship(order_by="Reaction.id", cascade="all, delete-orphan")


class Reaction(Base):
    """One person's reaction to a comment."""

    __tablename__ = "reactions"
    __table_args__ = (UniqueConstraint("comment_id", "user_id", "content"), NUMBERED)

    id: Mapped[int] = mapped_column(primary_key=True)
    comment_id: Mapped[int] = mapped_column(ForeignKey("comments.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    content: Mapped[str]
    created_at: Mapped[int]
    user: Mapped[Account] = relationship()


class CheckSuite(Base):
    """What one App has to say about one commit of one repository."""

    __tablename__ = "check_suites"
    __table_args__ = (UniqueConstraint("repository_id", "app_id", "head_sha"), NUMBERED)

    id: Mapped[int] = mapped_column(primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repositories.id", ondelete="CASCADE"))
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    head_sha: Mapped[str]
    head_branch: Mapped[str | None]
    before: Mapped[str | None]
    after: Mapped[str | None]
    created_at: Mapped[int]
    updated_at: Mapped[int]
    repository: Mapped[Repository] = relationship()
    app: Mapped[App] = relationship()
    runs: Mapped[list["CheckRun"]] = relationship(order_by="CheckRun.id", back_populates="suite")


class CheckRun(Base):
    """One check run. `output` and `actions` are as the App sent them; annotations are appended apart."""

    __tablename__ = "check_runs"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    suite_id: Mapped[int] = mapped_column(ForeignKey("check_suites.id", ondelete="CASCADE"))
    name: Mapped[str]
    status: Mapped[str]
    conclusion: Mapped[str | None]
    external_id: Mapped[str] = mapped_column(default="")
    details_url: Mapped[str | None]
    started_at: Mapped[int | None]
    completed_at: Mapped[int | None]
    title: Mapped[str | None]
    summary: Mapped[str | None] = mapped_column(Text)
    text: Mapped[str | None] = mapped_column(Text)
    images: Mapped[list[dict[str, str]]] = mapped_column(JSON, default=list)
    actions: Mapped[list[dict[str, str]]] = mapped_column(JSON, default=list)
    suite: Mapped[CheckSuite] = relationship(back_populates="runs")
    annotations: Mapped[list["Annotation"]] = relationship(order_by="Annotation.id")


class Annotation(Base):
    """One annotation of a check run, as the App sent it."""

    __tablename__ = "annotations"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    check_run_id: Mapped[int] = mapped_column(ForeignKey("check_runs.id", ondelete="CASCADE"))
    content: Mapped[dict[str, Any]] = mapped_column(JSON)


class Delivery(Base):
    """One attempt to deliver one webhook. A redelivery is a new row with the same GUID.

    `attempted_at` is set before the request leaves, so that a crash in between never sends it twice.
    """

    __tablename__ = "deliveries"
    __table_args__ = NUMBERED

    id: Mapped[int] = mapped_column(primary_key=True)
    guid: Mapped[str] = mapped_column(index=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    event: Mapped[str]
    action: Mapped[str | None]
    installation_id: Mapped[int | None]
    repository_id: Mapped[int | None]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    redelivery: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int]
    attempted_at: Mapped[int | None]
    duration_s: Mapped[float | None]
    status: Mapped[str | None]
    status_code: Mapped[int] = mapped_column(default=0)
    url: Mapped[str | None]
    request_headers: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    response_headers: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    response_body: Mapped[str | None] = mapped_column(Text)
    app: Mapped[App] = relationship()
