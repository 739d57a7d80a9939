"""The server's settings: from the environment, or from one file of `NAME=value` lines (`RAAS_CONFIG`).

The environment wins over the file. Every problem is a `ConfigError` of one sentence that names the
variable and says what to do. Secrets are held as `Secret`, which shows itself to nobody by accident.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from github_app import parsers
from github_app.credentials import AppCredentials, Credentials
from github_app.parsers import Secret

T = TypeVar("T")

SECRET_KEY_FILE = "secret.key"  # noqa: S105 - a file's name
"""In the data directory, where `RAAS_SECRET_KEY` is not set."""


class ConfigError(Exception):
    """A setting is missing or wrong; the message is one sentence and says what to do."""


@dataclass(frozen=True)
class Settings:
    """What the server was told. Sizes are bytes, times seconds; URLs carry no slash at the end.

    Attributes:
        data_dir: Holds the SQLite database, local artifacts, the generated secret and the lock file.
        artifacts: `file`, or `s3://bucket/prefix`.
        s3_endpoint_url: How the server reaches the S3; None means Amazon's.
        s3_public_endpoint_url: How browsers and runners reach it (a presigned URL signs the host name).
        credentials: The GitHub App's, from here or from the file that `/setup` writes.
        owners: Logins (lower case) whose repositories may use the robots, or `{"*"}`.
        hosts: Logins (lower case) that may drain robots on their pages.
        secret_key: Signs URLs and sessions.
        queued_max: Most jobs of one owner that wait.
        queued_max_s: Longest wait of a job for a robot, or for its approval [s]; None: for ever.
        github_writes_per_minute: Most check runs and comments written for an installation; 0: no limit.
            `github_writes_per_hour` likewise.
        keep_s: Logs and artifacts are kept so long after a job's end [s]; None: for ever.
        keep_deliveries_s: Likewise webhook deliveries that were worked on.
        prepare_s: Longest time from claim to `running` [s].
        lease_s: A claim lapses this long after the last heartbeat [s].
        workers: Server processes; more than one needs PostgreSQL.
        log_debug: Also log mere looks and what libraries say.
        trusted_proxies: Whose `X-Forwarded-For` is believed, beside this machine's own.
        requests_per_minute: So many requests of one address are answered by each process (`limits`).
        live_max: Most live streams that one server process holds; `live_max_per_address` of one viewer.
    """

    data_dir: Path
    database_url: str
    artifacts: str
    s3_endpoint_url: str | None
    s3_public_endpoint_url: str | None
    public_url: str
    bind: str
    github_api_url: str
    github_web_url: str
    credentials: Credentials
    github_writes_per_minute: int
    github_writes_per_hour: int
    owners: frozenset[str]
    hosts: frozenset[str]
    secret_key: Secret
    timeout_max_s: float
    prepare_s: float
    sessions_max: int
    queued_max: int
    queued_max_s: float | None
    log_bytes_max: int
    artifact_bytes_max: int
    artifact_count_max: int
    source_bytes_max: int
    keep_s: float | None
    keep_deliveries_s: float | None
    lease_s: float
    heartbeat_s: float
    workers: int
    trusted_proxies: tuple[parsers.Network, ...]
    requests_per_minute: int
    log_as_json: bool
    log_debug: bool
    live_max: int
    live_max_per_address: int

    @property
    def is_sqlite(self) -> bool:
        """Whether the embedded database is used: then there is one server process."""
        return self.database_url.startswith("sqlite")

    @property
    def github_app_id(self) -> int | None:
        """The App's id; like the four below it may appear while the server runs."""
        return self.credentials.current().app_id

    @property
    def github_private_key(self) -> Secret | None:
        """The App's private key, PEM."""
        return self.credentials.current().private_key

    @property
    def github_webhook_secret(self) -> Secret | None:
        """What GitHub signs deliveries with."""
        return self.credentials.current().webhook_secret

    @property
    def github_client_id(self) -> str | None:
        """The App's name in the OAuth web flow."""
        return self.credentials.current().client_id

    @property
    def github_client_secret(self) -> Secret | None:
        """What goes with it."""
        return self.credentials.current().client_secret

    def owner_allowed(self, login: str) -> bool:
        """Whether repositories of this owner may use the robots."""
        return "*" in self.owners or login.lower() in self.owners

    def __repr__(self) -> str:
        # The database URL may hold a password, so the usual dataclass text will not do.
        return f"Settings(data_dir={str(self.data_dir)!r}, public_url={self.public_url!r})"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings.

    Creates the data directory (mode 0700) and, where `RAAS_SECRET_KEY` is not set, a key in it.

    Args:
        environ: Instead of the process's environment.

    Raises:
        ConfigError: A value is missing or wrong.
    """
    environ = os.environ if environ is None else environ
    path = environ.get("RAAS_CONFIG")
    from_file = read_file(Path(path)) if path else {}
    reader = _Reader({**from_file, **environ})
    settings = _settings(reader)
    for name in from_file.keys() - reader.asked:
        # A typing error must not go unnoticed.
        raise ConfigError(f"RAAS_CONFIG: {path} sets {name}, which is no setting; correct or remove it")
    return settings


def read_file(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a settings file; `#` begins a comment line, quotes around a value go.

    Raises:
        ConfigError: The file cannot be read, or a line is not of that form.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"RAAS_CONFIG: cannot read {path} ({error}); give a readable text file") from error
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise ConfigError(f"RAAS_CONFIG: line {number} of {path} is not NAME=value; correct it")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[name] = value
    return values


class _Reader:
    """Takes values out of a mapping and puts the variable's name in front of every complaint."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def get(self, name: str, parse: Callable[[str], T], default: str) -> T:
        self.asked.add(name)
        value = self._values.get(name, "").strip() or default
        try:
            return parse(value)
        except ValueError as error:
            raise ConfigError(f"{name} {error}") from error

    def maybe(self, name: str, parse: Callable[[str], T]) -> T | None:
        self.asked.add(name)
        return self.get(name, parse, "") if self._values.get(name, "").strip() else None

    def unless_empty(self, name: str, parse: Callable[[str], T], default: str) -> T:
        """As `get`, where an empty value must not quietly mean the default."""
        if name in self._values and not self._values[name].strip():
            raise ConfigError(f"{name} is empty; give it a value, or leave it out for {default}")
        return self.get(name, parse, default)


def _settings(reader: _Reader) -> Settings:
    data_dir = reader.get("RAAS_DATA_DIR", parsers.data_dir, _default_data_dir())
    database_url = reader.get("RAAS_DATABASE_URL", parsers.database_url, f"sqlite:///{data_dir}/raas.sqlite3")
    bind = reader.get("RAAS_BIND", parsers.bind, "127.0.0.1:8000")
    one_process = database_url.startswith("sqlite")
    settings = Settings(
        data_dir=data_dir,
        database_url=database_url,
        artifacts=reader.get("RAAS_ARTIFACTS", parsers.artifacts, "file"),
        s3_endpoint_url=reader.maybe("RAAS_S3_ENDPOINT_URL", parsers.url),
        s3_public_endpoint_url=reader.maybe("RAAS_S3_PUBLIC_ENDPOINT_URL", parsers.url),
        public_url=reader.get("RAAS_PUBLIC_URL", parsers.url, f"http://{bind}"),
        bind=bind,
        github_api_url=reader.get("RAAS_GITHUB_API_URL", parsers.url, "https://api.github.com"),
        github_web_url=reader.get("RAAS_GITHUB_WEB_URL", parsers.url, "https://github.com"),
        credentials=Credentials(_given(reader), data_dir),
        hosts=reader.get("RAAS_HOSTS", parsers.logins, ""),
        owners=reader.unless_empty("RAAS_OWNERS", parsers.owners, "*"),
        secret_key=reader.maybe("RAAS_SECRET_KEY", parsers.secret_key)
        or _kept_secret(data_dir / SECRET_KEY_FILE),
        timeout_max_s=reader.get("RAAS_TIMEOUT_MAX_S", parsers.seconds(1, 86400), "600"),
        prepare_s=reader.get("RAAS_PREPARE_S", parsers.seconds(1, 86400), "900"),
        sessions_max=reader.get("RAAS_SESSIONS_MAX", parsers.count(1, 100), "10"),
        queued_max=reader.get("RAAS_QUEUED_MAX", parsers.count(1, 1_000_000), "500"),
        queued_max_s=reader.get("RAAS_QUEUED_MAX_DAYS", parsers.days, "3"),
        github_writes_per_minute=reader.get(
            "RAAS_GITHUB_WRITES_PER_MINUTE", parsers.count(0, 1_000_000), "80"
        ),
        github_writes_per_hour=reader.get("RAAS_GITHUB_WRITES_PER_HOUR", parsers.count(0, 1_000_000), "500"),
        log_bytes_max=reader.get("RAAS_LOG_BYTES_MAX", parsers.size, "10M"),
        artifact_bytes_max=reader.get("RAAS_ARTIFACT_BYTES_MAX", parsers.size, "200M"),
        artifact_count_max=reader.get("RAAS_ARTIFACT_COUNT_MAX", parsers.count(1, 1000), "200"),
        source_bytes_max=reader.get("RAAS_SOURCE_BYTES_MAX", parsers.size, "100M"),
        keep_s=reader.get("RAAS_KEEP_DAYS", parsers.days, "90"),
        keep_deliveries_s=reader.get("RAAS_KEEP_DELIVERIES_DAYS", parsers.days, "30"),
        lease_s=reader.get("RAAS_LEASE_S", parsers.seconds(0.2, 3600), "30"),
        heartbeat_s=reader.get("RAAS_HEARTBEAT_S", parsers.seconds(0.05, 600), "5"),
        trusted_proxies=reader.get("RAAS_TRUSTED_PROXIES", parsers.networks, ""),
        requests_per_minute=reader.get("RAAS_REQUESTS_PER_MINUTE", parsers.count(1, 10_000_000), "600"),
        log_as_json=reader.get("RAAS_LOG_FORMAT", parsers.choice("text", "json"), "text") == "json",
        log_debug=reader.get("RAAS_LOG_LEVEL", parsers.choice("info", "debug"), "info") == "debug",
        workers=reader.get(
            "RAAS_WORKERS", parsers.count(1, 64), "1" if one_process else str(_default_workers())
        ),
        live_max=reader.get("RAAS_LIVE_MAX", parsers.count(1, 9000), "2000"),
        live_max_per_address=reader.get("RAAS_LIVE_MAX_PER_ADDRESS", parsers.count(1, 9000), "60"),
    )
    _check_together(settings)
    return settings


def _given(reader: _Reader) -> AppCredentials:
    return AppCredentials(
        app_id=reader.maybe("RAAS_GITHUB_APP_ID", parsers.count(1, 1 << 53)),
        private_key=reader.maybe("RAAS_GITHUB_PRIVATE_KEY", parsers.private_key),
        webhook_secret=reader.maybe("RAAS_GITHUB_WEBHOOK_SECRET", Secret),
        client_id=reader.maybe("RAAS_GITHUB_CLIENT_ID", str),
        client_secret=reader.maybe("RAAS_GITHUB_CLIENT_SECRET", Secret),
    )


def _check_together(settings: Settings) -> None:
    if settings.is_sqlite and settings.workers > 1:
        raise ConfigError(
            "RAAS_WORKERS must be 1 with SQLite; set RAAS_DATABASE_URL to a PostgreSQL for more"
        )
    if settings.heartbeat_s * 3 > settings.lease_s:
        raise ConfigError(
            "RAAS_HEARTBEAT_S must be at most a third of RAAS_LEASE_S, so that one may get lost"
        )


def _default_data_dir() -> str:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return str(Path(base) / "raas")


def _default_workers() -> int:
    return min(4, os.cpu_count() or 1)


def _kept_secret(path: Path) -> Secret:
    """The key in `path`, made on first use. A link makes it appear whole, to one of two first starts only."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    try:
        return parsers.secret_key(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise ConfigError(f"RAAS_SECRET_KEY: {path} holds no usable key ({error}); remove it") from error
