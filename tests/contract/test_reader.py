"""What listings may rely on: the reader on SQLite and on MariaDB."""

import json
import threading
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from boss.adapters.definitions import Definitions
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.model import (
    Job,
    JobState,
    Task,
    TaskState,
    Wanted,
)
from boss.core.view import JobView
from boss.ports import StoreError
from tests import builders
from tests.builders import NOON

S = TaskState


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


def test_counts_are_those_that_the_loop_keeps_unless_it_tells_of_another_end_of_the_job(store: Store, reader: Reader) -> None:
    store.commit(builders.pushed(builders.bag("u1", 2, name="on"), builders.bag("u2", 2, name="over", finished=NOON)))

    def shown(uid: str, finished: float | None) -> JobView:
        return JobView(uid, uid, "ada", "running", "", NOON, finished, {"ready": 1, "running": 1})

    reader.keep(lambda: {"u1": shown("u1", None), "u2": shown("u2", None)})
    assert [row.counts for row in reader.jobs()] == [{"ready": 1, "running": 1}, {"ready": 2}]
    found = reader.job("on")
    assert found is not None and found.counts == {"ready": 1, "running": 1}


def test_the_structure_of_a_job_and_the_spans_of_its_attempts_are_told(store: Store, reader: Reader) -> None:
    job = builders.chain("u1", "a", "b", name="drawn")
    builders.attempt(job.tasks[0], "w2", started=NOON + 5, finished=NOON + 9, state="succeeded")
    builders.attempt(builders.task(job, "c"), "w1", started=NOON, state="running")
    builders.attempt(job.tasks[1], "w1")  # not begun
    store.commit(builders.pushed(job, builders.bag("u2", 1, name="other")))
    assert [(row.task, row.template, list(row.dependencies)) for row in reader.structure("drawn")] == [
        (task.index, task.template.number, list(task.dependencies)) for task in job.tasks
    ]
    assert [(row.task, row.worker, row.started, row.finished) for row in reader.spans("drawn", 10)] == [
        (2, "w1", NOON, None),
        (0, "w2", NOON + 5, NOON + 9),
    ]
    assert [row.task for row in reader.spans("drawn", 1)] == [0]  # the newest
    counted = {}
    for task in reversed(job.tasks):
        key = task.template.number, task.state.value
        counted[key] = counted.get(key, (0, 0))[0] + 1, task.index
    assert reader.families("drawn") == counted
    assert reader.families("none") == {}
    assert (reader.structure("none"), reader.spans("none", 5), dict(reader.pushed("none"))) == ([], [], {})


def test_who_waits_for_whom_is_found_without_the_rest_of_the_job(store: Store, reader: Reader) -> None:
    many = builders.job("u1", "many")
    for index in range(600):
        builders.task(many, f"t{index}")
    builders.task(many, "sum", after=range(600))
    builders.task(many, "last", after=[600, 256])
    store.commit(builders.pushed(builders.link(many), builders.chain("u2", "x", "y", name="other")))
    assert reader.links("many", 600) == (list(range(600)), [601])
    assert reader.links("many", 256) == ([], [600, 601]) and reader.links("many", 1) == ([], [600])
    assert reader.links("nobody", 0) == ([], [])
    rows = reader.tasks_at("many", [*range(601), 9999])
    assert [rows[index].id for index in (0, 255, 600)] == ["t0", "t255", "sum"] and len(rows) == 601
    assert reader.tasks_at("nobody", [0]) == {}


def test_a_full_job_is_the_whole_job_without_attempts(store: Store, reader: Reader) -> None:
    job = builders.full_job()
    store.commit(builders.pushed(job))
    found = reader.full_job(job.name)
    assert found is not None
    assert builders.known_job(found) == builders.known_job(job)
    assert reader.full_job("nobody") is None


def test_a_task_row_has_what_listings_show(store: Store, reader: Reader) -> None:
    job = builders.full_job()
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
        "stale": "",
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


def test_templates_are_read_by_job_and_number(store: Store, reader: Reader) -> None:
    job = builders.full_job()
    store.commit(builders.pushed(job, builders.job("u2", "other")))
    assert reader.templates(job.name, [0, 1, 7]) == {0: job.templates[0], 1: job.templates[1]}
    assert reader.templates(job.name, [0]) == {0: job.templates[0]}
    assert reader.templates("other", [0]) == {0: builders.template()}
    assert reader.templates("nobody", [0]) == {}


def test_what_is_kept_of_templates_is_bounded(store: Store, reader: Reader) -> None:
    job = builders.job("u1", "many", templates=[builders.template(number, commands=("x" * 1000,)) for number in range(20)])
    store.commit(builders.pushed(job))
    kept = Definitions(reader._db, kept=5000)
    for _ in range(2):
        for number in range(20):
            assert kept.of("many", [number]) == {number: job.templates[number]}
    assert 0 < len(kept._found) < 5
    assert len(kept.of("many", range(20))) == 20


def failing(job: Job, name: str, stderr: str, **fields: Any) -> Task:
    """A task whose second attempt has failed with this on stderr."""
    task = builders.task(job, name, exit_code=fields.pop("exit_code", 1), phase="run", reason="exit code 1")
    builders.attempt(task, stderr="of the first attempt", state="failed")
    builders.attempt(task, stderr=stderr, state="failed", task_state=S.FAILED, **fields)
    return task


def test_failures_come_with_the_end_of_the_last_attempts_stderr(store: Store, reader: Reader) -> None:
    job = builders.job("u1", "job")
    failing(job, "a", "short\n")
    failing(job, "b", "ä" * 3000 + "the end: ☀ 100%", signal=11, exit_code=None)
    failing(job, "c", "before\0 behind a NUL\n")
    builders.task(job, "fine", state=S.SUCCEEDED)
    builders.task(job, "never dealt", state=S.FAILED, phase="infrastructure", reason="lost")
    other = builders.job("u2", "other")
    failing(other, "a", "of another job")
    store.commit(builders.pushed(builders.link(job), builders.link(other)))
    rows = list(reader.failures("job"))
    assert [(row.index, row.id, row.phase, row.exit_code, row.signal, row.reason) for row in rows] == [
        (0, "a", "run", 1, None, "exit code 1"),
        (1, "b", "run", None, 11, "exit code 1"),
        (2, "c", "run", 1, None, "exit code 1"),
        (4, "never dealt", "infrastructure", None, None, "lost"),
    ]
    assert rows[0].stderr == "short\n"
    assert rows[1].stderr.endswith("ä the end: ☀ 100%".replace(" the", "the")) and len(rows[1].stderr) <= 400
    assert rows[2].stderr == "before\0 behind a NUL\n"
    assert rows[3].stderr == ""
    assert [row.id for row in reader.failures("job", "[ab]")] == ["a", "b"]
    assert [row.id for row in reader.failures("job", "b")] == ["b"]
    assert list(reader.failures("nobody")) == []


def test_failures_are_read_page_after_page(store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boss.adapters.reader.FAILURES", 3)
    job = builders.job("u1", "job")
    for number in range(10):
        failing(job, f"t{number}", f"{number}")
    store.commit(builders.pushed(builders.link(job)))
    assert [row.stderr for row in reader.failures("job")] == [str(number) for number in range(10)]
    assert [row.id for row in reader.failures("job", "t[89]")] == ["t8", "t9"]
    assert [row.id for row in reader.failures("job", after=7)] == ["t8", "t9"]


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


def test_an_escaped_name_is_one_name(store: Store, reader: Reader) -> None:
    store.commit(builders.pushed(builders.chain("u1", "a", "a*b", "axb", "[*]", name="odd")))
    assert listing(reader, job="odd", pattern="a[*]b") == ["odd:a*b"]
    assert listing(reader, job="odd", pattern="[*]") == ["odd:[*]"]
    assert listing(reader, job="odd", pattern="a[a-z]b", limit=1) == ["odd:axb"]
