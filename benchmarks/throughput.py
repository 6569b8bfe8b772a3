#!/usr/bin/env python3
"""How fast tasks go through a boss on two slots, beside ``xargs`` in the same run. Prints a table; ``--out`` writes JSON.

Rules:
- Times come from the task rows (first start to last end); ``wall`` is what a user waits from the push to the end of ``wait()``.
- xargs runs before and after each load, and the mean counts, because a machine's speed changes while one measures.
- Cpu is that of all processes involved, the tasks' own included: boss, broker, sshd, workers; or xargs and its children.
- Workers are up before a load starts: their creation is not measured.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.loads import LOADS, SLOTS, Load
from benchmarks.private_boss import PrivateBoss, private_boss
from client import ClientError

_WAIT = 900.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One load, measured. Seconds; cpu in seconds per task; ``memory`` in bytes. What does not apply is None."""

    load: str
    tasks: int
    push: float
    wall: float
    run: float | None
    cpu_per_task: float
    xargs: float | None
    xargs_cpu_per_task: float | None
    cancel: float | None
    memory: int

    @property
    def ratio(self) -> float | None:
        """The speed in units of xargs' speed."""
        return self.xargs / self.run if self.xargs and self.run else None


class LoadFailed(Exception):
    """A load that did not succeed measures nothing."""


def measure(boss: PrivateBoss, load: Load) -> Figures:
    """Run one load, with xargs before and after it."""
    warm_up(boss)
    before = run_xargs(load)
    file = boss.state / f"{load.name}.json"
    file.write_text(json.dumps(load.document))
    cpu, begun = boss.cpu(), time.monotonic()
    job = boss.client.push(file)
    pushed = time.monotonic()
    if not load.command:
        job.cancel()
        ended = time.monotonic()
        return Figures(
            load.name, load.tasks, pushed - begun, ended - begun, None, (boss.cpu() - cpu) / load.tasks, None, None,
            ended - pushed, boss.peak_memory(),
        )  # fmt: skip
    state = job.wait(_WAIT)
    ended = time.monotonic()
    cpu = boss.cpu() - cpu
    if state != "succeeded":
        raise LoadFailed(f"the job has {state}: {job.status()['tasks']}")
    tasks = job.tasks()
    run = max(task["finished"] for task in tasks) - min(task["started"] for task in tasks)
    after = run_xargs(load)
    xargs, xargs_cpu = ((one + other) / 2 for one, other in zip(before, after, strict=True))
    return Figures(
        load.name, load.tasks, pushed - begun, ended - begun, run, cpu / load.tasks, xargs, xargs_cpu / load.tasks,
        None, boss.peak_memory(),
    )  # fmt: skip


def warm_up(boss: PrivateBoss) -> None:
    """Have all workers up."""
    tasks = [{"id": f"warm-{number}", "command": "sleep 0.5"} for number in range(SLOTS)]
    boss.client.submit({"job": "warm-up", "tasks": tasks}).wait(_WAIT)


def run_xargs(load: Load) -> tuple[float, float]:
    """Seconds and cpu seconds of xargs running the load's command as often; zeros if it has none."""
    if not load.command:
        return 0.0, 0.0
    lines = "".join(f"{number}\n" for number in range(load.tasks))
    used, begun = _children_cpu(), time.monotonic()
    subprocess.run(["xargs", "-P", str(load.parallel), "-I", "NUMBER", *load.command], input=lines, text=True, check=True)
    return time.monotonic() - begun, _children_cpu() - used


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(all_figures: list[Figures]) -> str:
    """The figures as a Markdown table."""
    rows = [
        ("load", "tasks/s", "ms a task", "run s", "wall s", "push s", "xargs s", "x xargs", "cpu ms", "xargs cpu ms", "boss MB"),
        ("---",) + ("---:",) * 10,
    ]
    for figures in all_figures:
        run = figures.run or figures.push
        rows.append(
            (
                LOADS[figures.load].title,
                f"{figures.tasks / run:,.0f}",
                f"{1000 * run / figures.tasks:.2f}",
                _number(figures.run),
                _number(figures.wall),
                _number(figures.push),
                _number(figures.xargs),
                _number(figures.ratio),
                _number(1000 * figures.cpu_per_task),
                _number(figures.xargs_cpu_per_task and 1000 * figures.xargs_cpu_per_task),
                f"{figures.memory / 2**20:.0f}",
            )
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "time": time.time(),
    }


def main() -> int:
    """Measure what was asked for; 1 if a load failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(LOADS), default=list(LOADS), help="the loads to run (default: all)")
    parser.add_argument("--database", help="an empty database, mysql://user:password@host/name (default: SQLite)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = parser.parse_args()
    about, measured, failed = machine(), [], False
    with private_boss(options.database) as boss:
        for name in options.only:
            try:
                measured.append(measure(boss, LOADS[name]))
                print(f"throughput: {name} is measured", file=sys.stderr)
            except (LoadFailed, ClientError) as error:
                failed = True
                print(f"throughput: {name} failed: {error}", file=sys.stderr)
    print(
        f"{about['cores']} cores, Python {about['python']}, load average {about['load_average']:.1f} at the start; {SLOTS} slots"
    )
    print()
    print(table(measured))
    if options.out:
        rows = [asdict(figures) | {"ratio": figures.ratio} for figures in measured]
        options.out.write_text(json.dumps({"machine": about, "slots": SLOTS, "figures": rows}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
