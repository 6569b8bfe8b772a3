"""From threads that must not wait to readers on the event loop: feeds, and the hub of followed logs.

Rules:
- A feed is bounded: a reader that is too slow loses what comes meanwhile, and is told how much; nobody else waits for it.
- Only the chunks of the worker that runs the attempt are believed.
- The same bytes may be published twice (a second follower makes the worker begin again): each follower cuts what it has seen.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from worker.protocol import LogChunk

T = TypeVar("T")

#: Items that wait in a feed at most.
ROOM = 10_000


class Feed(Generic[T]):
    """A bounded queue between any thread and the one reader on an event loop. Made on that loop."""

    def __init__(self, room: int = ROOM) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[T] = deque()
        self._room = room
        self._lost = 0
        self._lock = threading.Lock()
        self._news = asyncio.Event()

    def put(self, item: T) -> None:
        """Add an item, from any thread; counted as lost when there is no room."""
        with self._lock:
            if len(self._items) >= self._room:
                self._lost += 1
                return
            self._items.append(item)
            first = len(self._items) == 1
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    async def get(self, wait: float) -> tuple[list[T], int]:
        """All that has come, and how many were lost before; waits up to ``wait`` seconds for the first."""
        try:
            await asyncio.wait_for(self._news.wait(), wait)
        except TimeoutError:
            pass  # nothing came: an empty list says so
        with self._lock:
            items, lost = list(self._items), self._lost
            self._items.clear()
            self._lost = 0
            self._news.clear()
        return items, lost


#: A follower's feed; None in it says that the task has changed.
LogFeed = Feed[LogChunk | None]


class LogHub:
    """Hands the log chunks that workers publish to those who follow an attempt."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._feeds: Mapping[str, tuple[tuple[str, LogFeed], ...]] = {}

    def publish(self, worker: str, chunk: LogChunk) -> None:
        """A chunk has arrived from a worker; called on the broker's thread."""
        for runner, feed in self._feeds.get(chunk.attempt, ()):
            if runner == worker:
                feed.put(chunk)

    def follow(self, attempt: str, worker: str, feed: LogFeed) -> None:
        """Feed the chunks of an attempt that this worker runs."""
        with self._lock:
            self._feeds = {**self._feeds, attempt: (*self._feeds.get(attempt, ()), (worker, feed))}

    def leave(self, attempt: str, feed: LogFeed) -> bool:
        """Stop feeding; True when nobody follows this attempt any more."""
        with self._lock:
            rest = tuple(pair for pair in self._feeds.get(attempt, ()) if pair[1] is not feed)
            self._feeds = {
                **{name: pairs for name, pairs in self._feeds.items() if name != attempt},
                **({attempt: rest} if rest else {}),
            }
            return not rest


class Seen:
    """How much of each stream of one attempt a follower has got, in bytes."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}

    def fresh(self, chunk: LogChunk) -> str:
        """The part of a chunk that was not seen yet. A replacement character counts as the one byte that it most often stands for."""
        size = len(chunk.data.encode("utf-8", "replace")) - 2 * chunk.data.count("\ufffd")
        end = self._ends.get(chunk.stream, 0)
        if chunk.offset + size <= end:
            return ""
        self._ends[chunk.stream] = chunk.offset + size
        if chunk.offset >= end:
            return chunk.data
        return chunk.data.encode("utf-8", "replace")[end - chunk.offset :].decode("utf-8", "replace")

    def end(self, stream: str) -> int:
        """The number of bytes of a stream that were seen."""
        return self._ends.get(stream, 0)
