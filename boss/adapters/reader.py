"""The database for listings: read-only, from any thread, never in the writer's way.

Rules:
- Each thread has a connection of its own; a lost one is replaced and the question asked again.
- Staging jobs are not listed, and neither are their tasks; they are found by name, because they occupy it.
- Counts of tasks are those that the loop keeps (``keep``), where it tells of the same end of the job as the database: counting the rows
  of a large job takes longer than a listing may.
- In a task pattern ``*`` and ``?`` match ``/`` too, as in ``fnmatch``; a name is also matched by itself (``a[1]``).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from boss.adapters import loading, pasts, rows
from boss.adapters.database import Database, Row
from boss.adapters.definitions import Definitions
from boss.core.deeds import Entry
from boss.core.model import Attempt, FileRef, Job, TaskState, Template, Vm
from boss.core.outcomes import job_state
from boss.core.stale import sentence as stale_sentence
from boss.core.view import JobView
from boss.past import PastMachine, PastTask
from boss.ports import FailureRow, JobRow, Manifest, Origins, SpanRow, StructureRow, TaskRow

#: Rows that are read at a time where a glob must be looked at again.
PAGE = 500
#: Failed tasks that are read at a time, and how much of the end of their stderr, in characters (bytes on SQLite).
FAILURES = 20_000
TAIL = 400
#: A letter that means something in a glob, as ``glob.escape`` writes it.
_ESCAPED = re.compile(r"\[([*?\[])\]")
#: The fields of TaskRow after the job, as the table calls them.
_COLUMNS: Final = (
    "name",
    "task_index",
    "state",
    "number",
    "exit_code",
    "phase",
    "reason",
    "worker",
    "started",
    "finished",
    "template",
    "grid_row",
    "failures",
    "losses",
    "stale",
)


class Reader:
    """``boss.ports.Reader`` on SQLite or MySQL/MariaDB."""

    def __init__(self, url: str) -> None:
        """``url`` as for ``boss.adapters.store.Store``, which must have opened the database before the first question."""
        self._db = Database(url, readonly=True)
        self._definitions = Definitions(self._db)
        self._kept: Callable[[], Mapping[str, JobView]] = dict

    def keep(self, jobs: Callable[[], Mapping[str, JobView]]) -> None:
        """Take counts from here: the jobs by uid, as the loop has shown them last."""
        self._kept = jobs

    def jobs(self) -> list[JobRow]:
        """All jobs that are not staging, oldest first."""
        return self._job_rows("WHERE state <> 'staging'")

    def job(self, name: str) -> JobRow | None:
        """One job by its name, staging ones too."""
        return self._one_job("name = ?", name)

    def job_of_submission(self, submission: str) -> JobRow | None:
        """The job that a push with this idempotency key made."""
        return self._one_job("submission = ?", submission) if submission else None

    def full_job(self, name: str) -> Job | None:
        """One job with files, templates, tasks and counts; fresh objects, without attempts."""
        for number, job in loading.read_jobs(self._db, "WHERE name = ?", (name,)):
            job.counts = loading.count_states(loading.fill_job(self._db, number, job))
            job.loaded = True
            return job
        return None

    def tasks(
        self,
        job: str | None = None,
        states: Iterable[TaskState] = (),
        pattern: str = "*",
        limit: int = 1000,
        after: tuple[str, int] | None = None,
        stale: bool = False,
    ) -> list[TaskRow]:
        """One page of a listing; see ``boss.ports.Reader``."""
        names = self._names(job)
        conditions, values = _conditions(tuple(states), pattern)
        if stale:
            conditions.append("stale <> 0")
        seen = self._position(after)
        if job is None:
            conditions.append(self._beyond())
        else:  # said so, the index of the states serves
            only = next(iter(names), -1)
            conditions += ["job = ?", "task_index > ?"]
            values.append(only)
            seen = (only, seen[1] if seen[0] == only else -1 if seen[0] < only else 2**62)
        size = limit if _literal(pattern) or pattern == "*" else max(limit, PAGE)
        sql = f"SELECT job, {', '.join(_COLUMNS)} FROM tasks WHERE {' AND '.join(conditions)} ORDER BY job, task_index LIMIT {int(size)}"
        found: list[TaskRow] = []
        while len(found) < limit:
            beyond = seen[1:] if job is not None else seen if self._db.sqlite else (seen[0], *seen)
            page = self._db.select(sql, (*values, *beyond))
            fitting = [row for row in page if row[0] in names and _fits(row[1], pattern)]
            causes = self._causes(fitting)
            found += (TaskRow(names[row[0]], *(*row[1:-1], causes[row[0], row[-1]])) for row in fitting)
            if len(page) < size:
                break
            seen = (page[-1][0], page[-1][2])
        return found[:limit]

    def tasks_at(self, job: str, indices: Sequence[int]) -> dict[int, TaskRow]:
        """These tasks of a job, by index; those that there are. Why they are stale is not told."""
        found: dict[int, TaskRow] = {}
        for number in self._names(job):
            for start in range(0, len(indices), PAGE):
                page = indices[start : start + PAGE]
                sql = (
                    f"SELECT {', '.join(_COLUMNS[:-1])} FROM tasks WHERE job = ? AND task_index IN ({', '.join('?' * len(page))})"
                )
                found |= {row[1]: TaskRow(job, *row) for row in self._db.select(sql, (number, *page))}
        return found

    def links(self, job: str, index: int) -> tuple[list[int], list[int]]:
        """Indices of the tasks that a task of the job of this name waits for, and of those that wait for it."""
        for number in self._names(job):
            sql = "SELECT dependencies FROM tasks WHERE job = ? AND task_index = ?"
            above = [other for (packed,) in self._db.select(sql, (number, index)) for other in rows.unpack(packed)]
            sql = "SELECT task_index, dependencies FROM tasks WHERE job = ? AND INSTR(dependencies, ?) > 0 ORDER BY task_index"
            holding = self._db.select(sql, (number, rows.pack([index])))
            return above, [other for other, packed in holding if index in rows.unpack(packed)]
        return [], []

    def pushed(self, job: str) -> Mapping[str, FileRef]:
        """The files that were pushed with a job, by their path in its folder."""
        found = self._db.select("SELECT files FROM jobs WHERE name = ?", (job,))
        return rows.files_from(found[0][0]) if found else {}

    def families(self, job: str) -> dict[tuple[int, str], tuple[int, int]]:
        """Of each template of a job and state: how many tasks there are, and the index of the first."""
        sql = "SELECT template, state, COUNT(*), MIN(task_index) FROM tasks WHERE job = ? GROUP BY template, state"
        return {
            (template, state): (count, first)
            for number in self._names(job)
            for template, state, count, first in self._db.select(sql, (number,))
        }

    def structure(self, job: str) -> list[StructureRow]:
        """Every task of a job with what it waits for, by index."""
        sql = "SELECT task_index, template, state, dependencies FROM tasks WHERE job = ? ORDER BY task_index"
        return [
            StructureRow(index, template, state, rows.unpack(packed))
            for number in self._names(job)
            for index, template, state, packed in self._db.select(sql, (number,))
        ]

    def spans(self, job: str, limit: int) -> list[SpanRow]:
        """The newest attempts of a job that have begun, by the time of their start."""
        sql = (
            "SELECT task_index, number, worker, state, started, finished FROM attempts"
            " WHERE job = ? AND started IS NOT NULL AND init = 0 ORDER BY started DESC LIMIT ?"
        )
        return [SpanRow(*row) for number in self._names(job) for row in self._db.select(sql, (number, limit))][::-1]

    def templates(self, job: str, numbers: Iterable[int]) -> Mapping[int, Template]:
        """These templates of a job; those that there are."""
        return self._definitions.of(job, numbers)

    def failures(self, job: str, pattern: str = "*", after: int = -1) -> Iterator[FailureRow]:
        """The failed tasks of a job, by index, with the end of their last attempt's stderr; see ``boss.ports.Reader``."""
        conditions, values = _conditions((TaskState.FAILED,), pattern, "t.")
        sql = (
            "SELECT t.task_index, t.name, t.phase, t.exit_code, a.signal_number, t.reason,"
            f" {self._db.end_of('a.stderr', TAIL)} FROM tasks t"
            " LEFT JOIN attempts a ON a.job = t.job AND a.task_index = t.task_index AND a.number = t.number"
            f" WHERE {' AND '.join(conditions)} AND t.job = ? AND t.task_index > ?"
            f" ORDER BY t.task_index LIMIT {FAILURES}"
        )
        for number in self._names(job):
            last = after
            while True:
                page = self._db.select(sql, (*values, number, last))
                for index, name, phase, exit_code, signal, reason, stderr in page:
                    if _fits(name, pattern):
                        text = stderr.decode("utf-8", "replace") if isinstance(stderr, bytes) else stderr or ""
                        yield FailureRow(index, name, phase, exit_code, signal, reason, text)
                if len(page) < FAILURES:
                    break
                last = page[-1][0]

    def jobs_with_results(self, limit: int) -> list[str]:
        """Names of the jobs, the newest first, of which an attempt with files was accepted."""
        sql = (
            "SELECT j.name FROM jobs j WHERE j.state <> 'staging' AND EXISTS (SELECT 1 FROM attempts a WHERE a.job = j.number"
            " AND a.state = 'succeeded' AND a.init = 0 AND (a.files IS NULL OR LENGTH(a.files) > 2))"
            f" ORDER BY j.number DESC LIMIT {int(limit)}"
        )
        return [name for (name,) in self._db.select(sql)]

    def jobs_with_task(self, task: str) -> list[str]:
        """Names of the jobs that have a task of this name, newest first."""
        sql = (
            "SELECT j.name FROM tasks t JOIN jobs j ON j.number = t.job"
            " WHERE t.name = ? AND j.state <> 'staging' ORDER BY j.number DESC"
        )
        return [name for (name,) in self._db.select(sql, (task,))]

    def attempts(self, job: str, index: int) -> list[Attempt]:
        """All attempts of one task of the job of this name, by number."""
        for number, uid in self._db.select("SELECT number, uid FROM jobs WHERE name = ?", (job,)):
            return loading.read_attempts(self._db, number, uid, index)
        return []

    def origins(self, job: str, index: int, attempt: int) -> Origins | None:
        """What an attempt of the job of this name was made of."""
        for (number,) in self._db.select("SELECT number FROM jobs WHERE name = ?", (job,)):
            return loading.read_origins(self._db, number, index, attempt)
        return None

    def manifests(self, job: str, attempts: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Manifest | None]]:
        """The accepted files of attempts of the job of this name."""
        for (number,) in self._db.select("SELECT number FROM jobs WHERE name = ?", (job,)):
            yield from loading.read_manifests(self._db, number, attempts)

    def accepted(self, job: str) -> list[tuple[int, int]]:
        """The attempts of the job of this name whose results were accepted last."""
        sql = (
            "SELECT a.task_index, MAX(a.number) FROM attempts a JOIN jobs j ON j.number = a.job"
            " WHERE j.name = ? AND a.state = 'succeeded' AND a.init = 0 GROUP BY a.task_index ORDER BY a.task_index"
        )
        return [(index, number) for index, number in self._db.select(sql, (job,))]

    def past_tasks(self, job: str, after: int, limit: int) -> list[PastTask]:
        """The tasks of a job behind this index, with their attempts."""
        return [task for number in self._names(job) for task in pasts.tasks(self._db, number, after, limit)]

    def past_machines(self, job: str) -> list[PastMachine]:
        """Who ran attempts of a job."""
        return [one for number in self._names(job) for one in pasts.machines(self._db, self._definitions, number)]

    def vm(self, name: str) -> Vm | None:
        """A claim by its id, also one that is gone or has failed."""
        sql = f"SELECT {', '.join(rows.VM_COLUMNS)} FROM vms WHERE id = ?"
        return next((rows.vm_from(row) for row in self._db.select(sql, (name,))), None)

    def audit(self, job: str = "", who: str = "", since: float = 0.0, limit: int = 1000) -> list[Entry]:
        """The newest entries of the audit, newest first: of a job, of a name, from a Unix time on."""
        conditions, values = ["at >= ?"], [since]
        for column, value in (("job", job), ("who", who)):
            if value:
                conditions.append(f"{column} = ?")
                values.append(value)  # type: ignore[arg-type]
        sql = f"SELECT {', '.join(rows.ENTRY_COLUMNS)} FROM audit WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?"
        return [rows.entry_from(row) for row in self._db.select(sql, (*values, limit))]

    def context(self) -> dict[str, str]:
        """The facts that survive restarts."""
        return dict(self._db.select("SELECT name, value FROM context"))

    def close(self) -> None:
        """Close this thread's connection; those of other threads end with their threads."""
        self._db.close()

    def _one_job(self, condition: str, value: str) -> JobRow | None:
        return next(iter(self._job_rows(f"WHERE {condition}", (value,))), None)

    def _job_rows(self, where: str, values: Sequence[object] = ()) -> list[JobRow]:
        kept, found = self._kept(), list(loading.read_jobs(self._db, where, values))
        for number, job in found:
            shown = kept.get(job.uid)
            if shown is not None and shown.finished == job.finished:
                job.counts = {TaskState(name): count for name, count in shown.tasks.items()}
            else:
                job.counts = loading.read_counts(self._db, number).get(number, {})
        return [_job_row(job) for _, job in found]

    def _names(self, job: str | None) -> dict[int, str]:
        """Numbers and names of the job (or of all jobs) whose tasks may be listed."""
        where, values = ("", ()) if job is None else (" AND name = ?", (job,))
        return dict(self._db.select(f"SELECT number, name FROM jobs WHERE state <> 'staging'{where}", values))

    def _causes(self, rows: Sequence[Row]) -> dict[tuple[int, int], str]:
        """Why rows of tasks are stale, by job and the column's number; empty texts for those that are not."""
        causes = {(row[0], row[-1]): "" for row in rows}
        wanted = sorted((job, abs(number) - 1) for job, number in causes if number)
        names: dict[tuple[int, int], str] = {}
        for start in range(0, len(wanted), PAGE):
            page = wanted[start : start + PAGE]
            named = " OR ".join(["(job = ? AND task_index = ?)"] * len(page))
            sql = f"SELECT job, task_index, name FROM tasks WHERE {named}"
            names |= {(job, index): name for job, index, name in self._db.select(sql, [part for pair in page for part in pair])}
        for job, number in causes:
            if (job, abs(number) - 1) in names:
                causes[job, number] = stale_sentence(names[job, abs(number) - 1])
        return causes

    def _beyond(self) -> str:
        """The rows after a key, in the form that the database looks up instead of scanning for."""
        return "(job, task_index) > (?, ?)" if self._db.sqlite else "(job > ? OR (job = ? AND task_index > ?))"

    def _position(self, after: tuple[str, int] | None) -> tuple[int, int]:
        """The key of the last row that was seen. A job that is not there any more is behind everything."""
        if after is None:
            return (-1, -1)
        numbers: list[Row] = self._db.select("SELECT number FROM jobs WHERE name = ?", (after[0],))
        return (numbers[0][0], after[1]) if numbers else (2**62, -1)


def _job_row(job: Job) -> JobRow:
    counts = {state.value: count for state, count in job.counts.items()}
    return JobRow(
        job.uid, job.name, job.owner, job_state(job), job.wanted.value, job.reason, job.created, job.finished, counts, job.stale
    )


def _conditions(states: Sequence[TaskState], pattern: str, table: str = "") -> tuple[list[str], list[str | int]]:
    conditions, values = list[str](), list[str | int]()
    if states:
        conditions.append(f"{table}state IN ({', '.join('?' * len(states))})")
        values += (state.value for state in states)
    if _literal(pattern):
        names = dict.fromkeys((pattern, _ESCAPED.sub(r"\1", pattern)))  # of one alone the index of the names serves
        conditions.append(f"({' OR '.join([f'{table}name = ?'] * len(names))})")
        values += names
    elif pattern != "*":
        conditions.append(f"({table}name = ? OR {table}name LIKE ? ESCAPE '!')")
        values += (pattern, _like(pattern))
    return conditions, values


def _literal(pattern: str) -> bool:
    """Whether only one name fits: no glob at all, or what ``glob.escape`` made of a name."""
    return re.search(r"[*?\[]", _ESCAPED.sub("", pattern)) is None


def _like(pattern: str) -> str:
    """A LIKE that fits at least what the glob fits: a set becomes any one character. ``_fits`` looks again."""
    escaped = re.sub(r"[!%_]", r"!\g<0>", pattern)
    return re.sub(r"\[[^\]]+\]", "_", escaped).replace("[", "%").replace("?", "_").replace("*", "%")


def _fits(name: str, pattern: str) -> bool:
    return pattern in ("*", name) or fnmatchcase(name, pattern)
