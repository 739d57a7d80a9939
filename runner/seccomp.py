"""Which of the kernel's calls a job's container may make: those of ordinary programs, and no others. Pure.

Engines come with a filter of their own, but how much it holds back depends on their age: that of Debian 12
leaves `io_uring` open, whose faults have led out of containers, and `AF_VSOCK`, which no network namespace
contains: on a virtual machine it reaches the machine around it. This list is ours and the same everywhere.

Left out on purpose, beside what needs a capability anyway: `io_uring_*` and `bpf`; `ptrace`,
`process_vm_*`, `pidfd_getfd` (other processes' insides); `userfaultfd`, `memfd_secret`, `vmsplice`;
`keyctl` (the kernel's keys are no namespace's); `sync`, `syncfs` (the whole host's disks would be flushed);
message queues and kernel `aio`, which nothing here needs; whatever sets users, names or clocks. Calls of
another architecture than the host's end the program: it could make them around the rules for `socket`.
"""

from __future__ import annotations

import json
from typing import Any

_FILES = """
access faccessat faccessat2 open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 flock
read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek readahead
sendfile sendfile64 copy_file_range splice tee fsync fdatasync sync_file_range sync_file_range2
arm_sync_file_range fallocate fadvise64 fadvise64_64 arm_fadvise64_64
stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64
getdents getdents64 getcwd chdir fchdir readlink readlinkat umask
link linkat symlink symlinkat unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir mknod mknodat
truncate truncate64 ftruncate ftruncate64 chmod fchmod fchmodat fchmodat2 chown chown32 lchown lchown32
fchown fchown32 fchownat utime utimes futimesat utimensat utimensat_time64
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr
removexattr lremovexattr fremovexattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
"""
_MEMORY = """
brk mmap mmap2 munmap mremap mprotect msync madvise mincore mlock mlock2 munlock mlockall munlockall
memfd_create membarrier pkey_alloc pkey_free pkey_mprotect shmget shmat shmdt shmctl
semget semop semtimedop semtimedop_time64 semctl
"""
_PROCESSES = """
fork vfork execve execveat exit exit_group wait4 waitid waitpid kill tkill tgkill pidfd_open pidfd_send_signal
getpid getppid gettid getpgid getpgrp setpgid getsid setsid
getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32
getresgid getresgid32 getgroups getgroups32 capget prctl arch_prctl set_thread_area get_thread_area set_tls
set_tid_address rseq set_robust_list get_robust_list futex futex_time64 futex_waitv
futex_wait futex_wake futex_requeue sched_yield sched_getaffinity sched_setaffinity
sched_getparam sched_setparam sched_getscheduler
sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min
sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set
getrlimit ugetrlimit setrlimit prlimit64 getrusage times seccomp restart_syscall
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack sigpending sigprocmask sigreturn sigsuspend
signal signalfd signalfd4 pause alarm breakpoint cacheflush
"""
_WAITING = """
poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl
epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 pipe pipe2 ioctl
time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep
clock_nanosleep_time64 nanosleep getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64 getrandom getcpu uname sysinfo
"""
_SOCKETS = """
socketpair bind listen accept accept4 connect getsockname getpeername getsockopt setsockopt shutdown
send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64
"""
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
"""Sockets that may be made: the robot's, and those of the container's own, empty network."""
NEW_NAMESPACES = 0x7E02_0000
"""Every `CLONE_NEW…` of `clone`."""
ENOSYS = 38
"""The answer that makes the C library use `clone`, whose flags a filter can see, instead of `clone3`."""


def allowed() -> list[str]:
    """Calls that are allowed whatever their arguments are. Names unknown to a kernel do no harm."""
    return " ".join((_FILES, _MEMORY, _PROCESSES, _WAITING, _SOCKETS)).split()


def profile() -> str:
    """The filter as Docker takes it, in JSON; it covers the host's own architecture alone."""
    rules: list[dict[str, Any]] = [
        {"names": allowed(), "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
    ]
    rules += [
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": family, "op": "SCMP_CMP_EQ"}],
        }
        for family in FAMILIES.values()
    ]
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})
