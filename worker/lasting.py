"""A connection to the datastore that lasts: opened on need, shared by all attempts, closed after a minute without use.

Python 3.9 syntax, standard library only.
"""

import threading
from contextlib import contextmanager
from typing import Iterator, Optional

from datastore.channel import Channel, Endpoint, connect
from datastore.landing import Stopped
from worker.outputs import OutputRefused

#: How long an unused channel stays open, in seconds.
IDLE = 60.0
#: How often one who waits looks whether it was stopped, in seconds.
LOOK = 0.25


class Lasting:
    """One channel, for any number of threads at once: their requests follow each other in it without waiting for answers."""

    def __init__(self, endpoint: Optional[Endpoint]) -> None:
        self._endpoint = endpoint
        self._turn = threading.Lock()  # held by who opens or closes it
        self._channel: Optional[Channel] = None
        self._users = 0
        self._used = False
        self._idle_since = 0.0

    @contextmanager
    def channel(self, stopped: threading.Event) -> Iterator[Channel]:
        """The channel. Raises Stopped while it is opened by another, Unreachable."""
        if self._endpoint is None:
            raise OutputRefused("this worker was set up without a datastore")
        while not self._turn.acquire(timeout=LOOK):
            if stopped.is_set():
                raise Stopped
        try:
            channel = self._opened(self._endpoint, stopped)
            self._users += 1
            self._used = True
        finally:
            self._turn.release()
        try:
            yield channel
        finally:
            with self._turn:
                self._users -= 1

    def close_idle(self, now: float) -> None:
        """Close it if it was not used since a call of this that is a minute old; ``now`` in seconds."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            if self._used or self._users:
                self._used, self._idle_since = False, now
            elif self._channel is not None and now - self._idle_since >= IDLE:
                self._channel.close()
                self._channel = None
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the session; attempts that are using it get Unreachable."""
        channel = self._channel
        if channel is None:
            return
        if not self._users and self._turn.acquire(blocking=False):
            try:
                channel.close()
            finally:
                self._turn.release()
        else:
            channel.kill()

    def _opened(self, endpoint: Endpoint, stopped: threading.Event) -> Channel:
        if self._channel is not None and not self._channel.alive:
            self._channel.close()
            self._channel = None
        if self._channel is None:
            self._channel = connect(endpoint, stopped, tries=2)
        return self._channel
