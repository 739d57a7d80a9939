"""Hostile programs behind the real walls: contained, and explained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from runner.happenings import Kind
from runner.hardening import MIB
from runner.protocol import Conclusion
from runner.repo_config import RepoConfig
from runner.results import Outcome, Stop, conclude
from runner.sandbox import Engine

pytestmark = pytest.mark.docker

Run = Callable[..., Any]


def _verdict(finished: Any, limits: Any) -> tuple[Conclusion, str]:
    ran = finished.ran
    outcome = Outcome(limits, 20.0, ran.exit, ran.stopped, ran.detail, [], ran.pids, finished.text)
    return conclude(outcome, RepoConfig())


def test_a_program_runs_as_nobody_in_its_source(run: Run, runtime: str) -> None:
    done = run(
        """
import os, sys, numpy, scipy, gymnasium, raas_gym, gym_raas
print(os.getuid(), os.getgid(), os.getcwd(), os.environ["HOME"], sys.version_info[:2])
open("/tmp/scratch", "w").write("x")
print(open("/proc/self/status").read())
"""
    )
    assert done.ran.exit.code == 0
    assert "10001 10001 /repo /tmp (3, 11)" in done.text
    assert "CapEff:\t0000000000000000" in done.text
    assert "CapBnd:\t0000000000000000" in done.text
    if not runtime:  # gVisor's own kernel needs neither: it has no host's doors behind it
        assert "NoNewPrivs:\t1" in done.text
        assert "Seccomp:\t2" in done.text


def test_both_gyms_find_the_pendulum(run: Run) -> None:
    done = run(
        """
import gym, gymnasium, raas_gym
old = gym.make("RaasPendulum-v0"); print(len(old.reset()), len(old.step([0.0])))
new = gymnasium.make("RaasPendulum-v1"); print(len(new.reset()), len(new.step([0.0])))
"""
    )
    assert "3 4" in done.text, done.text
    assert "2 5" in done.text


def test_there_is_no_network(run: Run) -> None:
    done = run(
        """
import socket
print("interfaces", [name for _, name in socket.if_nameindex() if name != "lo"])
for address in [("169.254.169.254", 80), ("172.17.0.1", 22), ("1.1.1.1", 53), ("10.0.0.1", 80)]:
    try:
        socket.create_connection(address, 2)
        print("REACHED", address)
    except OSError as error:
        print("no", error.errno)
try:
    socket.getaddrinfo("example.org", 80)
    print("REACHED dns")
except OSError:
    print("no dns")
"""
    )
    assert "REACHED" not in done.text
    assert done.text.count("no ") == 5
    assert "interfaces []" in done.text


def test_nothing_but_tmp_and_artifacts_is_writable(run: Run) -> None:
    done = run(
        """
import os
for place in ["/", "/repo", "/usr", "/etc", "/opt/raas/site", "/run", "/var/tmp", "/proc/sys", "/sys"]:
    try:
        open(os.path.join(place, "x"), "w")
        print("WROTE", place)
    except OSError as error:
        pass
for place in ["/tmp/x", "/artifacts/x", "/dev/shm/x"]:
    open(place, "w").write("fine")
print("done")
"""
    )
    assert "WROTE" not in done.text
    assert done.text.endswith("done\n")


def test_devices_and_the_kernels_doors_are_shut(run: Run, runtime: str) -> None:
    own_kernel = (
        ("unshare", "chroot", "mknod", "ptrace", "io_uring") if runtime else ()
    )  # gVisor's: each to itself
    done = run(
        f"own_kernel = {own_kernel}\n"
        """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
tries = {
    "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
    "unshare": lambda: libc.unshare(0x10000000),
    "setuid": lambda: libc.setuid(0),
    "chroot": lambda: libc.chroot(b"/tmp"),
    "mknod": lambda: libc.mknod(b"/tmp/disk", 0o60666, 0xfe00),
    "kcmp": lambda: libc.syscall(312, 1, 1, 0, 0, 0),
    "bpf": lambda: libc.syscall(321, 0, 0, 0),
    "keyctl": lambda: libc.syscall(250, 0, 0, 0),
    "io_uring": lambda: min(libc.syscall(425, 8, ctypes.create_string_buffer(256)), 0),
    "ptrace": lambda: libc.syscall(101, 16, os.getppid(), 0, 0),
}
for name in own_kernel:
    del tries[name]
for name, call in tries.items():
    print(name, "OPEN" if call() == 0 else "shut")
print(sorted(os.listdir("/dev")))
try:
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    print("vsock OPEN")
except OSError:
    print("vsock closed")
print("docker.sock", os.path.exists("/var/run/docker.sock"))
"""
    )
    assert "OPEN" not in done.text
    assert done.text.count("shut") == 10 - len(own_kernel)
    assert "docker.sock False" in done.text
    assert "mem'" not in done.text


def test_a_fork_bomb_is_contained(run: Run, lab: Any, runtime: str) -> None:
    done = run(
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n",
        timeout_s=3,
    )
    plain = "The program started more than 64 processes and threads, the limit; start fewer."
    gvisor = (
        "The program ended with exit status 2: it, or its sandbox at the limit of 64 processes and threads."
    )
    assert _verdict(done, lab.limits) == (Conclusion.FAILURE, gvisor if runtime else plain)
    assert done.seconds < 15


def test_a_memory_hog_is_ended_and_named(run: Run, lab: Any) -> None:
    done = run("blocks = []\nwhile True:\n    blocks.append(bytearray(10_000_000))\n")
    conclusion, reason = _verdict(done, lab.limits)
    assert conclusion is Conclusion.FAILURE
    assert reason.startswith("The program used more than 192 MB of memory and was ended; use less")


def test_files_in_memory_count_as_memory(run: Run) -> None:
    done = run(
        """
try:
    with open("/tmp/big", "wb") as file:
        while True:
            file.write(bytes(1_000_000))
except OSError as error:
    print("full", error.errno)
"""
    )
    assert "full" in done.text


def test_an_endless_printer_is_stopped_and_its_beginning_kept(run: Run, lab: Any) -> None:
    done = run("print('first')\nwhile True:\n    print('x' * 1000)\n", timeout_s=60)
    assert done.ran.stopped is Stop.FLOOD
    assert done.text.startswith("first")
    assert "the log is cut here" in done.text
    assert done.log.length < 201_000
    assert done.seconds < 20


def test_an_endless_loop_meets_its_limit(run: Run) -> None:
    done = run("print('start')\nwhile True: pass\n", timeout_s=2)
    assert done.ran.stopped is Stop.TIMEOUT
    assert done.text == "start\nTerminated\n"  # the second line is the shell's
    assert done.seconds < 10


def test_sigterm_ignored_is_ended_all_the_same(run: Run) -> None:
    done = run(
        """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
while True:
    time.sleep(1)
""",
        timeout_s=1,
    )
    assert done.ran.stopped is Stop.TIMEOUT
    assert done.seconds < 12


def test_a_stop_lets_the_program_write_its_files(run: Run) -> None:
    done = run(
        """
import signal, sys, time
def save(*_):
    open("/artifacts/saved", "w").write("yes")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
while True:
    time.sleep(0.1)
""",
        timeout_s=1.5,
        command="python run.py; touch /artifacts/went-on",
    )
    assert done.artifacts() == {"artifacts/saved": b"yes"}
    assert done.ran.exit.code == 0


def test_children_left_behind_end_with_the_program(run: Run) -> None:
    done = run(
        """
import os, time
if os.fork() == 0:
    os.setsid()
    while True:
        time.sleep(1)
print("parent leaves")
""",
        timeout_s=30,
    )
    assert done.ran.exit.code == 0
    assert done.seconds < 10


def test_a_crash_says_so(run: Run, lab: Any) -> None:
    done = run("def f():\n    raise ValueError('no good')\n\nf()\n")
    assert done.ran.exit.code == 1
    assert _verdict(done, lab.limits)[1] == "The program crashed: ValueError: no good (run.py line 2)."


def test_a_command_that_is_not_there(run: Run) -> None:
    assert run("", command="no-such-program").ran.exit.code == 127


def test_a_cancel_ends_it_at_once(run: Run, lab: Any) -> None:
    timer = threading.Timer(1.0, lambda: lab.happenings.post(Kind.CANCELLED, "by ada"))
    timer.start()
    done = run("import time\nprint('on')\ntime.sleep(60)\n", timeout_s=60)
    timer.join()
    assert done.ran.stopped is Stop.CANCEL
    assert done.ran.detail == "by ada"
    assert done.seconds < 10


def test_artifacts_are_bounded_in_bytes(run: Run) -> None:
    done = run(
        """
import os
try:
    for number in range(100):
        with open(f"/artifacts/{number}", "wb") as file:
            file.write(bytes(1_000_000))
except OSError as error:
    print("full", error.errno)
try:
    with open("/artifacts/sparse", "wb") as file:
        file.truncate(1 << 40)
    print("SPARSE")
except OSError as error:
    print("no sparse", error.errno)
"""
    )
    assert "full 28" in done.text
    assert "SPARSE" not in done.text
    assert sum(map(len, done.artifacts().values())) <= 4 * MIB


def test_artifacts_are_bounded_in_number(run: Run) -> None:
    done = run(
        """
try:
    for number in range(1000):
        open(f"/artifacts/{number}", "w").close()
except OSError as error:
    print("full", error.errno)
"""
    )
    assert "full 28" in done.text
    assert len(done.artifacts()) < 64


def test_artifacts_outlive_the_program(run: Run) -> None:
    done = run("open('/artifacts/a.txt', 'w').write('kept')\n")
    assert done.artifacts() == {"artifacts/a.txt": b"kept"}


def test_output_of_both_streams_arrives_as_it_is_and_in_order(run: Run) -> None:
    done = run(
        "import os\nfor _ in range(50):\n    os.write(1, b'\\xff\\x00\\x1b[31m')\n    os.write(2, b'!')\n"
    )
    assert done.log.path.read_bytes() == b"\xff\x00\x1b[31m!" * 50


def test_leftovers_are_swept_and_only_our_own(run: Run, lab: Any, engine: Engine, image: str) -> None:
    other = engine.create_volume(f"{lab.owner}x", "1-1", lab.limits, image)
    try:
        run("print('x')")
        removed = engine.sweep(lab.owner)
        assert sorted(removed) == [f"raas-{lab.owner}-1-1", f"raas-{lab.owner}-1-1-keeper"]
        assert engine.sweep(lab.owner) == []
        assert b"".join(other.read_tar())
    finally:
        other.remove()


def test_a_sweep_spares_what_is_still_held(run: Run, lab: Any, engine: Engine) -> None:
    run("print('x')")
    assert engine.sweep(lab.owner, keep=["1-1"]) == []
    assert engine.find_volume(lab.owner, "1-1") is not None
