"""What a job has cost, and what of that was for nothing. PURE.

Rules:
- A task costs the cpus that it asked for, for as long as it had them; a VM costs all its cpus from when it was asked for until it was gone.
- A VM boots until the first task of any job is dealt to it (nobody keeps when it was first heard); it is idle for what is left.
- Of VMs only those count that ran an attempt of the job. One of which nobody knows the cpus any more counts in VM hours only.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from figures.rows import Past

#: Causes that are told at most.
CAUSES = 50


@dataclass(frozen=True, slots=True)
class Vms:
    """The VMs that ran a job. ``seconds`` up in all; the others are CPU seconds: ``had`` in all, and where they went.

    ``unknown`` VMs have cpus that nobody knows; they are in ``count`` and ``seconds`` alone. ``up`` are there still.
    """

    count: int
    up: int
    unknown: int
    seconds: float
    had: float
    boot: float
    own: float
    others: float
    idle: float


@dataclass(frozen=True, slots=True)
class Cause:
    """Attempts that came to nothing in one way; ``example`` is the id of a task."""

    fate: str
    cause: str
    count: int
    cost: float
    example: str


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of the tasks: in all, and of attempts that succeeded, are open, failed, were lost or cancelled, or were done again.

    ``again``: their results were replaced by those of a later attempt that succeeded. ``used`` is what the processes have used of
    ``counted`` CPU seconds, those of attempts whose worker has counted it.
    """

    tasks: float
    done: float
    open: float
    failed: float
    lost: float
    cancelled: float
    again: float
    used: float
    counted: float
    causes: Sequence[Cause]
    more_causes: int
    vms: Vms | None

    @property
    def wasted(self) -> float:
        """CPU seconds of attempts that came to nothing."""
        return self.failed + self.lost + self.cancelled


def cost_of(past: Past) -> Cost:
    """What a job has cost until now."""
    sums: dict[str, float] = defaultdict(float)
    causes: dict[tuple[str, str], list[float]] = {}
    examples: dict[tuple[str, str], str] = {}
    used = counted = 0.0
    for task in past.tasks:
        results = [one.number for one in task.attempts if one.fate == "done"]
        for one in task.attempts:
            replaced = one.fate == "done" and one.number != results[-1] and not task.init
            sums["again" if replaced else one.fate] += one.cost
            if one.cpu_used is not None and one.start is not None:
                used += one.cpu_used
                counted += one.cost
            if one.fate in ("failed", "lost") or (one.fate == "cancelled" and one.start is not None):
                key = one.fate, one.cause
                told = causes.setdefault(key, [0, 0.0])
                told[0] += 1
                told[1] += one.cost
                examples.setdefault(key, task.id)
    ordered = sorted(causes.items(), key=lambda item: (-item[1][1], -item[1][0], item[0]))
    return Cost(
        tasks=sum(sums.values()),
        done=sums["done"],
        open=sums["open"],
        failed=sums["failed"],
        lost=sums["lost"],
        cancelled=sums["cancelled"],
        again=sums["again"],
        used=used,
        counted=counted,
        causes=[Cause(fate, cause, int(count), cost, examples[fate, cause]) for (fate, cause), (count, cost) in ordered[:CAUSES]],
        more_causes=max(0, len(ordered) - CAUSES),
        vms=_vms(past),
    )


def _vms(past: Past) -> Vms | None:
    machines = [one for one in past.machines if one.created is not None and not one.local]
    if not machines:
        return None
    own: dict[str, float] = defaultdict(float)
    for task in past.tasks:
        for attempt in task.attempts:
            own[attempt.worker] += attempt.cost
    seconds = had = boot = mine = others = idle = 0.0
    unknown = 0
    for one in machines:
        assert one.created is not None
        end = past.now if one.ended is None else one.ended
        life = max(0.0, end - one.created)
        seconds += life
        if one.cpus is None:
            unknown += 1
            continue
        booted = one.cpus * min(life, max(0.0, (one.first if one.first is not None else end) - one.created))
        had += one.cpus * life
        boot += booted
        mine += own[one.id]
        others += one.others
        idle += max(0.0, one.cpus * life - booted - own[one.id] - one.others)
    up = sum(one.ended is None for one in machines)
    return Vms(len(machines), up, unknown, seconds, had, boot, mine, others, idle)
