"""`raas-runner doctor`: is everything there that a job needs, and what to do about what is not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raas_gym.control import ControlClient, ControlError
from raas_gym.version import __version__
from runner import base_image, settings, trial
from runner.agent import FREE_BYTES_MIN
from runner.client import Client, ServerError
from runner.engine_errors import SandboxError
from runner.sandbox import Engine
from runner.settings import Settings, SettingsError
from runner.trial import TrialError

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
        yield from _docker(None)
        return
    yield Finding(True, f"settings in {path}: runner {chosen.name} of {chosen.server}")
    yield from _docker(chosen)
    yield from _controller(chosen)
    yield from _server(chosen, token)
    yield from _disk(chosen)


def _docker(chosen: Settings | None) -> Iterator[Finding]:
    try:
        engine = Engine(timeout_s=10)
    except SandboxError as error:
        yield Finding(False, str(error))
        return
    try:
        yield from _engine(engine, chosen)
    except SandboxError as error:
        yield Finding(False, str(error))
    finally:
        engine.close()


def _engine(engine: Engine, chosen: Settings | None) -> Iterator[Finding]:
    info = engine.info()
    yield Finding(True, f"Docker {info.get('ServerVersion')} answers")
    yield from walls(info, chosen, swap_bytes())
    for recipe in [chosen.recipe(kind) for kind in chosen.images] if chosen else [base_image.SLIM]:
        yield from _image(engine, recipe, chosen)


def swap_bytes() -> int:
    """The host's swap space."""
    found = re.search(r"^SwapTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def walls(info: Mapping[str, Any], chosen: Settings | None, swap: int) -> Iterator[Finding]:
    """What the kernel and Docker do not enforce.

    Args:
        info: What Docker says of itself and its host.
        chosen: The settings, where there are any.
        swap: The host's swap space, bytes.
    """
    for key, wall, remedy in _WALLS:
        if not info.get(key):
            yield Finding(False, f"the kernel does not enforce a limit of {wall}: {remedy}")
    if swap and info.get("MemoryLimit") and not info.get("SwapLimit"):
        yield Finding(False, f"the kernel does not enforce a limit of swap: {_SWAP}")
    if chosen is not None and chosen.cpus and not info.get("CpuCfsQuota"):
        yield Finding(
            False, "the kernel does not enforce `cpus`: use one with CONFIG_CFS_BANDWIDTH, or set it to 0"
        )
    options = " ".join(map(str, info.get("SecurityOptions") or []))
    if "seccomp" not in options or "profile=unconfined" in options:
        yield Finding(False, "Docker runs without seccomp: use a kernel with CONFIG_SECCOMP_FILTER")
    kind = next((name for name in ("rootless", "userns") if f"name={name}" in options), None)
    yield Finding(True, _NAMESPACES[kind])
    runtime = chosen.runtime if chosen is not None else None
    if runtime and runtime not in (info.get("Runtimes") or {}):
        yield Finding(False, f"`runtime` is {runtime}, which Docker does not know: {_RUNTIME}")


_NAMESPACES = {
    "rootless": "Docker runs without root: a user namespace stands around every container",
    "userns": "Docker maps users: a user namespace stands around every container",
    None: "jobs are a plain user without capabilities, in no user namespace (docs/hosts.md: further walls)",
}


def _image(engine: Engine, recipe: base_image.Recipe, chosen: Settings | None) -> Iterator[Finding]:
    tag = base_image.tag(recipe)
    if engine.image_id(tag):
        yield Finding(True, f"the image {tag} is there")
        if chosen is not None:
            yield from _trial(engine, tag, chosen)
    else:
        words = f" --kind {recipe.kind}" * (recipe.kind != "slim") + " --tensorflow" * recipe.tensorflow
        yield Finding(False, f"the image {tag} is missing: run `raas-runner image build{words}`")


def _trial(engine: Engine, tag: str, chosen: Settings) -> Iterator[Finding]:
    """A container as every job gets it: does it run, is it alone, can it reach a robot?"""
    try:
        done = trial.attempt(engine, tag, chosen)
    except OSError as error:
        advice = "run doctor as the runner's user, or mend `data_dir`"
        yield Finding(False, f"{chosen.data_dir} cannot be written ({error.strerror or error}): {advice}")
    except SandboxError as error:
        yield Finding(False, f"no container runs behind the walls of a job: {error}")
    except TrialError as error:
        yield Finding(False, f"a container behind the walls of a job does not work: {error}")
    else:
        who = f"user {done.uid} of this host, {done.seconds:.1f} s"
        yield Finding(True, f"a container runs behind the walls of a job ({who})")


_CMDLINE = "add `cgroup_enable=memory cgroup_memory=1` to the kernel's command line (on Raspberry Pi OS \
/boot/firmware/cmdline.txt) and reboot"
_SWAP = (
    "turn swap off (`sudo dphys-swapfile swapoff`, `sudo swapoff -a`), or add `swapaccount=1` to the "
    "kernel's command line"
)
_RUNTIME = "install it and name it in /etc/docker/daemon.json, or remove the setting"
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
    if status.software != __version__:
        text = f"the controller is of version {status.software}, this runner of {__version__}"
        yield Finding(False, f"{text}: install the same on both and restart them")
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
