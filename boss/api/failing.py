"""Why tasks failed, by cause: ``GET /failures``."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query

from boss.api.causes import Cause, Causes
from boss.api.house import House, TheHouse
from boss.api.roles import Guarded, needs
from boss.api.shapes import CauseOut, Failures
from boss.core.tokens import Role
from boss.ports import JobRow

router = APIRouter(route_class=Guarded)

#: Failed tasks that one answer looks at, and causes that it lists, at most.
LOOKED_AT = 200_000
LISTED = 100


@router.get("/failures", tags=["look"], openapi_extra=needs(Role.VIEWER))
def failures(
    house: TheHouse,
    target: Annotated[
        list[str], Query(default_factory=list, description="JOB, JOB:ID, JOB:GLOB or a bare ID; several allowed; none: all")
    ],
) -> Failures:
    """The failed tasks by cause: of each job, newest first, the most frequent cause first."""
    total = looked_at = others = 0
    found: list[CauseOut] = []
    for job, pattern in _chosen(house, target):
        causes = Causes()
        causes.add(islice(house.reader.failures(job.name, pattern), LOOKED_AT - looked_at))
        looked_at += causes.looked_at
        total += job.counts.get("failed", 0) if pattern == "*" else causes.looked_at
        others += causes.others
        found += [_shown(job.name, cause) for cause in causes.causes()]
    return Failures(
        total=max(total, looked_at),
        looked_at=looked_at,
        causes=found[:LISTED],
        others=others + sum(cause.count for cause in found[LISTED:]),
    )


def _chosen(house: House, targets: list[str]) -> Iterator[tuple[JobRow, str]]:
    """Jobs and globs over their tasks; without a target all jobs in which something failed."""
    if not targets:
        yield from ((job, "*") for job in reversed(house.reader.jobs()) if job.counts.get("failed"))
    for text in targets:
        one = house.targets.resolve(text, changing=None)
        yield one.job, one.pattern


def _shown(job: str, cause: Cause) -> CauseOut:
    return CauseOut(
        job=job,
        phase=cause.phase,
        exit_code=cause.exit_code,
        signal=cause.signal,
        reason=cause.reason,
        line=cause.line,
        folded=cause.folded,
        count=cause.count,
        example=f"{job}:{cause.example}",
        example_line=cause.example_line,
    )
