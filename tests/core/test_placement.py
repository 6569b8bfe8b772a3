"""Placement: demands and offers in, placements out."""

from boss.core.placement import Demand, Offer, Shares, can_ever, fits, needs_on, place

ONE = (("cpus", 1),)
GIB = 2.0**30


def offer(worker: str, cpus: float, free: float | None = None, memory: float = 8 * GIB) -> Offer:
    share = cpus if free is None else free
    return Offer(worker, {"cpus": cpus, "memory": memory}, {"cpus": share, "memory": memory * share / cpus})


def demand(key: str, count: int, **fields: object) -> Demand:
    values: dict[str, object] = {"priority": 0, "owner": "ada", "job": key, "shape": ONE, **fields}
    return Demand(key, count=count, **values)  # type: ignore[arg-type]


def test_nothing_is_placed_beyond_the_room() -> None:
    placed = place([demand("j", 10)], [offer("a", 2), offer("b", 1)], Shares())
    assert sum(one.count for one in placed) == 3


def test_the_fullest_worker_is_filled_first() -> None:
    placed = place([demand("j", 1)], [offer("a", 4), offer("b", 4, 1)], Shares())
    assert [one.worker for one in placed] == ["b"]


def test_higher_priority_goes_first() -> None:
    placed = place([demand("low", 5), demand("high", 1, priority=1)], [offer("a", 1)], Shares())
    assert [one.key for one in placed] == ["high"]


def test_owners_take_turns_by_what_they_have_running() -> None:
    demands = [demand("ada", 9, owner="ada"), demand("ben", 9, owner="ben")]
    placed = place(demands, [offer("a", 4)], Shares({"ada": 2}, {"ada": 2}))
    assert {one.key: one.count for one in placed} == {"ada": 1, "ben": 3}


def test_memory_that_was_not_asked_for_is_the_share_of_the_cpus() -> None:
    assert needs_on(ONE, {"cpus": 4, "memory": 8 * GIB})["memory"] == 2 * GIB
    big = (("cpus", 1), ("memory", 7 * GIB))
    placed = place([demand("big", 1, shape=big), demand("small", 4)], [offer("a", 4)], Shares())
    assert {one.key: one.count for one in placed} == {"big": 1}


def test_a_refused_worker_is_passed_over_for_that_demand_only() -> None:
    demands = [demand("j", 2, refused=frozenset({"a"})), demand("k", 2)]
    placed = place(demands, [offer("a", 1), offer("b", 1)], Shares())
    assert {(one.key, one.worker) for one in placed} == {("j", "b"), ("k", "a")}


def test_prefetch_overcommits_by_the_demands_depth() -> None:
    demands = [demand("short", 100, depth=4.0), demand("long", 100)]
    placed = place(demands, [offer("a", 2, 0)], Shares(), prefetch=True)
    assert {one.key: one.count for one in placed} == {"short": 8}


def test_a_named_count_that_a_worker_lacks_never_fits() -> None:
    gpu = (("cpus", 1), ("gpus", 1))
    assert not can_ever(gpu, {"cpus": 8, "memory": GIB})
    assert can_ever(gpu, {"cpus": 8, "memory": GIB, "gpus": 1})


def test_fractions_add_up() -> None:
    tenth = (("cpus", 0.1),)
    placed = place([demand("j", 100, shape=tenth)], [offer("a", 1)], Shares())
    assert sum(one.count for one in placed) == 10
    assert fits({"cpus": 0.1}, {"cpus": 0.1 + 0.2 - 0.2}, {"cpus": 1})
