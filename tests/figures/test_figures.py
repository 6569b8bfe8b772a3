"""Timeline, utilisation, cost, waste, slow tasks and the critical path, by hand and at size."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures import cost, path, slow, timeline
from figures.axis import Axis
from figures.rows import Machine
from tests.figures.past import attempt, past, task

# ---- the axis ----------------------------------------------------------------------------------------------------------


def test_a_long_gap_is_cut_out_of_the_axis_and_told() -> None:
    axis = Axis([(0.0, 100.0), (90_000.0, 90_100.0)], 0.0, 90_100.0)
    assert [(one.begin, one.end) for one in axis.periods] == [(0.0, 100.0), (90_000.0, 90_100.0)]
    [(place, seconds)] = axis.cuts
    assert (axis.seconds, seconds) == (200.0, 89_900.0)
    assert place == pytest.approx(0.5)
    assert axis.at(50.0) == pytest.approx(0.247)
    assert axis.at(50_000.0) == axis.at(100.0)


def test_a_short_gap_is_no_cut() -> None:
    assert Axis([(0.0, 100.0), (110.0, 200.0)], 0.0, 200.0).cuts == []


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=30))
def test_the_axis_never_runs_backwards(spans: list[tuple[float, float]]) -> None:
    ordered = [(min(pair), max(pair)) for pair in spans]
    axis = Axis(ordered, 0.0, 1e6)
    places = [axis.at(moment) for moment in sorted(moment for pair in ordered for moment in pair)]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert len(axis.ticks()) <= 8 + 2 * len(axis.periods)


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000), st.floats(0.5, 8)), max_size=20))
def test_what_is_spread_over_bins_is_neither_more_nor_less(spans: list[tuple[float, float, float]]) -> None:
    bins = [(float(start), float(start + 10)) for start in range(0, 1000, 10)]
    ordered = [(min(a, b), max(a, b), weight) for a, b, weight in spans]
    total = sum((end - start) * weight for start, end, weight in ordered)
    assert sum(timeline.spread(ordered, bins)) * 10 == pytest.approx(total, abs=1e-6)


# ---- the timeline ------------------------------------------------------------------------------------------------------


def test_attempts_that_overlap_on_a_worker_lie_in_rows_of_their_own() -> None:
    found = past(task(0, [attempt(0, 50)]), task(1, [attempt(10, 20)]), task(2, [attempt(30, 90)]), finished=90.0)
    [lane] = timeline.lanes_of(found, timeline.axis_of(found))
    assert [(bar.task.id, bar.row) for bar in lane.bars] == [("t0", 0), ("t1", 1), ("t2", 1)]
    assert (lane.rows, lane.bars[0].left, lane.bars[2].right) == (2, 0.0, 1.0)


def test_utilisation_is_cpus_asked_for_over_time_beside_those_that_vms_had() -> None:
    machine = Machine("w", "cloud", "m", 4.0, 0.0, 100.0, 10.0)
    found = past(task(0, [attempt(50, 100, cpus=2.0)]), machines=[machine], finished=100.0)
    curve = timeline.curve_of(found, timeline.axis_of(found))
    assert curve.had is not None
    assert (curve.used[0], curve.used[-1], curve.had[0]) == (0.0, pytest.approx(2.0), pytest.approx(4.0))


def test_what_vms_had_is_not_drawn_when_that_is_not_known_of_all() -> None:
    found = past(task(0, [attempt(0, 9)]), machines=[Machine("w", "cloud", "m", None, 0.0, 9.0)], finished=9.0)
    assert timeline.curve_of(found, timeline.axis_of(found)).had is None


def test_a_hundred_thousand_tasks_on_a_thousand_workers_make_a_bounded_picture_in_seconds() -> None:
    tries = [attempt(n / 1000, n / 1000 + 60, f"w{n % 1000}", "failed" if n % 50 == 0 else "done") for n in range(100_000)]
    tasks = [task(n, [one], after=[n // 2] if n else ()) for n, one in enumerate(tries)]
    machines = [Machine(f"w{n}", "p", "f", 4.0, -30.0, None, 0.0) for n in range(1000)]
    found = past(*tasks, machines=machines, now=200.0)
    begun = time.process_time()
    axis = timeline.axis_of(found)
    lanes = timeline.lanes_of(found, axis)
    curve, costs = timeline.curve_of(found, axis), cost.cost_of(found)
    assert path.path_of(found) is not None and slow.slowest(found) and slow.families(found)
    assert len(lanes) <= timeline.LANES and sum(len(lane.pieces) + len(lane.bars) for lane in lanes) <= 10_000
    assert len(curve.used) <= timeline.CURVE + 2 and len(costs.causes) == 1
    assert time.process_time() - begun < 20


# ---- cost and waste ----------------------------------------------------------------------------------------------------


def test_cpu_seconds_are_told_by_what_came_of_them() -> None:
    tries = [
        attempt(0, 10, fate="failed", cause="exit code 1", cpus=2.0),
        attempt(10, 15, fate="lost", cause="silent", number=2, cpus=2.0),
        attempt(20, 30, number=3, cpus=2.0),
        attempt(40, 60, number=4, cpus=2.0, cpu_used=30.0),
    ]
    found = cost.cost_of(past(task(0, tries), task(1, [attempt(900, 1000, fate="open")])))
    assert (found.failed, found.lost, found.again, found.done, found.open) == (20.0, 10.0, 20.0, 40.0, 100.0)
    assert (found.wasted, found.tasks, found.used, found.counted) == (30.0, 190.0, 30.0, 40.0)
    told = [(one.cause, one.count, one.cost, one.example) for one in found.causes]
    assert told == [("exit code 1", 1, 20.0, "t0"), ("silent", 1, 10.0, "t0")]


def test_a_vm_costs_boot_work_others_and_idleness_and_these_add_up() -> None:
    machine = Machine("w", "cloud", "m", 4.0, 0.0, 100.0, 20.0, 60.0)
    vms = cost.cost_of(past(task(0, [attempt(20, 70, cpus=2.0)]), machines=[machine], finished=70.0)).vms
    assert vms is not None
    assert (vms.had, vms.boot, vms.own, vms.others, vms.idle) == (400.0, 80.0, 100.0, 60.0, 160.0)
    assert vms.boot + vms.own + vms.others + vms.idle == vms.had


def test_a_vm_of_unknown_size_counts_in_hours_alone_and_a_host_not_at_all() -> None:
    found = cost.cost_of(past(machines=[Machine("w", "c", "m", None, 0.0, 50.0), Machine("host")])).vms
    assert found is not None and (found.count, found.unknown, found.seconds, found.had) == (1, 1, 50.0, 0.0)
    assert cost.cost_of(past(machines=[Machine("host", cpus=8.0)])).vms is None


# ---- the critical path -------------------------------------------------------------------------------------------------


def test_the_path_is_what_the_end_waited_for_and_its_parts_add_up() -> None:
    found = path.path_of(
        past(
            task(0, [attempt(5, 15, assigned=4.0)]),
            task(1, [attempt(5, 40, assigned=5.0, fate="failed"), attempt(52, 80, assigned=50.0, number=2)]),
            task(2, [attempt(95, 100, assigned=90.0)], after=[0, 1]),
            finished=100.0,
        )
    )
    assert found is not None
    assert [one.task.id for one in found.steps] == ["t1", "t2"]
    first, last = found.steps
    assert (first.wait, first.tried, first.start, first.run) == (5.0, 45.0, 2.0, 28.0)
    assert (last.wait, last.tried, last.start, last.run) == (10.0, 0.0, 5.0, 5.0)
    assert (found.seconds, found.bound, found.bound_tasks) == (100.0, 33.0, 2)


def test_a_dependency_that_ran_again_later_is_not_what_its_task_waited_for() -> None:
    again = [attempt(0, 10, number=1), attempt(500, 510, number=2)]
    found = path.path_of(past(task(0, again), task(1, [attempt(12, 600)], after=[0]), finished=600.0))
    assert found is not None
    assert [(one.task.id, one.attempt.number) for one in found.steps] == [("t0", 1), ("t1", 1)]
    assert found.seconds == 600.0


def test_nothing_that_ran_has_no_path() -> None:
    assert path.path_of(past(task(0, state="ready"), task(1, [attempt(0, 5, fate="open")], state="running"))) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=25))
def test_no_path_is_longer_than_the_job_nor_shorter_than_its_run_times(rows: list[tuple[int, float, float]]) -> None:
    tasks, ends = [], []
    for index, (above, wait, run) in enumerate(rows):
        after = [number for number in range(index) if number % (above + 1) == 0]
        ready = max((ends[number] for number in after), default=0.0)
        ends.append(ready + wait + run)
        tasks.append(task(index, [attempt(ready + wait, ready + wait + run)], after=after))
    found = path.path_of(past(*tasks, finished=max(ends)))
    assert found is not None
    assert found.seconds == pytest.approx(max(ends), abs=1e-6)
    assert found.bound <= found.seconds + 1e-6
    assert found.run <= found.bound + 1e-6 or len(found.steps) < len(tasks)


# ---- slow tasks --------------------------------------------------------------------------------------------------------


def test_the_slowest_are_told_beside_the_median_of_their_entry() -> None:
    tasks = [task(n, [attempt(0, 10)], family="run-{T}") for n in range(5)] + [task(9, [attempt(0, 80)], family="run-{T}")]
    first = slow.slowest(past(*tasks, task(10, [attempt(0, 5)], family="plot")))[0]
    assert (first.task.id, first.times) == ("t9", 8.0)
    [family, _], more = slow.families(past(*tasks, task(10, [attempt(0, 5)], family="plot")))
    assert (family.name, family.count, family.median, family.longest, family.cost, more) == ("run-{T}", 6, 10.0, 80.0, 130.0, 0)
