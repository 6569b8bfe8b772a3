"""The tables: what may follow what."""

import pytest

from boss.core.lifecycle import (
    TASK_TRANSITIONS,
    VM_TRANSITIONS,
    WORKER_TRANSITIONS,
    IllegalTransition,
    TaskCause,
    advance,
)
from boss.core.model import FINAL_STATES, Job, Task, TaskState, Template, VmState, WorkerState


def task(state: TaskState) -> Task:
    job = Job("u", "job", "ada", 0.0, counts={state: 1})
    return Task(job, 0, "t", Template(0, "t", ("true",)), state=state)


def test_every_state_has_a_row() -> None:
    assert set(TASK_TRANSITIONS) == set(TaskState)
    assert set(WORKER_TRANSITIONS) == set(WorkerState)
    assert set(VM_TRANSITIONS) == set(VmState)


def test_an_illegal_pair_raises_and_changes_nothing() -> None:
    running = task(TaskState.RUNNING)
    with pytest.raises(IllegalTransition, match=r"job:t is running: dealt cannot happen"):
        advance(running, TaskCause.DEALT)
    assert running.state is TaskState.RUNNING
    assert running.job.counts == {TaskState.RUNNING: 1}


def test_final_states_are_left_by_being_reopened_only() -> None:
    for state in FINAL_STATES:
        assert set(TASK_TRANSITIONS[state]) == {TaskCause.REOPENED, TaskCause.REOPENED_WAITING}


def test_nothing_that_is_being_accepted_can_be_cancelled() -> None:
    assert TaskCause.CANCELLED not in TASK_TRANSITIONS[TaskState.PROMOTING]


def test_counts_follow_every_transition() -> None:
    for state, row in TASK_TRANSITIONS.items():
        for cause, after in row.items():
            one = task(state)
            assert advance(one, cause) is after
            assert {name: count for name, count in one.job.counts.items() if count} == {after: 1}


def test_every_state_can_be_reached_and_left() -> None:
    reached = {after for row in TASK_TRANSITIONS.values() for after in row.values()}
    assert reached == set(TaskState)
