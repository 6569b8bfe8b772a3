"""What is stored comes back as it was, and an update changes what it names: on SQLite and on MariaDB."""

from array import array

import pytest

from boss.adapters.database import UPDATE_ROWS
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.changes import Changes
from boss.core.model import (
    FileRef,
    Job,
    TaskState,
    VmState,
    Wanted,
    WorkerState,
)
from boss.core.templates import params_of
from boss.ports import StoreError
from tests import builders
from tests.builders import NOON
from worker.grid import Table

S = TaskState


def only_job(store: Store) -> Job:
    """The one job of a fresh load."""
    (job,) = store.load().jobs
    return job


# ---- round trips -------------------------------------------------------------------------------------------------


def test_every_field_of_a_job_and_its_tasks_comes_back(store: Store) -> None:
    job = builders.full_job()
    store.commit(builders.pushed(job))
    assert builders.known_job(only_job(store)) == builders.known_job(job)


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
    assert builders.known(loaded.attempt) == builders.known(attempt)
    assert [builders.known(found) for found in reader.attempts(job.name, 0)] == [builders.known(attempt)]


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
    assert [builders.known(found, "held", "used", "load", "sent") for found in picture.workers] == [
        builders.known(worker, "held", "used", "load", "sent")
    ]
    assert [builders.known(found) for found in picture.vms] == [builders.known(vm)]


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
    assert [builders.known_task(found) for found in loaded.tasks] == [builders.known_task(one) for one in job.tasks]


def test_an_attempt_is_updated_in_place(store: Store, reader: Reader) -> None:
    job = builders.bag("u1", 1)
    attempt = builders.attempt(job.tasks[0])
    store.commit(builders.pushed(job))
    attempt.state, attempt.started, attempt.stdout = "running", NOON, "tick"
    store.commit(builders.touched(attempt))
    store.commit(builders.touched(attempt))  # the same again matches the row, too
    (found,) = reader.attempts(job.name, 0)
    assert builders.known(found) == builders.known(attempt)


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


def test_a_table_of_parameters_larger_than_a_packet_is_kept_or_refused_with_the_remedy(store: Store, url: str) -> None:
    table = Table(("x",), (True,), "1234567\n" * 2_500_000 + "0")  # 20 MB; a server takes 16 MB at once by default
    job = builders.job("u1", templates=[builders.template(0, grid=(table,))])
    builders.task(job, "a", row=2_500_000)
    if url.startswith("sqlite"):
        store.commit(builders.pushed(job))
        [template] = only_job(store).templates
        assert params_of(template, 2_500_000) == {"x": 0}
    else:
        with pytest.raises(
            StoreError, match=r"a row has 21 MiB, more than the 16 MiB .*; raise max_allowed_packet of the server"
        ):
            store.commit(builders.pushed(job))
        assert store.load().jobs == []


def test_context_facts_are_set_replaced_and_removed(store: Store, reader: Reader) -> None:
    store.commit(Changes(context={"api_url": "http://a", "boss_address": "☎", "gone": "soon"}))
    store.commit(Changes(context={"api_url": "http://b", "gone": None, "never": None}))
    expected = {"epoch": "1", "cluster": "c0ffee00", "api_url": "http://b", "boss_address": "☎"}
    assert store.load().context == reader.context() == expected


def test_empty_changes_are_committed_without_harm(store: Store) -> None:
    store.commit(Changes())
    assert store.load().jobs == []
