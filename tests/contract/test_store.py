"""What the boss may rely on of its database: one suite, run on SQLite and on MariaDB."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pymysql
import pytest

from boss.adapters.database_url import locate
from boss.adapters.migrations import MIGRATIONS
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.changes import Changes
from boss.core.model import (
    UNKNOWN_FILES,
    Job,
    JobState,
    TaskState,
    VmState,
    WorkerState,
)
from boss.core.stale import FOREIGN_RESULT
from boss.ports import StoreError, Superseded
from tests import builders
from tests.builders import NOON

S = TaskState


def statement(url: str, sql: str) -> None:
    """Run SQL behind the store's back."""
    where = locate(url)
    if where.dialect == "sqlite":
        connection = sqlite3.connect(where.database, isolation_level=None)
        connection.execute(sql)
        connection.close()
    else:
        with pymysql.connect(database=where.database, autocommit=True, **where.options) as other:
            other.cursor().execute(sql)


def only_job(store: Store) -> Job:
    """The one job of a fresh load."""
    (job,) = store.load().jobs
    return job


# ---- opening -----------------------------------------------------------------------------------------------------


def test_each_opening_raises_the_epoch(url: str) -> None:
    for expected in (1, 2, 3):
        store = Store(url, "c0ffee00")
        assert store.open() == expected
        assert store.load().context == {"epoch": str(expected), "cluster": "c0ffee00"}
        store.close()


def test_the_first_cluster_id_stays(url: str) -> None:
    for cluster in ("11111111", "22222222", ""):
        store = Store(url, cluster)
        store.open()
        assert store.load().context["cluster"] == "11111111"
        store.close()


def test_a_superseded_boss_can_neither_commit_nor_load(url: str, store: Store) -> None:
    successor = Store(url)
    successor.open()
    with pytest.raises(Superseded, match="another boss has taken over"):
        store.commit(builders.pushed(builders.bag("u1", 1)))
    with pytest.raises(Superseded):
        store.load()
    assert successor.load().jobs == []
    successor.close()


def test_a_database_that_is_newer_than_the_program_is_refused(url: str, store: Store) -> None:
    statement(url, "INSERT INTO schema_version VALUES (99)")
    late = Store(url)
    with pytest.raises(StoreError, match="schema 99, this ecloud knows up to"):
        late.open()
    with pytest.raises(StoreError, match="schema 99"):
        late.integrity()
    late.close()


def test_a_migration_that_was_cut_short_is_finished_at_the_next_opening(url: str) -> None:
    first = Store(url)
    first.open()
    first.close()
    statement(url, "DELETE FROM schema_version")
    statement(url, "DROP TABLE vms")
    second = Store(url)
    assert second.open() == 2
    assert second.load().vms == []
    second.close()


def test_a_database_of_the_first_schema_keeps_its_jobs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("boss.adapters.store.MIGRATIONS", MIGRATIONS[:1])
        first = Store(url)
        first.open()
        first.close()
    made = f"('u1', 'old', 'ada', {NOON}, 'open', 'run', '', 0, '', '{{\"a.py\":[\"{'ab' * 32}\",1,420]}}', NULL, 1)"
    columns = "uid, name, owner, created, state, wanted, reason, priority, submission, files, finished, number"
    statement(url, f"INSERT INTO jobs ({columns}) VALUES {made}")
    template = '{"number":0,"name":"t","commands":["true"],"needs":{"cpus":1},"timeout":60.0,"inputs":[["a.py",null]]}'
    statement(url, f"INSERT INTO templates (job, number, data) VALUES (1, 0, '{template}')")
    for index, (name, state, dependencies) in enumerate([("a", "succeeded", "NULL"), ("b", "running", "X'00000000'")]):
        values = f"1, {index}, '{name}', 0, 0, {dependencies}, 0, '{state}', 1, 0, 0, 0, 0, '', '', 'w', {NOON}, NULL"
        columns = (
            "job, task_index, name, template, grid_row, dependencies, chain, state, number, failures, losses, not_before, exit_code,"
            " phase, reason, worker, started, finished"
        )
        statement(url, f"INSERT INTO tasks ({columns}) VALUES ({values})")
        values = f"1, {index}, 1, 'w', {NOON}, 0, '{state}', '', 0, NULL, '', {NOON}, NULL, '{{}}', '', '', 0, 0, 0, '[]'"
        columns = (
            "job, task_index, number, worker, assigned, init, state, phase, exit_code, signal_number, reason, started, finished,"
            " resources_used, stdout, stderr, stdout_size, stderr_size, stored_logs, files"
        )
        statement(url, f"INSERT INTO attempts ({columns}) VALUES ({values})")
    store = Store(url)
    assert store.open() == 2
    job = only_job(store)
    assert [(task.name, task.state, list(task.dependencies)) for task in job.tasks] == [
        ("a", S.SUCCEEDED, []),
        ("b", S.RUNNING, [0]),
    ]
    assert [(task.input_set, task.result, task.stale) for task in job.tasks] == [(UNKNOWN_FILES, FOREIGN_RESULT, 0)] * 2
    assert (job.stale, job.input_sets, job.tasks[1].attempt is not None) == (0, {}, True)
    reader = Reader(url)
    assert reader.origins("old", 1, 1) is None
    assert [row.stale for row in reader.tasks("old")] == ["", ""]
    reader.close()
    store.close()


def test_integrity_speaks_of_a_missing_an_empty_and_a_used_database_and_changes_nothing(url: str) -> None:
    store = Store(url)
    assert "at its first start" in store.integrity()
    store.open()
    before = store.load().context
    assert f"schema {len(MIGRATIONS)}, writable" in store.integrity()
    assert store.load().context == before
    store.close()


def test_integrity_of_sqlite_makes_no_file(tmp_path: Path) -> None:
    assert "none yet" in Store(f"sqlite:///{tmp_path / 'state.db'}").integrity()
    with pytest.raises(StoreError, match="make the folder"):
        Store(f"sqlite:///{tmp_path / 'nowhere' / 'state.db'}").integrity()
    assert list(tmp_path.iterdir()) == []


# ---- loading -----------------------------------------------------------------------------------------------------


def test_counters_and_links_are_made_from_states_and_dependencies(store: Store) -> None:
    job = builders.job("u1")
    for name, after, state in [
        ("done", (), S.SUCCEEDED),
        ("failed", (), S.FAILED),
        ("running", (0,), S.RUNNING),
        ("waits", (0, 1, 2), S.WAITING),
        ("ready", (0,), S.READY),
    ]:
        builders.task(job, name, after, state=state)
    store.commit(builders.pushed(builders.link(job)))
    loaded = only_job(store)
    assert [task.missing for task in loaded.tasks] == [0, 0, 0, 2, 0]
    assert [task.dependents for task in loaded.tasks] == [[2, 3, 4], [3], [3], [], []]
    assert loaded.counts == {S.SUCCEEDED: 1, S.FAILED: 1, S.RUNNING: 1, S.WAITING: 1, S.READY: 1}
    assert all(task.job is loaded for task in loaded.tasks)


def test_active_tasks_have_their_current_attempt_and_ready_ones_a_lost_one(store: Store) -> None:
    job = builders.bag("u1", 8)
    ends = [
        (S.ASSIGNED, "assigned", True),
        (S.RUNNING, "running", True),
        (S.PROMOTING, "promoting", True),
        (S.READY, "lost", True),
        (S.READY, "recalled", False),
        (S.SUCCEEDED, "succeeded", False),
        (S.DELAYED, "failed", False),
    ]
    for task in job.tasks[: len(ends)]:
        builders.attempt(task, task_state=S.READY, state="lost")
    changes = builders.pushed(job)
    for task, (task_state, state, _) in zip(job.tasks, ends, strict=False):
        second = builders.attempt(task, task_state=task_state, state=state)
        changes.new_attempts[second.id] = second
    store.commit(changes)
    loaded = only_job(store)
    expected = [f"u1.{index}.2" if kept else None for index, (_, _, kept) in enumerate(ends)]
    assert [task.attempt.id if task.attempt else None for task in loaded.tasks] == [*expected, None]


def test_a_finished_job_comes_without_tasks_but_with_counts_until_they_are_asked_for(store: Store) -> None:
    job = builders.chain("u1", "a", "b", "c")
    for task, state in zip(job.tasks, (S.SUCCEEDED, S.FAILED, S.SKIPPED), strict=True):
        task.state = state
    job.finished = NOON
    builders.link(job)
    for task in job.tasks:
        task.dependents = []
    builders.link(job)
    store.commit(builders.pushed(job))
    loaded = only_job(store)
    assert (loaded.tasks, loaded.templates, loaded.files, loaded.loaded) == ([], [], {}, False)
    assert loaded.counts == {S.SUCCEEDED: 1, S.FAILED: 1, S.SKIPPED: 1}
    tasks = store.load_tasks(loaded)
    assert [builders.known_task(task) for task in tasks] == [builders.known_task(task) for task in job.tasks]
    assert (loaded.templates, loaded.files) == (job.templates, job.files)


def test_staging_jobs_are_dropped_with_all_their_rows(url: str, store: Store) -> None:
    staging = builders.bag("u1", 3, state=JobState.STAGING)
    builders.attempt(staging.tasks[0])
    store.commit(builders.pushed(staging))
    store.commit(builders.pushed(builders.bag("u2", 2)))
    assert [job.uid for job in store.load().jobs] == ["u2"]
    again = builders.bag("u1", 1)
    store.commit(builders.pushed(again))
    loaded = {job.uid: job for job in store.load().jobs}
    assert [len(loaded[uid].tasks) for uid in ("u1", "u2")] == [1, 2]
    assert loaded["u1"].tasks[0].attempt is None


def test_a_dropped_job_leaves_nothing_and_frees_its_name_in_the_same_commit(store: Store, reader: Reader) -> None:
    store.commit(builders.pushed(builders.bag("u1", 2, name="same")))
    changes = builders.pushed(builders.bag("u2", 1, name="same"))
    changes.dropped_jobs.add("u1")
    store.commit(changes)
    assert [(job.uid, len(job.tasks)) for job in store.load().jobs] == [("u2", 1)]
    assert len(reader.tasks()) == 1


def test_a_job_that_was_made_and_dropped_in_one_turn_leaves_nothing(store: Store) -> None:
    job = builders.bag("u1", 2)
    builders.attempt(job.tasks[0])
    changes = builders.pushed(job)
    changes.jobs["u1"] = job
    changes.tasks["u1", 1] = job.tasks[1]
    changes.dropped_jobs.add("u1")
    store.commit(changes)
    assert store.load().jobs == []


@pytest.mark.parametrize("end", [VmState.GONE, VmState.FAILED])
def test_workers_and_vms_that_have_ended_are_not_loaded_and_may_return_under_their_name(store: Store, end: VmState) -> None:
    worker, vm = builders.worker(state=WorkerState.GONE), builders.vm(state=end)
    store.commit(Changes(new_workers={worker.id: worker}, new_vms={vm.id: vm}))
    picture = store.load()
    assert (picture.workers, picture.vms) == ([], [])
    back, again = builders.worker(state=WorkerState.ONLINE, session="s2"), builders.vm(flavor="local.2")
    store.commit(Changes(new_workers={back.id: back}, new_vms={again.id: again}))
    picture = store.load()
    assert [(found.id, found.session) for found in picture.workers] == [(back.id, "s2")]
    assert [(found.id, found.flavor) for found in picture.vms] == [(again.id, "local.2")]


def test_jobs_are_loaded_in_the_order_of_their_creation(store: Store) -> None:
    for uid in ("zz", "mm", "aa"):
        store.commit(builders.pushed(builders.bag(uid, 1)))
    assert [job.uid for job in store.load().jobs] == ["zz", "mm", "aa"]


@pytest.mark.long
def test_a_hundred_thousand_tasks_come_in_slices_and_are_loaded(store: Store) -> None:
    job = builders.job("u1", state=JobState.STAGING)
    store.commit(builders.pushed(job))
    for start in range(0, 100_000, 5_000):
        tasks = [builders.task(job, f"sim-{index}", range(max(0, index - 3), index)) for index in range(start, start + 5_000)]
        store.commit(builders.add_tasks(Changes(), tasks))
    job.state = JobState.OPEN
    store.commit(builders.touched(job))
    loaded = only_job(store)
    assert len(loaded.tasks) == 100_000
    assert [task.missing for task in loaded.tasks[:5]] == [0, 1, 2, 3, 3]
    assert list(loaded.tasks[-1].dependencies) == [99_996, 99_997, 99_998]
    assert loaded.tasks[50_000].dependents == [50_001, 50_002, 50_003]


# ---- all or nothing ----------------------------------------------------------------------------------------------


def test_a_commit_that_fails_changes_nothing_and_the_next_one_works(store: Store) -> None:
    job = builders.bag("u1", 3, name="taken")
    store.commit(builders.pushed(job))
    changes = builders.pushed(builders.bag("u2", 3, name="fine"), builders.bag("u3", 3, name="taken"))
    job.tasks[0].state = S.FAILED
    changes.tasks["u1", 0] = job.tasks[0]
    changes.context["fact"] = "new"
    with pytest.raises(StoreError, match="cannot write to jobs"):
        store.commit(changes)
    picture = store.load()
    assert [(found.uid, found.tasks[0].state) for found in picture.jobs] == [("u1", S.READY)]
    assert "fact" not in picture.context
    store.commit(builders.pushed(builders.bag("u2", 1, name="fine")))
    assert [found.uid for found in store.load().jobs] == ["u1", "u2"]


def test_an_update_of_a_row_that_is_gone_fails_as_a_whole(url: str, store: Store) -> None:
    job = builders.bag("u1", 3)
    store.commit(builders.pushed(job))
    statement(url, "DELETE FROM tasks WHERE task_index = 2")
    for task in job.tasks:
        task.state = S.SUCCEEDED
    with pytest.raises(StoreError, match="1 of 3 rows are gone"):
        store.commit(builders.touched(*job.tasks))
    statement(url, "DELETE FROM tasks WHERE task_index = 1")
    statement(url, "DELETE FROM tasks WHERE task_index = 0")
    assert only_job(store).tasks == []


def test_missing_task_rows_are_noticed_at_the_load(url: str, store: Store) -> None:
    store.commit(builders.pushed(builders.bag("u1", 3)))
    statement(url, "DELETE FROM tasks WHERE task_index = 1")
    with pytest.raises(StoreError, match="rows are missing"):
        store.load()


def test_rows_of_a_job_that_was_never_loaded_are_refused(url: str, store: Store) -> None:
    job = builders.bag("u1", 1)
    with pytest.raises(StoreError, match="job u1 is not in the database"):
        store.commit(builders.touched(*job.tasks))
    store.commit(builders.pushed(job))
    hasty = Store(url)
    hasty.open()
    for thing in (job, job.tasks[0], builders.attempt(job.tasks[0])):
        with pytest.raises(StoreError, match="job u1 is not in the database"):
            hasty.commit(builders.touched(thing))
    with pytest.raises(StoreError, match="job u1 is not in the database"):
        hasty.load_tasks(job)
    hasty.close()


def test_a_value_that_the_database_cannot_hold_is_a_store_error(store: Store) -> None:
    job = builders.bag("u1", 1)
    job.tasks[0].exit_code = 2**80
    with pytest.raises(StoreError):
        store.commit(builders.pushed(job))
    assert store.load().jobs == []


CHILD = """
import sys
from boss.adapters.store import Store
from tests import builders

class Stuck(set):
    def __iter__(self):
        print("in the middle", flush=True)
        sys.stdin.read()

store = Store(sys.argv[1])
store.open()
store.load()
changes = builders.pushed(builders.bag("u1", 2000))
if sys.argv[2] == "stuck":
    worker = builders.worker()
    worker.barred = Stuck(["u1"])
    changes.new_workers[worker.id] = worker
store.commit(changes)
print("committed", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("how", "words", "jobs"), [("stuck", "in the middle", []), ("through", "committed", [2000])])
def test_a_boss_killed_in_a_commit_leaves_nothing_and_after_it_everything(
    url: str, how: str, words: str, jobs: list[int]
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, url, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with child:
        assert child.stdout is not None
        said = child.stdout.readline()
        child.kill()
    assert said.strip() == words
    store = Store(url)
    assert store.open() == 2
    picture = store.load()
    assert [len(job.tasks) for job in picture.jobs] == jobs
    assert picture.workers == []
    store.close()
