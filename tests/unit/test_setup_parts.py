"""The parts of set-up and doctor that decide: tokens, credentials, and what GitHub's answers mean."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from github_app import config, github_health, manifest
from github_app.credentials import FILE_NAME, AppCredentials, Credentials, CredentialsError
from github_app.finding import Grade
from github_app.github_site import AppFacts, DeliveryFacts
from github_app.moves import utc_now
from github_app.parsers import Secret

MADE = AppCredentials(1, Secret("a key"), Secret("a hook"), "Iv1", Secret("a client"), "https://gh/apps/a")


def test_the_manifest_is_app_yml_with_our_addresses() -> None:
    declared = yaml.safe_load((Path(__file__).parents[2] / "app.yml").read_text())
    made = manifest.document("https://raas.example")
    assert declared.items() <= made.items()
    assert made["hook_attributes"] == {"url": "https://raas.example/webhooks/github", "active": True}
    assert made["redirect_url"].startswith("https://raas.example/setup/")
    assert len(made["name"]) <= manifest.NAME_MAX


def test_credentials_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    kept = Credentials(AppCredentials(), tmp_path)
    assert not kept.current().any
    kept.save(MADE)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert kept.current() == MADE == Credentials(AppCredentials(), tmp_path).current()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    for secret in ("a key", "a hook", "a client"):
        assert secret not in repr(kept.current())


def test_the_settings_win_as_a_whole(tmp_path: Path) -> None:
    Credentials(AppCredentials(), tmp_path).save(MADE)
    assert config.load({"RAAS_DATA_DIR": str(tmp_path)}).github_app_id == 1
    given = config.load({"RAAS_DATA_DIR": str(tmp_path), "RAAS_GITHUB_WEBHOOK_SECRET": "mine"})
    assert given.github_app_id is None
    assert given.github_webhook_secret == Secret("mine")
    with pytest.raises(CredentialsError, match="remove RAAS_GITHUB_"):
        given.credentials.save(MADE)


def test_a_damaged_file_is_said_without_its_content(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"app_id": 1, "private_key": ["sesame"]}')
    with pytest.raises(CredentialsError, match="damaged") as caught:
        Credentials(AppCredentials(), tmp_path).current()
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_the_app_lacks_is_named_with_where_to_add_it() -> None:
    whole = manifest.declared()
    app = AppFacts(
        id=1,
        name="raas",
        html_url="https://gh/apps/raas",
        permissions=whole.default_permissions | {"checks": "read", "issues": "write"},
        events=[*whole.default_events[1:], "star"],
    )
    found = github_health.permissions(app)
    assert found.grade is Grade.BAD
    assert found.text.startswith("lacks checks: write; add them on https://gh/apps/raas")
    assert f"not told of {whole.default_events[0]};" in github_health.events(app).text
    app.permissions, app.events = whole.default_permissions, whole.default_events
    assert {github_health.permissions(app).grade, github_health.events(app).grade} == {Grade.GOOD}


def delivery(guid: str, code: int, days: float = 0) -> DeliveryFacts:
    at = utc_now() - timedelta(days=days)
    status = "OK" if code == 202 else "timed out"
    return DeliveryFacts(id=1, guid=guid, delivered_at=at, event="push", status=status, status_code=code)


@pytest.mark.parametrize(
    ("latest", "grade", "words"),
    [
        ([], Grade.ODD, "sent nothing"),
        ([delivery("a", 202), delivery("b", 202)], Grade.GOOD, "latest 2 arrived"),
        ([delivery("a", 202), delivery("a", 0)], Grade.GOOD, "arrived"),
        ([delivery("a", 202), delivery("b", 401)], Grade.ODD, "1 of the latest 2 did not arrive"),
        ([delivery("a", 401)], Grade.BAD, "RAAS_GITHUB_WEBHOOK_SECRET"),
        ([delivery("a", 0)], Grade.BAD, "no answer (timed out)"),
        ([delivery("a", 404)], Grade.BAD, "something else answers"),
        ([delivery("a", 502)], Grade.BAD, "502; look at the proxy"),
        ([delivery("a", 500, days=4)], Grade.ODD, "sent nothing"),
    ],
)
def test_what_became_of_deliveries(latest: list[DeliveryFacts], grade: Grade, words: str) -> None:
    found = github_health.received(latest)
    assert found.grade is grade
    assert words in found.text
