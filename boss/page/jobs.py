"""One job: how far it is, why tasks failed, its tasks with filter, search and paging; its graph, timeline, table and results."""

import csv
import glob
import io
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from boss.api import failing
from boss.api.house import House, TheHouse
from boss.api.reading import tasks_of
from boss.api.roles import needs
from boss.api.shapes import Failures
from boss.core.model import TaskState
from boss.core.tokens import Role
from boss.core.view import JobView
from boss.page import graphs, lanes, layered, sweep
from boss.page.overview import history_of, told
from boss.page.shown import ORDER, segment
from boss.page.site import HEADERS, Page, render
from boss.ports import JobRow, TaskRow

router = APIRouter(include_in_schema=False, route_class=Page)
#: Tasks of one page of a list, and of the table; attempts that a timeline looks at; files of one page.
PAGE, TABLE_PAGE, SPANS, FILES = 50, 50, 200_000, 100
#: Seconds for which the causes of a job's failures are kept where their number is the same, and of how many jobs.
FRESH, KEPT = 15.0, 100
#: Sizes of boxes in a graph.
TASK_BOX, FAMILY_BOX = (200.0, 34.0), (230.0, 64.0)

After = Annotated[int, Query(ge=-1)]
Trail = Annotated[str, Query(pattern=r"^[0-9,-]*$", max_length=2000)]


@router.get("/find", openapi_extra=needs(Role.VIEWER))
def find(house: TheHouse, target: Annotated[str, Query(max_length=1000)]) -> Response:
    """From what people call a job or task (``JOB``, ``JOB:ID``, ``JOB:GLOB``, a bare id) to its page."""
    found = house.targets.resolve(target.strip(), changing=None)
    if found.whole:
        return RedirectResponse(f"/jobs/{segment(found.job.name)}", 303, HEADERS)
    rows = house.reader.tasks(job=found.job.name, pattern=found.pattern, limit=2)
    if len(rows) == 1:
        return RedirectResponse(f"/jobs/{segment(rows[0].job)}/tasks/{rows[0].index}", 303, HEADERS)
    return RedirectResponse(f"/jobs/{segment(found.job.name)}?q={segment(found.pattern)}", 303, HEADERS)


def seen(house: House, name: str) -> JobView:
    """A job as the loop shows it, or as the store has it: one that was opened this moment."""
    found = next((job for job in house.view().jobs if job.name == name), None)
    if found is not None:
        return found
    row: JobRow = house.targets.job(name)
    return JobView(row.uid, row.name, row.owner, row.state, row.reason, row.created, row.finished, row.counts, row.stale)


def glob_of(text: str) -> str:
    """What somebody looks for, as a glob: a part of a name, or a glob."""
    text = text.strip()
    return (text if any(letter in text for letter in "*?[") else f"*{glob.escape(text)}*") if text else "*"


def frame(request: Request, house: House, name: str, tab: str) -> dict[str, Any]:
    """What every page about a job has."""
    job = seen(house, name)
    return {"job": told(job, history_of(request), house.view().taken), "tab": tab}


def _rows(house: House, job: str, q: str, state: str, after: int, limit: int) -> list[TaskRow]:
    """The tasks that a filter of a page asks for, from behind the one of index ``after``."""
    states = [TaskState(state)] if state in list(TaskState) else []
    behind = (job, after) if after >= 0 else None
    return house.reader.tasks(job=job, states=states, pattern=glob_of(q), limit=limit, after=behind)


@router.get("/jobs/{job}", openapi_extra=needs(Role.VIEWER))
def job(
    request: Request,
    house: TheHouse,
    job: str,
    q: Annotated[str, Query(max_length=500)] = "",
    state: str = "",
    after: After = -1,
    trail: Trail = "",
) -> Response:
    """Progress, failures by cause, tasks."""
    about = frame(request, house, job, "tasks")
    rows = _rows(house, job, q, state, after, PAGE + 1)
    failures = _failures(request, house, about["job"])
    shown = tasks_of(house, rows[:PAGE])
    earlier = [part for part in trail.split(",") if part]
    return render(
        request,
        "job.html",
        **about,
        tasks=list(zip(rows, shown, strict=False)),
        failures=failures,
        q=q,
        state=state,
        after=after,
        next=rows[PAGE - 1].index if len(rows) > PAGE else None,
        next_trail=",".join([*earlier[-80:], str(after)]),
        previous=int(earlier[-1]) if earlier else None,
        previous_trail=",".join(earlier[:-1]),
        states=[one for one in ORDER if about["job"]["tasks"].get(one)],
        matching=f"{job}:{glob_of(q)}",
    )


def _failures(request: Request, house: House, job: dict[str, Any]) -> Failures | None:
    """The failures of a job by cause. A page that is live asks every second: what was found is kept for a while."""
    if not job["failed"] and not job["failing_inits"]:
        return None
    kept: OrderedDict[str, tuple[float, int, Failures]] = request.app.state.failures
    now, known = time.monotonic(), kept.get(job["name"])
    if known is not None and known[1] == job["failed"] and now - known[0] < FRESH:
        return known[2]
    found = failing.failures(house, [job["name"]])
    kept[job["name"]] = (now, job["failed"], found)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return found


@router.get("/jobs/{job}/graph", openapi_extra=needs(Role.VIEWER))
def graph(request: Request, house: TheHouse, job: str, view: str = "") -> Response:
    """Who waits for whom: tasks while there are few, else families."""
    about = frame(request, house, job, "graph")
    counts = house.reader.families(job)
    total = sum(count for count, _ in counts.values())
    by_task = view == "tasks" or (view != "families" and total <= graphs.FEW)
    by_task = by_task and total <= graphs.MANY
    boxes: list[dict[str, Any]] = []
    collapsed = None
    if by_task:
        rows = house.reader.structure(job)
        edges = [(other, row.task) for row in rows for other in row.dependencies]
        drawing = layered.draw([row.task for row in rows], edges, TASK_BOX)
        names = house.reader.tasks_at(job, [row.task for row in rows])
        boxes = [
            {"at": drawing.places[row.task], "name": names[row.task].id, "state": row.state, "index": row.task}
            for row in rows
            if row.task in names
        ]
        labels = {}
    else:
        collapsed = graphs.drawn(
            counts, _links(request, house, job, counts), house.reader.templates(job, {one for one, _ in counts})
        )
        drawing = layered.draw(list(collapsed.families), list(collapsed.links), FAMILY_BOX)
        boxes = [{"at": drawing.places[number], "family": family} for number, family in collapsed.families.items()]
        labels = collapsed.links
    return render(
        request,
        "graph.html",
        **about,
        drawing=drawing,
        boxes=boxes,
        box=TASK_BOX if by_task else FAMILY_BOX,
        by_task=by_task,
        labels=labels,
        collapsed=collapsed,
        can_tasks=total <= graphs.MANY,
        count=total,
    )


def _links(request: Request, house: House, job: str, counts: Mapping[tuple[int, str], tuple[int, int]]) -> graphs.Links:
    """The links between families, kept while no task has come or was replaced: a task that is gets another template."""
    sizes: Counter[int] = Counter()
    for (template, _), (count, _) in counts.items():
        sizes[template] += count
    key = (seen(house, job).uid, tuple(sorted(sizes.items())))
    kept: OrderedDict[object, graphs.Links] = request.app.state.links
    found = kept.get(key)
    if found is None:
        found = kept[key] = graphs.links_of(house.reader.structure(job))
        while len(kept) > KEPT:
            kept.popitem(last=False)
    return found


@router.get("/jobs/{job}/timeline", openapi_extra=needs(Role.VIEWER))
def timeline(request: Request, house: TheHouse, job: str) -> Response:
    """Who ran what when."""
    about = frame(request, house, job, "timeline")
    spans = house.reader.spans(job, SPANS)
    found = lanes.lay_out(spans, house.view().taken)
    few = [bar.task for row in found.rows for bar in row.bars] if len(spans) <= lanes.ALONE else []
    names = {index: row.id for index, row in house.reader.tasks_at(job, sorted(set(few))).items()}
    return render(
        request,
        "timeline.html",
        **about,
        timeline=found,
        ticks=lanes.ticks(found.begin, found.end),
        names=names,
        count=len(spans),
        cut=len(spans) >= SPANS,
    )


@router.get("/jobs/{job}/table", openapi_extra=needs(Role.VIEWER))
def table(
    request: Request,
    house: TheHouse,
    job: str,
    q: Annotated[str, Query(max_length=500)] = "",
    state: str = "",
    after: After = -1,
    trail: Trail = "",
) -> Response:
    """Parameters and results side by side."""
    about = frame(request, house, job, "table")
    rows = _rows(house, job, q, state, after, TABLE_PAGE + 1)
    part = sweep.read(house, rows[:TABLE_PAGE])
    earlier = [one for one in trail.split(",") if one]
    return render(
        request,
        "table.html",
        **about,
        part=part,
        q=q,
        state=state,
        after=after,
        next=rows[TABLE_PAGE - 1].index if len(rows) > TABLE_PAGE else None,
        next_trail=",".join([*earlier[-80:], str(after)]),
        previous=int(earlier[-1]) if earlier else None,
        previous_trail=",".join(earlier[:-1]),
        states=[one for one in ORDER if about["job"]["tasks"].get(one)],
    )


@router.get("/jobs/{job}/table.csv", openapi_extra=needs(Role.VIEWER))
def table_csv(house: TheHouse, job: str, q: Annotated[str, Query(max_length=500)] = "", state: str = "") -> StreamingResponse:
    """The whole table as a CSV file: the columns of ``admin.py table``."""
    name = house.targets.job(job).name
    states = [TaskState(state)] if state in list(TaskState) else []
    made = sweep.Sheet(house, name, states, glob_of(q))
    disposition = f"attachment; filename*=UTF-8''{segment(name)}.csv"
    return StreamingResponse(
        _csv(made), media_type="text/csv; charset=utf-8", headers=HEADERS | {"Content-Disposition": disposition}
    )


def _csv(sheet: sweep.Sheet) -> Iterator[str]:
    with sheet:
        out = io.StringIO()
        write = csv.writer(out)
        write.writerow(sheet.columns)
        for row in sheet.rows():
            write.writerow([sweep.safe(cell) for cell in row])
            if out.tell() > 1 << 16:
                yield out.getvalue()
                out.seek(0)
                out.truncate()
        yield out.getvalue()


@router.get("/jobs/{job}/results", openapi_extra=needs(Role.VIEWER))
def results(
    request: Request,
    house: TheHouse,
    job: str,
    q: Annotated[str, Query(max_length=500)] = "",
    page: Annotated[int, Query(ge=1)] = 1,
) -> Response:
    """What lies in the job's folder."""
    about = frame(request, house, job, "results")
    listed = house.datastore.listing(job)
    found = [row for row in listed if q.lower() in row[0].lower()]
    return render(
        request,
        "results.html",
        **about,
        files=found[(page - 1) * FILES : page * FILES],
        total=len(listed),
        bytes=sum(size for _, size, _ in listed),
        matching=len(found),
        page=page,
        pages=max(1, -(-len(found) // FILES)),
        q=q,
    )
