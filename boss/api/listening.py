"""Logs and events over HTTP."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from boss.api.answers import Refusal
from boss.api.house import House, TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.api.shapes import LogText
from boss.api.streams import Following, events, written
from boss.core.model import TaskState
from boss.core.tokens import Role
from boss.ports import TaskRow

router = APIRouter(tags=["listen"], route_class=Guarded)

NDJSON = "application/x-ndjson"
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {NDJSON: {}}, "description": "One JSON object a line"}}


@router.get("/logs", openapi_extra=needs(Role.VIEWER))
async def logs(
    house: TheHouse,
    target: str,
    attempt: Annotated[int | None, Query(ge=1, description="which attempt; the newest when not given")] = None,
    stream: Annotated[Literal["stdout", "stderr"] | None, Query(description="only this one")] = None,
) -> LogText:
    """What one attempt of a task has written, as far as it is stored: nothing, of attempt 0, while there was none.

    Of a ``running`` attempt what it has written so far, as its worker tells it within some seconds; /logs/follow goes on with it.
    """
    row = await blocking(house.targets.task, target)
    if row.state == TaskState.RUNNING and attempt in (None, row.attempt):
        texts = await Following(house, row).so_far()
        if texts is not None:
            shown = {name: text if stream in (None, name) else "" for name, text in texts.items()}
            return LogText(job=row.job, id=row.id, attempt=row.attempt, running=True, **shown)
    return await blocking(_stored, house, row, attempt, stream)


def _stored(house: House, row: TaskRow, attempt: int | None, stream: str | None) -> LogText:
    attempts = house.reader.attempts(row.job, row.index)
    chosen = next((one for one in reversed(attempts) if attempt in (None, one.number)), None)
    if chosen is None and attempt is None:
        return LogText(job=row.job, id=row.id, attempt=0, stdout="", stderr="")
    if chosen is None:
        known = ", ".join(str(one.number) for one in attempts) or "none: it has not run yet"
        raise Refusal(404, f"{row.job}:{row.id} has no attempt {attempt} (attempts: {known})")
    texts = {name: written(house, row.job, row.id, chosen, name) for name in ("stdout", "stderr") if stream in (None, name)}
    return LogText(job=row.job, id=row.id, attempt=chosen.number, stdout=texts.get("stdout", ""), stderr=texts.get("stderr", ""))


@router.get("/logs/follow", response_class=StreamingResponse, responses=_STREAM, openapi_extra=needs(Role.VIEWER))
async def follow(house: TheHouse, target: str) -> StreamingResponse:
    """A task's output as it is written, until the task ends: ``{"attempt", "stream", "data"}`` lines, then ``{"end": state}``."""
    row = await blocking(house.targets.task, target)
    return StreamingResponse(Following(house, row).lines(), media_type=NDJSON)


@router.get("/events", response_class=StreamingResponse, responses=_STREAM, openapi_extra=needs(Role.VIEWER))
async def listen(house: TheHouse, topic: str = "") -> StreamingResponse:
    """Events as they happen. Topics: ``task/JOB:ID``, ``job/JOB``, ``worker/ID``, ``vm/ID``; a prefix or a glob chooses."""
    return StreamingResponse(events(house, topic), media_type=NDJSON)
