"""What results were made of and which are stale, as listings read it: on SQLite and on MariaDB."""

from array import array

from boss.adapters.loading import MANIFESTS
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.model import TaskState
from boss.ports import Origins
from tests import builders

S = TaskState
FILES = (("a.py", "aa" * 32, 0o644), ("ß/run", "bb" * 32, 0o755))


def test_stale_tasks_are_listed_with_their_cause_and_counted(store: Store, reader: Reader) -> None:
    job = builders.chain("u1", "a", "b", "c", "d")
    for task, stale in zip(job.tasks, (0, 1, -1, 0), strict=True):
        task.state, task.stale = S.SUCCEEDED, stale
    job.stale = 2
    builders.link(job)
    store.commit(builders.pushed(job))
    reason = "made from an older result of a"
    assert [(row.id, row.stale) for row in reader.tasks()] == [("a", ""), ("b", reason), ("c", reason), ("d", "")]
    assert [row.id for row in reader.tasks(stale=True)] == ["b", "c"]
    assert [row.id for row in reader.tasks("job-u1", [S.SUCCEEDED], "c", stale=True)] == ["c"]
    assert [row.id for row in reader.tasks(limit=1, after=("job-u1", 1), stale=True)] == ["c"]
    assert (reader.jobs()[0].stale, store.load().jobs[0].stale) == (2, 2)


def test_what_an_attempt_was_made_of_is_read_back(store: Store, reader: Reader) -> None:
    job = builders.chain("u1", "a", "b")
    made = [
        builders.attempt(task, task_state=S.SUCCEEDED, state="succeeded", input_set=number)
        for task, number in zip(job.tasks, (1, 0), strict=True)
    ]
    made[0].files = (("out", 3, "cc" * 32),)
    changes = builders.pushed(job)
    changes.new_input_sets = [("u1", 1, FILES)]
    changes.read_results = {made[1].id: array("I", [0, 1])}
    store.commit(changes)
    assert reader.origins(job.name, 0, 1) == Origins(FILES)
    assert reader.origins(job.name, 1, 1) == Origins((), ((0, 1),))
    assert reader.origins(job.name, 1, 2) is None
    assert reader.origins("nobody", 0, 1) is None
    assert list(reader.manifests(job.name, [(0, 1), (0, 7), (1, 1)])) == [
        (0, 1, (("out", 3, "cc" * 32),)),
        (0, 7, None),
        (1, 1, ()),
    ]
    found = reader.full_job(job.name)
    assert found is not None and found.input_sets == {FILES: 1}


def test_manifests_of_very_many_attempts_are_read_in_pages(store: Store, reader: Reader) -> None:
    job = builders.bag("u1", 2 * MANIFESTS + 3)
    for task in job.tasks:
        builders.attempt(task, task_state=S.SUCCEEDED, state="succeeded").files = ((f"out-{task.index}", 1, "dd" * 32),)
    store.commit(builders.pushed(job))
    asked = [(task.index, 1) for task in reversed(job.tasks)]
    assert [found[0] for _, _, found in reader.manifests(job.name, asked) if found] == [
        (f"out-{index}", 1, "dd" * 32) for index, _ in asked
    ]


def test_input_sets_leave_with_their_job(store: Store) -> None:
    job = builders.bag("u1", 1)
    changes = builders.pushed(job)
    changes.new_input_sets = [("u1", 1, FILES)]
    changes.dropped_jobs = {"u1"}
    store.commit(changes)
    assert store.load().jobs == []
