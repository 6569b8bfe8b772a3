"""The first page: what needs attention, what runs, how the last hours were. All of it from the loop's view and the page's history."""

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from boss.api.house import TheHouse
from boss.api.roles import needs
from boss.core.model import FINAL_STATES
from boss.core.tokens import Role
from boss.core.view import JobView, View
from boss.page.history import History
from boss.page.site import HEADERS, Page, render

router = APIRouter(include_in_schema=False, route_class=Page)
#: Jobs on the first page: those that go on, and the newest of those that have ended; jobs of one page of the list.
SHOWN, ENDED, PAGE = 30, 8, 50


def history_of(request: Request) -> History:
    """The history of this app."""
    found: History = request.app.state.history
    return found


def told(job: JobView, history: History, now: float) -> dict[str, Any]:
    """A job as pages show it."""
    total = sum(job.tasks.values())
    done = sum(number for state, number in job.tasks.items() if state in FINAL_STATES)
    return {
        "name": job.name,
        "owner": job.owner,
        "state": job.state,
        "reason": job.reason,
        "created": job.created,
        "finished": job.finished,
        "tasks": dict(job.tasks),
        "total": total,
        "done": done,
        "stale": job.stale,
        "failed": job.tasks.get("failed", 0),
        "rate": history.rate(job, now) if job.finished is None else 0.0,
        "left": history.left(job, now) if job.finished is None else None,
        "failing_inits": job.failing_inits,
    }


@router.get("/", openapi_extra=needs(Role.VIEWER))
async def overview(request: Request, house: TheHouse) -> Response:
    """Everything at a glance."""
    view, history = house.view(), history_of(request)
    going = [job for job in view.jobs if job.finished is None][::-1]
    ended = sorted((job for job in view.jobs if job.finished is not None), key=lambda job: job.finished or 0.0, reverse=True)
    shown = [told(job, history, view.taken) for job in [*going[:SHOWN], *ended[:ENDED]]]
    return render(
        request,
        "overview.html",
        jobs=shown,
        total_jobs=len(view.jobs),
        more_going=max(0, len(going) - SHOWN),
        view=view,
        attention=_attention(view, history.little),
        workers=Counter("draining" if worker.draining else worker.state for worker in view.workers),
        vms=Counter(vm.state for vm in view.vms),
    )


def _attention(view: View, little: str) -> list[tuple[str, str, str]]:
    """What a person should look at first: kind, sentence, and where to look."""
    found = [("bad", little, "")] if little else []
    found += [("warn", note, "") for note in view.notes]
    for job in reversed(view.jobs):
        if job.finished is None and (failed := job.tasks.get("failed", 0)):
            found.append(("bad", f"{failed:,} task{'' if failed == 1 else 's'} of {job.name} failed", job.name))
        if job.failing_inits:
            found.append(("bad", f"init task {job.failing_inits[0]} of {job.name} fails", job.name))
    return found


@router.get("/history.json", openapi_extra=needs(Role.VIEWER))
async def history(request: Request) -> JSONResponse:
    """The last hours, a list for each of ``boss.page.history.Sample``'s numbers."""
    samples = history_of(request).samples()
    return JSONResponse([list(column) for column in zip(*samples, strict=True)], headers=HEADERS)


@router.get("/jobs", openapi_extra=needs(Role.VIEWER))
async def jobs(request: Request, house: TheHouse, q: str = "", state: str = "", page: int = 1) -> Response:
    """All jobs, newest first."""
    view, history = house.view(), history_of(request)
    rows = [job for job in reversed(view.jobs) if q.lower() in f"{job.name} {job.owner}".lower() and state in ("", job.state)]
    page = max(1, page)
    part = rows[(page - 1) * PAGE : page * PAGE]
    return render(
        request,
        "jobs.html",
        jobs=[told(job, history, view.taken) for job in part],
        q=q,
        state=state,
        page=page,
        pages=max(1, -(-len(rows) // PAGE)),
        count=len(rows),
        states=("running", "paused", "succeeded", "failed", "cancelled"),
    )
