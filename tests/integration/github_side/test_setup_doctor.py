"""`raas-server doctor` against a stand-in for GitHub: what it sees, and what it says to do."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from click.testing import CliRunner
from github_lab import MANIFEST, SECRET, Lab, environment

from demo.github.apps import new_key_pair
from github_app import cli, config, diagnosis
from github_app.credentials import AppCredentials, Credentials
from github_app.finding import Finding, Grade
from github_app.parsers import Secret


def findings(lab: Lab, **given: object) -> dict[str, Finding]:
    """The doctor's lines by subject, with other credentials where `given` says so."""
    whole = lab.here.settings
    credentials = Credentials(dataclasses.replace(whole.credentials.given, **given), whole.data_dir)  # type: ignore[arg-type]
    changed = dataclasses.replace(whole, credentials=credentials, public_url=lab.url)
    return {it.subject: it for it in diagnosis.examine(changed)}


def test_all_is_well(lab: Lab) -> None:
    lab.world.ping(lab.app_id)
    lab.work()
    found = findings(lab, client_id="Iv1", client_secret=Secret("x"))
    for subject in ("GitHub App", "permissions", "events", "webhook", "clock", "database", "artifacts"):
        assert found[subject].grade is Grade.GOOD, found[subject]
    assert re.fullmatch(r"the latest \d+ arrived|\d+ of .*", found["deliveries"].text)


def test_wrong_credentials_are_told_apart(lab: Lab) -> None:
    assert "correct RAAS_GITHUB_APP_ID" in findings(lab, app_id=7)["GitHub App"].text
    other = findings(lab, private_key=Secret(new_key_pair()[0]))["GitHub App"]
    assert other.grade is Grade.BAD
    assert "refuses the private key" in other.text
    assert "no usable RSA key" in findings(lab, private_key=Secret("x"))["GitHub App"].text
    assert "RAAS_GITHUB_APP_ID not set" in findings(lab, app_id=None)["GitHub App"].text


def test_an_app_with_too_little(lab: Lab) -> None:
    made = lab.world.app(
        "poor", webhook_url="http://127.0.0.1:9/", permissions={"contents": "read"}, events=["push"]
    )
    lab.world.settle()
    poor = {"app_id": made.id, "private_key": Secret(made.private_key)}
    found = findings(lab, **poor)
    assert "checks: write" in found["permissions"].text
    assert "pull_request" in found["events"].text
    assert "goes to http://127.0.0.1:9/; set it to" in found["webhook"].text
    assert "RAAS_PUBLIC_URL" in found["deliveries"].text


def test_github_away(lab: Lab) -> None:
    lab.world.fault(method="GET", path="/app$", times=1, status=502)
    assert "could not be asked" in findings(lab)["GitHub App"].text


def test_the_command_prints_and_its_status_tells(lab: Lab, tmp_path: Path) -> None:
    hook = f"{lab.url}/webhooks/github"
    made = lab.world.app("commanded", manifest=MANIFEST, webhook_secret=SECRET, webhook_url=hook)
    values = environment(tmp_path / "fresh", lab.github, made, RAAS_PUBLIC_URL=lab.url)
    lab.world.settle()
    run = CliRunner().invoke(cli.main, ["doctor"], env=values)
    assert run.exit_code == 1  # the database has no tables yet
    assert re.search(r"problem +database: .*raas-server upgrade", run.output)
    assert re.search(r"ok +GitHub App: commanded", run.output)
    assert made.private_key.splitlines()[3] not in run.output


def test_set_up_by_the_command(lab: Lab, tmp_path: Path) -> None:
    assert isinstance(config.load({"RAAS_DATA_DIR": str(tmp_path)}).credentials.given, AppCredentials)
    values = {"RAAS_DATA_DIR": str(tmp_path), "RAAS_PUBLIC_URL": lab.url}
    first = CliRunner().invoke(cli.main, ["setup"], env=values)
    assert first.exit_code == 0
    assert f"{lab.url}/setup" in first.stderr
    assert len(first.stdout.strip()) >= 43
    assert CliRunner().invoke(cli.main, ["setup"], env=values).stdout != first.stdout
    refused = CliRunner().invoke(cli.main, ["setup"], env=values | {"RAAS_GITHUB_WEBHOOK_SECRET": "x"})
    assert refused.exit_code == 1
    assert "name an App" in refused.stderr
