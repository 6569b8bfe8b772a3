"""Far workers: how far they are is measured, and short tasks keep them busy without being held where others could run them."""

import random

import pytest

from boss.core import distance
from boss.core.model import Worker
from tests.core.far import Far
from worker.protocol import Result


def trips(far: Far) -> list[float]:
    """What the boss thinks how far each worker is."""
    return [worker.trip or 0.0 for worker in far.state.workers.values()]


def busy(one_way: float, seconds: float, work: float = 10.0, outputs: bool = False, upload: float = 0.0) -> float:
    """How busy eight slots of four workers at this distance are with tasks of so many seconds."""
    far = Far([one_way] * 4, slots=2, upload=upload)
    far.push("job", [seconds] * (round(work / seconds) * 8), outputs=outputs)
    far.run(5 * work)
    return far.efficiency("job")


# ---- busy --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.01, 0.03, 0.1, 0.3, 1.0])
def test_short_tasks_keep_workers_busy_that_are_fifty_milliseconds_away(seconds: float) -> None:
    assert busy(0.05, seconds) >= 0.95


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.0])
def test_even_another_continent_is_no_reason_to_idle(seconds: float) -> None:
    assert busy(0.15, seconds) >= 0.9


def test_outputs_that_have_to_travel_do_not_keep_the_next_tasks_waiting() -> None:
    assert busy(0.05, 0.1, outputs=True, upload=0.12) >= 0.95


def test_tasks_that_run_differently_long_keep_far_workers_busy() -> None:
    chance = random.Random(1)
    far = Far([0.05] * 4, slots=2)
    far.push("job", [chance.expovariate(10.0) for _ in range(800)])
    far.run(60)
    assert far.efficiency("job") >= 0.9


@pytest.mark.parametrize("one_way", [0.05, 0.15])
@pytest.mark.parametrize("seconds", [0.01, 0.1])
def test_a_short_job_loses_one_trip_at_its_start_and_hardly_anything_at_its_end(one_way: float, seconds: float) -> None:
    chance = random.Random(3)
    far = Far([one_way] * 4, slots=2)
    far.push("job", [seconds * chance.uniform(1.0, 1.2) for _ in range(400)])
    far.run(60)
    span = max(far.ended.values()) - min(far.started.values())
    assert span - sum(far.seconds["job"]) / far.slots <= 2 * one_way + 1.5 * seconds + 0.02


# ---- and yet nothing is hoarded -----------------------------------------------------------------------------------------


def test_at_the_end_no_worker_holds_what_another_could_run() -> None:
    far = Far([0.05] * 4, slots=2)
    far.push("job", [1.0] * 40)
    far.run(30)
    ends = [max(far.ended[name] for name, worker in far.on.items() if worker == mine) for mine in far.cores]
    assert max(ends) - min(ends) <= 0.5, "five rounds, all over at once"
    assert far.efficiency("job") >= 0.9


@pytest.mark.parametrize("tasks", [9, 12, 15])
def test_what_is_less_than_one_more_for_each_slot_stays_with_the_boss(tasks: int) -> None:
    far = Far([0.05] * 4, slots=2)
    far.push("known", [1.0] * 8)
    far.run(3)
    far.push("job", [1.0] * tasks)
    far.run(0.01)
    assert all(len(worker.held) <= 2 for worker in far.state.workers.values())


def test_a_few_long_tasks_are_spread_over_all_slots() -> None:
    far = Far([0.05] * 4, slots=2)
    far.push("job", [5.0] * 16)
    far.run(1)
    assert [len(worker.held) for worker in far.state.workers.values()] == [2, 2, 2, 2]
    far.run(5)
    assert [len(worker.held) for worker in far.state.workers.values()] == [2, 2, 2, 2], "five seconds are worth a trip"


def test_only_the_far_worker_is_dealt_further_ahead() -> None:
    far = Far([0.001, 0.1], slots=2)
    far.push("job", [1.0] * 100)
    far.run(6)
    near, away = far.state.workers.values()
    assert len(near.held) == 2
    assert len(away.held) > 2
    near_trip, away_trip = trips(far)
    assert near_trip == pytest.approx(0.002, abs=0.001)
    assert away_trip == pytest.approx(0.2, abs=0.001)


def test_another_owners_task_does_not_wait_for_rows_of_long_ones() -> None:
    far = Far([0.1], slots=2)
    far.push("sweep", [1.0] * 200)
    far.run(5)
    pushed = far.now
    far.push("few", [1.0] * 2, owner="bob")
    far.run(10)
    waited = sorted(far.started[name] - pushed for name in far.started if name.startswith("few."))
    assert len(waited) == 2
    assert waited[0] <= 2 * 1.0 + 2 * 0.2, "what runs, and the one that was dealt ahead"


def test_nothing_is_dealt_ahead_where_the_settings_say_so() -> None:
    far = Far([0.1], slots=2, prefetch_seconds=0.0)
    far.push("job", [0.1] * 100)
    far.run(3)
    assert len(far.started) > 10
    assert all(len(worker.held) <= 2 for worker in far.state.workers.values())


# ---- measuring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.01, 0.2, 3.0])
def test_the_trip_is_measured_whatever_waits_on_the_worker(seconds: float) -> None:
    far = Far([0.02, 0.08], slots=2)
    far.push("job", [seconds] * 400)
    far.run(8)
    assert trips(far) == [pytest.approx(0.04, abs=0.02), pytest.approx(0.16, abs=0.02)], "a result may have waited for company"


def test_a_worker_that_came_closer_is_believed_at_once_and_one_that_went_away_slowly() -> None:
    worker = Worker("w")

    def measured(trip: float) -> float | None:
        distance.probe(worker, "u.0.1", 100.0)
        worker.held = {"u.0.1": None}  # type: ignore[dict-item]
        distance.probe(worker, "u.1.1", 100.1)  # one at a time
        distance.learn(worker, Result("u.1.1", "succeeded", started=1.0, finished=2.0), 200.0)
        distance.learn(worker, Result("u.0.1", "succeeded", started=1.0, finished=2.0), 101.0 + trip)
        return worker.trip

    assert measured(0.2) == pytest.approx(0.2)
    assert measured(0.1) == pytest.approx(0.1)
    assert measured(0.2) == pytest.approx(0.13)
    assert measured(1000.0) == pytest.approx(0.13 + 0.3 * (distance.LONGEST_TRIP - 0.13))
    assert measured(-5.0) == 0.0


def test_an_attempt_that_never_ended_gives_way_to_the_next() -> None:
    worker = Worker("w")
    distance.probe(worker, "u.0.1", 1.0)
    distance.probe(worker, "u.1.1", 5.0)
    distance.learn(worker, Result("u.1.1", "failed", "fetch"), 6.0)
    assert worker.trip is None, "it was never started"
    distance.probe(worker, "u.2.1", 7.0)
    distance.learn(worker, Result("u.2.1", "succeeded", started=50.0, finished=50.5), 7.6)
    assert worker.trip == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("trip", "seconds", "tasks"),
    [
        (0.1, 0.1, 2),
        (0.1, 0.01, 20),
        (0.1, 1.0, 1),
        (0.1, 1.5, 1),
        (0.1, 2.5, 0),
        (0.04, 1.0, 0),
        (0.0, 0.0, 50),
        (0.5, 0.0, 800),
    ],
)
def test_so_many_outlast_a_trip(trip: float, seconds: float, tasks: int) -> None:
    assert distance.ahead(trip, seconds) == tasks
