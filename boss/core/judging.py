"""How good a way to go on is, and the search for the best number of VMs. Pure.

Rules:
- What counts are ratios: a job that ends 10 % sooner is worth so many per cent of what all VMs cost.
- Where nothing is known of the run times, it is the mean over the ways in which they may turn out. A way is judged as it would be gone:
  when the first of what is unknown has ended, more VMs may be asked for.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf, log
from typing import TypeVar

from boss.core.forecast import Forecast
from boss.core.rollout import EPSILON, Machine, Outcome, roll

#: Numbers of VMs that are tried; between the best two neighbours the middle is tried too.
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 30, 36, 43, 50, 60, 75, 100, 130, 170, 220, 300, 400, 600, 1000)
#: So many tries in a row without a gain end the search.
PATIENT = 5


#: Jobs that would not end, how good it is (less is better), and what comes of it in each way.
Judged = tuple[int, float, list[Outcome]]

_T = TypeVar("_T", bound=tuple[int, float, object])


class Judge:
    """``wall`` is the time of day, ``spent`` what VMs have cost so far, ``began`` since when a job counts that does not say."""

    def __init__(self, forecast: Forecast, wall: float, spent: float, began: float) -> None:
        self.forecast, self.wall, self.spent, self.began = forecast, wall, spent, began
        self.ways = len(forecast.sight.seconds)

    def roll(self, machines: list[Machine], way: int) -> Outcome:
        """What comes of it in one way."""
        return roll(self.forecast.sight, machines, way)

    def of(self, machines: list[Machine], weight: float, later: list[tuple[Machine, int]] | None = None) -> Judged:
        """How many jobs would not end, and the mean of the logarithms of their times plus that of the cost, weighed. Less is better.

        ``later`` has for each way which machine may be added, and how many of it, once that way is known: where nothing that is there
        would ever tell, they never come.
        """
        never, good, outcomes = 0, 0.0, []
        ways = range(self.ways)
        for way in ways:
            outcome = self.roll(machines, way)
            value = self.one(outcome, weight)
            if later is not None and later[way][1] > 0 and outcome.told is not None:
                another, number = later[way]
                more = self.roll(machines + [replace(another, up=outcome.told + another.boot)] * number, way)
                if (other := self.one(more, weight)) < value:
                    value, outcome = other, more
                    del outcome.first[len(machines) :]
            outcomes.append(outcome)
            never, good = never + value[0], good + value[1] / len(ways)
        return never, good, outcomes

    def one(self, outcome: Outcome, weight: float) -> tuple[int, float]:
        """The same of what comes of it in one way."""
        never, times = 0, 0.0
        for job, end in zip(self.forecast.jobs, outcome.ends, strict=True):
            if end == inf:
                never += 1
                continue
            since = job.since if job.since is not None else self.began
            times += log(max(1e-3, self.wall - since + end))
        count = len(self.forecast.jobs)
        return never, (times / count if count else 0.0) + weight * log(max(1e-9, self.spent + outcome.cost))


def best_of(judge: Callable[[int], _T], most: int, judged: dict[int, _T]) -> int:
    """The best number up to ``most``; all that were tried are in ``judged``."""

    def better(count: int, than: int) -> bool:
        if count not in judged:
            judged[count] = judge(count)
        return judged[count][:2] < (judged[than][0], judged[than][1] - EPSILON)

    if 0 not in judged:
        judged[0] = judge(0)
    best, worse = 0, 0
    for count in steps(most):
        if better(count, best):
            best, worse = count, 0
        elif (worse := worse + 1) >= PATIENT:
            break
    for _ in range(2):
        lower, upper = max((n for n in judged if n < best), default=best), min((n for n in judged if n > best), default=best)
        for count in ((lower + best) // 2, (best + upper) // 2):
            if better(count, best):
                best = count
    return best


def steps(most: int) -> list[int]:
    """The numbers that are tried, up to ``most``."""
    return [step for step in STEPS if step < most] + ([most] if most else [])


def middle(outcomes: list[Outcome]) -> Outcome:
    """What is to be expected of these, each as likely as the others: of each number the middle one."""
    if len(outcomes) == 1:
        return outcomes[0]
    place = (len(outcomes) - 1) // 2
    fullest = max(outcomes, key=lambda outcome: sum(outcome.peaks))
    return Outcome(
        [sorted(ends)[place] for ends in zip(*(outcome.ends for outcome in outcomes), strict=True)],
        sorted(outcome.cost for outcome in outcomes)[place],
        [
            sorted(moments, key=lambda moment: inf if moment is None else moment)[place]
            for moments in zip(*(outcome.first for outcome in outcomes), strict=True)
        ],
        fullest.peak,
        fullest.peaks,
    )
