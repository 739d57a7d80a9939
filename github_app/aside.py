"""Work that computes for a while, done beside the others: a worker serves everybody from one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gevent import get_hub, monkey

T = TypeVar("T")


def aside(work: Callable[[], T]) -> T:
    """Do it in a thread of the system while this greenlet waits and all others go on.

    Outside of a server there are no greenlets, and it is simply done. The work may compute and read files;
    what it must not touch is locks, sockets and databases, which belong to the greenlets' thread.
    """
    if not monkey.is_module_patched("threading"):
        return work()
    done: T = get_hub().threadpool.apply(work)
    return done
