"""Real-time care: what the system allows of priority, core and memory, and a warning where it does not.

Linux keeps a scheduling class for each thread. The threads that matter (tick loop, supervisor, guardian) ask
for a real-time class themselves. The whole process gets a high ordinary priority before that, because any of
its threads may hold Python's interpreter lock while another program has the processor.

The controller's real-time threads keep the first core, which the runner leaves out of every container's set.
Without a real-time class they keep none: held to a core that somebody else uses, they could only wait.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import threading

PRIORITY = 40
"""SCHED_FIFO priority: above ordinary work, below the kernel's interrupt threads (50)."""

GUARDIAN_PRIORITY = 45
"""Above the controller's: one that spins must not keep the guardian from the processor."""

NICE = -15
_MCL_CURRENT_AND_FUTURE = 3

log = logging.getLogger(__name__)
_missing: dict[str, None] = {}


def missing() -> list[str]:
    """What this process asked for and did not get, a sentence each; each was logged once."""
    return list(_missing)


def raise_process() -> None:
    """Give this process, and the threads to come, a high ordinary priority where that is allowed."""
    with contextlib.suppress(OSError):  # the threads that matter warn for themselves
        os.setpriority(os.PRIO_PROCESS, 0, NICE)


def raise_priority(priority: int = PRIORITY, keep_first_core: bool = True) -> None:
    """Give the calling thread real-time priority and the first core, or else a high ordinary priority."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        except OSError:
            _miss("no right to raise the priority: ticks may be late under load (LimitRTPRIO=50 in the unit)")
        else:
            _miss(
                "no real-time scheduling here, a high ordinary priority is used instead: ticks may be late "
                "under load (LimitRTPRIO=50 in the unit, a kernel that allows it)"
            )
        return
    if keep_first_core and (core := first_core(os.sched_getaffinity(0))) is not None:
        try:
            os.sched_setaffinity(0, {core})
        except OSError as error:
            _miss(f"core {core} cannot be kept ({error.strerror}): ticks may be late under load")


def first_core(allowed: set[int]) -> int | None:
    """The core to keep, of those this process may use; None where there is only one."""
    return min(allowed) if len(allowed) > 1 else None


def lock_memory() -> None:
    """Keep all of this process in memory, where that is allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT_AND_FUTURE) != 0:
        _miss(
            f"memory is not locked ({os.strerror(ctypes.get_errno())}): a page fault may delay a tick "
            "(LimitMEMLOCK=infinity in the unit)"
        )


def _miss(sentence: str) -> None:
    if sentence not in _missing:
        _missing[sentence] = None
        log.warning("%s", sentence)
