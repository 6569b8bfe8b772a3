"""Asking a boss that may be away for a while: it is started again, or another one takes over."""

import time
from collections.abc import Callable
from typing import TypeVar

from client.errors import BossUnreachable

#: Seconds that a boss may be away without ending what waits for it.
PATIENCE = 60.0
#: Seconds between two looks.
LOOK = 0.5
#: Job states in which nothing happens any more.
ENDED = frozenset({"succeeded", "failed", "cancelled"})

T = TypeVar("T")


def patiently(ask: Callable[[], T]) -> T:
    """What ``ask`` returns; asked again for a while when the boss does not answer. Raises BossUnreachable after that."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except BossUnreachable:
            if time.monotonic() >= end:
                raise
            time.sleep(LOOK)
