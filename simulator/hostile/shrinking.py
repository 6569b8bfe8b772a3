"""The shortest history that still breaks the same promise, and how to write it down.

Rules:
- A run is played again exactly from its recipe: the seed, which jobs, acts and incidents of its plan are kept, and which faults of
  chance happen. Nothing else decides anything.
- Parts are left out in halves, then quarters, and so on (delta debugging), as long as the same promise is broken; for so many seconds of
  real time at most.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from simulator.hostile.chance import Fault
from simulator.hostile.faults import Broken
from simulator.hostile.plan import Plan, plan_of
from simulator.hostile.world import World

#: The lists of a plan from which parts can be left out; with a job go the acts on it, which are numbered before.
PARTS = ("incidents", "acts", "jobs")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended: what was broken (None: nothing), the faults that have happened, and what was told."""

    broken: Broken | None
    faults: tuple[Fault, ...]
    history: tuple[str, ...]
    incidents: int = 0
    acts: int = 0
    accepted: int = 0


def run(plan: Plan, telling: bool = False) -> Verdict:
    """Play a plan. An exception of the cores is a broken promise too."""
    world = World(plan, telling)
    broken: Broken | None = None
    try:
        world.play()
    except Broken as found:
        broken = found
    except Exception as error:
        broken = Broken("the cores never raise", f"{type(error).__name__}: {error}")
        broken.__cause__ = error
    return Verdict(
        broken, tuple(world.chance.fired), tuple(world.history), len(plan.incidents), len(plan.acts), len(world.gate.accepts)
    )


def shrink(plan: Plan, verdict: Verdict, seconds: float = 20.0) -> Plan:
    """A plan with as little in it as could be found in this time that breaks the same promise."""
    assert verdict.broken is not None
    promise, deadline = verdict.broken.promise, time.monotonic() + seconds

    def breaks(candidate: Plan) -> bool:
        again = run(candidate).broken
        return again is not None and again.promise == promise

    best = replace(plan, only=frozenset(verdict.faults))
    if not breaks(best):
        return plan  # a run that cannot be had again without its dice
    size = _size(best) + 1
    while _size(best) < size and time.monotonic() < deadline:
        size = _size(best)
        for part in PARTS:
            best = _fewer_of(best, part, breaks, deadline)
        best = _fewer_faults(best, breaks, deadline)
    return best


def _fewer_of(plan: Plan, part: str, breaks: Callable[[Plan], bool], deadline: float) -> Plan:
    numbers = range(len(getattr(plan, part)))
    return _keep(plan, part, _fewest(numbers, lambda kept: breaks(_keep(plan, part, kept)), deadline))


def _fewer_faults(plan: Plan, breaks: Callable[[Plan], bool], deadline: float) -> Plan:
    faults = sorted(plan.only or ())

    def only(kept: Sequence[int]) -> Plan:
        return replace(plan, only=frozenset(faults[i] for i in kept))

    return only(_fewest(range(len(faults)), lambda kept: breaks(only(kept)), deadline))


def _size(plan: Plan) -> int:
    return len(plan.only or ()) + len(plan.incidents) + len(plan.acts) + len(plan.jobs)


def _keep(plan: Plan, part: str, kept: Sequence[int]) -> Plan:
    return plan.without(part, frozenset(range(len(getattr(plan, part)))) - frozenset(kept))


def _fewest(numbers: Sequence[int], breaks: Callable[[list[int]], bool], deadline: float) -> list[int]:
    """Delta debugging: leave out ever smaller pieces as long as it still breaks."""
    kept, pieces = list(numbers), 1
    while kept and time.monotonic() < deadline:
        length = max(1, len(kept) // pieces)
        for start in range(0, len(kept), length):
            candidate = kept[:start] + kept[start + length :]
            if time.monotonic() >= deadline:
                return kept
            if breaks(candidate):
                kept, pieces = candidate, max(1, pieces - 1)
                break
        else:
            if length == 1:
                return kept
            pieces *= 2
    return kept


# ---- recipes -------------------------------------------------------------------------------------------------------


def recipe(plan: Plan) -> str:
    """The words of ``python -m simulator replay`` that play this plan again."""
    words = [str(plan.seed)]
    for part in PARTS:
        if part in plan.kept:
            words.append(f"--{part}={','.join(map(str, plan.kept[part]))}")
    if plan.only is not None:
        words.append("--faults=" + ",".join(f"{kind.replace(' ', '-')}.{moment}" for kind, moment in sorted(plan.only)))
    return " ".join(words)


def plan_from(seed: int, kept: dict[str, str | None], faults: str | None) -> Plan:
    """The plan of a recipe. Raises ValueError for what is no part of the seed's plan."""
    plan = plan_of(seed)
    for part in PARTS:
        text = kept.get(part)
        if text is None:
            continue
        numbers = [int(number) for number in text.split(",") if number]
        count = len(getattr(plan, part))
        if any(number >= count for number in numbers):
            raise ValueError(f"seed {seed} has {count} {part}, numbered from 0: there is no {max(numbers)}")
        plan = _keep(plan, part, numbers)
    if faults is not None:
        plan = replace(plan, only=frozenset(_fault(word) for word in faults.split(",") if word))
    return plan


def _fault(word: str) -> Fault:
    kind, _, moment = word.rpartition(".")
    return kind.replace("-", " "), int(moment)
