"""The list of the kernel's calls: what it leaves out, and that it says it as Docker takes it."""

from __future__ import annotations

import json

from runner import hardening, seccomp

LEFT_OUT = """
io_uring_setup io_uring_enter bpf ptrace process_vm_readv pidfd_getfd userfaultfd memfd_secret keyctl add_key
perf_event_open mount unshare setns chroot pivot_root open_by_handle_at init_module kexec_load reboot swapon
sync syncfs vmsplice mq_open io_setup socket socketcall clone clone3 clock_settime settimeofday sethostname
personality
"""


def test_what_is_left_out() -> None:
    assert not set(LEFT_OUT.split()) & set(seccomp.allowed())


def test_nothing_is_there_twice() -> None:
    assert len(set(seccomp.allowed())) == len(seccomp.allowed())


def test_everything_else_is_refused_and_every_container_gets_it() -> None:
    profile = json.loads(seccomp.profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    sockets = [rule["args"] for rule in profile["syscalls"] if rule["names"] == ["socket"]]
    assert [arguments[0]["value"] for arguments in sockets] == [1, 2, 10, 16]
    assert f"seccomp={seccomp.profile()}" in hardening.options(hardening.Limits())["security_opt"]
