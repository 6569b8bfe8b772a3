"""Workers, VMs and pools, and what an admin may do with them; the datastore; and the house: tokens, settings, audit, doctor."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from boss.api.auditing import audit as audited
from boss.api.fleet import leaks as leaks_known
from boss.api.house import TheHouse, blocking
from boss.api.roles import needs
from boss.api.tokens import tokens as tokens_known
from boss.core.tokens import Role
from boss.page.site import Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
#: Workers and VMs that one page shows; entries of the audit; jobs whose space is looked at; shared data; the largest files of a job.
SHOWN, AUDIT, JOBS, SHARED, LARGEST = 200, 100, 40, 200, 5


@router.get("/fleet", openapi_extra=needs(Role.VIEWER))
async def fleet(request: Request, house: TheHouse, q: str = "", state: str = "") -> Response:
    """Who works, on what, and what the pools may have."""
    view = house.view()
    workers = [
        worker
        for worker in view.workers
        if q.lower() in f"{worker.id} {worker.pool} {worker.address}".lower()
        and state in ("", "draining" if worker.draining else worker.state)
    ]
    return render(
        request,
        "fleet.html",
        view=view,
        workers=workers[:SHOWN],
        left_out=max(0, len(workers) - SHOWN),
        q=q,
        state=state,
        vms=view.vms[:SHOWN],
        vms_left_out=max(0, len(view.vms) - SHOWN),
        vms_of={pool.name: sum(1 for vm in view.vms if vm.pool == pool.name) for pool in view.pools},
        closed=any("fleet is shut down" in note for note in view.notes),
    )


@router.get("/fleet/leaks", openapi_extra=needs(Role.ADMIN))
async def leaks(request: Request, house: TheHouse) -> Response:
    """What lies in the clouds under this cluster's tag, asked now."""
    return render(request, "leaks.html", found=await leaks_known(house))


@router.get("/data", openapi_extra=needs(Role.VIEWER))
def data(request: Request, house: TheHouse) -> Response:
    """Where the results lie, how much room there is, and whose they are."""
    place, free, size = house.datastore.space()
    with_results = [job.name for job in house.reader.jobs() if job.counts.get("succeeded")][::-1]
    shared = house.datastore.shared("")
    return render(
        request,
        "data.html",
        place=place,
        free=free,
        size=size,
        jobs=with_results[:JOBS],
        left_out=max(0, len(with_results) - JOBS),
        shared=sorted(shared, key=lambda row: -row[1])[:SHARED],
        shared_bytes=sum(row[1] for row in shared),
        shared_count=len(shared),
    )


@router.get("/data/{job}", openapi_extra=needs(Role.VIEWER))
def space(request: Request, house: TheHouse, job: str) -> Response:
    """What one job takes: a row of the table."""
    files = house.datastore.listing(house.targets.job(job).name)
    largest = sorted(files, key=lambda row: -row[1])[:LARGEST]
    return render(request, "space.html", name=job, count=len(files), bytes=sum(size for _, size, _ in files), largest=largest)


@router.get("/admin", openapi_extra=needs(Role.ADMIN))
async def admin(
    request: Request, house: TheHouse, who_did: Annotated[str, Query(alias="by")] = "", job: str = "", limit: int = AUDIT
) -> Response:
    """Accounts, settings in force, who has changed what."""
    entries = await blocking(audited, house, job, who_did, 0.0, max(1, min(limit, 1000)))
    return render(
        request,
        "admin.html",
        tokens=await tokens_known(house),
        settings=house.facts.settings(),
        entries=entries[::-1],
        by=who_did,
        job_asked=job,
        limit=limit,
    )


@router.get("/admin/doctor", openapi_extra=needs(Role.ADMIN))
async def doctor(request: Request, house: TheHouse) -> Response:
    """What the doctor finds, looked at now."""
    return render(request, "doctor.html", findings=await blocking(house.facts.diagnose))
