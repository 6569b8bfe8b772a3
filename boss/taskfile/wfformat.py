"""Traces of workflows in WfFormat (wfcommons.org), read: their tasks, who waits for whom, and the files with their sizes.

Rules:
- What is read is the shape of versions 1.5 and 1.6: ``workflow.specification.tasks`` and ``files``, ``workflow.execution.tasks``. Another
  version of the same shape is read too, and said; another shape is refused with what was found.
- The graph of a trace must be certain: an id that is there twice, a parent or child that is not there, a size that is no size are
  problems. What is merely not known (a runtime, a file's size) counts as 0, and is said.
- ``parents`` and ``children`` say the same from two sides; what only one of them says holds too.
- A file that is listed twice by one task counts once. What else a trace has (machines, cores, memory, commands) is not looked at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from boss.taskfile import quantities
from boss.taskfile.fields import Form, described
from boss.taskfile.problems import Neighbours, Problems, quoted

#: Versions that are known to have this shape.
KNOWN_VERSIONS = ("1.5", "1.6")
_TASKS = "workflow.specification.tasks"


@dataclass(slots=True)
class TracedTask:
    """One task of a trace: ``runtime`` in seconds, ``parents`` and files by their ids, each once, in the order of the trace."""

    label: str
    id: str
    runtime: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parents: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Trace:
    """A trace: its tasks in order, the sizes of its files in bytes, and what is to be said about it."""

    version: str
    tasks: list[TracedTask] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def is_trace(document: Mapping[str, Any]) -> bool:
    """Whether an object is meant as a WfFormat document, of whatever version."""
    return "workflow" in document and "tasks" not in document


def read(document: Mapping[str, Any], problems: Problems) -> Trace:
    """The trace in a WfFormat document; problems tell what is wrong, and what could be read is there all the same."""
    version = document.get("schemaVersion")
    trace = Trace(version if isinstance(version, str) else "of no stated version")
    workflow = document["workflow"]
    specification = workflow.get("specification") if isinstance(workflow, dict) else None
    if not isinstance(specification, dict) or "tasks" not in specification:
        problems.add("", "workflow", _other_shape(trace.version, workflow))
        return trace
    if trace.version not in KNOWN_VERSIONS:
        trace.notes.append(f"WfFormat {trace.version} is not known here; it is read like {' and '.join(KNOWN_VERSIONS)}")
    tasks = Form(specification, "", "workflow.specification.", problems)
    if not specification["tasks"]:
        tasks.wrong("tasks", f"must be a list of tasks, and at least one, not {_empty(specification['tasks'])}")
    _read_sizes(tasks, trace)
    execution = workflow.get("execution")
    if execution is not None and not isinstance(execution, dict):
        problems.add("", "workflow.execution", f"must be an object, not {described(execution)}")
        execution = None
    runtimes = _read_runtimes(Form(execution or {}, "", "workflow.execution.", problems))
    _read_tasks(tasks, runtimes, trace, problems)
    return trace


def _empty(value: object) -> str:
    return "an empty list" if value == [] else described(value)


def _other_shape(version: str, workflow: object) -> str:
    """What was found instead of the tasks, and what is known."""
    known = f"known are WfFormat {' and '.join(KNOWN_VERSIONS)}, with {_TASKS}"
    if not isinstance(workflow, dict):
        return f"must be an object, not {described(workflow)}; {known}"
    old = next((name for name in ("tasks", "jobs") if name in workflow), None)
    found = f"has its tasks in workflow.{old}" if old else "has no tasks"
    remedy = "; convert it with the tools of wfcommons.org (wfcommons-migrate-instance.py)" if old else ""
    return f"this WfFormat {version} file {found}; {known}{remedy}"


def _read_sizes(form: Form, trace: Trace) -> None:
    places: dict[str, str] = {}
    for label, item in _objects(form, "files"):
        inner = Form(item, form.task, f"{form.prefix}{label}.", form.problems)
        name = _id(inner)
        if name is None:
            continue
        inner.task = f"{form.prefix}{label} {quoted(name)}"
        inner.prefix = ""
        size = _amount(inner, "sizeInBytes", "bytes")
        if size is None:
            continue
        if trace.sizes.setdefault(name, round(size)) != round(size):
            inner.wrong("sizeInBytes", f"is {size:,}, but {places[name]} gives the same file {trace.sizes[name]:,} bytes")
        places.setdefault(name, label)


def _read_runtimes(form: Form) -> dict[str, float]:
    """Seconds by task; a task whose runtime is not told is left out."""
    runtimes: dict[str, float] = {}
    for label, item in _objects(form, "tasks"):
        inner = Form(item, form.task, f"{form.prefix}{label}.", form.problems)
        name = _id(inner)
        if name is None:
            continue
        inner.task, inner.prefix = f"{form.prefix}{label} {quoted(name)}", ""
        if name in runtimes:
            inner.wrong("id", "is there twice: which of the two runtimes is meant, nobody knows")
        runtime = _amount(inner, "runtimeInSeconds", "seconds")
        if runtime is not None:
            runtimes[name] = float(runtime)
    return runtimes


def _read_tasks(form: Form, runtimes: Mapping[str, float], trace: Trace, problems: Problems) -> None:
    by_id: dict[str, TracedTask] = {}
    relations: list[tuple[TracedTask, str, str, str]] = []  # a task, the place, and the other: its parent or child
    for label, item in _objects(form, "tasks"):
        inner = Form(item, form.prefix + label, "", problems)
        name = _id(inner)
        if name is None:
            continue
        inner.task += f" {quoted(name)}"
        inputs, outputs = (_texts(inner, which, "file ids") for which in ("inputFiles", "outputFiles"))
        task = TracedTask(
            label=form.prefix + label,
            id=name,
            runtime=runtimes.get(name, 0.0),
            inputs=tuple(dict.fromkeys(text for _, text in inputs)),
            outputs=tuple(dict.fromkeys(text for _, text in outputs)),
        )
        if by_id.setdefault(name, task) is not task:
            inner.wrong("id", f"is there twice: {by_id[name].label} has the same id")
            continue
        trace.tasks.append(task)
        for which in ("parents", "children"):
            relations += ((task, which, place, other) for place, other in _texts(inner, which, "task ids"))
    neighbours = Neighbours(by_id)
    for task, which, place, name in relations:
        other = by_id.get(name)
        if other is None or other is task:
            hint = "" if problems.full else neighbours.hint(name)
            wrong = "names the task itself" if other is task else f"there is no task {quoted(name)}{hint}"
            problems.add(f"{task.label} {quoted(task.id)}", place, wrong)
        elif which == "parents":
            task.parents[name] = None
        else:
            other.parents[task.id] = None
    _tell_unknown(by_id, runtimes, trace)


def _tell_unknown(by_id: Mapping[str, TracedTask], runtimes: Mapping[str, float], trace: Trace) -> None:
    """Say what a trace does not tell."""
    timeless = [name for name in by_id if name not in runtimes]
    if timeless:
        trace.notes.append(f"{_some('task', timeless)} no runtimeInSeconds in workflow.execution.tasks: 0 seconds")
    strangers = [name for name in runtimes if name not in by_id]
    if strangers:
        trace.notes.append(f"{_some('execution record', strangers)} no task: left out")
    used = (name for task in trace.tasks for name in (*task.inputs, *task.outputs))
    sizeless = list(dict.fromkeys(name for name in used if name not in trace.sizes))
    if sizeless:
        trace.notes.append(f"{_some('file', sizeless)} no sizeInBytes in workflow.specification.files: 0 bytes")
        trace.sizes.update(dict.fromkeys(sizeless, 0))


def _some(noun: str, names: list[str]) -> str:
    if len(names) == 1:
        return f"the {noun} {quoted(names[0])} has"
    return f"{len(names):,} {noun}s, such as {quoted(names[0])}, have"


def _objects(form: Form, field_name: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with its place; ``null`` is a list that is missing, and what is no object is told."""
    if form.data.get(field_name) is None:
        return
    for label, item in form.items(field_name, "objects"):
        if isinstance(item, dict):
            yield label, item
        else:
            form.wrong(label, f"must be an object, not {described(item)}")


def _id(form: Form) -> str | None:
    if "id" not in form.data:
        form.wrong("id", "is missing")
        return None
    return form.text("id")


def _texts(form: Form, field_name: str, several: str) -> list[tuple[str, str]]:
    return [] if form.data.get(field_name) is None else form.texts(field_name, several)


def _amount(form: Form, field_name: str, unit: str) -> float | int | None:
    """A number that is not negative; None if it is missing, or wrong (which is told)."""
    value = form.data.get(field_name)
    if value is None:
        return None
    amount = quantities.number(value)
    if amount is None or amount < 0:
        form.wrong(field_name, f"must be a number of {unit}, 0 or more, not {described(value)}")
        return None
    return amount
