"""What became of a job: tasks with their attempts, the machines that ran them, and what results were made of. Page by page."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from boss.api.house import TheHouse, blocking
from boss.api.origins import made_of
from boss.api.roles import Guarded, needs
from boss.api.shapes import ResultFile
from boss.api.shapes_past import DefinitionOut, EntryOut, HistoryPage, MachineOut, MadeOut, PastTaskOut, ProvenancePage
from boss.core.model import Attempt, Template
from boss.core.requests import BasisAsked
from boss.core.templates import params_of, texts_of
from boss.core.tokens import Role
from boss.ports import Reader, TaskRow
from worker.texts import Text, render

router = APIRouter(route_class=Guarded)

#: Tasks that one page of a history holds at most, and one of provenance, which reads several rows a task.
PAGE = 5000
MADE = 500

After = Annotated[int, Query(ge=-1, description="`next` of the page before")]


@router.get("/jobs/{job}/history", tags=["look"], openapi_extra=needs(Role.VIEWER))
def history(house: TheHouse, job: str, after: After = -1, limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE) -> HistoryPage:
    """A job's tasks with all attempts and what each waited for, page by page: what reports are made from."""
    row = house.targets.job(job)
    tasks = house.reader.past_tasks(row.name, after, limit)
    templates = house.reader.templates(row.name, {task.template for task in tasks})
    entries = {
        number: EntryOut(name=_written(one.name), cpus=one.needs.get("cpus", 1.0), init=one.init)
        for number, one in templates.items()
    }
    more = bool(tasks) and bool(house.reader.past_tasks(row.name, tasks[-1].index, 1))
    return HistoryPage(tasks=[PastTaskOut.of(one) for one in tasks], entries=entries, next=tasks[-1].index if more else None)


def _written(text: Text) -> str:
    """A text for people, its fields as the task file has them."""
    if isinstance(text, str):
        return text
    return "".join(
        one
        if isinstance(one, str)
        else f"{{{one.name}{one.conversion and '!' + one.conversion}{one.format and ':' + one.format}}}"
        for one in text
    )


@router.get("/jobs/{job}/machines", tags=["look"], openapi_extra=needs(Role.VIEWER))
async def machines(house: TheHouse, job: str) -> list[MachineOut]:
    """The workers that ran attempts of a job and their VMs, in the order of their first attempt."""
    row = await blocking(house.targets.job, job)
    found = await blocking(house.reader.past_machines, row.name)
    basis: Mapping[str, Any] = await house.ask(BasisAsked) if any(one.flavor for one in found) else {"pools": (), "sizes": ()}
    offered, providers = _offered(basis), {pool["name"]: pool["provider"] for pool in basis["pools"]}
    slots = {worker.id: worker.slots for worker in house.view().workers}
    return [
        MachineOut(
            id=one.id,
            pool=one.pool,
            provider=providers.get(one.pool, ""),
            flavor=one.flavor,
            state=one.state,
            cpus=offered.get((one.pool, one.flavor), slots.get(one.id)),
            created=one.created,
            ended=one.ended,
            first=one.first,
            others=one.others,
        )
        for one in found
    ]


def _offered(basis: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """CPUs by pool and flavor: as the settings say, else as the cloud says."""
    known = {(pool, flavor): resources for pool, flavor, resources in basis["sizes"]}
    known |= {
        (pool["name"], flavor["name"]): flavor["resources"]
        for pool in basis["pools"]
        for flavor in pool["flavors"]
        if flavor["resources"]
    }
    return {key: float(resources["cpus"]) for key, resources in known.items() if resources.get("cpus")}


@router.get("/jobs/{job}/provenance", tags=["look"], openapi_extra=needs(Role.VIEWER))
def provenance(
    house: TheHouse, job: str, after: After = -1, limit: Annotated[int, Query(ge=1, le=MADE)] = MADE
) -> ProvenancePage:
    """How each task's result was made: commands, worker, times, and files in and out with their sha256; page by page."""
    name = house.targets.job(job).name
    rows = house.reader.tasks(job=name, limit=limit, after=(name, after))
    templates = house.reader.templates(name, {row.template for row in rows})
    made = [_made(house.reader, row, templates.get(row.template, Template(0, row.id, ()))) for row in rows]
    entries = {number: _defined(one) for number, one in templates.items()}
    return ProvenancePage(tasks=made, entries=entries, next=rows[-1].index if len(rows) == limit else None)


def _defined(one: Template) -> DefinitionOut:
    return DefinitionOut(
        name=_written(one.name),
        commands=[_written(command) for command in one.commands],
        inputs=[_written(item.source) for item in one.inputs],
        outputs=[_written(item.path if item.to is None else item.to) for item in one.outputs],
        env={name: _written(text) for name, text in one.env},
        needs=dict(one.needs),
        timeout=one.timeout,
        retries=one.retries,
        init=one.init,
        parameters=[name for name in params_of(one, 0) if one.grid],
    )


def _made(reader: Reader, row: TaskRow, template: Template) -> MadeOut:
    attempts = reader.attempts(row.job, row.index)
    accepted = next((one for one in reversed(attempts) if one.state == "succeeded"), None)
    shown = accepted or next(reversed(attempts), None)
    params = texts_of(template, row.row)
    return MadeOut(
        index=row.index,
        id=row.id,
        template=row.template,
        state=row.state,
        attempt=accepted.number if accepted else 0,
        reason=row.reason,
        worker=shown.worker if shown else "",
        exit_code=shown.exit_code if shown else None,
        started=shown.started if shown else None,
        finished=shown.finished if shown else None,
        commands=[render(command, params) for command in template.commands],
        params=params_of(template, row.row),
        files=_files(accepted),
        made_of=made_of(reader, row, template, attempts),
    )


def _files(accepted: Attempt | None) -> list[ResultFile] | None:
    found: Iterable[tuple[str, int, str]] | None = accepted.files if accepted else ()
    return None if found is None else [ResultFile(path=path, size=size, sha256=digest) for path, size, digest in found]
