"""What is counted of a running boss: derived from what was committed, once for each thing that has happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.core.events import WorkerSaid
from boss.core.requests import TasksRedone
from boss.meters import Histogram, Meters
from tests.boss.test_loop import Boss
from worker.protocol import Result, Results, Started


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Boss]:
    one = Boss(tmp_path)
    yield one
    one.store.close()


def seen(histogram: Histogram) -> int:
    """How many observations there were."""
    return sum(histogram.counts)


def ends(boss: Boss, attempt: str, ran: float, outcome: str = "succeeded") -> None:
    """An attempt that began ten seconds after the test did has run for so long, and its result comes half a second after its end."""
    started, phase = 1010.0, "" if outcome == "succeeded" else "run"
    result = Result(attempt, outcome, phase=phase, exit_code=0, started=started, finished=started + ran)
    boss.steady, boss.wall = 10.0 + ran + 0.3, 1010.0 + ran + 0.3
    boss.turn(WorkerSaid("local-1", Results("s1", (result,))))


def test_an_observation_falls_into_the_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0, -3.0):
        histogram.see(value)
    assert histogram.counts == [3, 2, 1]
    assert histogram.total == 14.0, "what clocks that differ make negative counts as 0"


def test_a_tasks_wait_run_and_commit_are_measured_once(boss: Boss) -> None:
    boss.push()
    boss.join()
    meters = boss.loop.meters
    boss.turn(WorkerSaid("local-1", Started("s1", {"u1.0.1": 1010.0})))
    assert (meters.dealt, seen(meters.runs)) == (1, 0)
    ends(boss, "u1.0.1", 2.0)
    ends(boss, "u1.0.1", 2.0)  # its worker says it again
    assert meters.ended == {"succeeded": 1}
    assert meters.runs.total == pytest.approx(2.0)
    assert meters.waits.total == pytest.approx(9.6, abs=0.2), "from the push to the start"
    assert meters.commits.total == pytest.approx(0.5)
    assert meters.jobs == {"succeeded": 1}


def test_a_task_that_is_run_again_is_another_attempt_and_no_other_wait(boss: Boss) -> None:
    boss.push()
    boss.join()
    ends(boss, "u1.0.1", 1.0)
    boss.ask(TasksRedone("job", "t0"))
    ends(boss, "u1.0.2", 1.0)
    meters = boss.loop.meters
    assert (meters.dealt, meters.ended["succeeded"], seen(meters.waits), meters.jobs["succeeded"]) == (2, 2, 1, 2)


def test_a_failure_counts_as_one_and_its_job_too(boss: Boss) -> None:
    boss.push()
    boss.join()
    ends(boss, "u1.0.1", 1.0, "failed")
    assert boss.loop.meters.ended == {"failed": 1}
    assert boss.loop.meters.jobs == {"failed": 1}


def test_boots_and_the_fleet_are_seen_by_pool(boss: Boss) -> None:
    boss.push(3)
    boss.join()
    meters = boss.loop.meters
    assert seen(meters.boots["local"]) == 1
    boss.turn()
    standing = meters.standing
    assert (standing.had, standing.used) == ({"local": 1.0}, {"local": 1.0})
    assert standing.wanted == 3.0, "one is dealt out, two are ready"
    assert standing.workers["local", "online"] == standing.vms["local", "joined"] == 1
    assert standing.connected


def test_a_commit_that_failed_is_counted_as_a_recovery_and_as_nothing_else(boss: Boss) -> None:
    boss.push()
    boss.join()
    boss.store.fail_before = True
    ends(boss, "u1.0.1", 1.0)
    assert boss.loop.meters.recoveries == 1
    assert boss.loop.meters.ended == {}
    ends(boss, "u1.0.1", 1.0)
    assert boss.loop.meters.ended == {"succeeded": 1}


def test_meters_of_a_new_life_begin_at_nothing() -> None:
    meters = Meters()
    assert (meters.dealt, seen(meters.turns), meters.standing.wanted) == (0, 0, 0.0)
