"""The database for the boss's one writer: open, load, commit. Rows never leave.

Rules:
- A commit is one transaction, durable when it returns; rows are written set by set, parents before children.
- Every transaction begins by writing to the boss row, if the epoch there is still ours: a boss that was superseded changes nothing
  any more (``boss.adapters.lease``).
- A failed commit changes nothing here either; the loop loads again, on a new connection.
- Workers and VMs that are gone (or failed) stay in their tables for those who ask why, and are not loaded; one that returns under
  its old name takes its row over.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from boss.adapters import loading, rows
from boss.adapters.database import Database, RowLocked
from boss.adapters.dump import RESTORING
from boss.adapters.lease import NOBODY, Holder, Keeper, Lease
from boss.adapters.migrations import MIGRATIONS, migrate
from boss.core.changes import Changes
from boss.core.model import Job, JobState, Task, Vm, VmState, Worker, WorkerState
from boss.core.templates import template_to_data
from boss.core.tokens import Token
from boss.ports import Picture, StoreError

log = logging.getLogger(__name__)

#: Seconds to wait for a row that another boss's connection has locked.
LOCKED: Final = 3


class Store:
    """``boss.ports.Store`` on SQLite or MySQL/MariaDB. Used by one thread."""

    def __init__(self, url: str, cluster: str = "", lease: float = 0.0, holder: Holder = NOBODY) -> None:
        """``url`` as ``boss.adapters.database_url.locate`` reads it; ``cluster`` is the id that a new database gets.

        ``lease`` is for how many seconds the database stays this boss's after the last that was heard of it (``keep``).
        """
        self._db = Database(url)
        self._cluster = cluster
        self._length = lease
        self._lease = Lease(self._db, lease, holder)
        self._keeper: Keeper | None = None
        self._numbers = _Numbers()

    # ---- opening -----------------------------------------------------------------------------------------------

    def open(self) -> int:
        """Migrate, raise the epoch by one and return it; name the cluster if it has no name yet. Raises LeaseHeld."""
        self._version()  # a newer one is refused
        if "boss" in self._db.tables():
            self._lease.check_free()  # before a newer program changes the schema below a boss that lives
        try:
            with self._db.impatient(LOCKED):
                return self._entered()
        except RowLocked as error:
            if not self._length:
                raise
            log.warning(
                "a boss whose lease is over still locks the database (stopped, or cut off); its connections are ended: %s", error
            )
            self._db.cut_off_others()
            return self._entered()

    def _entered(self) -> int:
        migrate(self._db)
        with self._db.transaction():
            facts = self._facts(locked=True)
            if RESTORING in facts:
                raise StoreError(f"a restore into {self._db.location.shown} was cut off: run `python -m boss restore` again")
            epoch = int(facts.get("epoch", "0")) + 1
            self._lease.take(epoch)
            self._db.insert("context", ("name", "value"), [("epoch", str(epoch))], replace=True)
            if self._cluster and "cluster" not in facts:
                self._db.insert("context", ("name", "value"), [("cluster", self._cluster)])
        return epoch

    def keep(self, lost: Callable[[str], None]) -> None:
        """Renew the lease in a thread of its own from now on; ``lost`` is told once, there, when another boss has taken over."""
        if self._length:
            self._keeper = Keeper(self._lease, self._db, self._length, lost)
            self._keeper.start()

    def assure(self) -> None:
        """See ``boss.ports.Store``."""
        if not self._lease.held():
            self._lease.renew()

    def integrity(self) -> str:
        """One sentence for ``doctor``: where, which schema, writable. Changes nothing; raises StoreError with the remedy."""
        shown = self._db.location.shown
        if self._db.sqlite and not Path(shown).exists():
            folder = Path(shown).resolve().parent
            if not os.access(folder, os.W_OK):
                raise StoreError(f"no database can be made at {shown}: make the folder {folder}, writable for this user")
            return f"{shown}: none yet, the boss makes it at its first start"
        version = self._version()
        if version == 0:
            return f"{shown}: empty, the boss makes its tables at its first start"
        self._check_writable()
        return f"{shown}: schema {version}, writable{self._durability()}"

    def facts(self) -> dict[str, str]:
        """The context as it is; empty for a database without tables."""
        return self._facts() if "context" in self._db.tables() else {}

    def close(self) -> None:
        """Let the database go, and close the connection."""
        keeper, self._keeper = self._keeper, None
        if keeper is None or keeper.stop():
            self._lease.release()  # to a database that does not answer there is nothing to say: the lease ends by itself
        self._db.close()

    # ---- loading -----------------------------------------------------------------------------------------------

    def load(self) -> Picture:
        """Everything unfinished, on a new connection; see ``boss.ports.Store``.

        Staging jobs are removed first. Finished jobs come without files, templates and tasks, but with counts.
        Workers that are gone and VMs that are gone or failed are left out.
        """
        self._db.close()
        with self._db.transaction():
            self._lease.guard()
            self._db.execute("DELETE FROM jobs WHERE state = ?", (JobState.STAGING.value,))
            found = list(loading.read_jobs(self._db))
            counts = loading.read_counts(self._db)
            for number, job in found:
                job.counts = counts.get(number, {})
                if job.finished is None:
                    self._fill(number, job)
                    job.loaded = True
            picture = Picture(self._facts(), [job for _, job in found], self._workers(), self._vms(), self._tokens())
        self._numbers = _Numbers({job.uid: number for number, job in found})
        return picture

    def load_tasks(self, job: Job) -> list[Task]:
        """All tasks of a job, by index; also fills ``job.tasks``, ``job.templates`` and ``job.files``. See ``boss.ports.Store``."""
        return self._fill(self._numbers[job.uid], job)

    def _fill(self, number: int, job: Job) -> list[Task]:
        tasks = loading.fill_job(self._db, number, job)
        loading.attach_attempts(self._db, number, tasks)
        return tasks

    def _workers(self) -> list[Worker]:
        sql = f"SELECT {', '.join(rows.WORKER_COLUMNS)} FROM workers WHERE state <> ? ORDER BY id"
        return [rows.worker_from(row) for row in self._db.select(sql, (WorkerState.GONE.value,))]

    def _vms(self) -> list[Vm]:
        sql = f"SELECT {', '.join(rows.VM_COLUMNS)} FROM vms WHERE state NOT IN (?, ?) ORDER BY created, id"
        return [rows.vm_from(row) for row in self._db.select(sql, (VmState.GONE.value, VmState.FAILED.value))]

    def _tokens(self) -> list[Token]:
        sql = f"SELECT {', '.join(rows.TOKEN_COLUMNS)} FROM tokens ORDER BY created, id"
        return [rows.token_from(row) for row in self._db.select(sql)]

    def _facts(self, locked: bool = False) -> dict[str, str]:
        lock = " FOR UPDATE" if locked and not self._db.sqlite else ""
        return dict(self._db.select(f"SELECT name, value FROM context{lock}"))

    # ---- committing --------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """All of it in one transaction. Raises StoreError, after which the state must be loaded again."""
        numbers = self._numbered(changes)
        with self._db.transaction():
            self._lease.guard()
            for uid in changes.dropped_jobs:
                self._db.execute("DELETE FROM jobs WHERE uid = ?", (uid,))
            self._write_jobs(changes, numbers)
            self._write_tasks(changes, numbers)
            self._write_attempts(changes, numbers)
            self._write_fleet(changes)
            self._write_context(changes.context)
            self._write_tokens(changes.tokens)
            self._write_audit(changes)
        self._numbers = numbers

    def _numbered(self, changes: Changes) -> "_Numbers":
        """Numbers of the jobs as they are after these changes."""
        if not changes.new_jobs and not changes.dropped_jobs:
            return self._numbers
        numbers = _Numbers(self._numbers)
        numbers.update(zip(changes.new_jobs, count(max(numbers.values(), default=0) + 1)))
        for uid in changes.dropped_jobs:
            numbers.pop(uid, None)
        return numbers

    def _write_jobs(self, changes: Changes, numbers: "_Numbers") -> None:
        dropped = changes.dropped_jobs
        new = [
            (numbers[uid], *rows.job_nature(job), *rows.job_standing(job), rows.files_text(job.files))
            for uid, job in changes.new_jobs.items()
            if uid not in dropped
        ]
        self._db.insert("jobs", (*rows.JOB_COLUMNS, "files"), new)
        standing = [(numbers[uid], *rows.job_standing(job)) for uid, job in changes.jobs.items() if uid not in dropped]
        self._db.update("jobs", rows.JOB_KEY, rows.JOB_STANDING, standing)
        files = [
            (numbers[uid], rows.files_text(job.files)) for uid, job in changes.jobs.items() if job.loaded and uid not in dropped
        ]
        self._db.update("jobs", rows.JOB_KEY, ("files",), files)
        input_sets = [
            (numbers[uid], number, rows.input_set_text(files))
            for uid, number, files in changes.new_input_sets
            if uid not in dropped
        ]
        self._db.insert("input_sets", ("job", "number", "data"), input_sets)
        templates = [
            (numbers[uid], template.number, rows.compact(template_to_data(template)))
            for uid, template in changes.new_templates
            if uid not in dropped
        ]
        self._db.insert("templates", ("job", "number", "data"), templates)

    def _write_tasks(self, changes: Changes, numbers: "_Numbers") -> None:
        dropped = changes.dropped_jobs
        new = [
            (numbers[uid], index, *rows.task_nature(task), *rows.task_standing(task))
            for (uid, index), task in changes.new_tasks.items()
            if uid not in dropped
        ]
        self._db.insert("tasks", (*rows.TASK_KEY, *rows.TASK_NATURE, *rows.TASK_STANDING), new)
        redefined = [
            (numbers[uid], index, *rows.task_nature(task))
            for (uid, index), task in changes.redefined_tasks.items()
            if uid not in dropped
        ]
        self._db.update("tasks", rows.TASK_KEY, rows.TASK_NATURE, redefined)
        standing = [
            (numbers[uid], index, *rows.task_standing(task)) for (uid, index), task in changes.tasks.items() if uid not in dropped
        ]
        self._db.update("tasks", rows.TASK_KEY, rows.TASK_STANDING, standing)

    def _write_attempts(self, changes: Changes, numbers: "_Numbers") -> None:
        dropped = changes.dropped_jobs
        read = changes.read_results
        new = [
            (
                *(numbers[attempt.job], attempt.index, attempt.number),
                *rows.attempt_nature(attempt),
                *rows.attempt_standing(attempt),
                rows.pack(read.get(attempt.id, ())),
            )
            for attempt in changes.new_attempts.values()
            if attempt.job not in dropped
        ]
        self._db.insert("attempts", (*rows.ATTEMPT_KEY, *rows.ATTEMPT_NATURE, *rows.ATTEMPT_STANDING, "read_results"), new)
        standing = [
            (numbers[attempt.job], attempt.index, attempt.number, *rows.attempt_standing(attempt))
            for attempt in changes.attempts.values()
            if attempt.job not in dropped
        ]
        self._db.update("attempts", rows.ATTEMPT_KEY, rows.ATTEMPT_STANDING, standing)

    def _write_fleet(self, changes: Changes) -> None:
        workers = [rows.worker_row(worker) for worker in (*changes.new_workers.values(), *changes.workers.values())]
        self._db.insert("workers", rows.WORKER_COLUMNS, workers, replace=True)
        vms = [rows.vm_row(vm) for vm in (*changes.new_vms.values(), *changes.vms.values())]
        self._db.insert("vms", rows.VM_COLUMNS, vms, replace=True)

    def _write_context(self, facts: Mapping[str, str | None]) -> None:
        kept = [(name, rows.storable(value)) for name, value in facts.items() if value is not None]
        self._db.insert("context", ("name", "value"), kept, replace=True)
        for name in (name for name, value in facts.items() if value is None):
            self._db.execute("DELETE FROM context WHERE name = ?", (name,))

    def _write_tokens(self, tokens: Mapping[str, Token | None]) -> None:
        kept = [rows.token_row(token) for token in tokens.values() if token is not None]
        self._db.insert("tokens", rows.TOKEN_COLUMNS, kept, replace=True)
        for name in (name for name, token in tokens.items() if token is None):
            self._db.execute("DELETE FROM tokens WHERE id = ?", (name,))

    def _write_audit(self, changes: Changes) -> None:
        if changes.audit_before:
            self._db.execute("DELETE FROM audit WHERE at < ?", (changes.audit_before,))
        if changes.audit:
            ((newest,),) = self._db.select("SELECT COALESCE(MAX(number), 0) FROM audit")
            entries = [(number, *rows.entry_row(entry)) for number, entry in enumerate(changes.audit, int(newest) + 1)]
            self._db.insert("audit", ("number", *rows.ENTRY_COLUMNS), entries)

    # ---- guards ------------------------------------------------------------------------------------------------

    def _version(self) -> int:
        """The schema's number, 0 for an empty database. Raises StoreError when it is newer than this program."""
        if "schema_version" not in self._db.tables():
            return 0
        ((version,),) = self._db.select("SELECT COALESCE(MAX(version), 0) FROM schema_version")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"the database {self._db.location.shown} has schema {version}, this ecloud knows up to {len(MIGRATIONS)}: "
                "start the newer ecloud that made it"
            )
        return int(version)

    def _check_writable(self) -> None:
        """Write and take it back."""
        with suppress(_TakenBack), self._db.transaction():
            self._db.insert("context", ("name", "value"), [("doctor", "was here")], replace=True)
            raise _TakenBack

    def _durability(self) -> str:
        if self._db.sqlite:
            return ""
        ((flush,),) = self._db.select("SELECT @@innodb_flush_log_at_trx_commit")
        if flush == 1:
            return ""
        return (
            f", but innodb_flush_log_at_trx_commit is {flush}: set it to 1, or a power cut loses results that were acknowledged"
        )


class _Numbers(dict[str, int]):
    """The numbers of all jobs by uid."""

    def __missing__(self, uid: str) -> int:
        raise StoreError(f"job {uid} is not in the database, as far as the last load knows")


class _TakenBack(Exception):
    """Rolls a transaction back on purpose."""
