"""Parsers of settings. Each raises a `ValueError` whose text goes on after the variable's name."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Secret:
    """A string that does not appear in logs, tracebacks or `repr`. `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash(self._value)


def data_dir(value: str) -> Path:
    """A writable directory, made if need be (mode 0700)."""
    path = Path(value).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"is {path}, which cannot be made ({error.strerror}); name a writable one"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"is {path}, which is not writable for this user; name a writable directory")
    return path


def database_url(value: str) -> str:
    """SQLite by absolute path, or PostgreSQL by psycopg."""
    if value.startswith(("sqlite:////", "postgresql+psycopg://")):
        return value
    if value.startswith(("postgresql://", "postgres://")):
        return "postgresql+psycopg://" + value.split("://", 1)[1]
    raise ValueError("must be postgresql+psycopg://user:password@host/name or sqlite:////absolute/path")


def artifacts(value: str) -> str:
    """`file` or `s3://bucket/prefix`."""
    parts = urlsplit(value)
    if value == "file" or (parts.scheme == "s3" and parts.netloc and not parts.query):
        return value.rstrip("/")
    raise ValueError(f"is {value!r}; write `file` or `s3://bucket/prefix`")


def url(value: str) -> str:
    """An http(s) address without credentials, query and final slash."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"is {value!r}; write an address like https://example.org")
    if parts.username or parts.password:
        raise ValueError("holds a user name or password; write the address without it")
    return value.rstrip("/")


def bind(value: str) -> str:
    """`host:port`."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"is {value!r}; write host:port, like 127.0.0.1:8000")
    return value


def private_key(value: str) -> Secret:
    """A PEM text (line ends may be written as \\n), or the path of a file that holds one."""
    text = value.replace("\\n", "\n")
    if "PRIVATE KEY-----" not in text:
        path = Path(value).expanduser()
        try:
            text = path.read_text("ascii")
        except (OSError, ValueError) as error:
            raise ValueError(
                "is neither a PEM text nor a readable file; give the App's private key"
            ) from error
        if "PRIVATE KEY-----" not in text:
            raise ValueError(
                f"names {path}, which holds no PEM private key; download one from the App's page"
            )
    return Secret(text)


def owners(value: str) -> frozenset[str]:
    """Logins in lower case, or `*` alone."""
    if value.strip() == "*":
        return frozenset({"*"})
    owners = frozenset(part.strip().lower() for part in value.split(",") if part.strip())
    if not owners:
        raise ValueError("names nobody; list logins, separated by commas, or write *")
    if "*" in owners:
        raise ValueError("lists * beside logins; write either")
    return logins(value)


def logins(value: str) -> frozenset[str]:
    """Logins in lower case; none is allowed."""
    found = frozenset(part.strip().lower() for part in value.split(",") if part.strip())
    for login in found:
        if not login.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"lists {login!r}, which is no GitHub login; separate logins by commas")
    return found


def secret_key(value: str) -> Secret:
    """At least 32 characters."""
    if len(value) < 32:
        raise ValueError("is shorter than 32 characters; take the output of `openssl rand -hex 32`")
    return Secret(value)


def networks(value: str) -> tuple[Network, ...]:
    """Addresses and networks, by commas; none is fine."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(
            f"is no list of networks ({error}); write for example 10.0.0.0/8,192.0.2.7"
        ) from error


def seconds(low: float, high: float) -> Callable[[str], float]:
    """A parser of seconds between `low` and `high`."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ValueError(f"is {value!r}; write seconds between {low:g} and {high:g}")
        return number

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """A parser of one of these words."""

    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"is {value!r}; write {' or '.join(words)}")
        return value

    return parse


def days(value: str) -> float | None:
    """A time in days, as seconds; `forever` is None."""
    if value.lower() == "forever":
        return None
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 1 <= number <= 36500:
        raise ValueError(f"is {value!r}; write a number of days, at least 1, or `forever`")
    return number * 86400


def count(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers between `low` and `high`."""

    def parse(value: str) -> int:
        if not value.isdecimal() or not low <= int(value) <= high:
            raise ValueError(f"is {value!r}; write a whole number between {low} and {high}")
        return int(value)

    return parse


def size(value: str) -> int:
    """Bytes, with K, M or G (powers of 1024)."""
    digits, unit = value.rstrip("kKmMgG"), value.lstrip("0123456789").lower()
    if not digits.isdecimal() or unit not in _UNITS or int(digits) == 0:
        raise ValueError(f"is {value!r}; write bytes, with K, M or G for larger units, like 10M")
    return int(digits) * _UNITS[unit]
