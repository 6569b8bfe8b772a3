"""The loads that are measured: how many tasks, what each runs, which wait for which; and the same as ecloud's task file. Pure.

A load of tasks that depend on each other is compared with xargs running as many independent ones (a chain with one process
at a time): xargs knows no dependencies, so it is the time that nobody can beat. The standard library alone: the drivers of other systems
read this too.
"""

from dataclasses import dataclass
from typing import Any

#: Cpu slots that every system gets.
SLOTS = 2
#: Widths of the layered graph, and how many tasks of the layer above each of its tasks waits for.
LAYERS, WIDTH, FAN_IN = 50, 100, 3
#: Seconds of each task of the load ``sleep``.
NAP = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """``tasks`` processes of one command, and which of them each waits for (None: none for any); ``parallel`` is for xargs.

    A load with ``held`` is only submitted, to a system whose slots are all taken.
    """

    name: str
    title: str
    tasks: int
    command: tuple[str, ...] = ("/bin/true",)
    after: tuple[tuple[int, ...], ...] | None = None
    parallel: int = SLOTS
    held: bool = False

    @property
    def ends(self) -> list[int]:
        """The tasks that no other waits for: when these have ended, all have."""
        awaited = {other for needed in self.after or () for other in needed}
        return [number for number in range(self.tasks) if number not in awaited]

    @property
    def document(self) -> dict[str, Any]:
        """ecloud's task file: one template where tasks are independent, else a task each."""
        command = " ".join(self.command)
        if self.after is None:
            task = {"id": "t{i}", "foreach": {"i": {"range": [0, self.tasks]}}, "command": command}
            return {"job": self.name, "tasks": [task]}
        tasks = [
            {"id": f"t{number}", "command": command, "after": [f"t{other}" for other in needed]}
            for number, needed in enumerate(self.after)
        ]
        return {"job": self.name, "tasks": tasks}


def no_ops(count: int, name: str = "true") -> Load:
    """Independent tasks that do nothing."""
    return Load(name, f"{count:,} x `/bin/true`", count)


def chain(count: int) -> Load:
    """Each task waits for the one before."""
    after = tuple((number - 1,) if number else () for number in range(count))
    return Load("chain", f"a chain of {count} x `/bin/true`", count, after=after, parallel=1)


def layers() -> Load:
    """Layers of tasks; each waits for some of the layer above, spread evenly."""
    after: list[tuple[int, ...]] = []
    for layer in range(LAYERS):
        for place in range(WIDTH):
            above = sorted({(place * (2 * k + 1) + 7 * k) % WIDTH for k in range(FAN_IN)}) if layer else []
            after.append(tuple((layer - 1) * WIDTH + other for other in above))
    title = f"{LAYERS} layers x {WIDTH} x `/bin/true`, {FAN_IN} dependencies each"
    return Load("layers", title, LAYERS * WIDTH, after=tuple(after))


def naps(count: int) -> Load:
    """Independent tasks that sleep."""
    return Load("sleep", f"{count} x `sleep {NAP:g}`", count, ("sleep", f"{NAP:g}"))


def queue(count: int) -> Load:
    """Tasks that only wait, because the slots are taken."""
    return Load("queue", f"{count:,} tasks submitted, which wait", count, held=True)


def _by_name(*loads: Load) -> dict[str, Load]:
    return {load.name: load for load in loads}


#: What is measured, and the short form of it.
LOADS = _by_name(no_ops(10_000), chain(500), layers(), naps(100), queue(100_000))
SHORT = _by_name(no_ops(3_000), chain(200), layers(), naps(40), queue(100_000))
#: What has every system ready before a load begins, and what takes all slots.
WARM_UP = Load("warm-up", "warm-up", SLOTS, ("sleep", "0.5"))
HOLD = Load("hold", "hold", SLOTS, ("sleep", "100000"))
