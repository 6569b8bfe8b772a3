"""The checker of chaos sees each broken promise, and nothing where all were kept."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from boss.adapters.store import Store
from boss.core.model import TaskState
from chaos import workload
from chaos.checker import Verdict, check
from tests import builders

COUNT = 20


class Run:
    """What a run with nothing wrong leaves, each task with two attempts of which the second counts."""

    def __init__(self, folder: Path) -> None:
        self.store, self.journals, self.database = folder / "datastore", folder / "journals", folder / "state.db"
        self.journals.mkdir()
        self.folder = self.store / "jobs" / workload.JOB
        for name in ("incoming", "accepted", "parts", "trash"):
            (self.store / name).mkdir(parents=True)
        job = builders.bag("u1", COUNT, name=workload.JOB)
        db = Store(f"sqlite:///{self.database}", "c0ffee00")
        db.open()
        db.load()
        lines, sums = [], []
        for number, task in enumerate(job.tasks):
            builders.attempt(task, "w1", state=TaskState.SUCCEEDED, task_state=TaskState.SUCCEEDED)
            path = self.folder / workload.output(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(workload.content(number))
            lines.append(f"{task.name} 1\n")
            sums.append(f"{workload.digest(number)}  {workload.output(number)}\n")
        db.commit(builders.pushed(builders.link(job)))
        db.close()
        (self.journals / "w1").write_text("".join(lines))
        (self.folder / "SHA256SUMS").write_text("".join(sums))

    def verdict(self) -> Verdict:
        return check(COUNT, f"sqlite:///{self.database}", self.store, self.journals)

    def sql(self, statement: str) -> None:
        with sqlite3.connect(self.database) as db:
            db.execute(statement)
        db.close()

    def add(self, worker: str, line: str) -> None:
        with open(self.journals / worker, "a") as file:
            file.write(line)

    def result(self, number: int) -> Path:
        return self.folder / workload.output(number)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_where_all_was_kept_nothing_is_wrong(run: Run) -> None:
    verdict = run.verdict()
    assert (verdict.wrong, verdict.accepted, verdict.ran, verdict.lost) == ([], COUNT, COUNT, 0)


BROKEN: dict[str, Callable[[Run], object]] = {
    "a task is not in the database: t3": lambda run: run.sql("UPDATE tasks SET name = 'other' WHERE name = 't3'"),
    "a task did not succeed: t3 is failed": lambda run: run.sql("UPDATE tasks SET state = 'failed' WHERE name = 't3'"),
    "a task has not one accepted attempt: t3 has 0": lambda run: run.sql(
        "UPDATE attempts SET state = 'lost' WHERE task_index = 3"
    ),
    "an accepted attempt was not the last: t3 attempt 1 of 2": lambda run: run.sql(
        "UPDATE tasks SET number = 2 WHERE name = 't3'"
    ),
    "an accepted attempt did not run on its worker: t3 attempt 1: w2, journal of w1": lambda run: run.sql(
        "UPDATE attempts SET worker = 'w2' WHERE task_index = 3"
    ),
    "an attempt ran twice: t3 attempt 1 on w1 and w2": lambda run: run.add("w2", "t3 1\n"),
    "what ran is not in the database: t3 attempt 2": lambda run: run.add("w1", "t3 2\n"),
    "a journal has a line that is none": lambda run: run.add("w1", "t3\n"),
    "a result is missing: out/0/3.txt": lambda run: run.result(3).unlink(),
    "a result has another content: out/0/9.txt": lambda run: run.result(9).write_text("0\n"),
    "SHA256SUMS has not the digest of a result": lambda run: (run.folder / "SHA256SUMS").write_text(""),
    "a file is no task's: out/0/3.txt.part": lambda run: run.result(3).with_name("3.txt.part").write_text(""),
    "left behind in incoming/: t3.1.1": lambda run: (run.store / "incoming" / "t3.1.1").mkdir(),
    "left behind in parts/: ab.part": lambda run: (run.store / "parts" / "ab.part").write_text(""),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_promise_is_told(run: Run, complaint: str) -> None:
    BROKEN[complaint](run)
    assert any(line.startswith(complaint) for line in run.verdict().wrong), run.verdict().wrong
