"""How rows of the API become attempts: what had its cpus when, and what came of it."""

from typing import Any

import pytest

from figures.rows import Attempt, tasks_of


def row(number: int, state: str, started: float | None = None, finished: float | None = None, **more: Any) -> dict[str, Any]:
    plain = {"worker": "w", "phase": "", "exit_code": None, "signal": None, "reason": "", "assigned": 1.0, "usage": {}}
    return plain | {"number": number, "state": state, "started": started, "finished": finished} | more


def read(*attempts: dict[str, Any], state: str = "running", finished: float | None = None, now: float = 100.0) -> list[Attempt]:
    one = {"index": 0, "id": "a", "state": state, "template": 3, "finished": finished, "after": [], "attempts": list(attempts)}
    [task] = tasks_of({"tasks": [one], "entries": {"3": {"name": "a", "cpus": 2.0, "init": False}}}, now)
    return list(task.attempts)


def test_a_running_attempt_counts_until_now() -> None:
    [one] = read(row(1, "running", 40.0))
    assert (one.open, one.seconds, one.cost) == (True, 60.0, 120.0)


def test_a_lost_attempt_counts_until_its_task_was_dealt_out_again() -> None:
    first, second = read(row(1, "lost", 10.0), row(2, "running", 31.0, assigned=30.0))
    assert (first.fate, first.seconds, second.open) == ("lost", 20.0, True)


def test_a_lost_attempt_of_a_task_that_ended_counts_until_that() -> None:
    [one] = read(row(1, "lost", 10.0), state="cancelled", finished=15.0)
    assert (one.fate, one.seconds) == ("lost", 5.0)


def test_what_never_started_costs_nothing() -> None:
    first, second = read(row(1, "recalled"), row(2, "assigned", assigned=50.0))
    assert (first.fate, first.cost, second.fate, second.cost) == ("cancelled", 0.0, "open", 0.0)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"reason": "exit code 3", "exit_code": 3, "phase": "run"}, "exit code 3"),
        ({"signal": 9}, "killed by signal 9"),
        ({"exit_code": 2}, "exit code 2"),
        ({"phase": "fetch", "reason": "no such file"}, "fetch: no such file"),
        ({}, "failed"),
    ],
)
def test_the_cause_of_a_failure_is_told_once(facts: dict[str, Any], said: str) -> None:
    assert read(row(1, "failed", 1.0, 2.0, **facts), state="failed")[0].cause == said


def test_a_clock_that_went_back_makes_no_negative_time() -> None:
    assert read(row(1, "succeeded", 20.0, 10.0))[0].seconds == 0.0
