"""Placement: demands and offers in, placements out."""

from boss.core.placement import Demand, Offer, Shares, Turns, can_ever, fits, needs_on, place

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


def test_what_a_worker_can_never_hold_is_not_dealt_ahead_to_it_either() -> None:
    large = demand("large", 3, shape=(("cpus", 2),), depth=4.0)
    assert place([large], [offer("a", 1)], Shares(), prefetch=True) == []
    heavy = demand("heavy", 3, shape=(("cpus", 1), ("memory", 9 * GIB)), depth=4.0)
    assert place([heavy], [offer("a", 1)], Shares(), prefetch=True) == []


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


def test_equals_take_turns_from_one_round_to_the_next() -> None:
    turns = Turns()
    served = []
    for _ in range(6):
        demands = [demand(name, 9, owner=name) for name in ("ada", "ben", "cyd")]
        served += [str(one.key) for one in place(demands, [offer("a", 1)], Shares(turns=turns))]
    assert served == ["ada", "ben", "cyd"] * 2


def test_an_owners_jobs_take_turns_likewise() -> None:
    turns = Turns()
    served = []
    for _ in range(4):
        demands = [demand("one", 9), demand("two", 9)]
        served += [str(one.key) for one in place(demands, [offer("a", 1)], Shares(turns=turns))]
    assert served == ["one", "two"] * 2


def crowded(worker: str, cpus: float, ahead: float, soon: float) -> Offer:
    """A worker with ``ahead`` short tasks beyond its slots, of which ``soon`` will be free when those are through."""
    made = offer(worker, cpus, -ahead)
    made.drained = {"cpus": soon, "memory": 8 * GIB * soon / cpus}
    return made


def test_nobody_is_dealt_ahead_where_somebody_who_ranks_before_waits_for_the_row_to_end() -> None:
    demands = [demand("short", 99, depth=25.0, weight=0.04), demand("new", 1, owner="ben")]
    assert place(demands, [crowded("a", 2, 10, 2)], Shares({"ada": 2}, {"short": 2}), prefetch=True) == []


def test_among_equals_the_row_goes_on() -> None:
    demands = [demand("short", 99, depth=25.0, weight=0.04), demand("new", 1, owner="ben")]
    shares = Shares({"ada": 1, "ben": 1}, {"short": 1, "new": 1})
    assert [one.key for one in place(demands, [crowded("a", 2, 10, 1)], shares, prefetch=True)] == ["short"]


def test_only_as_many_workers_are_kept_as_those_who_wait_can_fill() -> None:
    demands = [demand("short", 999, depth=25.0, weight=0.04), demand("new", 2, owner="ben")]
    offers = [crowded("far", 2, 30, 2), crowded("near", 2, 5, 2)]
    placed = place(demands, offers, Shares({"ada": 4}, {"short": 4}), prefetch=True)
    assert {one.worker for one in placed} == {"far"}


def test_where_only_long_tasks_are_in_the_way_nobody_is_kept_off() -> None:
    demands = [demand("short", 99, depth=25.0, weight=0.04), demand("wide", 1, owner="ben", shape=(("cpus", 2),))]
    placed = place(demands, [crowded("a", 2, 0, 1)], Shares({"ada": 1}, {"short": 1}), prefetch=True)
    assert [one.key for one in placed] == ["short"]


def test_a_worker_that_is_refused_is_not_kept() -> None:
    demands = [demand("short", 99, depth=25.0, weight=0.04), demand("new", 1, owner="ben", refused=frozenset({"a"}))]
    placed = place(demands, [crowded("a", 2, 10, 2)], Shares({"ada": 2}, {"short": 2}), prefetch=True)
    assert [one.key for one in placed] == ["short"]
