"""Reading jobs, tasks and attempts back from the database; what is derived (links, counters, counts) is made here.

Rules:
- Big tables are read by key in pages, so that neither a driver nor a server keeps a million rows at once.
- Links and counters are made by the core (``dag.link``): there is one meaning of "missing".
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from boss.adapters import rows
from boss.adapters.database import Database, Row
from boss.core import dag
from boss.core.model import UNKNOWN_FILES, Attempt, Job, Task, TaskState
from boss.core.templates import template_from_data
from boss.ports import Manifest, Origins, StoreError

#: Tasks read at once.
PAGE: Final = 20_000
#: Manifests read at once.
MANIFESTS: Final = 200
#: The states in which a task's current attempt is under way.
_ACTIVE: Final = (TaskState.ASSIGNED.value, TaskState.RUNNING.value, TaskState.PROMOTING.value)

_JOBS: Final = f"SELECT {', '.join(rows.JOB_COLUMNS)} FROM jobs"
#: Most tasks of a big job wait and nothing has happened to them: what they are is read of all, what happened only of the others.
_TASKS: Final = (
    f"SELECT task_index, {', '.join(rows.TASK_NATURE)}, state FROM tasks"
    f" WHERE job = ? AND task_index > ? ORDER BY task_index LIMIT {PAGE}"
)
_STANDINGS: Final = (
    f"SELECT task_index, {', '.join(rows.TASK_STANDING[1:])} FROM tasks WHERE job = ? AND task_index > ?"
    f" AND (number > 0 OR state NOT IN ('waiting', 'ready') OR reason <> '') ORDER BY task_index LIMIT {PAGE}"
)
_ATTEMPT_COLUMNS: Final = ", ".join(f"a.{name}" for name in (*rows.ATTEMPT_KEY[1:], *rows.ATTEMPT_NATURE, *rows.ATTEMPT_STANDING))
_CURRENT_ATTEMPTS: Final = (
    f"SELECT {_ATTEMPT_COLUMNS} FROM tasks t"
    " JOIN attempts a ON a.job = t.job AND a.task_index = t.task_index AND a.number = t.number"
    " WHERE t.job = ? AND t.state IN (?, ?, ?, ?) AND (t.state <> ? OR a.state = 'lost')"
)


def read_jobs(db: Database, where: str = "", values: Sequence[object] = ()) -> Iterator[tuple[int, Job]]:
    """Numbers and jobs in the order of creation, without files, templates, tasks and counts."""
    for row in db.select(f"{_JOBS} {where} ORDER BY number", values):
        yield row[0], rows.job_from(row)


def read_counts(db: Database, number: int | None = None) -> dict[int, dict[TaskState, int]]:
    """Counts of tasks by state, of one job or of all, by the job's number."""
    states = ", ".join(f"'{state}'" for state in TaskState)  # named, the index of the states serves for one job, too
    where, values = ("", ()) if number is None else (f"WHERE job = ? AND state IN ({states})", (number,))
    counts: dict[int, dict[TaskState, int]] = {}
    for job, state, count in db.select(f"SELECT job, state, COUNT(*) FROM tasks {where} GROUP BY state, job", values):
        counts.setdefault(job, {})[rows.TASK_STATES[state]] = count
    return counts


def count_states(tasks: Sequence[Task]) -> dict[TaskState, int]:
    """Counts of tasks by state."""
    return dict(Counter(task.state for task in tasks))


def fill_job(db: Database, number: int, job: Job) -> list[Task]:
    """Fill the job's files, templates and tasks; returns the tasks by index, linked to each other, without attempts."""
    ((files,),) = db.select("SELECT files FROM jobs WHERE number = ?", (number,))
    job.files = rows.files_from(files)
    job.templates = [
        template_from_data(json.loads(data))
        for (data,) in db.select("SELECT data FROM templates WHERE job = ? ORDER BY number", (number,))
    ]
    job.input_sets = {
        rows.input_set_from(data): set_number
        for set_number, data in db.select("SELECT number, data FROM input_sets WHERE job = ? ORDER BY number", (number,))
    }
    tasks = [rows.task_from(job, job.templates, row) for page in _pages(db, _TASKS, number) for row in page]
    if tasks and tasks[-1].index != len(tasks) - 1:
        raise StoreError(f"job {job.name} has {len(tasks)} tasks, but one of index {tasks[-1].index}: rows are missing")
    for page in _pages(db, _STANDINGS, number):
        for index, *standing in page:
            rows.set_standing(tasks[index], standing)
    job.tasks = tasks
    dag.link(job, tasks)
    return tasks


def attach_attempts(db: Database, number: int, tasks: Sequence[Task]) -> None:
    """Give active tasks their current attempt, and ready tasks the current one that was lost: its worker may come back."""
    if not tasks:
        return
    uid, ready = tasks[0].job.uid, TaskState.READY.value
    for row in db.select(_CURRENT_ATTEMPTS, (number, *_ACTIVE, ready, ready)):
        tasks[row[0]].attempt = rows.attempt_from(uid, row)


def read_attempts(db: Database, number: int, uid: str, index: int) -> list[Attempt]:
    """All attempts of one task, by number."""
    sql = f"SELECT {_ATTEMPT_COLUMNS} FROM attempts a WHERE a.job = ? AND a.task_index = ? ORDER BY a.number"
    return [rows.attempt_from(uid, row) for row in db.select(sql, (number, index))]


def read_origins(db: Database, number: int, index: int, attempt: int) -> Origins | None:
    """What an attempt was made of; None when nobody knows, because an earlier version dealt it."""
    sql = "SELECT input_set, read_results FROM attempts WHERE job = ? AND task_index = ? AND number = ?"
    for input_set, packed in db.select(sql, (number, index, attempt)):
        if input_set == UNKNOWN_FILES:
            return None
        found = db.select("SELECT data FROM input_sets WHERE job = ? AND number = ?", (number, input_set))
        pairs = list(rows.unpack(packed))
        return Origins(rows.input_set_from(found[0][0]) if found else (), tuple(zip(pairs[::2], pairs[1::2], strict=True)))
    return None


def read_manifests(db: Database, number: int, attempts: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Manifest | None]]:
    """Index, number and manifest of these attempts (index, number) of a job, in their order."""
    for start in range(0, len(attempts), MANIFESTS):
        page = attempts[start : start + MANIFESTS]
        named = " OR ".join(["(task_index = ? AND number = ?)"] * len(page))
        sql = f"SELECT task_index, number, files FROM attempts WHERE job = ? AND ({named})"
        found = {row[:2]: row[2] for row in db.select(sql, (number, *(part for pair in page for part in pair)))}
        for index, attempt in page:
            text = found.get((index, attempt))
            yield index, attempt, None if text is None else tuple((path, size, digest) for path, size, digest in json.loads(text))


def _pages(db: Database, sql: str, number: int) -> Iterator[list[Row]]:
    """The rows of a job's tasks, page after page; the statement takes the job and the last index seen."""
    last = -1
    while True:
        page = db.select(sql, (number, last))
        if page:
            yield page
        if len(page) < PAGE:
            return
        last = page[-1][0]
