"""Each limit of a job's container, as the kernel enforces it: a real Docker engine, numbers read inside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from docker.models.containers import Container

from runner import execution
from runner.hardening import MIB, Exit, spare_cpus

pytestmark = pytest.mark.docker

Run = Callable[..., Any]

PROBE = """
import glob, json, os, resource

def read(*patterns):
    for pattern in patterns:
        for path in glob.glob(pattern):
            return open(path).read().strip()
def limits(name):
    return resource.getrlimit(getattr(resource, name))
def room(place):
    found = os.statvfs(place)
    return found.f_blocks * found.f_frsize, found.f_files
print(json.dumps({
    "cpus": sorted(os.sched_getaffinity(0)),
    "memory": read("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"),
    "memsw": read("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"),
    "swap": read("/sys/fs/cgroup/memory.swap.max"),
    "pids": read("/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max"),
    "nofile": limits("RLIMIT_NOFILE"), "core": limits("RLIMIT_CORE"), "fsize": limits("RLIMIT_FSIZE"),
    "tmp": room("/tmp"), "shm": room("/dev/shm"), "artifacts": room("/artifacts"),
    "seccomp": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp:")],
}))
"""


def test_every_limit_is_in_force(run: Run, lab: Any, runtime: str) -> None:
    spare = sorted(spare_cpus())
    lab.limits = replace(lab.limits, cpuset=",".join(map(str, spare)))
    found = json.loads(run(PROBE).text.splitlines()[-1])
    limits = lab.limits
    if runtime:
        assert len(found["cpus"]) == len(
            spare
        )  # gVisor's kernel counts its processors anew, and has no cgroups
    else:
        assert not spare or found["cpus"] == spare  # the first processor stays the controller's
        assert int(found["memory"]) == limits.memory_bytes
        assert found["memsw"] in (None, str(limits.memory_bytes))
        assert found["swap"] in (None, "0")
        assert int(found["pids"]) == limits.pids
        assert found["seccomp"] == ["2"]
    assert found["nofile"] == [1024, 1024]
    assert found["core"] == [0, 0]
    assert found["fsize"] == [limits.artifact_bytes] * 2
    assert found["tmp"] == [
        limits.tmp_bytes,
        0 if runtime else 16384,
    ]  # gVisor's /tmp is bounded in bytes alone
    assert found["shm"][0] == 64 * MIB
    assert found["artifacts"] == [limits.artifact_bytes, limits.artifact_inodes]


def test_files_in_memory_are_charged_to_the_program(run: Run, lab: Any) -> None:
    lab.limits = replace(lab.limits, memory_bytes=64 * MIB, tmp_bytes=256 * MIB, artifact_bytes=256 * MIB)
    done = run("open('/tmp/x', 'wb').write(bytes(150 << 20))\n")
    assert done.ran.exit.out_of_memory


def test_a_kill_for_memory_that_docker_puts_down_too_late(
    run: Run, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """containerd may tell of it after the end; the container's state then never has it, an event does."""
    reload = Container.reload

    def late(container: Container) -> None:
        reload(container)
        container.attrs["State"]["OOMKilled"] = False

    monkeypatch.setattr(Container, "reload", late)
    lab.limits = replace(lab.limits, memory_bytes=64 * MIB)
    assert run("b = b'x' * (150 << 20)\n").ran.exit.out_of_memory


def test_a_program_that_kills_itself_used_no_memory(run: Run) -> None:
    done = run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert done.ran.exit == Exit(137, out_of_memory=False)


def test_output_is_read_at_a_bounded_rate(run: Run, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed beyond the rate waits in the program, and is not lost."""
    monkeypatch.setattr(execution, "LOG_RATE", 50_000)
    monkeypatch.setattr(execution, "LOG_BURST", 10_000)
    began = time.monotonic()
    done = run("import os\nfor _ in range(150):\n    os.write(1, b'x' * 999 + b'\\n')\n", timeout_s=60)
    assert done.ran.stopped is None
    assert done.log.length == 150_000
    assert time.monotonic() - began >= (150_000 - 10_000 - 64_000) / 50_000  # a pipe holds 64 kB at the end
