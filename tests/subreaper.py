"""A test process that is, for a while, what a worker is: who gets the orphans of what it has started."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from worker import processes

_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def subreaper() -> Iterator[None]:
    """No longer than this: what a worker that later tests have killed leaves would lie here unreaped, as if it still ran."""
    processes.become_subreaper()
    try:
        yield
    finally:
        assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0
