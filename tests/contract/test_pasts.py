"""What reports may rely on: the past of a job in pages, and who ran it, on SQLite and on MariaDB."""

import pytest

from boss.adapters import pasts
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.changes import Changes
from boss.core.model import Job, TaskState, VmState
from tests import builders
from tests.builders import NOON

S = TaskState


def committed(store: Store, *jobs: Job, vms: tuple[object, ...] = ()) -> None:
    changes = builders.pushed(*jobs)
    for vm in vms:
        changes.vms[vm.id] = vm  # type: ignore[attr-defined, assignment]
    store.commit(changes)


def ran(job: Job, index: int, worker: str, start: float, seconds: float | None, **more: object) -> None:
    """One more attempt of a task, as it stands in the store when the next one is pushed."""
    state = more.pop("state", "succeeded")
    finished = None if seconds is None else NOON + start + seconds
    facts = {"assigned": NOON + start - 1, "started": NOON + start, "finished": finished, "state": state, **more}
    builders.attempt(job.tasks[index], worker, task_state=S.SUCCEEDED, **facts)


def test_the_past_comes_in_pages_with_attempts_and_dependencies(store: Store, reader: Reader) -> None:
    job = builders.chain("u1", "a", "b", "ß", name="sweep")
    ran(job, 0, "local-1", 10, 5, usage={"cpu": 4.5}, exit_code=0)
    committed(store, job)
    again = builders.attempt(job.tasks[0], "local-2", assigned=NOON + 30)
    changes = Changes()
    changes.new_attempts[again.id] = again
    store.commit(changes)
    whole = reader.past_tasks("sweep", -1, 100)
    assert [reader.past_tasks("sweep", after, 1)[0] for after in (-1, 0, 1)] == whole
    assert reader.past_tasks("sweep", 2, 100) == reader.past_tasks("nobody", -1, 100) == []
    assert [(task.index, task.id, list(task.after), len(task.attempts)) for task in whole] == [
        (0, "a", [], 2),
        (1, "b", [0], 0),
        (2, "ß", [1], 0),
    ]
    first, second = whole[0].attempts
    assert (first.number, first.worker, first.state, first.started, first.finished) == (
        1,
        "local-1",
        "succeeded",
        NOON + 10,
        NOON + 15,
    )
    assert (first.usage, first.exit_code, first.assigned, second.worker, second.finished) == (
        {"cpu": 4.5}, 0, NOON + 9, "local-2", None
    )  # fmt: skip


def test_a_page_ends_early_where_tasks_wait_for_very_many(store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasts, "LINKS", 3)
    job = builders.job("u1", "wide")
    for index in range(6):
        builders.task(job, f"t{index}", range(index))
    committed(store, builders.link(job))
    seen: list[int] = []
    while page := reader.past_tasks("wide", seen[-1] if seen else -1, 100):
        seen += [task.index for task in page]
    assert seen == [0, 1, 2, 3, 4, 5]


def test_machines_are_told_with_their_life_and_what_other_jobs_had_there(store: Store, reader: Reader) -> None:
    mine, other, later = (builders.bag(f"u{number}", 2, name=f"j{number}") for number in (1, 2, 3))
    other.templates[0] = other.tasks[0].template = other.tasks[1].template = builders.template(needs={"cpus": 2})
    later.created = NOON + 5000
    ran(mine, 0, "local-1", 50, 10)
    ran(mine, 1, "host-9", 60, 10)
    ran(other, 0, "local-1", 20, 7)
    ran(other, 1, "local-7", 20, 7)
    ran(later, 0, "local-1", 5100, 7)
    gone = builders.vm("local-1", state=VmState.GONE, since=NOON + 100)
    committed(store, mine, other, later, vms=(gone, builders.vm("local-7", state=VmState.JOINED)))
    first, second = reader.past_machines("j1")
    assert (first.id, first.pool, first.flavor, first.state) == ("local-1", "local", "local.1", "gone")
    assert (first.created, first.ended, first.first, first.others) == (NOON, NOON + 100, NOON + 19, pytest.approx(14.0))
    assert (second.id, second.pool, second.created, second.first) == ("host-9", "", None, NOON + 59)
    assert [one.ended for one in reader.past_machines("j2")] == [NOON + 100, None]
    assert reader.past_machines("nobody") == []
