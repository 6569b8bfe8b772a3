"""Why tasks failed, by cause: ``GET /failures``."""

import glob
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query

from boss.api.causes import Cause, Causes
from boss.api.house import House, TheHouse
from boss.api.roles import Guarded, needs
from boss.api.shapes import CauseOut, Failures, InitFailing
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
    inits: list[InitFailing] = []
    for job, pattern in _chosen(house, target):
        causes = Causes()
        causes.add(islice(house.reader.failures(job.name, pattern), LOOKED_AT - looked_at))
        looked_at += causes.looked_at
        total += job.counts.get("failed", 0) if pattern == "*" else causes.looked_at
        others += causes.others
        found += [_shown(job.name, cause) for cause in causes.causes()]
        inits += _failing_inits(house, job, pattern)
    return Failures(
        total=max(total, looked_at),
        looked_at=looked_at,
        causes=found[:LISTED],
        others=others + sum(cause.count for cause in found[LISTED:]),
        inits=inits[:LISTED],
    )


def _chosen(house: House, targets: list[str]) -> Iterator[tuple[JobRow, str]]:
    """Jobs and globs over their tasks; without a target all jobs in which something failed."""
    if not targets:
        failing = {job.name for job in house.view().jobs if job.failing_inits}
        yield from ((job, "*") for job in reversed(house.reader.jobs()) if job.counts.get("failed") or job.name in failing)
    for text in targets:
        one = house.targets.resolve(text, changing=None)
        yield one.job, one.pattern


def _failing_inits(house: House, job: JobRow, pattern: str) -> Iterator[InitFailing]:
    """The init tasks of a job whose last attempts failed, which wait in the store like any other."""
    names = next((one.failing_inits for one in house.view().jobs if one.name == job.name), ())
    for name in names:
        if pattern == "*" or name == pattern or fnmatchcase(name, pattern):
            for row in house.reader.tasks(job=job.name, pattern=glob.escape(name), limit=1):
                example, paused = f"{job.name}:{name}", job.state == "paused"
                yield InitFailing(
                    job=job.name,
                    example=example,
                    phase=row.phase,
                    exit_code=row.exit_code,
                    reason=row.reason,
                    worker=row.worker,
                    paused=paused,
                )


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
