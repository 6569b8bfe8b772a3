"""What the boss's core does for a task does not grow with how many there are, and is bounded: counts that no machine changes.

Lines of ``boss/core`` are counted while the real core takes a job in, deals its tasks out to two slots and takes every result: as many
each time. What hides in one call of C (sorting all tasks, say) shows only as cpu time, so that is compared, too, between a small and
a large job; never with a clock on the wall.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import boss.core
from boss.core import dag, reactor
from boss.core.effects import Effect
from boss.core.model import TaskSpec, TaskState, Template
from boss.core.requests import JobOpened, JobStaged, TasksStaged
from boss.core.state import State
from tests.core.hall import Hall

CORE = str(Path(boss.core.__file__).parent)
#: Lines of the core per task, beyond which something new is done for each: twice of what was done on 2026-11-28 (1,020 to 1,160).
MOST_LINES = 2200
#: By how much a task of a job of four times as many may cost more lines. One more look at each task of the job would make it 2.3.
MORE_LINES = 1.25
#: By how much a task of a job of sixteen times as many may cost more cpu. Sorting the job's tasks once a task would make it ten.
MORE_CPU = 2.5
WIDTH = 50

Dependencies = Callable[[int], tuple[int, ...]]
SHAPES: dict[str, Dependencies] = {
    "bag": lambda number: (),
    "chain": lambda number: (number - 1,) if number else (),
    "layers": lambda number: (
        tuple(number - number % WIDTH - WIDTH + (number * k) % WIDTH for k in (1, 3, 7)) if number >= WIDTH else ()
    ),
}


def work(shape: str, count: int) -> None:
    """A job of so many tasks from its push to its end."""
    hall = Hall(workers=1, slots=2)
    hall.seconds["job"] = 0.001
    hall.turn(JobStaged("job", "job", "ada", "job"))
    needed = SHAPES[shape]
    specs = tuple(TaskSpec(number, f"t{number}", 0, dependencies=tuple(sorted(set(needed(number))))) for number in range(count))
    hall.turn(TasksStaged("job", (Template(0, "t", ("true",), needs={"cpus": 1}),), specs))
    hall.turn(JobOpened("job", {}))
    hall.run(1000.0)
    assert hall.state.jobs["job"].counts[TaskState.SUCCEEDED] == count


def lines_per_task(shape: str, count: int) -> float:
    """How many lines of the core are run for each."""
    lines = 0

    def inside(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return inside

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        return inside if frame.f_code.co_filename.startswith(CORE) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work(shape, count)
    finally:
        sys.settrace(before)
    return lines / count


def cpu_per_task(shape: str, count: int) -> float:
    """Seconds of this process."""
    begun = time.process_time()
    work(shape, count)
    return (time.process_time() - begun) / count


@pytest.mark.parametrize("shape", SHAPES)
def test_a_task_costs_the_core_as_many_lines_in_a_job_of_four_times_as_many(shape: str) -> None:
    small, large = lines_per_task(shape, 500), lines_per_task(shape, 2000)
    assert large <= small * MORE_LINES
    assert large <= MOST_LINES


def test_the_same_job_costs_the_same_lines_each_time() -> None:
    assert lines_per_task("layers", 100) == lines_per_task("layers", 100)


def test_a_task_costs_the_core_as_much_cpu_in_a_job_of_sixteen_times_as_many() -> None:
    assert cpu_per_task("bag", 16_000) <= MORE_CPU * cpu_per_task("bag", 1000)


def test_one_look_at_all_tasks_for_each_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard itself: with one walk over the job's tasks at the end of each turn, the count per task grows with the job."""
    settle = reactor.settle

    def slower(state: State, now: float) -> list[Effect]:
        for job in state.jobs.values():
            dag.active_below(job.tasks)
        return settle(state, now)

    monkeypatch.setattr(reactor, "settle", slower)
    assert lines_per_task("bag", 400) > MORE_LINES * lines_per_task("bag", 100)
