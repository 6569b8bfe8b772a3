"""One task in full: its template's texts with the task's own parameters in place, and everything that was tried. And a job's graph."""

from collections.abc import Mapping

from boss.api.answers import Refusal
from boss.api.origins import made_of
from boss.api.shapes import TaskOut
from boss.api.shapes_task import AttemptOut, Edge, Graph, InputOut, Node, OutputOut, SignatureOut, TaskDetail
from boss.core.model import Job, Template
from boss.core.templates import params_of, texts_of
from boss.ports import Reader, TaskRow
from datastore.sources import place_of
from worker.grid import Value
from worker.texts import Text, render

#: A graph with more edges is not told in one answer.
MAX_EDGES = 1_000_000


def graph_of(job: Job) -> Graph:
    """A job's tasks and who waits for whom. Raises Refusal for a graph that is too large for one answer."""
    count = sum(len(task.dependencies) for task in job.tasks)
    if count > MAX_EDGES:
        raise Refusal(
            409, f"job {job.name} has {count:,} dependencies, more than the {MAX_EDGES:,} of one answer; ask task by task"
        )
    names = [task.name for task in job.tasks]
    return Graph(
        graph={"job": job.name},
        nodes=[Node(id=task.name, state=task.state.value) for task in job.tasks],
        edges=[Edge(source=names[index], target=task.name) for task in job.tasks for index in task.dependencies],
    )


def defined(row: TaskRow, template: Template | None) -> TaskOut:
    """The task of a row with what its template says of it (None: it vanished meanwhile, then nothing)."""
    task = TaskOut.of(row)
    if template is not None:
        task.params, task.metrics = params_of(template, row.row), render(template.metrics, texts_of(template, row.row))
    return task


def detail_of(reader: Reader, row: TaskRow) -> TaskDetail:
    """The task of a row; of one that vanished meanwhile the definition is empty."""
    template = reader.templates(row.job, [row.template]).get(row.template, Template(0, row.id, ()))
    attempts = reader.attempts(row.job, row.index)
    above, below = reader.links(row.job, row.index)
    others = reader.tasks_at(row.job, [*above, *below])
    after = [others[index].id for index in above if index in others]
    params = texts_of(template, row.row)
    needs = dict(template.needs)
    return TaskDetail(
        **defined(row, template).model_dump(),
        commands=[render(command, params) for command in template.commands],
        inputs=[_input(render(item.source, params), _rendered(item.to, params)) for item in template.inputs],
        outputs=[_output(render(item.path, params), _rendered(item.to, params), item.optional) for item in template.outputs],
        env={name: render(text, params) for name, text in template.env},
        cpus=needs.get("cpus", 1.0),
        memory=needs.get("memory"),
        needs=needs,
        timeout=template.timeout,
        retries=template.retries,
        priority=template.priority,
        init=template.init,
        after=after,
        dependencies=after,
        dependents=[others[index].id for index in below if index in others],
        failures=row.failures,
        losses=row.losses,
        attempts=[AttemptOut.of(attempt) for attempt in attempts],
        made_of=made_of(reader, row, template, attempts),
        signed=_signature(template),
    )


def _signature(template: Template) -> SignatureOut | None:
    one = template.signed
    return None if one is None else SignatureOut(signer=one.signer, key=one.key, expires=one.expires, document=one.document)


def _rendered(text: Text | None, params: Mapping[str, Value]) -> str | None:
    return None if text is None else render(text, params)


def _input(source: str, to: str | None) -> InputOut:
    return InputOut(source=source, to=to or place_of(source))


def _output(path: str, to: str | None, optional: bool) -> OutputOut:
    return OutputOut(path=path, to=to or path, optional=optional)
