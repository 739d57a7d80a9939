"""Where the stand-in lives: its folder, its addresses, its limits."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

TOKEN_LIFETIME_S = 3600
"""An installation token lives one hour (GitHub's documented lifetime)."""

CODELOAD_LIFETIME_S = 300
"""A tarball address of a private repository is good for five minutes (GitHub's documented lifetime)."""

HOOK_TIMEOUT_S = 10.0
"""GitHub gives a webhook receiver ten seconds."""


@dataclass
class Settings:
    """One stand-in.

    `data_dir` holds the database and the bare repositories, and survives restarts. `public_url` is the
    origin that people, git and clients use, without a trailing slash. `api_prefix` is "/api/v3" as on
    GitHub Enterprise Server, or "" for the API at the root as on api.github.com. `hourly_limit` is the
    number of API requests an hour and token. `content_limit_per_minute` bounds creating comments, pull
    requests, reactions and check runs (GitHub's secondary limit, about 80); 0 switches it off.
    `signing_key` signs archive addresses; a restart makes the old ones void.
    """

    data_dir: Path
    public_url: str
    api_prefix: str = "/api/v3"
    admin_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    signing_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    hourly_limit: int = 5000
    content_limit_per_minute: int = 0
    hook_timeout_s: float = HOOK_TIMEOUT_S

    def __post_init__(self) -> None:
        """Reject addresses that would make broken links."""
        if not self.public_url.startswith(("http://", "https://")) or self.public_url.endswith("/"):
            raise ValueError(
                f"public_url {self.public_url!r} must be http(s)://host[:port] without a slash at the end"
            )
        if self.api_prefix and (not self.api_prefix.startswith("/") or self.api_prefix.endswith("/")):
            raise ValueError(f"api_prefix {self.api_prefix!r} must start with a slash and not end with one")

    @property
    def api_url(self) -> str:
        """The API's base address, without a trailing slash."""
        return self.public_url + self.api_prefix

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "github.sqlite3"

    @property
    def repositories(self) -> Path:
        """The folder of the bare repositories."""
        return self.data_dir / "repositories"
