"""Small jobs, tasks and attempts for tests, with everything that a test does not care about filled in."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from boss.core import dag
from boss.core.changes import Changes
from boss.core.model import (
    Attempt,
    FileRef,
    InputSpec,
    Job,
    JobState,
    OutputSpec,
    Task,
    TaskState,
    Template,
    Vm,
    Wanted,
    Worker,
)
from worker.grid import Axis, Dimension, Table, Together
from worker.texts import Field

#: A time with all the digits that a clock gives.
NOON = 1_763_700_000.123457


def template(number: int = 0, **fields: Any) -> Template:
    """A template of plain tasks that run ``true``."""
    return Template(number, fields.pop("name", "t"), fields.pop("commands", ("true",)), **fields)


def job(uid: str = "u1", name: str = "", **fields: Any) -> Job:
    """An open job without tasks, with one template and one file."""
    fields.setdefault("state", JobState.OPEN)
    fields.setdefault("templates", [template()])
    fields.setdefault("files", {"in/mesh.h5": FileRef("ab" * 32, 12)})
    return Job(uid, name or f"job-{uid}", fields.pop("owner", "ada"), fields.pop("created", NOON), **fields)


def task(of: Job, name: str, after: Iterable[int] = (), **fields: Any) -> Task:
    """One more task of a job, with the job's first template; ``link`` makes its counters."""
    made = Task(of, len(of.tasks), name, fields.pop("template", of.templates[0]), dependencies=array("I", after), **fields)
    of.tasks.append(made)
    return made


def link(of: Job) -> Job:
    """The job with the links, counters and counts of its tasks made by the core."""
    dag.link(of, of.tasks)
    of.counts = {}
    for one in of.tasks:
        of.counts[one.state] = of.counts.get(one.state, 0) + 1
    return of


def chain(uid: str, *names: str, **fields: Any) -> Job:
    """A job whose tasks each depend on the one before; the first is ready."""
    made = job(uid, **fields)
    for index, name in enumerate(names):
        task(made, name, (index - 1,) if index else (), rank=len(names) - 1 - index)
    made.tasks[0].state = TaskState.READY
    return link(made)


def bag(uid: str, count: int, **fields: Any) -> Job:
    """A job of ready tasks ``t0``, ``t1``, ... without dependencies."""
    made = job(uid, **fields)
    for index in range(count):
        task(made, f"t{index}", state=TaskState.READY)
    return link(made)


def attempt(of: Task, worker: str = "local-1", **fields: Any) -> Attempt:
    """The next attempt of a task, which becomes its current one; the task is assigned unless ``task_state`` says otherwise."""
    of.number += 1
    of.state = fields.pop("task_state", TaskState.ASSIGNED)
    of.worker = worker
    of.attempt = Attempt(of.job.uid, of.index, of.number, worker, fields.pop("assigned", NOON), **fields)
    return of.attempt


def worker(name: str = "local-1", **fields: Any) -> Worker:
    """A worker of the pool ``local``."""
    return Worker(name, "local", **fields)


def vm(name: str = "local-1", **fields: Any) -> Vm:
    """A claim of the pool ``local``."""
    return Vm(name, "local", fields.pop("flavor", "local.1"), fields.pop("created", NOON), **fields)


def pushed(*jobs: Job) -> Changes:
    """The changes that make these jobs, their templates, tasks and current attempts."""
    changes = Changes()
    for one in jobs:
        changes.new_jobs[one.uid] = one
        changes.new_templates += [(one.uid, made) for made in one.templates]
        add_tasks(changes, one.tasks)
    return changes


def add_tasks(changes: Changes, tasks: Sequence[Task]) -> Changes:
    """The changes, with these as new tasks (and their current attempts as new attempts)."""
    for one in tasks:
        changes.new_tasks[one.job.uid, one.index] = one
        if one.attempt is not None:
            changes.new_attempts[one.attempt.id] = one.attempt
    return changes


def touched(*objects: Job | Task | Attempt) -> Changes:
    """The changes that update these objects."""
    changes = Changes()
    for one in objects:
        if isinstance(one, Job):
            changes.jobs[one.uid] = one
        elif isinstance(one, Task):
            changes.tasks[one.job.uid, one.index] = one
        else:
            changes.attempts[one.id] = one
    return changes


def full_job() -> Job:
    """A job that uses every field."""
    grid = (Axis("T", (1.5, 2.25)), Axis("kind", ("a", "b")), Axis("flag", (True, False)))
    first = template(
        0,
        name=("sim-", Field("T", ".3f"), "-", Field("kind", "", "q")),
        commands=(("run ", Field("T")), "echo ${HOME}"),
        inputs=(InputSpec("in/"), InputSpec(("x", Field("kind")), "y")),
        outputs=(OutputSpec("out.txt"), OutputSpec("*.log", "logs/", True)),
        metrics=("out-", Field("T"), ".json"),
        env=(("A", "1"), ("B", (Field("kind"),))),
        needs={"cpus": 2, "memory": 2.0**31},
        timeout=90.5,
        retries=3,
        priority=-1,
        grid=grid,
    )
    made = job(
        "u-7",
        "météo ☀",
        owner="zoë",
        templates=[first, template(1, init=True), template(2, name=("t-", Field("row", "03d")), grid=_every_dimension())],
        files={"in/ß.h5": FileRef("cd" * 32, 2**40, 0o755)},
        wanted=Wanted.PAUSE,
        reason="it is late 🌙",
        priority=7,
        submission="key-1",
    )
    task(
        made,
        "init",
        template=made.templates[1],
        state=TaskState.SUCCEEDED,
        number=2,
        exit_code=0,
        started=NOON,
        finished=NOON + 0.1,
    )
    task(made, "a/b c", (0,), row=3, rank=2, state=TaskState.DELAYED, number=4, failures=2, losses=1, not_before=NOON + 5.000001)
    task(made, "A/B C", (0, 1), row=4, state=TaskState.WAITING)
    task(made, "日本", (2,), state=TaskState.SKIPPED, reason="because of 'a/b c'", phase="run", worker="w-1", finished=NOON)
    return link(made)


def _every_dimension() -> tuple[Dimension, ...]:
    """A grid with parameters that move together, and a table."""
    together = Together((Axis("a", (1, 2.5)), Axis("b", ("☀", False))))
    return together, Table(("x", "label"), (True, False), "0.10\t007\n\ta\\tb\n1e-3\t🌙")


def known(thing: object, *derived: str) -> dict[str, object]:
    """The fields of a record, as they compare; without what is not stored."""
    found = {field.name: getattr(thing, field.name) for field in fields(thing) if field.name not in derived}  # type: ignore[arg-type]
    return {name: list(value) if isinstance(value, array) else value for name, value in found.items()}


def known_task(of: Task) -> dict[str, object]:
    """A task's fields; its job and attempt by name."""
    return {
        **known(of, "job", "attempt"),
        "dependencies": list(of.dependencies),
        "job": of.job.uid,
        "attempt": of.attempt.id if of.attempt else None,
    }


def known_job(of: Job) -> dict[str, object]:
    """A job's fields, with its tasks as fields."""
    return {**known(of, "tasks", "inits"), "tasks": [known_task(one) for one in of.tasks]}
