"""Real-time care: what the system allows of priority and memory locking, and a warning where it does not.

Linux keeps a scheduling class for each thread. The threads that matter (tick loop, supervisor, guardian) ask
for a real-time class themselves. The whole process gets a high ordinary priority before that, because any of
its threads may hold Python's interpreter lock while another program has the processor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading

PRIORITY = 40
"""SCHED_FIFO priority: above ordinary work, below the kernel's interrupt threads (50)."""

NICE = -15
_MCL_CURRENT_AND_FUTURE = 3


def raise_process() -> None:
    """Give this process, and the threads to come, a high ordinary priority where that is allowed."""
    with contextlib.suppress(OSError):  # the threads that matter warn for themselves
        os.setpriority(os.PRIO_PROCESS, 0, NICE)


def raise_priority() -> str | None:
    """Give the calling thread real-time priority, or else a high ordinary one; a warning without it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        except OSError:
            return "no right to raise the priority: ticks may be late under load (LimitRTPRIO=50 in the unit)"
        return "no real-time scheduling here: a high ordinary priority is used instead"
    return None


def lock_memory() -> str | None:
    """Keep all of this process in memory; a warning where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT_AND_FUTURE) != 0:
        return (
            f"memory is not locked ({os.strerror(ctypes.get_errno())}): a page fault may delay a tick "
            "(LimitMEMLOCK=infinity in the unit)"
        )
    return None
