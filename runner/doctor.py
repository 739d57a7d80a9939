"""`raas-runner doctor`: is everything there that a job needs, and what to do about what is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raas_gym.control import ControlClient, ControlError
from runner import base_image, settings
from runner.agent import FREE_BYTES_MIN
from runner.client import Client, ServerError
from runner.sandbox import Engine, SandboxError
from runner.settings import Settings, SettingsError

SKEW_MAX_S = 60.0
"""Signed upload URLs and TLS want a clock this near [s]."""


@dataclass(frozen=True)
class Finding:
    """One line: `good` says whether it needs mending."""

    good: bool
    text: str


def examine(path: Path) -> Iterator[Finding]:
    """Check everything; findings come as they are made.

    Args:
        path: The settings file.
    """
    try:
        chosen = settings.read(path)
        token = settings.read_token(path)
    except SettingsError as error:
        yield Finding(False, str(error))
        yield from _docker()
        return
    yield Finding(True, f"settings in {path}: runner {chosen.name} of {chosen.server}")
    yield from _docker()
    yield from _controller(chosen)
    yield from _server(chosen, token)
    yield from _disk(chosen)


def _docker() -> Iterator[Finding]:
    try:
        engine = Engine(timeout_s=10)
    except SandboxError as error:
        yield Finding(False, str(error))
        return
    try:
        yield from _engine(engine)
    except SandboxError as error:
        yield Finding(False, str(error))
    finally:
        engine.close()


def _engine(engine: Engine) -> Iterator[Finding]:
    info = engine.info()
    yield Finding(True, f"Docker {info.get('ServerVersion')} answers")
    for key, wall, remedy in _WALLS:
        if not info.get(key):
            yield Finding(False, f"the kernel does not enforce a limit of {wall}: {remedy}")
    if not any("seccomp" in option for option in info.get("SecurityOptions") or []):
        yield Finding(False, "Docker runs without seccomp: use a kernel with CONFIG_SECCOMP_FILTER")
    tag = base_image.tag()
    if engine.image_id(tag):
        yield Finding(True, f"the image {tag} is there")
    else:
        yield Finding(False, f"the image {tag} is missing: run `raas-runner image build`")


_CMDLINE = "add `cgroup_enable=memory cgroup_memory=1` to the kernel's command line (on Raspberry Pi OS \
/boot/firmware/cmdline.txt) and reboot"
_WALLS = (
    ("MemoryLimit", "memory", _CMDLINE),
    ("PidsLimit", "processes", "enable the pids cgroup controller"),
    ("CPUSet", "processors", "enable the cpuset cgroup controller"),
)


def _controller(chosen: Settings) -> Iterator[Finding]:
    try:
        status = ControlClient(str(chosen.controller), timeout_s=5.0).status()
    except ControlError as error:
        yield Finding(False, str(error))
        return
    good = status.state != "unhealthy"
    yield Finding(
        good, f"robot {status.robot} ({status.plant} {status.kind}): {status.state}. {status.message}"
    )
    for warning in status.warnings:
        yield Finding(False, f"robot {status.robot}: {warning}")


def _server(chosen: Settings, token: str) -> Iterator[Finding]:
    client = Client(chosen.server, token)
    try:
        skew = client.check()
    except ServerError as error:
        yield Finding(False, f"{error} (server {chosen.server})")
        return
    finally:
        client.close()
    yield Finding(True, f"the server {chosen.server} knows this runner")
    if skew is not None:
        text = f"this host's clock and the server's differ by {abs(skew):.0f} s"
        remedy = (
            "" if abs(skew) <= SKEW_MAX_S else ": turn on time synchronisation (`timedatectl set-ntp true`)"
        )
        yield Finding(not remedy, text + remedy)


def _disk(chosen: Settings) -> Iterator[Finding]:
    place: Path = chosen.data_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    good = free >= 5 * FREE_BYTES_MIN
    advice = "" if good else ": free some, or set `data_dir` to another disk"
    yield Finding(good, f"{free / 1e9:.1f} GB of disk are free at {place}{advice}")
