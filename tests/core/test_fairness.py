"""Fairness, seen from the workers: who starts when, with the real core dealing and scaling. Times in seconds of the hall's clock."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.core.hall import TRIP, Hall

#: What may wait on a worker ahead of its turn (``policy.prefetch_seconds``), and two words there and back.
ROW = 0.25 + 4 * TRIP


def busy(hall: Hall, seconds: float, tasks: int = 50_000) -> float:
    """Ada has pushed very many tasks of so many seconds, and has the whole hall; when that is so."""
    hall.push("ada", "sweep", tasks, seconds)
    hall.run(max(3.0, 3.4 * seconds))
    return hall.now


# ---- long tasks --------------------------------------------------------------------------------------------------------


def test_ten_tasks_start_within_one_task_length_beside_fifty_thousand_of_another() -> None:
    hall = Hall(workers=5, slots=4)
    pushed = busy(hall, 60.0)
    hall.push("bob", "few", 10, 60.0)
    hall.run(130)
    assert len(hall.begun("few")) == 10
    assert max(hall.begun("few", pushed)) <= 60.0 + ROW


def test_on_few_slots_each_second_free_slot_is_the_newcomers_until_all_run() -> None:
    hall = Hall(workers=1, slots=2)
    pushed = busy(hall, 60.0)
    hall.push("bob", "few", 10, 60.0)
    hall.run(60 * 12)
    begun = hall.begun("few", pushed)
    assert len(begun) == 10
    assert begun[0] <= 60.0 + ROW
    assert all(later - earlier <= 61.0 for earlier, later in pairwise(begun))


def test_on_a_single_slot_owners_take_turns() -> None:
    hall = Hall(workers=1, slots=1)
    busy(hall, 1.0)
    hall.push("bob", "few", 10, 1.0)
    hall.push("cyd", "some", 10, 1.0)
    before = set(hall.started)
    hall.run(30.5)
    order = [name.split(".")[0] for name in sorted(hall.started, key=hall.started.__getitem__) if name not in before]
    assert all(Counter(order[start : start + 3]) == Counter(("sweep", "few", "some")) for start in range(0, 27, 3)), order


def test_an_owners_second_job_takes_turns_with_the_first() -> None:
    hall = Hall(workers=1, slots=1)
    pushed = busy(hall, 1.0)
    hall.push("ada", "second", 10, 1.0)
    hall.run(21)
    assert len(hall.begun("second")) == 10
    assert hall.begun("second", pushed)[0] <= 1.0 + ROW


def test_an_owner_with_many_jobs_gets_no_more_than_one_with_a_single_one() -> None:
    hall = Hall(workers=2, slots=4)
    for number in range(7):
        hall.push("ada", f"sweep{number}", 1000, 1.0)
    hall.push("bob", "single", 1000, 1.0)
    hall.run(40)
    ada, bob = sum(len(hall.begun(f"sweep{number}")) for number in range(7)), len(hall.begun("single"))
    assert 0.8 <= bob / ada <= 1.25, (ada, bob)


def test_what_is_shared_is_slots_and_not_tasks() -> None:
    hall = Hall(workers=2, slots=4)
    hall.push("ada", "wide", 1000, 1.0, cpus=4)
    hall.push("bob", "narrow", 1000, 1.0)
    hall.run(40)
    assert 0.7 <= 4 * len(hall.begun("wide")) / len(hall.begun("narrow")) <= 1.4


def test_a_higher_priority_goes_before_any_turn() -> None:
    hall = Hall(workers=1, slots=2)
    pushed = busy(hall, 1.0)
    hall.push("ada", "urgent", 10, 1.0, priority=1)
    hall.push("bob", "few", 10, 1.0)
    hall.run(6.5)
    assert len(hall.begun("urgent", pushed)) == 10
    assert hall.begun("few", pushed)[0] >= hall.begun("urgent", pushed)[-1]


# ---- short tasks, which are dealt ahead --------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "slots"), [(1, 1), (1, 2), (2, 2), pytest.param(5, 4, marks=pytest.mark.long)])
@pytest.mark.parametrize("short", [0.001, 0.01, 0.1])
def test_a_newcomer_waits_for_no_more_than_what_was_dealt_ahead(workers: int, slots: int, short: float) -> None:
    hall = Hall(workers, slots)
    pushed = busy(hall, short)
    hall.push("bob", "few", 10, 30.0)
    hall.run(1)
    share = min(10, max(1, workers * slots // 2))
    assert len(hall.begun("few")) >= share
    assert hall.begun("few", pushed)[share - 1] <= ROW + 2 * short


def test_ten_short_tasks_are_through_in_no_time_beside_fifty_thousand_short_ones() -> None:
    hall = Hall(workers=2, slots=2)
    pushed = busy(hall, 0.01)
    hall.push("bob", "few", 10, 0.01)
    hall.run(2)
    assert len(hall.begun("few")) == 10
    assert max(hall.begun("few", pushed)) <= 4 * ROW


def test_the_short_tasks_keep_their_half_of_the_slots_and_their_pace() -> None:
    hall = Hall(workers=2, slots=2)
    busy(hall, 0.01)
    hall.push("bob", "long", 1000, 30.0)
    hall.run(2)
    seen = hall.now
    hall.run(20)
    assert Counter(name.split(".")[0] for bench in hall.benches.values() for name in bench.running)["long"] == 2
    assert hall.done("sweep", seen) / 20 >= 0.9 * 2 / 0.01


def test_short_tasks_of_different_lengths_share_the_time_and_not_the_turns() -> None:
    # not evenly: a row of the shorter ones is through before the next of the longer ones has its place
    hall = Hall(workers=2, slots=2)
    busy(hall, 0.01)
    hall.push("bob", "longer", 5000, 0.08)
    hall.run(2)
    seen = hall.now
    hall.run(20)
    ada, bob = 0.01 * hall.done("sweep", seen), 0.08 * hall.done("longer", seen)
    assert 0.4 <= bob / ada <= 1.6
    assert ada + bob >= 0.95 * 4 * 20


@pytest.mark.parametrize("short", [0.01, 0.2])
def test_a_task_of_two_slots_is_not_starved_by_short_ones_of_one(short: float) -> None:
    hall = Hall(workers=1, slots=2)
    pushed = busy(hall, short)
    hall.push("bob", "wide", 5, 1.0, cpus=2)
    hall.run(10)
    assert len(hall.begun("wide")) == 5
    assert hall.begun("wide", pushed)[0] <= ROW + 2 * short


def test_a_task_that_fits_nowhere_keeps_nobody_waiting() -> None:
    alone, beside = Hall(workers=2, slots=2), Hall(workers=2, slots=2)
    for hall in (alone, beside):
        busy(hall, 0.01)
    beside.push("bob", "huge", 10, 1.0, cpus=64)
    seen = alone.now
    for hall in (alone, beside):
        hall.run(5)
    assert beside.done("sweep", seen) >= 0.98 * alone.done("sweep", seen)


def test_who_waits_for_a_long_task_of_another_keeps_nobody_from_dealing_ahead() -> None:
    hall = Hall(workers=1, slots=2)
    hall.push("cyd", "day", 1, 86_400.0)
    hall.run(1)
    busy(hall, 0.01)
    hall.push("bob", "wide", 1, 1.0, cpus=2)  # has to wait for the day to end, whatever ada does
    hall.run(1)
    seen = hall.now
    hall.run(5)
    assert hall.done("sweep", seen) / 5 >= 0.95 / 0.01


def test_one_alone_is_dealt_ahead_as_before() -> None:
    hall = Hall(workers=2, slots=2)
    seen = busy(hall, 0.01)
    hall.run(5)
    assert hall.done("sweep", seen) / 5 >= 0.98 * 4 / 0.01
