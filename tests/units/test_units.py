"""The units under a systemd that runs: started, stopped, killed, hung, and a job all the way through them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import package_server
import pytest
from debian import Machine
from e2e_lab import STEPPING
from service import Service, as_server

from demo.processes import wait_until

pytestmark = [pytest.mark.units, pytest.mark.timeout(900)]

UNITS = ("raas-server", "raas-controller", "raas-runner")
EXPOSURE_MAX = 2.0
RUNNER = ("sudo", "-u", "raas-runner", "-H", "raas-runner")
RUNNER_SETTINGS = "/var/lib/raas-runner/.config/raas/runner.yml"
WITH_PACKAGE = {
    "run.py": "import spoon\n" + STEPPING.format(steps=5),
    "requirements.txt": "spoon\n",
    ".raas.yml": "version: 1\nrequirements: requirements.txt\n",
}
RIG = """\
[Service]
ExecStart=
ExecStart=/opt/raas/venv/bin/raas-controller {command} --pins simulated --levels /run/raas-guardian/levels
# Simulated pins are a file that both write.
ReadWritePaths=-/run/raas-guardian
"""
PINCTRL = '#!/bin/sh\necho "$*" >>/run/pinctrl.log\n'


def test_everything_is_up_as_its_own_user(service: Service) -> None:
    machine = service.machine
    assert machine.run("systemctl", "is-system-running").strip() == "running"
    for unit in UNITS:
        assert machine.shown(unit, "ActiveState") == "active"
        assert machine.shown(unit, "NRestarts") == "0", machine.journal(unit)
        assert machine.run("ps", "-o", "user:20=", machine.shown(unit, "MainPID")).strip() == unit
        assert machine.run("systemctl", "is-enabled", unit).strip() == "enabled"


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_is_content_with_it(service: Service, unit: str) -> None:
    done = service.machine.attempt(
        "systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}.service"
    )
    assert [line for line in done.stderr.splitlines() if unit in line] == []
    said = service.machine.run("systemd-analyze", "security", "--no-pager", unit)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert exposure is not None, said
    print(f"{unit}: {exposure[1]}")
    assert float(exposure[1]) <= EXPOSURE_MAX


def test_the_doctors_find_nothing(service: Service) -> None:
    service.machine.run(*RUNNER, "doctor")
    service.machine.run("raas-controller", "doctor")
    assert "FIX" not in as_server(service.machine, "doctor")


def test_a_push_is_run_and_each_journal_tells_it(service: Service) -> None:
    name = service.push(20)
    assert service.check_run(name)["conclusion"] == "success"
    about = re.compile(rf"^(?!\d{{4}}-).*\bjob {service.job(name)['id']}\b", re.MULTILINE)
    for unit in UNITS:
        assert about.search(service.machine.journal(unit)), unit
    assert {it["name"] for it in service.job(name)["artifacts"]} >= {"log.txt", "trajectory.csv"}


def test_stopping_the_runner_waits_for_its_job(service: Service) -> None:
    name = service.push(100)
    service.reaches(name, "running")
    service.machine.run("systemctl", "stop", "raas-runner")
    assert service.job(name)["conclusion"] == "success"
    assert service.machine.shown("raas-runner", "Result") == "success"
    service.machine.run("systemctl", "start", "raas-runner")


def test_a_drained_runner_stays_away(service: Service) -> None:
    machine = service.machine
    machine.run(*RUNNER, "drain")
    wait_until(lambda: machine.shown("raas-runner", "SubState") == "dead", 60, "the runner to end for good")
    assert machine.shown("raas-runner", "NRestarts") == "0"
    machine.run("systemctl", "start", "raas-runner")


def test_stopping_the_runner_leaves_an_installation_alone(service: Service) -> None:
    machine = service.machine
    with package_server.serving(machine.gateway) as index:
        index.add(package_server.wheel("spoon", "1.0", {"spoon.py": b""}))
        index.stuck.set()
        kept = machine.run("cat", RUNNER_SETTINGS)
        settings = f"{kept}packages:\n  index: [{index.url}]\n"
        machine.run("sudo", "-u", "raas-runner", "tee", RUNNER_SETTINGS, given=settings)
        machine.run("systemctl", "restart", "raas-runner")
        name = service.push_files(WITH_PACKAGE)
        wait_until(lambda: bool(index.asked), 60, "the installation to ask for its package")
        machine.run("systemctl", "stop", "--no-block", "raas-runner")
        wait_until(lambda: "draining" in machine.journal("raas-runner").splitlines()[-1], 30, "the drain")
        index.release.set()
        assert service.check_run(name)["conclusion"] == "success", service.job(name)
    machine.run("sudo", "-u", "raas-runner", "tee", RUNNER_SETTINGS, given=kept)
    machine.run("systemctl", "restart", "raas-runner")


@pytest.mark.parametrize(
    ("unit", "conclusion"),
    [("raas-server", "success"), ("raas-controller", "neutral"), ("raas-runner", "neutral")],
)
def test_killed_in_the_middle_of_a_job(service: Service, unit: str, conclusion: str) -> None:
    name = service.push(200)
    service.reaches(name, "running")
    killed = service.machine.shown(unit, "MainPID")
    service.machine.run("systemctl", "kill", "--signal=KILL", unit)
    service.is_anew(unit, killed)
    assert service.check_run(name)["conclusion"] == conclusion, service.job(name)
    again = service.push(5)
    assert service.check_run(again)["conclusion"] == "success", service.job(again)


def test_restarted_in_the_middle_of_a_job_the_server_loses_nothing(service: Service) -> None:
    name = service.push(200)
    service.reaches(name, "running")
    service.machine.run("systemctl", "restart", "raas-server")
    assert service.check_run(name)["conclusion"] == "success", service.job(name)


def test_what_hangs_is_started_anew(service: Service) -> None:
    machine = service.machine
    worker = machine.run("pgrep", "--parent", machine.shown("raas-server", "MainPID")).strip()
    hung = {unit: machine.shown(unit, "MainPID") for unit in ("raas-controller", "raas-runner")}
    machine.run("kill", "-STOP", worker, *hung.values())
    for unit, pid in hung.items():
        service.is_anew(unit, pid)
        assert "watchdog" in machine.run("journalctl", "--no-pager", "--unit", unit, "--grep", "watchdog")
    wait_until(
        lambda: machine.attempt("kill", "-0", worker).returncode != 0, 120, "the worker to be replaced"
    )
    name = service.push(5)
    assert service.check_run(name)["conclusion"] == "success", service.job(name)


@pytest.fixture
def guarded(service: Service) -> Iterator[Machine]:
    """The machine with a motor's rig behind simulated pins, and the guardian that belongs to a motor."""
    machine = service.machine
    machine.write("/usr/local/bin/pinctrl", PINCTRL, "755")
    machine.write("/etc/raas/controller.env", "RAAS_ROBOT_NAME=goose\nRAAS_PLANT=hardware\n")
    machine.run("/opt/raas/src/hardware/install.sh", "--name", "goose", "--only", "units")
    for unit, command in {"guardian": "guardian", "controller": "serve --plant hardware"}.items():
        machine.write(f"/etc/systemd/system/raas-{unit}.service.d/rig.conf", RIG.format(command=command))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "raas-guardian", "raas-controller")
    yield machine
    machine.write("/etc/raas/controller.env", "RAAS_ROBOT_NAME=goose\nRAAS_PLANT=simulated\n")
    machine.run("systemctl", "disable", "raas-guardian")
    machine.run(
        "rm", "-r", *(f"/etc/systemd/system/raas-{it}.service.d" for it in ("guardian", "controller"))
    )
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "stop", "raas-guardian")
    machine.run("systemctl", "restart", "raas-controller")


def test_a_guardian_that_dies_or_hangs_takes_the_motor_along(service: Service, guarded: Machine) -> None:
    for signal in ("KILL", "STOP"):
        pids = {unit: guarded.shown(unit, "MainPID") for unit in ("raas-guardian", "raas-controller")}
        guarded.write("/run/pinctrl.log", "")
        guarded.run("systemctl", "kill", f"--signal={signal}", "--kill-who=main", "raas-guardian")
        for unit, pid in pids.items():  # the controller requires it, and begins anew with it
            service.is_anew(unit, pid)
        assert "set 26 op dl" in guarded.run("cat", "/run/pinctrl.log")
    wait_until(
        lambda: "enable line up" in guarded.journal("raas-guardian").splitlines()[-1], 60, "the line to be up"
    )


def test_everything_comes_back_with_the_machine(service: Service) -> None:
    service.machine.restart()
    for unit in UNITS:
        assert service.machine.shown(unit, "ActiveState") == "active", service.machine.journal(unit)
