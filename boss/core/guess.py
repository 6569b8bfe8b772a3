"""How long tasks will run, in each of several ways in which that may turn out. Part of the forecast; reads what was learned.

Rules:
- A task is as its template's tasks have run, else as its hint says, else as the job's tasks with the same program have run, else as any
  job's have: all ways are alike then. What runs longer than that raises it before it has ended.
- Of a program of which nothing has ended anywhere, anything is supposed from a fraction of what is usual to many times that: each way takes
  another part of the possible run times. Usual is what the job's other programs have taken, or ``UNKNOWN``.
- What such a program's tasks have run so far is the least that they take: the shorter run times are possible no more.
- One program's being long says nothing of another's, so the ways deal the parts out to each program in another order.
"""

from collections.abc import Iterable
from math import exp, log
from statistics import NormalDist

from boss.core.learned import UNKNOWN, Learned, Mean
from boss.core.model import Task

#: Of the possible run times of what is unknown, those that so large a part lies below; one for each way.
PARTS = (0.1, 0.5, 0.9)
WAYS = len(PARTS)
#: The standard deviation of the logarithm of what is unknown.
SPREAD = 1.8
#: What is usual weighs as much as so many programs of the job that have ended.
USUAL = 2.0
#: The weight of what is supposed against one that was seen.
DOUBT = 0.1
#: What has run for longer than it should is supposed to end after so many times that.
OVERDUE = 1.3
#: Beyond this the normal distribution is not worked with.
EDGE = 1e-9

#: A run time in each way.
Times = tuple[float, ...]
_NORMAL = NormalDist()
#: Orders in which the ways take the parts.
_ORDERS = ((0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 0, 2))


def alike(seconds: float) -> Times:
    """The same in all ways."""
    return (seconds,) * WAYS


class Guess:
    """How long tasks will run, asked for one look ahead: what runs at that moment counts too."""

    def __init__(self, learned: Learned, running: Iterable[tuple[Task, float]] = ()) -> None:
        """``running`` are tasks with the seconds that they have run so far."""
        self._learned = learned
        self._ages: dict[tuple[str, str], list[float]] = {}
        self._templates: dict[tuple[str, int], Times] = {}
        self._supposed: dict[str, float] = {}
        self.sure = True
        for task, spent in running:
            self._ages.setdefault((task.job.uid, learned.program(task)), []).append(spent)

    def of(self, task: Task) -> Times:
        """The whole run time of a task."""
        key = (task.job.uid, task.template.number)
        found = self._templates.get(key)
        if found is None:
            found = self._templates[key] = self._guess(task)
        return found

    def is_unsure(self, task: Task) -> bool:
        """Whether nothing is known of how long such tasks run."""
        times = self.of(task)
        return min(times) < max(times)

    def left(self, task: Task, spent: float) -> Times:
        """What is left of a task that has run for ``spent`` seconds; of one that ran longer than thought, as much again as a half."""
        whole = self.of(task)
        if task.template.runtime:
            return tuple(max(seconds - spent, 0.05 * spent, 0.0) for seconds in whole)
        return tuple(
            seconds - spent if spent < 0.8 * seconds else max((OVERDUE - 1.0) * spent, 0.2 * seconds) for seconds in whole
        )

    def supposed(self, uid: str) -> float:
        """How long tasks of a job run of whose program nothing is known: the middle of what is possible."""
        found = self._supposed.get(uid)
        if found is None:
            seen = [log(max(mean.seconds, 0.1)) for mean in self._learned.jobs.get(uid, {}).values()]
            found = self._supposed[uid] = exp((USUAL * log(UNKNOWN) + sum(seen)) / (USUAL + len(seen)))
        return found

    def _guess(self, task: Task) -> Times:
        uid, template = task.job.uid, task.template
        name = self._learned.program(task)
        ages = self._ages.get((uid, name), [])
        own = self._learned.templates.get((uid, template.number))
        if own is not None:
            return alike(_raised(own, ages))
        if template.runtime:
            return alike(template.runtime)
        here = self._learned.jobs.get(uid, {}).get(name)
        if here is not None:
            seconds = (DOUBT * self.supposed(uid) + here.count * here.seconds) / (DOUBT + here.count)
            return alike(_raised(Mean(here.count, seconds), ages))
        everywhere = self._learned.programs.get(name)
        if everywhere is not None:
            return alike(_raised(everywhere, ages))
        self.sure = False
        return self._possible(name, self.supposed(uid), max(ages, default=0.0))

    def _possible(self, name: str, middle: float, least: float) -> Times:
        """Parts of the possible run times of a program of which nothing has ended, and which has run for ``least`` seconds."""
        below = _NORMAL.cdf((log(least) - log(middle)) / SPREAD) if least > 0 else 0.0
        found = []
        for place in _ORDERS[sum(name.encode()) % len(_ORDERS)]:
            part = below + (1.0 - below) * PARTS[place]  # of those that are still possible
            seconds = middle * exp(SPREAD * _NORMAL.inv_cdf(part)) if part < 1.0 - EDGE else 0.0
            found.append(max(seconds, least * (1.0 + 0.3 * (1 + place))))
        return tuple(found)


def _raised(mean: Mean, ages: list[float]) -> float:
    """A mean, with what runs longer than that counted as if it ended soon."""
    overdue = [age * OVERDUE for age in ages if age > mean.seconds]
    return (mean.count * mean.seconds + sum(overdue)) / (mean.count + len(overdue))
