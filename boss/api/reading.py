"""What can be looked at: health, status, jobs, tasks, workers, VMs, context. Counts come from the loop's view, lists from the store."""

import glob
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Query

from boss.api.again import why_again
from boss.api.answers import Refusal
from boss.api.causes import line_of
from boss.api.detail import defined, detail_of, graph_of
from boss.api.house import House, TheHouse, blocking
from boss.api.loghub import Feed
from boss.api.newer import newer, newer_of
from boss.api.roles import Guarded, needs
from boss.api.shapes import Ca, Health, JobOut, ResultFile, Results, SharedOut, TaskOut, TaskPage, Why
from boss.api.shapes_house import BossOut, Console, Context, FleetOut, Status, VmOut, WorkerOut
from boss.api.shapes_task import Graph, TaskDetail
from boss.api.targets import Target
from boss.core.model import FINAL_STATES, TaskState, Vm, WorkerState
from boss.core.requests import BasisAsked, WhyAsked
from boss.core.tokens import Role
from boss.core.view import JobView, View
from boss.ports import JobRow, TaskRow
from datastore.sources import SHARED

router = APIRouter(route_class=Guarded)

#: Tasks that one page holds at most.
PAGE = 10_000
#: The longest that a caller may wait for a job's end in one request, in seconds.
LONGEST_WAIT = 60.0

TargetText = Annotated[str, Query(alias="target", description="JOB:ID, JOB:GLOB or a bare ID that names exactly one task")]


@router.get("/health", tags=["look"], openapi_extra=needs(None))
async def health(house: TheHouse) -> Health:
    """Whether the boss answers; needs no token."""
    return Health(version=house.facts.version, max_task_file=house.facts.max_task_file)


@router.get("/ca", tags=["look"], openapi_extra=needs(None))
async def ca(house: TheHouse) -> Ca:
    """The certificate of the CA that signed this API's own; needs no token. Believe it by its digest, which your address has."""
    pem = house.facts.ca()
    if not pem:
        raise Refusal(404, "this API has no CA of its own: it speaks plain HTTP, or shows a certificate that systems trust")
    return Ca(pem=pem)


@router.get("/status", tags=["look"], openapi_extra=needs(Role.VIEWER))
async def status(house: TheHouse, job: str = "", brief: bool = False) -> Status:
    """How things stand, of everything or of one job; ``brief``: without the lists of workers and VMs, which a large fleet makes long."""
    view = house.view()
    jobs: Sequence[JobView | JobRow] = view.jobs
    if job:  # a job that was opened this moment may not be in the view yet
        jobs = [one for one in view.jobs if one.name == job] or [await blocking(house.targets.job, job)]
    shown = [JobOut.of(one) for one in jobs]
    return Status(
        jobs=shown,
        tasks=shown[0].tasks if job else dict(view.tasks),
        fleet=_fleet(view),
        workers=[] if brief else [WorkerOut.of(worker) for worker in view.workers],
        vms=[] if brief else [VmOut.of(vm) for vm in view.vms],
        boss=BossOut(version=house.facts.version, epoch=view.epoch, uptime=max(0.0, view.taken - view.started)),
        rate=view.rate,
        notes=list(view.notes),
    )


def _fleet(view: View) -> FleetOut:
    online = sum(worker.state == WorkerState.ONLINE for worker in view.workers)
    busy = sum(bool(worker.running) for worker in view.workers)
    return FleetOut(workers=len(view.workers), online=online, busy=busy, vms=len(view.vms))


@router.get("/jobs", tags=["look"], openapi_extra=needs(Role.VIEWER))
def jobs(house: TheHouse) -> list[JobOut]:
    """All jobs, oldest first."""
    return [JobOut.of(row) for row in house.reader.jobs()]


@router.get("/jobs/{job}", tags=["look"], openapi_extra=needs(Role.VIEWER))
async def job(house: TheHouse, job: str, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0.0) -> JobOut:
    """One job; with ``wait``, answered when it has finished, or after so many seconds."""
    if wait:
        await _finished(house, job, wait)
    return JobOut.of(await blocking(house.targets.job, job))


async def _finished(house: House, name: str, wait: float) -> None:
    feed: Feed[str] = Feed()
    stop = house.desk.listen(lambda kind, facts: feed.put(name) if kind == "job" and facts.get("job") == name else None)
    try:
        row = await blocking(house.targets.job, name)
        if row.finished is None:
            await feed.get(wait)
    finally:
        stop()


@router.get("/jobs/{job}/results", tags=["look"], openapi_extra=needs(Role.VIEWER))
def results(house: TheHouse, job: str) -> Results:
    """The accepted results that lie in a job's folder, and how many of its tasks have finished."""
    row = house.targets.job(job)
    files = [ResultFile(path=path, size=size, sha256=sha256) for path, size, sha256 in house.datastore.listing(row.name)]
    return Results(job=row.name, finished=_finished_tasks(row), total=sum(row.counts.values()), files=files)


@router.get("/jobs/{job}/newer", tags=["look"], openapi_extra=needs(Role.VIEWER))
def newer_results(house: TheHouse, job: str) -> list[str]:
    """Paths of results that are newer than what the database knows of them; only a job that came with a back-up can have any."""
    return newer(house, house.targets.job(job))


@router.get("/jobs/{job}/graph", tags=["look"], openapi_extra=needs(Role.VIEWER))
def graph(house: TheHouse, job: str) -> Graph:
    """A job's tasks and who waits for whom, as ``networkx.node_link_graph`` reads it."""
    found = house.reader.full_job(house.targets.job(job).name)
    if found is None:
        raise Refusal(404, f"job {job} is gone")
    return graph_of(found)


@router.get("/shared", tags=["look"], openapi_extra=needs(Role.VIEWER))
def shared(house: TheHouse, prefix: str = "") -> list[SharedOut]:
    """Shared data by name (all, or what begins with ``prefix``); tasks read it as ``{"from": "shared:NAME"}``."""
    found = house.datastore.shared(prefix.removeprefix(SHARED))
    return [SharedOut(name=name, size=size, sha256=sha256, when=when, by=by) for name, size, sha256, when, by in found]


def _finished_tasks(row: JobRow) -> int:
    return sum(count for state, count in row.counts.items() if state in FINAL_STATES)


@router.get("/tasks", tags=["look"], openapi_extra=needs(Role.VIEWER))
def tasks(
    house: TheHouse,
    target: Annotated[
        list[str], Query(default_factory=list, description="JOB, JOB:ID, JOB:GLOB or a bare ID; several allowed; none: all")
    ],
    state: Annotated[list[TaskState], Query(default_factory=list, description="only tasks in these states")],
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 1000,
    after: Annotated[str, Query(description="`next` of the page before")] = "",
    stale: Annotated[bool, Query(description="only tasks whose result is stale")] = False,
) -> TaskPage:
    """Tasks, page by page; several targets are listed one after the other. ``line`` is told when ``state=failed`` is asked for."""
    chosen: list[Target | None] = [house.targets.resolve(text, changing=None) for text in target] or [None]
    place, job, index = _place(after, len(chosen))
    rows: list[TaskRow] = []
    lines: dict[tuple[str, int], str] = {}
    while place < len(chosen) and len(rows) < limit:
        one = chosen[place]
        found = house.reader.tasks(
            job=one.job.name if one else None,
            states=state,
            pattern=one.pattern if one else "*",
            limit=limit - len(rows),
            after=(job, index) if job else None,
            stale=stale,
        )
        rows += found
        if TaskState.FAILED in state:
            lines |= _lines(house, found, one.pattern if one else "*")
        if len(rows) >= limit:
            last = rows[-1]
            return TaskPage(tasks=_defined(house, rows, lines), next=f"{place}:{last.job}:{last.index}")
        place, job, index = place + 1, "", 0
    return TaskPage(tasks=_defined(house, rows, lines), next=None)


def _lines(house: House, rows: Sequence[TaskRow], pattern: str) -> dict[tuple[str, int], str]:
    """The last line on stderr of those of these rows (of a listing by job and index) that failed."""
    lines: dict[tuple[str, int], str] = {}
    for job, of_job in groupby((row for row in rows if row.state == TaskState.FAILED), key=lambda row: row.job):
        indices = [row.index for row in of_job]
        for failure in house.reader.failures(job, pattern, indices[0] - 1):
            if failure.index > indices[-1]:
                break
            lines[job, failure.index] = line_of(failure)
    return lines


def _defined(house: House, rows: Sequence[TaskRow], lines: Mapping[tuple[str, int], str]) -> list[TaskOut]:
    """The tasks of these rows with their parameters, and the last lines that they wrote."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        wanted.setdefault(row.job, set()).add(row.template)
    templates = {job: house.reader.templates(job, numbers) for job, numbers in wanted.items()}
    tasks = [defined(row, templates[row.job].get(row.template)) for row in rows]
    for row, task in zip(rows, tasks, strict=True):
        task.line = lines.get((row.job, row.index), "")
    return tasks


def tasks_of(house: House, rows: Sequence[TaskRow]) -> list[TaskOut]:
    """The tasks of these rows, with their parameters; of failed ones with the last line that they wrote."""
    return _defined(house, rows, _lines(house, rows, "*"))


def _place(after: str, targets: int) -> tuple[int, str, int]:
    """Where a page begins: which target, and after which task of which job."""
    if not after:
        return 0, "", 0
    place, _, rest = after.partition(":")
    job, _, index = rest.rpartition(":")
    if not (place.isdecimal() and index.isdecimal() and job and int(place) < targets):
        raise Refusal(422, f"after={after!r} is not the `next` of a page of these targets")
    return int(place), job, int(index)


@router.get("/task", tags=["look"], openapi_extra=needs(Role.VIEWER))
def task(house: TheHouse, target: TargetText) -> TaskDetail:
    """One task: its definition as it runs, and all its attempts with the tails of their logs."""
    row = house.targets.task(target)
    detail = detail_of(house.reader, row)
    detail.newer = list(newer_of(house, house.reader.job(row.job), detail))
    return detail


@router.get("/why", tags=["look"], openapi_extra=needs(Role.VIEWER))
async def why(house: TheHouse, target: TargetText) -> Why:
    """Why a task waits, ran again, or how it ended, with the cheapest remedy. Where no task is called so: why a VM of this id is up or
    going, or why a pool of this name has no more VMs.
    """
    try:
        row = await blocking(house.targets.task, target)
    except Refusal as no_task:
        if all(vm.id != target for vm in house.view().vms) and (gone := await blocking(house.reader.vm, target)) is not None:
            return _why_gone(gone, await blocking(house.facts.console, target))
        try:
            found = await house.ask(lambda reply: WhyAsked("", target, reply))
        except Refusal as nothing:
            raise (no_task if nothing.status == 404 else nothing) from None
        return Why.model_validate(found)
    detail = await house.ask(lambda reply: WhyAsked(row.job, row.id, reply, row.index))
    said = detail.get("why", [])
    sentences = [str(sentence) for sentence in said] if isinstance(said, list | tuple) else [str(said)]
    before: list[str] = []  # what is known of the past, behind how it stands and before what helps
    if detail.get("state") == TaskState.FAILED and (line := await blocking(_last_words, house, row)):
        before.append(f"The last line that it wrote to stderr: {line}")
    if row.attempt > 1:
        before += why_again(await blocking(house.reader.attempts, row.job, row.index), row.attempt)
    sentences[1:1] = before
    state = str(detail.get("state", row.state))
    return Why(job=row.job, id=row.id, state=state, why=sentences, never=str(detail.get("never", "")))


def _why_gone(vm: Vm, console: str) -> Why:
    """What became of a VM that is not there any more."""
    said = [f"It is {vm.state}" + (f": {vm.reason}." if vm.reason else ".")]
    if console:
        said.append(f"`admin.py console {vm.id}` shows the end of what its server wrote.")
    return Why(job="", id=vm.id, state=vm.state.value, why=said, never="")


@router.get("/vms/{vm}/console", tags=["look"], openapi_extra=needs(Role.RESEARCHER))
async def console(house: TheHouse, vm: str) -> Console:
    """The end of what the server of a VM wrote that never became a worker; it is kept when the VM is given up."""
    text = await blocking(house.facts.console, vm)
    if not text:
        raise Refusal(
            404,
            f"no console of {vm!r} was kept: that is done for VMs that never joined, where the server wrote something and its cloud tells",
        )
    return Console(vm=vm, text=text)


def _last_words(house: House, row: TaskRow) -> str:
    """The last line on stderr of a failed task; empty when the reason of its failure says more, or when it is not failed any more."""
    failure = next(iter(house.reader.failures(row.job, glob.escape(row.id))), None)
    return "" if failure is None else line_of(failure)


@router.get("/basis", tags=["look"], openapi_extra=needs(Role.VIEWER))
async def basis(house: TheHouse) -> dict[str, Any]:
    """What a plan is made from: pools with their limits, quotas, and what was learned of run and boot times."""
    return dict(await house.ask(BasisAsked))


@router.get("/workers", tags=["look"], openapi_extra=needs(Role.VIEWER))
async def workers(house: TheHouse) -> list[WorkerOut]:
    """The workers that are not gone."""
    return [WorkerOut.of(worker) for worker in house.view().workers]


@router.get("/vms", tags=["look"], openapi_extra=needs(Role.VIEWER))
async def vms(house: TheHouse) -> list[VmOut]:
    """The claims on servers that are not gone."""
    return [VmOut.of(vm) for vm in house.view().vms]


@router.get("/context", tags=["look"], openapi_extra=needs(Role.VIEWER))
def context(house: TheHouse) -> Context:
    """Where the boss and the datastore are, and which cluster this is."""
    facts = house.reader.context()
    return Context(
        boss_address=facts.get("boss_address", house.facts.boss_address),
        datastore_address=facts.get("datastore_address", house.facts.datastore_address),
        cluster=facts.get("cluster", ""),
        api_url=house.facts.api_url,
        epoch=house.view().epoch,
    )
