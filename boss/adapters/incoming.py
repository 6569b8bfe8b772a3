"""What arrives from the broker, made into events: the topic says who spoke, the payload what.

Rules:
- Who said something is told by the topic, which the broker's rights guard; never by the message.
- What cannot be read is dropped, counted and logged by worker: the 1st, 2nd, 4th, 8th ... time. Nothing here raises.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import cast, get_args

from boss.adapters.certificates import is_reserved
from boss.core.events import WorkerSaid, WorkerStatusSeen
from boss.ports import Put
from worker.protocol import LogChunk, ProtocolError, ToBoss, decode_with_version, topic_log, topic_out, topic_status

_TO_BOSS: tuple[type, ...] = get_args(ToBoss)

_log = logging.getLogger(__name__)


class Incoming:
    """Reads workers' messages; ``on_log(worker, chunk)`` gets the output of followed attempts."""

    def __init__(self, on_log: Callable[[str, LogChunk], None]) -> None:
        self.dropped: Counter[str] = Counter()  #: by worker
        self.versions: dict[str, int] = {}  #: of the protocol, as each worker has last spoken it
        self._on_log = on_log

    @staticmethod
    def topics(cluster: str) -> list[str]:
        """What to subscribe to."""
        return [topic_out(cluster, "+"), topic_status(cluster, "+"), topic_log(cluster, "+", "+")]

    def read(self, topic: str, payload: bytes, put: Put) -> None:
        """Put the event of one message that arrived on ``ecloud/<cluster>/worker/<id>/<channel>...``."""
        _, _, _, worker, channel, *_ = topic.split("/")
        if is_reserved(worker):  # an account that is no worker's says nothing here, whatever the broker lets it
            self._drop(worker, "no worker is called so")
            return
        if channel == "status":
            self._read_status(worker, payload, put)
            return
        try:
            message, version = decode_with_version(payload)
        except ProtocolError as error:
            self._drop(worker, str(error))
            return
        self.versions[worker] = version
        if isinstance(message, LogChunk) and channel == "log":
            self._on_log(worker, message)
        elif isinstance(message, LogChunk) or channel == "log" or not isinstance(message, _TO_BOSS):
            self._drop(worker, f"{type(message).__name__} is nothing that a worker says on {channel!r}")
        elif not put(WorkerSaid(worker, cast(ToBoss, message))):
            self._drop(worker, "the inbox is full")

    def _read_status(self, worker: str, payload: bytes, put: Put) -> None:
        if payload in (b"online", b"offline"):
            put(WorkerStatusSeen(worker, payload == b"online"))
        elif payload:  # an empty one says that a retained status was taken away
            self._drop(worker, "a status that is neither online nor offline")

    def _drop(self, worker: str, why: str) -> None:
        self.dropped[worker] += 1
        count = self.dropped[worker]
        if count & (count - 1) == 0:
            _log.warning("dropped message %d of worker %s: %s", count, worker, why)
