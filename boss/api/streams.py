"""What goes on while one listens: logs as they are written, and the events of jobs, tasks, workers and VMs.

Rules:
- A stream is newline-delimited JSON; an empty line now and then shows that it is alive.
- Following a log begins with what is there and ends with the task; what the broker lost is read from the finished attempt.
- What a running attempt has written so far is what comes of it until there is a pause: a worker does not say where its present end is.
"""

import asyncio
import fnmatch
import glob
import json
from collections.abc import AsyncIterator, Mapping

from boss.api.answers import Refusal
from boss.api.house import House, blocking
from boss.api.loghub import Feed, LogFeed, Seen
from boss.core.model import FINAL_STATES, Attempt, Phase, TaskState
from boss.core.requests import LogFollowed
from boss.ports import TaskRow
from worker.protocol import VERDICT, LogChunk

#: Seconds of silence after which an empty line is sent, and after which a follower looks again how its task stands.
QUIET = 10.0
#: Bytes of a stored log that are read at once.
BLOCK = 1 << 20
STREAMS = ("stdout", "stderr")
#: Seconds in which a worker begins to tell what was written so far; the pause after which that was all (a worker looks about three times
#: a second); and what is gathered at most, of a task that never pauses.
FIRST, PAUSE, LONGEST = 1.5, 0.7, 4.0


def line(item: Mapping[str, object]) -> str:
    """One line of a stream."""
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False) + "\n"


def topic_of(kind: str, facts: Mapping[str, object]) -> str:
    """``task/<job>:<id>``, ``job/<name>``, ``worker/<id>`` or ``vm/<id>``."""
    return f"{kind}/{facts['job']}:{facts['id']}" if kind == "task" else f"{kind}/{facts.get(kind, '')}"


def fits(topic: str, wanted: str) -> bool:
    """Whether a topic is the wanted one, lies below it, or fits it as a glob (MQTT's ``#`` and ``+`` mean ``*``)."""
    pattern = wanted.replace("#", "*").replace("+", "*").rstrip("/")
    return not pattern or fnmatch.fnmatchcase(topic, pattern) or topic.startswith(pattern + "/")


async def events(house: House, wanted: str) -> AsyncIterator[str]:
    """Every announcement that fits, as ``{"topic", "kind", ...facts}``; ``{"kind": "lost", "count"}`` when the reader was too slow."""
    feed: Feed[str] = Feed()

    def receive(kind: str, facts: Mapping[str, object]) -> None:
        topic = topic_of(kind, facts)
        if fits(topic, wanted):
            feed.put(line({"topic": topic, "kind": kind, **facts}))

    stop = house.desk.listen(receive)
    try:
        yield "\n"  # the caller knows now that nothing will be missed
        while True:
            lines, lost = await feed.get(QUIET)
            yield "".join(lines) or "\n"
            if lost:
                yield line({"topic": "", "kind": "lost", "count": lost})
    finally:
        stop()


class Following:
    """One reader of one task's output, over all its attempts to come."""

    def __init__(self, house: House, row: TaskRow) -> None:
        self._house = house
        self._job, self._task, self._index = row.job, row.id, row.index
        self._news = LogFeed()
        self._attempt: Attempt | None = None
        self._seen = Seen()

    async def lines(self) -> AsyncIterator[str]:
        """``{"attempt", "stream", "data"}`` as it is written, then ``{"end": state}``. A finished task's last attempt is read whole."""
        stop = self._house.desk.listen(self._announced)
        try:
            while True:
                row, newest = await blocking(self._look)
                running = newest if row.state in (TaskState.ASSIGNED, TaskState.RUNNING) else None
                if self._attempt is None and row.state in FINAL_STATES:
                    self._attempt = newest
                if self._attempt is not None and (running is None or running.number != self._attempt.number):
                    yield await self._rest(self._attempt.number)
                if row.state in FINAL_STATES:
                    yield line({"end": row.state})
                    return
                if running is not None and self._attempt is None:
                    await self._begin(running)
                async for text in self._chunks():
                    yield text
        finally:
            stop()
            self._leave()

    async def so_far(self) -> dict[str, str] | None:
        """What the running attempt has written until now, by stream; None when none is running (any more)."""
        row, newest = await blocking(self._look)
        if newest is None or row.state != TaskState.RUNNING:
            return None
        texts = dict.fromkeys(STREAMS, "")
        clock = asyncio.get_running_loop().time
        end, wait = clock() + LONGEST, FIRST
        try:
            await self._begin(newest)
            while wait > 0:
                news, _ = await self._news.get(wait)
                for chunk in news:
                    if chunk is not None and chunk.attempt == newest.id and chunk.stream in texts:
                        texts[chunk.stream] += self._seen.fresh(chunk)
                wait = min(PAUSE, end - clock()) if news else 0.0
        finally:
            self._leave()
        row, again = await blocking(self._look)
        return texts if row.state == TaskState.RUNNING and again is not None and again.number == newest.number else None

    def _announced(self, kind: str, facts: Mapping[str, object]) -> None:
        if kind == "task" and facts.get("job") == self._job and facts.get("id") == self._task:
            self._news.put(None)

    def _look(self) -> tuple[TaskRow, Attempt | None]:
        """The task as it stands, and its newest attempt."""
        reader = self._house.reader
        attempts = reader.attempts(self._job, self._index)
        rows = reader.tasks(job=self._job, pattern=glob.escape(self._task), limit=1)
        if not rows:
            raise Refusal(404, f"there is no task {self._job}:{self._task} any more")
        return rows[0], next((attempt for attempt in reversed(attempts) if attempt.number == rows[0].attempt), None)

    async def _begin(self, attempt: Attempt) -> None:
        """Follow an attempt: first the reader, then the wish, so that nothing is missed."""
        self._attempt, self._seen = attempt, Seen()
        self._house.hub.follow(attempt.id, attempt.worker, self._news)
        await self._house.ask(lambda reply: LogFollowed(self._job, self._task, True, reply, self._index))

    def _leave(self) -> None:
        if self._attempt is not None and self._house.hub.leave(self._attempt.id, self._news):
            self._house.desk.put(LogFollowed(self._job, self._task, False, at=self._index))
        self._attempt = None

    async def _chunks(self) -> AsyncIterator[str]:
        """Output as it comes, until the task has changed or nothing came for a while."""
        while True:
            news, _ = await self._news.get(QUIET)
            yield "".join(self._shown(chunk) for chunk in news if chunk is not None) or "\n"
            if not news or None in news:
                return

    def _shown(self, chunk: LogChunk) -> str:
        if self._attempt is None or chunk.attempt != self._attempt.id:
            return ""
        data = self._seen.fresh(chunk)
        return line({"attempt": self._attempt.number, "stream": chunk.stream, "data": data}) if data else ""

    async def _rest(self, number: int) -> str:
        """What the followed attempt, finished now, has written beyond what was shown; nothing is followed afterwards."""
        attempts = await blocking(self._house.reader.attempts, self._job, self._index)
        lines = []
        for attempt in attempts:
            for stream in STREAMS if attempt.number == number else ():
                end = self._seen.end(stream)
                text = await blocking(written, self._house, self._job, self._task, attempt, stream, end)
                lines += [line({"attempt": number, "stream": stream, "data": text})] if text else []
        self._leave()
        return "".join(lines)


def written(house: House, job: str, task: str, attempt: Attempt, stream: str, start: int = 0) -> str:
    """What an attempt has written to ``stdout`` or ``stderr`` from byte ``start`` on: the stored log, or the tail in the database."""
    tail, size = (attempt.stdout, attempt.stdout_size) if stream == "stdout" else (attempt.stderr, attempt.stderr_size)
    if attempt.stored_logs and size > len(tail.encode("utf-8", "replace")):
        pieces = []
        while piece := house.datastore.read_log(job, task, attempt.number, stream, start, BLOCK):
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces).decode("utf-8", "replace") + (_verdict(attempt) if stream == "stderr" else "")
    data = tail.encode("utf-8", "replace")
    return data[max(0, start - (size - len(data))) :].decode("utf-8", "replace") if start < size else ""


def _verdict(attempt: Attempt) -> str:
    """The last line of a tail that the stored log lacks: why the outputs were refused, which was known after the logs were sent."""
    last = attempt.stderr.rstrip("\n").rsplit("\n", 1)[-1]
    return f"\n{last}\n" if attempt.phase == Phase.UPLOAD and last.startswith(VERDICT) else ""
