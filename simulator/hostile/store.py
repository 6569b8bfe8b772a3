"""The database of the hostile world: rows in memory, as the real store keeps them, with failures of its own.

Rules:
- What is stored and what is derived at a load is decided by the real rows (``boss.adapters.rows``): what is no column is forgotten.
- A commit is all or nothing. Keys are unique, as in the real tables: a second row of the same name is a broken promise.
- It keeps what the real store keeps: tests/simulation/test_world.py compares the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from boss.adapters import rows
from boss.core import dag
from boss.core.changes import Changes
from boss.core.model import Attempt, FileRef, InputSet, Job, JobState, Task, TaskState, Template, VmState, WorkerState
from boss.core.restored import marks
from boss.core.tokens import Token
from boss.ports import Picture, StoreError, Superseded
from simulator.hostile.faults import Broken

Row = tuple[Any, ...]
_ACTIVE = (TaskState.ASSIGNED.value, TaskState.RUNNING.value, TaskState.PROMOTING.value)


@dataclass(slots=True)
class JobRows:
    """One job: its nature, how it stands, and the rows below it. Tasks by index: ``(nature, standing)``."""

    nature: Row
    standing: Row
    files: dict[str, FileRef] = field(default_factory=dict)
    templates: list[Template] = field(default_factory=list)
    tasks: dict[int, tuple[Row, Row]] = field(default_factory=dict)
    attempts: dict[tuple[int, int], tuple[Row, Row]] = field(default_factory=dict)  #: by index and number
    input_sets: dict[InputSet, int] = field(default_factory=dict)

    def copy(self) -> "JobRows":
        """Rows are never changed, so that tables are all that is copied."""
        return JobRows(
            self.nature,
            self.standing,
            dict(self.files),
            list(self.templates),
            dict(self.tasks),
            dict(self.attempts),
            dict(self.input_sets),
        )

    @property
    def name(self) -> str:
        return str(self.nature[1])

    @property
    def state(self) -> str:
        return str(self.standing[0])

    @property
    def wanted(self) -> str:
        return str(self.standing[1])


@dataclass(slots=True)
class Tables:
    """The whole database."""

    jobs: dict[str, JobRows] = field(default_factory=dict)
    workers: dict[str, Row] = field(default_factory=dict)
    vms: dict[str, Row] = field(default_factory=dict)
    context: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, Row] = field(default_factory=dict)

    def copy(self) -> "Tables":
        """A back-up."""
        jobs = {uid: job.copy() for uid, job in self.jobs.items()}
        return Tables(jobs, dict(self.workers), dict(self.vms), dict(self.context), dict(self.tokens))

    def task(self, attempt: str) -> tuple[JobRows, Row, int] | None:
        """Of an attempt's id: the job, how its task stands, and the attempt's number."""
        uid, index, number = attempt.split(".")
        job = self.jobs.get(uid)
        found = job.tasks.get(int(index)) if job is not None else None
        return (job, found[1], int(number)) if job is not None and found is not None else None

    def attempt(self, attempt: str) -> Row | None:
        """How an attempt stands, by its id."""
        uid, index, number = attempt.split(".")
        job = self.jobs.get(uid)
        found = job.attempts.get((int(index), int(number))) if job is not None else None
        return found[1] if found is not None else None


class Disk:
    """What survives the boss: the tables, and a back-up of them. ``down``: neither taken nor given."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.saved: Tables | None = None
        self.down = False

    def save(self) -> None:
        """Make a back-up."""
        self.saved = self.tables.copy()

    def restore(self) -> bool:
        """Put the back-up in the place of the tables; whether there was one."""
        if self.saved is None:
            return False
        self.tables = self.saved.copy()
        return True

    def adopt(self, wall: float) -> None:
        """What ``python -m boss adopt`` does."""
        numbers = [number for job in self.tables.jobs.values() for _, number in job.attempts]
        created = [job.nature[3] for job in self.tables.jobs.values()]
        facts = marks(self.tables.context, max(numbers, default=0), max(created, default=0.0), wall)
        self.tables.context.update(facts)


class MemoryStore:
    """``boss.ports.Store`` on a disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.epoch = 0

    def open(self) -> int:
        """The next life."""
        if self.disk.down:
            raise StoreError("the database is down")
        self.epoch = int(self.disk.tables.context.get("epoch", "0")) + 1
        self.disk.tables.context["epoch"] = str(self.epoch)
        return self.epoch

    def assure(self) -> None:
        """The database is still this boss's."""
        self._guard()

    def close(self) -> None:
        """Nothing to close."""

    def _guard(self) -> None:
        if self.disk.down:
            raise StoreError("the database is down")
        if self.disk.tables.context.get("epoch") != str(self.epoch):
            raise Superseded(f"the database is at epoch {self.disk.tables.context.get('epoch')}, this boss is of {self.epoch}")

    # ---- loading ---------------------------------------------------------------------------------------------------

    def load(self) -> Picture:
        """All that is unfinished."""
        self._guard()
        tables = self.disk.tables
        for uid in [uid for uid, job in tables.jobs.items() if job.state == JobState.STAGING.value]:
            del tables.jobs[uid]
        jobs = []
        for number, (uid, kept) in enumerate(tables.jobs.items()):
            job = rows.job_from((number, *kept.nature, *kept.standing))
            counts: dict[TaskState, int] = {}
            for _, standing in kept.tasks.values():
                state = rows.TASK_STATES[standing[0]]
                counts[state] = counts.get(state, 0) + 1
            job.counts = counts
            if job.finished is None:
                self._fill(uid, job)
                job.loaded = True
            jobs.append(job)
        workers = [rows.worker_from(row) for row in tables.workers.values() if row[2] != WorkerState.GONE.value]
        vms = [rows.vm_from(row) for row in tables.vms.values() if row[4] not in (VmState.GONE.value, VmState.FAILED.value)]
        workers.sort(key=lambda worker: worker.id)
        vms.sort(key=lambda vm: (vm.created, vm.id))
        tokens = [rows.token_from(row) for row in tables.tokens.values()]
        return Picture(dict(tables.context), jobs, workers, vms, tokens)

    def load_tasks(self, job: Job) -> list[Task]:
        """The tasks of a finished job."""
        if self.disk.down:
            raise StoreError("the database is down")
        return self._fill(job.uid, job)

    def _fill(self, uid: str, job: Job) -> list[Task]:
        kept = self.disk.tables.jobs[uid]
        job.files, job.templates, job.input_sets = dict(kept.files), list(kept.templates), dict(kept.input_sets)
        job.tasks = []
        for index in range(len(kept.tasks)):
            nature, standing = kept.tasks[index]
            task = rows.task_from(job, job.templates, (index, *nature, standing[0]))
            rows.set_standing(task, standing[1:])
            job.tasks.append(task)
        dag.link(job, job.tasks)
        for task in job.tasks:
            found = kept.attempts.get((task.index, task.number))
            if found is None:
                continue
            nature, standing = found
            lost = task.state is TaskState.READY and standing[0] == "lost"
            if lost or task.state.value in _ACTIVE:
                task.attempt = rows.attempt_from(uid, (task.index, task.number, *nature, *standing))
        return job.tasks

    # ---- committing ------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """All of it at once."""
        self._guard()
        self.apply(changes)

    def apply(self, changes: Changes) -> None:
        """Write the rows of these changes."""
        tables = self.disk.tables
        jobs, dropped = tables.jobs, changes.dropped_jobs
        for uid in dropped:
            jobs.pop(uid, None)
        for uid, job in changes.new_jobs.items():
            if uid not in dropped:
                jobs[uid] = JobRows(rows.job_nature(job), rows.job_standing(job), dict(job.files))
        for uid, job in changes.jobs.items():
            if uid not in dropped:
                jobs[uid].standing = rows.job_standing(job)
                if job.loaded:
                    jobs[uid].files = dict(job.files)
        for uid, template in changes.new_templates:
            if uid not in dropped:
                jobs[uid].templates.append(template)
        for uid, number, files in changes.new_input_sets:
            if uid not in dropped:
                jobs[uid].input_sets[files] = number
        self._apply_tasks(changes)
        self._apply_attempts(changes.new_attempts, changes.attempts, dropped)
        _put(tables.workers, changes.new_workers, changes.workers, rows.worker_row)
        _put(tables.vms, changes.new_vms, changes.vms, rows.vm_row)
        for name, value in changes.context.items():
            if value is None:
                tables.context.pop(name, None)
            else:
                tables.context[name] = value
        for name, token in changes.tokens.items():
            self._apply_token(name, token)

    def _apply_tasks(self, changes: Changes) -> None:
        jobs, dropped = self.disk.tables.jobs, changes.dropped_jobs
        for (uid, index), task in changes.new_tasks.items():
            if uid not in dropped:
                if index in jobs[uid].tasks:
                    raise Broken("rows are unique", f"task {index} of {uid} is entered twice")
                jobs[uid].tasks[index] = (rows.task_nature(task), rows.task_standing(task))
        for (uid, index), task in changes.redefined_tasks.items():
            if uid not in dropped:
                jobs[uid].tasks[index] = (rows.task_nature(task), jobs[uid].tasks[index][1])
        for (uid, index), task in changes.tasks.items():
            if uid not in dropped:
                jobs[uid].tasks[index] = (jobs[uid].tasks[index][0], rows.task_standing(task))

    def _apply_attempts(self, new: dict[str, Attempt], old: dict[str, Attempt], dropped: set[str]) -> None:
        jobs = self.disk.tables.jobs
        for attempt in new.values():
            if attempt.job not in dropped:
                key = (attempt.index, attempt.number)
                if key in jobs[attempt.job].attempts:
                    raise Broken("rows are unique", f"attempt {attempt.id} is entered twice")
                jobs[attempt.job].attempts[key] = (rows.attempt_nature(attempt), rows.attempt_standing(attempt))
        for attempt in old.values():
            found = jobs[attempt.job].attempts.get((attempt.index, attempt.number)) if attempt.job in jobs else None
            if found is not None:
                jobs[attempt.job].attempts[attempt.index, attempt.number] = (found[0], rows.attempt_standing(attempt))

    def _apply_token(self, name: str, token: Token | None) -> None:
        if token is None:
            self.disk.tables.tokens.pop(name, None)
        else:
            self.disk.tables.tokens[name] = rows.token_row(token)


def _put(table: dict[str, Row], new: Mapping[str, Any], old: Mapping[str, Any], row: Callable[[Any], Row]) -> None:
    for things in (new, old):
        for name, thing in things.items():
            table[name] = row(thing)
