"""What the boss may rely on of its database: one suite, run on SQLite and on MariaDB."""

import json
import sqlite3
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pymysql
import pytest

from boss.adapters.database import UPDATE_ROWS, locate
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.changes import Changes
from boss.core.model import (
    Axis,
    Field,
    FileRef,
    InputSpec,
    Job,
    JobState,
    OutputSpec,
    Task,
    TaskState,
    VmState,
    Wanted,
    WorkerState,
)
from boss.ports import StoreError, Superseded
from tests import builders
from tests.builders import NOON
from tests.mariadb import PASSWORD, MariaDb

S = TaskState


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of this test alone."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    fresh: str = request.getfixturevalue("mariadb_url")
    return fresh


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The store, opened and loaded."""
    opened = Store(url, "c0ffee00")
    opened.open()
    opened.load()
    yield opened
    opened.close()


@pytest.fixture
def reader(url: str, store: Store) -> Iterator[Reader]:
    """A reader of the same database."""
    opened = Reader(url)
    yield opened
    opened.close()


def known(thing: object, *derived: str) -> dict[str, object]:
    """The fields of a record, as they compare; without what is not stored."""
    found = {field.name: getattr(thing, field.name) for field in fields(thing) if field.name not in derived}  # type: ignore[arg-type]
    return {name: list(value) if isinstance(value, array) else value for name, value in found.items()}


def known_task(task: Task) -> dict[str, object]:
    """A task's fields; its job and attempt by name."""
    return {
        **known(task, "job", "attempt"),
        "dependencies": list(task.dependencies),
        "job": task.job.uid,
        "attempt": task.attempt.id if task.attempt else None,
    }


def known_job(job: Job) -> dict[str, object]:
    """A job's fields, with its tasks as fields."""
    return {**known(job, "tasks", "inits"), "tasks": [known_task(task) for task in job.tasks]}


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


def test_integrity_speaks_of_a_missing_an_empty_and_a_used_database_and_changes_nothing(url: str) -> None:
    store = Store(url)
    assert "at its first start" in store.integrity()
    store.open()
    before = store.load().context
    assert "schema 1, writable" in store.integrity()
    assert store.load().context == before
    store.close()


def test_integrity_of_sqlite_makes_no_file(tmp_path: Path) -> None:
    assert "none yet" in Store(f"sqlite:///{tmp_path / 'state.db'}").integrity()
    with pytest.raises(StoreError, match="make the folder"):
        Store(f"sqlite:///{tmp_path / 'nowhere' / 'state.db'}").integrity()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("postgres://host/db", "unknown scheme 'postgres'"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://user:secret@/db", "no host or no database"),
        ("mysql://user:secret@host/", "no host or no database"),
        ("mysql://user:secret@host:many/db", "port that is no number"),
        ("mysql://user:secret@host/db?sll_ca=x", "unknown option 'sll_ca'"),
    ],
)
def test_a_wrong_url_is_refused_with_the_right_form(wrong: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as refused:
        Store(wrong)
    assert "secret" not in str(refused.value)


def test_tls_options_reach_the_driver() -> None:
    where = locate("mysql://u:p@host/db?ssl_ca=/etc/ca.pem&ssl_cert=c.pem&ssl_key=k.pem&unix_socket=/run/s")
    assert where.options["ssl"] == {"ca": "/etc/ca.pem", "cert": "c.pem", "key": "k.pem"}
    assert where.options["unix_socket"] == "/run/s"
    assert where.shown == "mysql://u@host:3306/db"


# ---- round trips -------------------------------------------------------------------------------------------------


def full_job() -> Job:
    """A job that uses every field."""
    grid = (Axis("T", (1.5, 2.25)), Axis("kind", ("a", "b")), Axis("flag", (True, False)))
    first = builders.template(
        0,
        name=("sim-", Field("T", ".3f"), "-", Field("kind", "", "q")),
        commands=(("run ", Field("T")), "echo ${HOME}"),
        inputs=(InputSpec("in/"), InputSpec(("x", Field("kind")), "y")),
        outputs=(OutputSpec("out.txt"), OutputSpec("*.log", "logs/", True)),
        env=(("A", "1"), ("B", (Field("kind"),))),
        needs={"cpus": 2, "memory": 2.0**31},
        timeout=90.5,
        retries=3,
        priority=-1,
        grid=grid,
    )
    job = builders.job(
        "u-7",
        "météo ☀",
        owner="zoë",
        templates=[first, builders.template(1, init=True)],
        files={"in/ß.h5": FileRef("cd" * 32, 2**40, 0o755)},
        wanted=Wanted.PAUSE,
        reason="it is late 🌙",
        priority=7,
        submission="key-1",
    )
    builders.task(
        job, "init", template=job.templates[1], state=S.SUCCEEDED, number=2, exit_code=0, started=NOON, finished=NOON + 0.1
    )
    builders.task(job, "a/b c", (0,), row=3, rank=2, state=S.DELAYED, number=4, failures=2, losses=1, not_before=NOON + 5.000001)
    builders.task(job, "A/B C", (0, 1), row=4, state=S.WAITING)
    builders.task(job, "日本", (2,), state=S.SKIPPED, reason="because of 'a/b c'", phase="run", worker="w-1", finished=NOON)
    return builders.link(job)


def test_every_field_of_a_job_and_its_tasks_comes_back(store: Store) -> None:
    job = full_job()
    store.commit(builders.pushed(job))
    assert known_job(only_job(store)) == known_job(job)


def test_every_field_of_an_attempt_comes_back(store: Store, reader: Reader) -> None:
    job = builders.bag("u1", 1)
    attempt = builders.attempt(
        job.tasks[0],
        task_state=S.PROMOTING,
        state="promoting",
        phase="upload",
        exit_code=-9,
        signal=9,
        reason="thrown out\nof memory",
        started=NOON + 1 / 3,
        finished=NOON + 2 / 3,
        usage={"cpu": 0.1 + 0.2, "memory": 1e9},
        stdout="50 % of \\ ' \" ? %s done\r\n☃",
        stderr="\x00\x1b[31m red",
        stdout_size=2**41,
        stderr_size=12,
        stored_logs=True,
        files=(("out/é.txt", 12, "ef" * 32), ("b", 0, "00" * 32)),
        init=True,
    )
    store.commit(builders.pushed(job))
    (loaded,) = only_job(store).tasks
    assert loaded.attempt is not None
    assert known(loaded.attempt) == known(attempt)
    assert [known(found) for found in reader.attempts(job.name, 0)] == [known(attempt)]


def test_a_manifest_that_only_the_datastore_has_stays_unknown(store: Store) -> None:
    job = builders.bag("u1", 2)
    builders.attempt(job.tasks[0], files=None)
    builders.attempt(job.tasks[1], files=())
    store.commit(builders.pushed(job))
    assert [task.attempt.files for task in only_job(store).tasks if task.attempt] == [None, ()]


def test_text_that_utf8_cannot_hold_gets_a_question_mark(store: Store) -> None:
    job = builders.bag("u1", 1, reason="a\udcffb")
    builders.attempt(job.tasks[0], stdout="x\ud800y", stderr="\udc80", reason="\udfff!", phase="r\udcffn")
    job.tasks[0].reason = "\ud83d"
    store.commit(builders.pushed(job))
    job.tasks[0].reason = "again \udcff"
    store.commit(builders.touched(*job.tasks))
    loaded = only_job(store)
    attempt = loaded.tasks[0].attempt
    assert attempt is not None
    assert (attempt.stdout, attempt.stderr, attempt.reason, attempt.phase) == ("x?y", "?", "?!", "r?n")
    assert (loaded.reason, loaded.tasks[0].reason) == ("a?b", "again ?")


def test_every_field_of_workers_and_vms_comes_back(store: Store) -> None:
    worker = builders.worker(
        state=WorkerState.OFFLINE,
        draining=True,
        keep_until=NOON,
        resources={"cpus": 2.0, "memory": 2.0**33},
        address="10.0.0.7",
        session="s-1",
        last_seen=NOON + 0.25,
        idle_since=NOON - 0.25,
        failures_in_a_row=2,
        barred={"u1", "u2"},
        prepared={"u1": {0, 3}, "u2": set()},
    )
    vm = builders.vm(
        state=VmState.BOOTING, server="srv-1", address="10.0.0.7", deadline=NOON, reason="asked ☎", keep_until=NOON, since=NOON
    )
    store.commit(Changes(new_workers={worker.id: worker}, new_vms={vm.id: vm}))
    worker.state, vm.state, vm.deadline = WorkerState.ONLINE, VmState.JOINED, None
    store.commit(Changes(workers={worker.id: worker}, vms={vm.id: vm}))
    picture = store.load()
    assert [known(found, "held", "used", "sent") for found in picture.workers] == [known(worker, "held", "used", "sent")]
    assert [known(found) for found in picture.vms] == [known(vm)]


def test_times_survive_to_the_last_digit(store: Store) -> None:
    times = [NOON + step * 1e-6 for step in range(200)] + [0.1 + 0.2, 1e-300, 1.7976931348623157e308, 5e-324]
    job = builders.bag("u1", len(times))
    for task, time in zip(job.tasks, times, strict=True):
        task.state, task.finished = S.CANCELLED, time
    store.commit(builders.pushed(job))
    assert [task.finished for task in only_job(store).tasks] == times
    for task, time in zip(job.tasks, reversed(times), strict=True):
        task.finished = time
    store.commit(builders.touched(*job.tasks))
    assert [task.finished for task in only_job(store).tasks] == times[::-1]


def test_names_are_told_apart_byte_by_byte(store: Store, reader: Reader) -> None:
    names = ["a", "A", "á", "a\u0301", "ａ", "ß", "ss", "%", "_", "🦀", "x" * 200]
    job = builders.job("u1")
    for name in names:
        builders.task(job, name)
    store.commit(builders.pushed(builders.link(job)))
    assert [task.name for task in only_job(store).tasks] == names
    for name in names:
        assert [row.id for row in reader.tasks(pattern=name)] == [name]
        assert reader.jobs_with_task(name) == [job.name]


# ---- updates -----------------------------------------------------------------------------------------------------


def test_an_update_changes_how_a_task_stands_and_nothing_else(store: Store) -> None:
    job = builders.chain("u1", "a", "b", "c")
    store.commit(builders.pushed(job))
    task = job.tasks[0]
    attempt = builders.attempt(task, worker="w-9", task_state=S.FAILED, state="failed", exit_code=3)
    task.failures, task.losses, task.not_before, task.exit_code, task.phase, task.reason = 1, 2, NOON, 3, "run", "exit 3"
    task.started, task.finished = NOON - 1, NOON
    changes = builders.touched(task)
    changes.new_attempts[attempt.id] = attempt
    store.commit(changes)
    loaded = only_job(store)
    task.attempt = None  # it is over: not attached
    assert [known_task(found) for found in loaded.tasks] == [known_task(one) for one in job.tasks]


def test_an_attempt_is_updated_in_place(store: Store, reader: Reader) -> None:
    job = builders.bag("u1", 1)
    attempt = builders.attempt(job.tasks[0])
    store.commit(builders.pushed(job))
    attempt.state, attempt.started, attempt.stdout = "running", NOON, "tick"
    store.commit(builders.touched(attempt))
    store.commit(builders.touched(attempt))  # the same again matches the row, too
    (found,) = reader.attempts(job.name, 0)
    assert known(found) == known(attempt)


def test_a_redefined_task_keeps_its_index_and_name_and_gets_the_rest_anew(store: Store) -> None:
    job = builders.chain("u1", "a", "b")
    store.commit(builders.pushed(job))
    other = builders.template(1, commands=("false",))
    task = job.tasks[1]
    task.template, task.row, task.rank, task.dependencies, task.state = other, 5, 9, array("I"), S.READY
    changes = Changes(new_templates=[("u1", other)], tasks={("u1", 1): task}, redefined_tasks={("u1", 1): task})
    store.commit(changes)
    loaded = only_job(store)
    assert (loaded.tasks[1].template, loaded.tasks[1].row, loaded.tasks[1].rank) == (other, 5, 9)
    assert (list(loaded.tasks[1].dependencies), loaded.tasks[1].missing, loaded.tasks[0].dependents) == ([], 0, [])


def test_a_job_is_updated_with_its_files_only_while_its_tasks_are_in_memory(store: Store) -> None:
    job = builders.bag("u1", 1)
    store.commit(builders.pushed(job))
    job.files, job.wanted, job.submission = {"new": FileRef("aa" * 32, 1)}, Wanted.CANCEL, "key-2"
    store.commit(builders.touched(job))
    job.finished, job.files, job.loaded = NOON, {}, False
    store.commit(builders.touched(job))
    loaded = only_job(store)
    assert (loaded.wanted, loaded.submission, loaded.finished) == (Wanted.CANCEL, "key-2", NOON)
    assert len(store.load_tasks(loaded)) == 1
    assert loaded.files == {"new": FileRef("aa" * 32, 1)}


def test_more_rows_than_one_statement_holds_are_all_updated(store: Store) -> None:
    job = builders.bag("u1", 2 * UPDATE_ROWS + 1)
    store.commit(builders.pushed(job))
    for task in job.tasks:
        task.state, task.reason = S.FAILED, f"because {task.index}"
    store.commit(builders.touched(*job.tasks))
    assert [task.reason for task in only_job(store).tasks] == [f"because {index}" for index in range(len(job.tasks))]


def test_updates_larger_than_a_packet_are_split(store: Store) -> None:
    job = builders.bag("u1", 8)
    for task in job.tasks:
        builders.attempt(task)
    store.commit(builders.pushed(job))
    attempts = [task.attempt for task in job.tasks if task.attempt]
    for attempt in attempts:
        attempt.reason = "é" * 1_500_000  # 24 MB in all; a server takes 16 MB at once by default
    store.commit(builders.touched(*attempts))
    assert all(task.attempt and len(task.attempt.reason) == 1_500_000 for task in only_job(store).tasks)


def test_context_facts_are_set_replaced_and_removed(store: Store, reader: Reader) -> None:
    store.commit(Changes(context={"api_url": "http://a", "boss_address": "☎", "gone": "soon"}))
    store.commit(Changes(context={"api_url": "http://b", "gone": None, "never": None}))
    expected = {"epoch": "1", "cluster": "c0ffee00", "api_url": "http://b", "boss_address": "☎"}
    assert store.load().context == reader.context() == expected


def test_empty_changes_are_committed_without_harm(store: Store) -> None:
    store.commit(Changes())
    assert store.load().jobs == []


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
    assert [known_task(task) for task in tasks] == [known_task(task) for task in job.tasks]
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


def test_workers_and_vms_that_are_gone_are_not_loaded_and_may_return_under_their_name(store: Store) -> None:
    worker, vm = builders.worker(state=WorkerState.GONE), builders.vm(state=VmState.GONE)
    store.commit(Changes(new_workers={worker.id: worker}, new_vms={vm.id: vm}))
    picture = store.load()
    assert (picture.workers, picture.vms) == ([], [])
    back, again = builders.worker(state=WorkerState.ONLINE, session="s2"), builders.vm(state=VmState.FAILED)
    store.commit(Changes(new_workers={back.id: back}, new_vms={again.id: again}))
    picture = store.load()
    assert [(found.id, found.session) for found in picture.workers] == [(back.id, "s2")]
    assert [found.state for found in picture.vms] == [VmState.FAILED]


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


# ---- the server's troubles ---------------------------------------------------------------------------------------


def test_after_a_restart_of_the_server_the_next_load_works(mariadb: MariaDb, mariadb_url: str) -> None:
    store, reader = Store(mariadb_url), Reader(mariadb_url)
    store.open()
    store.load()
    store.commit(builders.pushed(builders.bag("u1", 2)))
    assert len(reader.tasks()) == 2
    mariadb.kill()
    with pytest.raises(StoreError, match="check that the server runs") as failed:
        store.commit(builders.pushed(builders.bag("u2", 2)))
    with pytest.raises(StoreError, match="check that the server runs"):
        store.load()
    assert PASSWORD not in str(failed.value)
    mariadb.start()
    assert [len(job.tasks) for job in store.load().jobs] == [2]
    assert len(reader.tasks()) == 2
    store.commit(builders.pushed(builders.bag("u2", 2)))
    assert len(reader.tasks()) == 4
    store.close()
    reader.close()


def test_a_refused_log_in_names_the_remedy_and_never_the_password(mariadb: MariaDb) -> None:
    for user in ("ecloud", "nobody"):
        store = Store(f"mysql://{user}:hunter2@127.0.0.1:{mariadb.port}/test")
        with pytest.raises(StoreError, match="check user and password") as refused:
            store.open()
        assert "hunter2" not in str(refused.value)


def test_an_unknown_database_is_answered_with_how_to_make_it(mariadb: MariaDb, mariadb_url: str) -> None:
    store = Store(mariadb_url.rpartition("/")[0] + "/nowhere")
    with pytest.raises(StoreError, match="CREATE DATABASE"):
        store.open()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("this is a letter, not a database. " * 100)
    with pytest.raises(StoreError, match="restore a backup"):
        Store(f"sqlite:///{tmp_path / 'state.db'}").open()


# ---- reading -----------------------------------------------------------------------------------------------------


def listing(reader: Reader, **asked: Any) -> list[str]:
    """``job:task`` of a listing."""
    return [f"{row.job}:{row.id}" for row in reader.tasks(**asked)]


def test_jobs_are_listed_with_counts_and_one_word_for_their_state(store: Store, reader: Reader) -> None:
    running = builders.chain("u1", "a", "b", name="running")
    paused = builders.bag("u2", 1, name="paused", wanted=Wanted.PAUSE)
    failed = builders.bag("u3", 2, name="failed", finished=NOON, submission="key")
    failed.tasks[0].state, failed.tasks[1].state = S.FAILED, S.SUCCEEDED
    staging = builders.bag("u4", 1, name="staging", state=JobState.STAGING)
    empty = builders.job("u5", "empty")
    store.commit(builders.pushed(running, paused, failed, staging, empty))
    rows = reader.jobs()
    assert [(row.name, row.state) for row in rows] == [
        ("running", "running"),
        ("paused", "paused"),
        ("failed", "failed"),
        ("empty", "running"),
    ]
    assert rows[0].counts == {"ready": 1, "waiting": 1}
    assert rows[2].counts == {"failed": 1, "succeeded": 1}
    assert (rows[2].uid, rows[2].owner, rows[2].created, rows[2].finished) == ("u3", "ada", NOON, NOON)
    assert reader.job("failed") == reader.job_of_submission("key") == rows[2]
    assert (reader.job("nobody"), reader.job_of_submission("no"), reader.job_of_submission("")) == (None, None, None)
    assert reader.job("staging") is not None


def test_a_full_job_is_the_whole_job_without_attempts(store: Store, reader: Reader) -> None:
    job = full_job()
    store.commit(builders.pushed(job))
    found = reader.full_job(job.name)
    assert found is not None
    assert known_job(found) == known_job(job)
    assert reader.full_job("nobody") is None


def test_a_task_row_has_what_listings_show(store: Store, reader: Reader) -> None:
    job = full_job()
    store.commit(builders.pushed(job))
    row = reader.tasks(pattern="a/b c")[0]
    shown: Mapping[str, Any] = {field.name: getattr(row, field.name) for field in fields(row)}
    assert shown == {
        "job": "météo ☀",
        "id": "a/b c",
        "index": 1,
        "state": "delayed",
        "attempt": 4,
        "exit_code": None,
        "phase": "",
        "reason": "",
        "worker": "",
        "started": None,
        "finished": None,
        "template": 0,
        "row": 3,
        "failures": 2,
        "losses": 1,
    }
    json.dumps(shown)


def test_tasks_are_chosen_by_job_state_and_glob(store: Store, reader: Reader) -> None:
    one, two = builders.job("u1", "one"), builders.job("u2", "two")
    for name in ("sim/1", "sim/2", "sim/10", "plot", "100%", "a_b", "a[1]", "Sim/1"):
        builders.task(one, name, state=S.READY)
    builders.task(two, "sim/1", state=S.FAILED)
    builders.task(two, "plot", state=S.WAITING)
    staging = builders.bag("u3", 2, name="three", state=JobState.STAGING)
    store.commit(builders.pushed(builders.link(one), builders.link(two), staging))
    assert len(listing(reader)) == 10
    assert listing(reader, job="two") == ["two:sim/1", "two:plot"]
    assert listing(reader, job="three") == listing(reader, job="nobody") == []
    assert listing(reader, states=[S.FAILED, S.WAITING]) == ["two:sim/1", "two:plot"]
    assert listing(reader, pattern="sim*") == ["one:sim/1", "one:sim/2", "one:sim/10", "two:sim/1"]
    assert listing(reader, pattern="sim/?", job="one") == ["one:sim/1", "one:sim/2"]
    assert listing(reader, pattern="sim/[!1]") == ["one:sim/2"]
    assert listing(reader, pattern="[sS]im/1", job="one") == ["one:sim/1", "one:Sim/1"]
    assert listing(reader, pattern="*%") == ["one:100%"]
    assert listing(reader, pattern="a_*") == ["one:a_b"]
    assert listing(reader, pattern="a[1]") == ["one:a[1]"]
    assert listing(reader, pattern="*[*") == ["one:a[1]"]
    assert listing(reader, pattern="plot", states=[S.WAITING]) == ["two:plot"]
    assert listing(reader, pattern="") == []


def test_pages_follow_each_other_across_jobs_without_gap_or_repeat(store: Store, reader: Reader) -> None:
    store.commit(builders.pushed(*(builders.bag(uid, 5) for uid in ("zz", "mm", "aa"))))
    expected = listing(reader)
    assert expected[0] == "job-zz:t0"
    assert len(expected) == 15
    for asked in ({}, {"job": "job-mm"}, {"states": [S.READY]}, {"pattern": "t[13]"}):
        whole, pages, after = listing(reader, **asked), list[str](), None
        while page := reader.tasks(limit=2, after=after, **asked):  # type: ignore[arg-type]
            pages += [f"{row.job}:{row.id}" for row in page]
            after = (page[-1].job, page[-1].index)
        assert pages == whole
    assert reader.tasks(after=("nobody", 0)) == []


def test_jobs_with_a_task_are_named_newest_first(store: Store, reader: Reader) -> None:
    staging = builders.bag("u3", 1, state=JobState.STAGING)
    store.commit(builders.pushed(builders.bag("u1", 1), builders.bag("u2", 2), staging))
    assert reader.jobs_with_task("t0") == ["job-u2", "job-u1"]
    assert reader.jobs_with_task("t1") == ["job-u2"]
    assert reader.jobs_with_task("t*") == []


def test_attempts_are_listed_by_number(store: Store, reader: Reader) -> None:
    job = builders.bag("u1", 2)
    changes = builders.pushed(job)
    for number in range(12):
        attempt = builders.attempt(job.tasks[1], reason=str(number))
        changes.new_attempts[attempt.id] = attempt
    store.commit(changes)
    assert [attempt.number for attempt in reader.attempts(job.name, 1)] == list(range(1, 13))
    assert reader.attempts(job.name, 0) == reader.attempts("nobody", 0) == []


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    store = Store(url)
    store.open()
    reader = Reader(url)
    with pytest.raises(StoreError, match="read"):
        reader._db.execute("DELETE FROM context")
    reader.close()
    store.close()


def test_readers_and_the_writer_do_not_wait_for_each_other(store: Store, reader: Reader) -> None:
    job = builders.bag("u1", 150)
    store.commit(builders.pushed(job))
    written, troubles, seen = threading.Event(), list[BaseException](), list[int]()

    def look() -> None:
        try:
            last = 0
            while not written.is_set():
                done = reader.jobs()[0].counts.get("succeeded", 0)
                assert done >= last
                assert len(reader.tasks(limit=500)) == 150
                last = done
            seen.append(last)
        except BaseException as trouble:
            troubles.append(trouble)
        finally:
            reader.close()

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for task in job.tasks:
        task.state = S.SUCCEEDED
        store.commit(builders.touched(task))
    written.set()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert len(seen) == 3
    assert reader.jobs()[0].counts == {"succeeded": 150}
