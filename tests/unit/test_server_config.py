"""Settings: defaults, a file, and a sentence for everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_app import config
from github_app.config import ConfigError

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n"


def load(tmp_path: Path, **values: str) -> config.Settings:
    names = {"DATA_DIR": str(tmp_path / "data"), "OWNERS": "alice, Lab-7"} | values
    return config.load({f"RAAS_{name}": value for name, value in names.items()})


def test_defaults(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.database_url == f"sqlite:///{tmp_path}/data/raas.sqlite3"
    assert (found.bind, found.public_url) == ("127.0.0.1:8000", "http://127.0.0.1:8000")
    assert (found.artifacts, found.workers, found.lease_s) == ("file", 1, 30.0)
    assert found.github_api_url == "https://api.github.com"
    assert found.github_private_key is None


def test_owners(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.owner_allowed("ALICE")
    assert found.owner_allowed("lab-7")
    assert not found.owner_allowed("mallory")
    assert load(tmp_path, OWNERS="*").owner_allowed("mallory")
    assert config.load({"RAAS_DATA_DIR": str(tmp_path)}).owner_allowed("mallory"), "open unless narrowed"


def test_the_generated_key_stays_and_is_private(tmp_path: Path) -> None:
    first = load(tmp_path).secret_key
    assert load(tmp_path).secret_key == first
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "raas.env"
    file.write_text(
        "# the lab's server\n\nexport RAAS_PUBLIC_URL='https://raas.example.org/'\n"
        f'RAAS_OWNERS="lab"\nRAAS_DATA_DIR={tmp_path}/data\nRAAS_LEASE_S=60\n'
    )
    found = config.load({"RAAS_CONFIG": str(file), "RAAS_LEASE_S": "90"})
    assert (found.public_url, found.lease_s) == ("https://raas.example.org", 90.0)
    assert found.owners == {"lab"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("RAAS_OWNERS", "line 1 of .* is not NAME=value"),
        ("RAAS_OWNERS=*\nRAAS_OWNER=x", "sets RAAS_OWNER, which is no setting"),
    ],
)
def test_a_file_with_mistakes(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "raas.env"
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        config.load({"RAAS_CONFIG": str(file), "RAAS_DATA_DIR": str(tmp_path / "data")})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.load({"RAAS_CONFIG": str(tmp_path / "nothing")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OWNERS", ""),
        ("OWNERS", ", ,"),
        ("OWNERS", "*, alice"),
        ("OWNERS", "alice bob"),
        ("DATA_DIR", "/proc/nothing"),
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "sqlite:///relative.db"),
        ("ARTIFACTS", "gs://bucket"),
        ("ARTIFACTS", "s3://"),
        ("S3_ENDPOINT_URL", "minio:9000"),
        ("PUBLIC_URL", "raas.example.org"),
        ("PUBLIC_URL", "https://user:secret@raas.example.org"),
        ("BIND", "8000"),
        ("BIND", "127.0.0.1:99999"),
        ("GITHUB_APP_ID", "my-app"),
        ("GITHUB_PRIVATE_KEY", "/nowhere/key.pem"),
        ("SECRET_KEY", "short"),
        ("TIMEOUT_MAX_S", "soon"),
        ("TIMEOUT_MAX_S", "nan"),
        ("SESSIONS_MAX", "0"),
        ("LOG_BYTES_MAX", "10X"),
        ("SOURCE_BYTES_MAX", "0"),
        ("LEASE_S", "-1"),
        ("HEARTBEAT_S", "20"),
        ("WORKERS", "2"),
    ],
)
def test_every_wrong_value_is_one_sentence_with_its_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **{name: value})
    assert str(caught.value).startswith(f"RAAS_{name} ")
    assert "\n" not in str(caught.value)


def test_the_private_key_is_a_text_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PEM)
    for value in (PEM, PEM.replace("\n", "\\n"), str(file)):
        key = load(tmp_path, GITHUB_PRIVATE_KEY=value).github_private_key
        assert key is not None
        assert key.reveal().strip() == PEM.strip()


def test_sizes_have_units(tmp_path: Path) -> None:
    found = load(tmp_path, LOG_BYTES_MAX="7", ARTIFACT_BYTES_MAX="3k", SOURCE_BYTES_MAX="2G")
    assert (found.log_bytes_max, found.artifact_bytes_max, found.source_bytes_max) == (7, 3072, 2 << 30)


def test_secrets_do_not_show(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        GITHUB_WEBHOOK_SECRET="hush-hush",
        GITHUB_PRIVATE_KEY=PEM,
        DATABASE_URL="postgresql://raas:hush-hush@db/raas",
    )
    shown = f"{found!r} {found} {found.github_webhook_secret!r} {found.github_private_key} {vars(found)}"
    shown = shown.replace(found.database_url, "")  # told only to who asks for it
    assert "hush" not in shown
    assert "MIIB" not in shown
    assert found.secret_key.reveal() not in shown
    assert found.database_url == "postgresql+psycopg://raas:hush-hush@db/raas"
