"""What operators copy: the unit, the proxy's file and the settings are what the software understands."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from needs import need

from github_app import config

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "raas-server.service"
LINE = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", re.MULTILINE)

FOREIGN = {
    "RAAS_HOST",
    "POSTGRES_PASSWORD",
    "COMPOSE_PROJECT_NAME",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}
"""Names in the example that are the proxy's, PostgreSQL's, Compose's and boto3's."""


@pytest.fixture
def systemd_analyze() -> str:
    command = shutil.which("systemd-analyze")
    need(command is not None, "systemd-analyze", "apt-get install systemd")
    assert command is not None
    return command


def test_systemd_takes_the_unit(systemd_analyze: str, tmp_path: Path) -> None:
    # The program's own path is the only thing that is not here.
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/raas/venv/bin/raas-server", "/bin/true"))
    done = subprocess.run([systemd_analyze, "verify", here], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []


def test_the_server_is_no_member_of_the_robots_group() -> None:
    robots = [*DEPLOY.glob("systemd/*.service"), *DEPLOY.parent.glob("hardware/systemd/*.service")]
    groups = [re.findall(r"^Group=(\S+)$", unit.read_text(), re.MULTILINE) for unit in (UNIT, *robots)]
    assert groups == [["raas-server"], *[["raas"]] * 3]


def test_the_unit_gives_away_little(systemd_analyze: str) -> None:
    command = [systemd_analyze, "security", "--offline=true", "--no-pager", UNIT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= 2.0


def test_the_settings_to_fill_in_are_settings(tmp_path: Path) -> None:
    named = dict(LINE.findall((DEPLOY / "raas.env.example").read_text()))
    assert named.keys() >= FOREIGN
    (tmp_path / "app.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\n")
    values = {
        "RAAS_SECRET_KEY": "k" * 64,
        "RAAS_GITHUB_APP_ID": "1",
        "RAAS_GITHUB_PRIVATE_KEY": str(tmp_path / "app.pem"),
        "RAAS_GITHUB_WEBHOOK_SECRET": "w",
        "RAAS_GITHUB_CLIENT_ID": "c",
        "RAAS_GITHUB_CLIENT_SECRET": "s",
    }
    ours = {name: values.get(name, value) for name, value in named.items() if name not in FOREIGN}
    file = tmp_path / "server.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in ours.items()))
    settings = config.load({"RAAS_CONFIG": str(file), "RAAS_DATA_DIR": str(tmp_path / "data")})
    assert settings.public_url == "https://raas.example.org"


def test_compose_asks_for_what_the_example_names() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    named = {name for name, _ in LINE.findall((DEPLOY / "raas.env.example").read_text())}
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) <= named
    services = yaml.safe_load(text)["services"]
    assert services["server"]["cap_drop"] == ["ALL"]
    assert (
        DEPLOY / services["server"]["build"]["context"] / services["server"]["build"]["dockerfile"]
    ).is_file()
    assert services["proxy"]["volumes"][0].startswith("./Caddyfile:")


def test_the_image_is_made_of_the_package_alone() -> None:
    """`COPY . …` takes what `.dockerignore` leaves: never `deploy/.env` with its secrets."""
    root = DEPLOY.parent
    rules = re.findall(r"^[^#].*", (root / ".dockerignore").read_text(), re.MULTILINE)
    assert rules[0] == "*"
    named = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert [name for name in named if not (root / name).exists()] == []
    packages = re.findall(r"^    (\w+)\*$", (root / "setup.cfg").read_text(), re.MULTILINE)
    assert len(packages) == 5
    assert set(packages) <= set(named)
    assert "deploy" not in named
