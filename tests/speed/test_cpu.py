"""What a task costs in cpu through the real boss, broker and workers, beside xargs running the same command in the same minutes.

Cpu of all processes by the kernel's accounting, as a ratio: a busy or slow machine makes both dearer. On 2026-11-28 the ratios were
1.4 and 4 on a quiet machine, and up to 2.3 and 6.6 where eight other programs wanted its two cores (a shared cache hurts Python more
than it hurts ``/bin/true``). So the bounds are reached by mistakes and not by noise. Wall clocks have no part in it.
"""

from collections.abc import Iterator

import pytest

from benchmarks.loads import WARM_UP, Load, chain, no_ops
from benchmarks.private_boss import PrivateBoss, private_boss
from benchmarks.throughput import run_xargs

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def boss() -> Iterator[PrivateBoss]:
    """A boss as shipped, with its workers up."""
    with private_boss(None) as boss:
        assert boss.client.submit(WARM_UP.document).wait(60) == "succeeded"
        yield boss


def ratio(boss: PrivateBoss, load: Load) -> float:
    """Cpu of all processes of the boss for a load, in units of that of xargs right before and after."""
    _, before = run_xargs(load)
    spent = boss.cpu()
    assert boss.client.submit(load.document).wait(100) == "succeeded"
    spent = boss.cpu() - spent
    _, after = run_xargs(load)
    return 2 * spent / (before + after)


def test_a_task_among_many_costs_no_more_than_three_and_a_half_times_what_it_costs_with_xargs(boss: PrivateBoss) -> None:
    assert ratio(boss, no_ops(3000)) <= 3.5


def test_a_task_that_waits_for_one_other_costs_no_more_than_twelve_times_what_it_costs_with_xargs(boss: PrivateBoss) -> None:
    assert ratio(boss, chain(300)) <= 12.0
