"""The audit over HTTP: who has changed what, when, and what came of it. For admins."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from boss.api.house import TheHouse
from boss.api.roles import Guarded, needs
from boss.core.tokens import Role

router = APIRouter(tags=["accounts"], route_class=Guarded)

#: Entries of one answer at most.
MOST = 10_000


class EntryOut(BaseModel):
    """One line of the audit. ``at`` is Unix time; ``who``, ``role`` and ``token`` (its id) are empty for a stranger.

    ``verb`` is the command; ``code`` follows HTTP (200: done); ``said`` is why it was not done, else empty.
    """

    at: float
    who: str
    role: str
    token: str
    address: str
    verb: str
    job: str
    target: str
    code: int
    said: str


@router.get("/audit", openapi_extra=needs(Role.ADMIN))
def audit(
    house: TheHouse,
    job: Annotated[str, Query(description="only what was done to this job")] = "",
    who: Annotated[str, Query(description="only what this name has done")] = "",
    since: Annotated[float, Query(ge=0, description="only from this Unix time on")] = 0.0,
    limit: Annotated[int, Query(ge=1, le=MOST, description="the newest so many")] = 1000,
) -> list[EntryOut]:
    """Who has changed what, and tried to: the newest entries, oldest first."""
    found = house.reader.audit(job, who, since, limit)
    return [
        EntryOut(
            at=entry.at,
            who=entry.asker.who,
            role=entry.asker.role,
            token=entry.asker.token,
            address=entry.asker.address,
            verb=entry.verb,
            job=entry.job,
            target=entry.target,
            code=entry.code,
            said=entry.said,
        )
        for entry in reversed(found)
    ]
