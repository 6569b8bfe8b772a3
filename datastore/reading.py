"""Small results read straight into memory, for programs that want what is in them: nothing lands on this host's disk.

Rules:
- One channel is kept for all questions about one job; when it breaks, another goes on with what is still missing.
- Files come as one stream, many to a request, each compared with the sha256 that the manifest has for it.

Python 3.9 syntax, standard library only.
"""

import hashlib
import random
import threading
from typing import Callable, Container, Dict, List, Optional, Sequence, TypeVar

from datastore.channel import TRIES, Channel, Endpoint, Unreachable, connect
from datastore.frames import Items
from datastore.landing import Listed

#: How many files one request carries.
FILES_PER_REQUEST = 1000

Answer = TypeVar("Answer")
#: ``take(file, its content)``; None when it is gone, or is not any more what was listed.
Take = Callable[[Listed, Optional[bytes]], None]


class ResultReader:
    """Reads results of one job. To be closed; used by one thread."""

    def __init__(self, endpoint: Endpoint, job: str) -> None:
        self._endpoint = endpoint
        self._job = job
        self._channel: Optional[Channel] = None

    def find(self, wanted: Container[str]) -> Dict[str, Listed]:
        """Those of the job's results whose path is wanted, by path. Raises Unreachable, GateError."""

        def ask(channel: Channel) -> Dict[str, Listed]:
            found: Dict[str, Listed] = {}

            def take(items: Items) -> None:
                for item in items:
                    if item["item"] in wanted:
                        found[item["item"]] = Listed(item["item"], item["size"], item["sha256"], item["executable"])

            channel.ask({"op": "list", "job": self._job}, take=take)
            return found

        return self._persistently(ask)

    def read(self, files: Sequence[Listed], take: Take) -> None:
        """Bring these results, each to ``take`` once, in their order. Raises Unreachable, GateError, and what ``take`` raises."""
        left = list(files)
        while left:
            self._persistently(lambda channel: self._get(channel, left, take))

    def close(self) -> None:
        """End the session."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _get(self, channel: Channel, left: List[Listed], take: Take) -> None:
        """Bring the first of the files that are left, and take off the list what has come."""
        part = left[:FILES_PER_REQUEST]
        come = [0]

        def receive(items: Items) -> None:
            for listed, item in zip(part, items):
                data = _content(items, listed)
                come[0] += 1
                take(listed, None if item.get("missing") else data)

        try:
            channel.ask({"op": "get", "job": self._job, "files": [[listed.path, 0] for listed in part]}, take=receive)
        finally:
            del left[: come[0]]

    def _persistently(self, work: Callable[[Channel], Answer]) -> Answer:
        """Do the work, and again on another channel when this one breaks."""
        tried = 0
        while True:
            tried += 1
            try:
                if self._channel is None:
                    self._channel = connect(self._endpoint)
                return work(self._channel)
            except Unreachable:
                self.close()
                if tried == TRIES:
                    raise
            threading.Event().wait(random.uniform(0.2, 1.0))  # noqa: S311 (jitter)


def _content(items: Items, listed: Listed) -> Optional[bytes]:
    """The bytes of the present item; None (and the rest skipped) when they are not those that were listed."""
    pieces: List[bytes] = []
    size = 0
    for data in items.chunks():
        size += len(data)
        if size > listed.size:  # it has grown: what was listed bounds the memory
            return None
        pieces.append(data)
    whole = b"".join(pieces)
    if size != listed.size or (listed.sha256 and hashlib.sha256(whole).hexdigest() != listed.sha256):
        return None
    return whole
