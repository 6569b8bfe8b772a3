"""The drawings: layers, families, lanes. Pure."""

import random
import time
from array import array
from itertools import pairwise

import pytest

from boss.core.model import Template
from boss.core.view import JobView, View
from boss.page import graphs, lanes, layered, shown
from boss.page.history import EVERY, KEPT, POINTS, History
from boss.ports import SpanRow, StructureRow
from worker.texts import Field

BOX = (100.0, 20.0)


# ---- layers ------------------------------------------------------------------------------------------------------------


def test_whoever_waits_stands_right_of_what_it_waits_for_and_no_boxes_overlap() -> None:
    chance = random.Random(7)
    nodes = list(range(120))
    edges = sorted({(one, chance.randrange(one + 1, 120)) for one in nodes[:-1] for _ in range(2)})
    drawing = layered.draw(nodes, edges, BOX)
    assert set(drawing.places) == set(nodes)
    assert len(drawing.edges) == len(edges)
    for source, target in edges:
        assert drawing.places[source][0] + BOX[0] < drawing.places[target][0]
    places = sorted(drawing.places.values())
    for (x, y), (other_x, other_y) in pairwise(places):
        assert other_x > x or other_y >= y + BOX[1]
    assert all(0 <= x <= drawing.width - BOX[0] and 0 <= y <= drawing.height - BOX[1] for x, y in places)


def test_a_chain_is_a_straight_line_and_a_fan_is_centred() -> None:
    chain = layered.draw([0, 1, 2], [(0, 1), (1, 2)], BOX).places
    assert len({y for _, y in chain.values()}) == 1
    fan = layered.draw([0, 1, 2, 3, 4], [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], BOX).places
    assert fan[0][1] == pytest.approx(fan[4][1])
    assert fan[0][1] == pytest.approx((fan[1][1] + fan[2][1] + fan[3][1]) / 3)


def test_a_graph_without_nodes_or_edges_is_drawn_too() -> None:
    assert layered.draw([], [], BOX).places == {}
    assert len(layered.draw([1, 2], [], BOX).places) == 2


# ---- families ----------------------------------------------------------------------------------------------------------


def _templates() -> dict[int, Template]:
    names = ("prepare", ("run-", Field("T"), "-", Field("seed", ".3f")), "sum[1]")
    return {number: Template(number, name, ("true",)) for number, name in enumerate(names)}  # type: ignore[arg-type]


def test_a_sweep_of_a_hundred_thousand_tasks_becomes_three_boxes_within_two_seconds() -> None:
    count = 100_000
    rows = [StructureRow(0, 0, "succeeded", ())]
    rows += [StructureRow(index, 1, "failed" if index % 10 == 0 else "ready", array("I", [0])) for index in range(1, count + 1)]
    rows.append(StructureRow(count + 1, 2, "waiting", array("I", range(1, count + 1))))
    begun = time.process_time()
    found = graphs.collapse(rows, _templates())
    assert time.process_time() - begun < 2.0
    assert [family.name for family in found.families.values()] == ["prepare", "run-{T}-{seed}", "sum[1]"]
    assert [family.glob for family in found.families.values()] == ["prepare", "run-*-*", "sum[[]1]"]
    assert found.families[1].counts == {"failed": 10_000, "ready": 90_000}
    assert found.links == {(0, 1): count, (1, 2): count}


def test_links_within_a_family_and_crosswise_between_two_make_no_cycle() -> None:
    rows = [
        StructureRow(0, 0, "ready", ()),
        StructureRow(1, 1, "waiting", [0]),
        StructureRow(2, 0, "waiting", [1]),
        StructureRow(3, 1, "waiting", [2]),
        StructureRow(4, 1, "waiting", [3]),
    ]
    found = graphs.collapse(rows, _templates())
    assert found.families[1].within == 1
    assert found.links == {(0, 1): 2}


def test_more_families_than_can_be_looked_at_are_counted() -> None:
    rows = [StructureRow(index, index, "ready", [index - 1] if index else ()) for index in range(graphs.FAMILIES + 5)]
    found = graphs.collapse(rows, {})
    assert len(found.families) == graphs.FAMILIES
    assert found.left_out == 5


# ---- lanes -------------------------------------------------------------------------------------------------------------


def test_attempts_that_overlap_stand_in_lanes_below_each_other() -> None:
    spans = [
        SpanRow(0, 1, "w", "succeeded", 10.0, 20.0),
        SpanRow(1, 1, "w", "failed", 15.0, 18.0),
        SpanRow(2, 1, "w", "running", 20.0, None),
    ]
    found = lanes.lay_out(spans, 30.0)
    (row,) = found.rows
    assert [bar.lane for bar in row.bars] == [0, 1, 0]
    assert row.lanes == 2
    assert (row.bars[0].x, row.bars[0].width) == (0.0, 500.0)
    assert row.bars[2].x + row.bars[2].width == 1000.0
    assert row.busy == 1.0


def test_two_hundred_thousand_attempts_become_few_bars_within_two_seconds() -> None:
    spans = [SpanRow(index, 1, f"w{index % 50}", "succeeded", index * 0.01, index * 0.01 + 0.4) for index in range(200_000)]
    begun = time.process_time()
    found = lanes.lay_out(spans, 2001.0)
    assert time.process_time() - begun < 2.0
    assert sum(len(row.bars) for row in found.rows) < 5000
    assert sum(bar.tasks for row in found.rows for bar in row.bars) == 200_000


def test_a_timeline_without_attempts_or_with_a_clock_that_went_back_is_drawn_too() -> None:
    assert lanes.lay_out([], 5.0).rows == []
    (row,) = lanes.lay_out([SpanRow(0, 1, "w", "failed", 10.0, 9.0)], 5.0).rows
    assert row.bars[0].width >= 1.0


@pytest.mark.parametrize("length", [0.001, 0.5, 7, 61, 3599, 86399, 3e6, 3e8])
def test_ticks_are_few_and_round(length: float) -> None:
    found = lanes.ticks(100.0, 100.0 + length)
    assert 1 <= len(found) <= 8
    assert all(0 <= at <= 100.0001 for _, at in found)


# ---- words and history -------------------------------------------------------------------------------------------------


def test_times_sizes_and_counts_are_written_for_people() -> None:
    assert [shown.span(seconds) for seconds in (0.04, 2.5, 59.6, 200, 7500, 90000)] == [
        "40 ms", "2.5 s", "1 min", "3 min 20 s", "2 h 5 min", "1 d 1 h",
    ]  # fmt: skip
    assert [shown.size(number) for number in (0, 1023, 1536, 10 << 30)] == ["0 B", "1023 B", "1.5 KiB", "10.0 GiB"]
    assert [shown.count(number) for number in (1234567, 2.0, 2.5, 1234.5)] == ["1,234,567", "2", "2.5", "1,234"]


def test_what_is_there_at_all_can_be_seen_in_a_bar() -> None:
    parts = shown.bar({"succeeded": 999_999, "failed": 1})
    assert [(state, width) for state, _, _, width, _ in parts][1] == ("failed", 3.0)
    assert shown.bar({}) == []


class Desk:
    """Nobody's."""


def _view(at: float, done: int, **more: object) -> View:
    job = JobView("u", "job", "ada", "running", "", 0.0, None, {"succeeded": done, "ready": 1000 - done}, since=0.0)
    return View(at, 1, 0.0, jobs=(job,), tasks=dict(job.tasks), cores=(1.0, 2.0, 3.0))


def test_a_jobs_rate_and_end_are_told_from_the_last_minutes() -> None:
    history = History(Desk())  # type: ignore[arg-type]
    for step in range(6):
        history.look(_view(1000.0 + step * EVERY, step * 50))
    (job,) = _view(1050.0, 250).jobs
    assert history.rate(job, 1050.0) == pytest.approx(5.0)
    assert history.left(job, 1050.0) == pytest.approx(150.0)


def test_what_is_kept_of_the_last_hours_is_bounded() -> None:
    history = History(Desk())  # type: ignore[arg-type]
    for step in range(KEPT + 50):
        history.look(_view(step * EVERY, 0))
    found = history.samples()
    assert len(found) <= POINTS + 1
    assert found[-1][0] == (KEPT + 49) * EVERY
