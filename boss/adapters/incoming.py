"""What arrives from the broker, made into events: the topic says who spoke, the payload what.

Rules:
- Who said something is told by the topic, which the broker's rights guard; never by the message.
- What cannot be read, or is beyond what one worker may say, is dropped and counted by worker, logged the 1st, 2nd, 4th, 8th ... time, and
  told to the core. Nothing here raises.
- Only a worker's status may be retained: the broker would keep anything else for ever, so it is taken away again (``clear``).
"""

import logging
from collections.abc import Callable
from typing import cast, get_args

from boss.adapters.certificates import is_reserved
from boss.adapters.floods import Floods
from boss.core.events import WorkerSaid, WorkerStatusSeen
from boss.ports import Put
from worker.protocol import LogChunk, ProtocolError, ToBoss, decode_with_version, topic_log, topic_out, topic_status

#: So many topics are cleared at once at most.
MAX_CLEARING = 10_000

_TO_BOSS: tuple[type, ...] = get_args(ToBoss)

_log = logging.getLogger(__name__)


class Incoming:
    """Reads workers' messages; ``on_log(worker, chunk)`` gets the output of followed attempts.

    ``shut_out(worker)`` is called while somebody who was put aside goes on; ``clear(topic)`` for what must not be retained.
    """

    def __init__(
        self,
        on_log: Callable[[str, LogChunk], None],
        shut_out: Callable[[str], None] = lambda worker: None,
        clear: Callable[[str], None] = lambda topic: None,
    ) -> None:
        self.floods = Floods()
        self._shut_out = shut_out
        self._clear = clear
        self._clearing: set[str] = set()
        self.versions: dict[str, int] = {}  #: of the protocol, as each worker has last spoken it
        self._on_log = on_log

    @staticmethod
    def topics(cluster: str) -> list[str]:
        """What to subscribe to."""
        return [topic_out(cluster, "+"), topic_status(cluster, "+"), topic_log(cluster, "+", "+")]

    def read(self, topic: str, payload: bytes, put: Put, retained: bool = False) -> None:
        """Put the event of one message that arrived on ``ecloud/<cluster>/worker/<id>/<channel>...``."""
        _, _, _, worker, channel, *_ = topic.split("/")
        if is_reserved(worker):  # an account that is no worker's says nothing here, whatever the broker lets it
            self._drop(worker, "no worker is called so")
            return
        if retained and channel != "status":
            if not payload and topic in self._clearing:  # our own word, which has taken another away
                self._clearing.discard(topic)
                return
            self._take_away(topic, payload)
        if not self.floods.admits(worker, len(payload), channel == "log"):
            return
        if channel == "status":
            self._read_status(worker, payload, put)
            return
        if retained:
            self._drop(worker, f"a message on {channel!r} that the broker shall keep")
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

    def _take_away(self, topic: str, payload: bytes) -> None:
        """Clear a topic where something is kept, once until the broker has done it."""
        if payload and topic not in self._clearing and len(self._clearing) < MAX_CLEARING:
            self._clearing.add(topic)
            self._clear(topic)

    def _read_status(self, worker: str, payload: bytes, put: Put) -> None:
        if payload in (b"online", b"offline"):
            if not put(WorkerStatusSeen(worker, payload == b"online")):
                self._drop(worker, "the inbox is full")
        elif payload:  # an empty one says that a retained status was taken away
            self._drop(worker, "a status that is neither online nor offline")

    def _drop(self, worker: str, why: str) -> None:
        count = self.floods.drop(worker, why)
        if count & (count - 1) == 0:
            _log.warning("dropped message %d of worker %s: %s", count, worker, why, extra={"worker": worker})

    def begin(self) -> None:
        """A new connection: what was under way on the last one may be lost."""
        self._clearing.clear()

    def tell(self, put: Put) -> None:
        """Put what is new about dropped messages; whoever was put aside and goes on is shut out."""
        for news in self.floods.news():
            put(news)
            if news.aside:
                _log.warning("worker %s is put aside: %d messages dropped, %s", news.worker, news.count, news.why)
                self._shut_out(news.worker)
