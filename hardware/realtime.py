"""Real-time care: what the system allows of priority and memory locking, and a warning where it does not.

Linux keeps a scheduling class for each thread, so the threads that matter (tick loop, supervisor, guardian)
ask for themselves; score computing and sockets stay ordinary.
"""

from __future__ import annotations

import ctypes
import os
import threading

PRIORITY = 40
"""SCHED_FIFO priority: above ordinary work, below the kernel's interrupt threads (50)."""

NICE = -15
_MCL_CURRENT_AND_FUTURE = 3


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
