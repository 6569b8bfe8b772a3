"""The loads that are measured: task files, and what xargs runs in their place. Pure.

A load of tasks that depend on each other is compared with xargs running as many independent ones (a chain with one process
at a time): xargs knows no dependencies, so it is the time that nobody can beat.
"""

from dataclasses import dataclass
from typing import Any

#: Cpu slots that ecloud and xargs get.
SLOTS = 2
#: Widths of the layered graph, and how many tasks of the layer above each of its tasks waits for.
LAYERS, WIDTH, FAN_IN = 50, 100, 3


@dataclass(frozen=True, slots=True)
class Load:
    """One job, and the command of each of its ``tasks`` for xargs with ``parallel`` processes; no command: only pushed."""

    name: str
    title: str
    tasks: int
    document: dict[str, Any]
    command: tuple[str, ...] = ()
    parallel: int = SLOTS


def independent(name: str, title: str, count: int, *command: str) -> Load:
    """``count`` tasks that run the same command."""
    task = {"id": "task-{i}", "foreach": {"i": {"range": [0, count]}}, "command": " ".join(command)}
    return Load(name, title, count, {"job": name, "tasks": [task]}, command)


def chain(count: int) -> Load:
    """Each task waits for the one before."""
    tasks = [{"id": f"link-{i}", "command": "/bin/true", "after": [f"link-{i - 1}"] if i else []} for i in range(count)]
    return Load("chain", f"a chain of {count} x `/bin/true`", count, {"job": "chain", "tasks": tasks}, ("/bin/true",), parallel=1)


def layers() -> Load:
    """Layers of tasks; each waits for some of the layer above, spread evenly."""
    tasks = []
    for layer in range(LAYERS):
        for place in range(WIDTH):
            above = sorted({(place * (2 * k + 1) + 7 * k) % WIDTH for k in range(FAN_IN)}) if layer else []
            after = [f"l{layer - 1}-{other}" for other in above]
            tasks.append({"id": f"l{layer}-{place}", "command": "/bin/true", "after": after})
    title = f"{LAYERS} layers x {WIDTH} x `/bin/true`, {FAN_IN} dependencies each"
    return Load("layers", title, LAYERS * WIDTH, {"job": "layers", "tasks": tasks}, ("/bin/true",))


def pushed_only(count: int) -> Load:
    """Tasks that are pushed and cancelled."""
    task = {"id": "task-{i}", "foreach": {"i": {"range": [0, count]}}, "command": "/bin/true"}
    return Load("submission", f"push of {count:,} tasks, then cancel", count, {"job": "submission", "tasks": [task]})


LOADS = {
    load.name: load
    for load in (
        independent("true", "10,000 x `/bin/true`", 10_000, "/bin/true"),
        chain(500),
        layers(),
        independent("sleep", "200 x `sleep 0.1`", 200, "sleep", "0.1"),
        pushed_only(100_000),
    )
}
