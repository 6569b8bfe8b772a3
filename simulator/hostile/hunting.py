"""Many seeds, on all cores: which hold, and the whole story of the first that does not."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from simulator.hostile.plan import plan_of
from simulator.hostile.shrinking import recipe, run, shrink

#: Seeds that one process is given at a time.
PIECE = 25


@dataclass(slots=True)
class Catch:
    """What came of some seeds. ``broken`` is the first that did not hold; ``kinds`` counts what has gone wrong, by its name."""

    seeds: int = 0
    faults: int = 0
    accepted: int = 0
    broken: int | None = None
    kinds: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Catch") -> None:
        """Another piece."""
        self.seeds += other.seeds
        self.faults += other.faults
        self.accepted += other.accepted
        if self.broken is None:
            self.broken = other.broken
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count


def try_seeds(seeds: Sequence[int]) -> Catch:
    """Play these seeds, up to the first that does not hold."""
    catch = Catch()
    for seed in seeds:
        plan = plan_of(seed)
        verdict = run(plan)
        catch.seeds += 1
        catch.faults += len(verdict.faults) + verdict.incidents
        catch.accepted += verdict.accepted
        for kind in [*(kind for kind, _ in verdict.faults), *(incident.kind for incident in plan.incidents)]:
            catch.kinds[kind] = catch.kinds.get(kind, 0) + 1
        if verdict.broken is not None:
            catch.broken = seed
            break
    return catch


def hunt(seeds: Sequence[int], processes: int = 0) -> Catch:
    """Play these seeds on so many processes (0: one for each core); ends soon after one did not hold."""
    catch = Catch()
    for piece in _pieces(seeds, processes or os.cpu_count() or 1):
        catch.add(piece)
        if catch.broken is not None:
            break
    return catch


def _pieces(seeds: Sequence[int], processes: int) -> Iterator[Catch]:
    pieces = [seeds[first : first + PIECE] for first in range(0, len(seeds), PIECE)]
    if processes == 1:
        yield from map(try_seeds, pieces)
        return
    with ProcessPoolExecutor(processes) as pool:
        try:
            yield from pool.map(try_seeds, pieces)
        finally:
            pool.shutdown(cancel_futures=True)


def story(seed: int, seconds: float = 20.0) -> str:
    """What a seed breaks, by the shortest history that could be found in so many seconds, and how to have it again."""
    plan = plan_of(seed)
    verdict = run(plan)
    if verdict.broken is None:
        return f"seed {seed} holds"
    before = len(verdict.faults) + len(plan.incidents) + len(plan.acts)
    shorter = shrink(plan, verdict, seconds)
    again = run(shorter, telling=True)
    if again.broken is None:  # what breaks only without being looked at cannot be told
        shorter, again = plan, run(plan, telling=True)
    assert again.broken is not None
    after = len(shorter.only or ()) + len(shorter.incidents) + len(shorter.acts)
    lines = [
        f"seed {seed} broke a promise: {again.broken}",
        "",
        *again.history,
        "",
        f"{after} of {before} faults, incidents and acts are enough. Again:",
        f"    python -m simulator replay {recipe(shorter)}",
    ]
    return "\n".join(lines)
