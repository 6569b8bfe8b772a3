"""Who gets room next."""

from worker.slots import Claim, Slots


def queue(slots: Slots, *needs: dict[str, float]) -> None:
    for number, each in enumerate(needs):
        slots.enqueue(Claim(number, f"a{number}", slots.needs(each)))


def test_attempts_start_in_the_order_given_as_far_as_they_fit() -> None:
    slots = Slots({"cpus": 3})
    queue(slots, {"cpus": 1}, {"cpus": 2}, {"cpus": 1})
    assert slots.admit() == ["a0", "a1"]
    slots.give({"cpus": 1})
    assert slots.admit() == ["a2"]


def test_a_big_attempt_is_not_starved_by_small_ones_behind_it() -> None:
    slots = Slots({"cpus": 4})
    queue(slots, {"cpus": 3}, {"cpus": 4}, {"cpus": 1}, {"cpus": 1})
    assert slots.admit() == ["a0"]
    slots.give({"cpus": 3})
    assert slots.admit() == ["a1"]


def test_a_busy_gpu_does_not_idle_the_cpus() -> None:
    slots = Slots({"cpus": 4, "gpus": 1})
    queue(slots, {"cpus": 1, "gpus": 1}, {"cpus": 1, "gpus": 1}, {"cpus": 1}, {"cpus": 2})
    assert slots.admit() == ["a0", "a2"]  # a1 waits for the gpu and keeps a cpu for that moment; a3 does not fit beside it
    slots.give({"cpus": 1, "gpus": 1})
    assert slots.admit() == ["a1", "a3"]


def test_memory_that_is_not_asked_for_is_shared_out_by_cpus() -> None:
    slots = Slots({"cpus": 3, "memory": 10})
    queue(slots, {}, {"cpus": 1}, {"cpus": 1}, {"cpus": 1})
    assert slots.needs({"cpus": 3})["memory"] == 10
    assert slots.admit() == ["a0", "a1", "a2"]


def test_what_was_withdrawn_is_not_admitted_nor_counted() -> None:
    slots = Slots({"cpus": 1})
    queue(slots, {}, {}, {})
    slots.withdraw("a0")
    assert slots.backlog == 2
    assert slots.admit() == ["a1"]
    assert slots.backlog == 1


def test_what_is_not_offered_is_lacking() -> None:
    slots = Slots({"cpus": 2, "memory": 4})
    assert slots.lacking(slots.needs({"cpus": 2, "memory": 4})) == ""
    assert slots.lacking(slots.needs({"memory": 5})) == "needs 5 memory, this worker has 4"
    assert slots.lacking(slots.needs({"licences": 0})) == ""


def test_thirds_of_a_cpu_fit_three_times() -> None:
    slots = Slots({"cpus": 1})
    queue(slots, *[{"cpus": 1 / 3}] * 4)
    assert slots.admit() == ["a0", "a1", "a2"]
    for _ in range(3):
        slots.give({"cpus": 1 / 3})
    assert slots.admit() == ["a3"]
