"""Live pages: a stream of server-sent events that says *that* something has changed, at most once a second; the page asks what.

Rules:
- An announcement costs its listener nothing but a mark; however much happens, a page is told of it once a second.
- A stream that is quiet sends a sign of life, by which ages and clocks on the page are brought up to date.
- The stream of a log carries its text as JSON, never as HTML.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from boss.api.answers import Refusal
from boss.api.house import House, TheHouse, blocking
from boss.api.loghub import Feed
from boss.api.roles import needs
from boss.api.streams import Following
from boss.core.tokens import Role
from boss.page.site import HEADERS, Page

router = APIRouter(include_in_schema=False, route_class=Page)
#: Seconds between two words about changes, and of silence until a sign of life.
PACE = 1.0
QUIET = 10.0


def _stream(lines: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(lines, media_type="text/event-stream", headers=HEADERS | {"X-Accel-Buffering": "no"})


@router.get("/live", openapi_extra=needs(Role.VIEWER))
async def live(house: TheHouse, job: str = "", task: str = "") -> StreamingResponse:
    """``event: change`` when something has (of a job, or of one task); ``event: quiet`` when nothing has for a while."""
    return _stream(_changes(house, job, task))


async def _changes(house: House, job: str, task: str) -> AsyncIterator[str]:
    feed: Feed[int] = Feed()

    def heard(kind: str, facts: Mapping[str, object]) -> None:
        if job and kind == "task" and (facts.get("job") != job or (task and facts.get("id") != task)):
            return
        if job and kind == "job" and facts.get("job") != job:
            return
        feed.put(1)

    stop = house.desk.listen(heard)
    try:
        yield "retry: 2000\nevent: hello\ndata: 1\n\n"
        while True:
            news, lost = await feed.get(QUIET)
            yield f"event: {'change' if news or lost else 'quiet'}\ndata: 1\n\n"
            await asyncio.sleep(PACE)  # what comes meanwhile is one change
    finally:
        stop()


@router.get("/jobs/{job}/tasks/{index:int}/log", openapi_extra=needs(Role.VIEWER))
async def log(request: Request, house: TheHouse, job: str, index: int) -> StreamingResponse:
    """A task's output as it is written: ``data: {"attempt", "stream", "data"}``, and ``{"end"}``."""
    rows = await blocking(house.reader.tasks_at, job, [index])
    if index not in rows:
        raise Refusal(404, f"job {job} has no task {index}")
    return _stream(_written(Following(house, rows[index])))


async def _written(following: Following) -> AsyncIterator[str]:
    async for lines in following.lines():
        for text in lines.split("\n"):
            if text:
                yield f"data: {text}\n\n"  # JSON: no line break of the task's own is in it
        if not lines.strip():
            yield ": alive\n\n"
