"""Contents that are on their way to this worker's cache: each is fetched by one attempt, and whoever else wants it waits for that.

Python 3.9 syntax, standard library only.
"""

import threading
from contextlib import contextmanager
from typing import Collection, Iterator, Set

from datastore.landing import Stopped
from worker.lasting import LOOK


class Arrivals:
    """The contents (sha256) that are being fetched. Any thread may call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arriving: Set[str] = set()

    @contextmanager
    def claimed(self, wanted: Collection[str]) -> Iterator[Set[str]]:
        """Those of these that nobody is fetching: they are the caller's to fetch (or to find in the cache) in the block."""
        with self._changed:
            mine = set(wanted) - self._arriving
            self._arriving |= mine
        try:
            yield mine
        finally:
            with self._changed:
                self._arriving -= mine
                self._changed.notify_all()

    def wait(self, wanted: Collection[str], stopped: threading.Event) -> None:
        """Wait until one of these is not on its way any more: it has come, or its fetch has failed. Raises Stopped."""
        with self._changed:
            while self._arriving.issuperset(wanted):
                if stopped.is_set():
                    raise Stopped
                self._changed.wait(LOOK)
