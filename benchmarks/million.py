#!/usr/bin/env python3
"""Jobs of up to a million no-op tasks through simulated workers, with the boss killed in the middle. Prints a table.

Rules:
- Boss, broker and database are real, the workers are those of ``benchmarks/fleet.py``: what is measured is the boss.
- Each size has a boss of its own with an empty database. Memory is the boss's resident size: before the push (a first one, of one task,
  has been made), and after it.
- While tasks run, a reader asks what people look at, over the API, again and again; the longest answer of each counts.
- The boss is killed (SIGKILL) when half of the tasks have ended. It works again when each worker on average has ended a task more.
- Time per task is that between the first start and the last end, less the time until the killed boss works again.
- The database's size is that of its pages, those that are still in the log of SQLite included.
"""

import argparse
import json
import os
import platform
import shlex
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fleet import Failed, Fleet, wait_for
from benchmarks.processes import cpu_of, memory_of
from client import Client, ClientError

#: Seconds that a run may take, per size.
_PATIENCE = 3600.0


@dataclass(slots=True)
class Figures:
    """One size. Seconds, bytes; ``answers`` is the longest time of each question."""

    tasks: int
    push: float = 0.0
    memory_per_task: float = 0.0
    memory: float = 0.0
    run: float = 0.0
    cpu_per_task: float = 0.0
    database_per_task: float = 0.0
    ready: float = 0.0
    working: float = 0.0
    load_average: float = 0.0
    answers: dict[str, float] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)


class Reader(threading.Thread):
    """Asks what people look at, one after the other."""

    def __init__(self, fleet: Fleet, job: str) -> None:
        super().__init__(daemon=True)
        self.answers: dict[str, list[float]] = defaultdict(list)
        self.over = threading.Event()
        self.lives = 0  #: raised before the boss is killed, and when it is there again
        self._fleet, self._job = fleet, job

    def run(self) -> None:
        """Ask until it is over; a boss that is away does not count here."""
        while not self.over.wait(0.2):
            client = self._fleet.client
            for what, ask in self._questions(client).items():
                begun, lives = time.monotonic(), self.lives
                try:
                    ask()
                except (ClientError, OSError, RuntimeError):
                    continue
                if self.lives == lives:
                    self.answers[what].append(time.monotonic() - begun)

    def _questions(self, client: Client) -> Mapping[str, Callable[[], object]]:
        return {
            "status": client.status,
            "jobs": client.jobs,
            "failed tasks": lambda: client.tasks(self._job, states=("failed",)),
            "a task": lambda: client.task(f"{self._job}:t7"),
            "why": lambda: client.why(f"{self._job}:t7"),
        }


def measure(tasks: int, workers: int, processes: int) -> Figures:
    """One size. Raises Failed."""
    found = Figures(tasks, load_average=os.getloadavg()[0])
    with tempfile.TemporaryDirectory(prefix="ecloud-million.") as folder:
        fleet = Fleet(Path(folder), workers, processes)
        try:
            wait_for(lambda: fleet.crowd.sum("workers") >= workers, 120, "the workers to be made")
            fleet.push("first", 1, "/bin/true").cancel()  # what the first push makes grow is not the tasks'
            before, begun = memory_of(fleet.boss.pid, "VmRSS"), time.monotonic()
            job = fleet.push("million", tasks, "/bin/true")
            found.push = time.monotonic() - begun
            found.memory_per_task = (memory_of(fleet.boss.pid, "VmRSS") - before) / tasks
            reader = Reader(fleet, job.name)
            reader.start()
            spent = cpu_of(fleet.boss.pid)
            fleet.crowd.ask("go")
            wait_for(lambda: fleet.crowd.sum("ended") >= tasks / 2, _PATIENCE, "half of the tasks to end")
            spent = cpu_of(fleet.boss.pid) - spent
            found.cpu_per_task = spent / fleet.crowd.sum("ended")
            begun = time.monotonic()
            reader.lives += 1
            fleet.boss.kill()
            fleet.boss.wait()
            fleet.client.close()
            fleet.start()
            reader.lives += 1
            found.ready = time.monotonic() - begun
            ended = fleet.crowd.sum("ended")
            wait_for(lambda: fleet.crowd.sum("ended") > ended + workers, 120, "the work to go on", 0.05)
            found.working = time.monotonic() - begun
            state = fleet.client.job(job.name).wait(_PATIENCE)
            reader.over.set()
            reader.join()
            answers = fleet.crowd.ask("tell")
            found.run = max(each["last"] for each in answers) - min(each["first"] for each in answers) - found.working
            found.answers = {what: max(times) for what, times in reader.answers.items()}
            found.median = {what: sorted(times)[len(times) // 2] for what, times in reader.answers.items()}
            found.memory = memory_of(fleet.boss.pid, "VmRSS")
            [file] = Path(folder).rglob("ecloud.db")
            found.database_per_task = size_of(file) / tasks
            counts = fleet.client.job(job.name).status()["tasks"]
            if state != "succeeded" or counts["succeeded"] != tasks:
                raise Failed(f"the job has {state}: {counts}")
        finally:
            fleet.close()
    return found


def size_of(file: Path) -> int:
    """Bytes of a SQLite database that is in use."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        [pages], [size] = database.execute("PRAGMA page_count").fetchone(), database.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(size)


def plot(found: Sequence[Figures], path: Path) -> None:
    """What a task costs, against how many there are."""
    from matplotlib import pyplot  # noqa: PLC0415 (half a second, for whoever wants the picture)

    pyplot.switch_backend("Agg")
    figure, (times, sizes) = pyplot.subplots(1, 2, figsize=(10, 3.8))
    counts = [each.tasks for each in found]
    times.plot(counts, [1000 * each.run / each.tasks for each in found], "o-", label="time per task")
    times.plot(counts, [1000 * each.cpu_per_task for each in found], "s--", label="cpu of the boss per task")
    times.plot(counts, [1000 * each.push / each.tasks for each in found], "^:", label="push per task")
    times.set_ylabel("ms")
    sizes.plot(counts, [each.database_per_task for each in found], "o-", label="database per task")
    sizes.plot(counts, [each.memory_per_task for each in found], "s--", label="memory of the boss per waiting task")
    sizes.set_ylabel("bytes")
    for panel in (times, sizes):
        panel.set_xscale("log")
        panel.set_xlabel("tasks of the job")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def table(found: Sequence[Figures]) -> str:
    """The figures as a table, a column for each size."""
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("push, s", lambda each: f"{each.push:.1f}"),
        ("boss memory per waiting task, bytes", lambda each: f"{each.memory_per_task:.0f}"),
        ("boss memory at the end, MB", lambda each: f"{each.memory / 2**20:.0f}"),
        ("tasks/s, while people look", lambda each: f"{each.tasks / each.run:,.0f}"),
        ("time per task, ms", lambda each: f"{1000 * each.run / each.tasks:.3f}"),
        ("boss cpu per task, ms", lambda each: f"{each.cpu_per_task * 1000:.3f}"),
        ("database per task, bytes", lambda each: f"{each.database_per_task:.0f}"),
        ("killed in the middle: ready again after, s", lambda each: f"{each.ready:.1f}"),
        ("killed in the middle: work goes on after, s", lambda each: f"{each.working:.1f}"),
    ]
    for what in found[0].answers:

        def told(each: Figures, what: str = what) -> str:
            return f"{each.median[what] * 1000:.0f} / {each.answers[what] * 1000:.0f}"

        rows.append((f"answer to `{what}`, median / longest, ms", told))
    rows.append(("load average before", lambda each: f"{each.load_average:.1f}"))
    head = ["", *[f"{each.tasks:,} tasks" for each in found]]
    lines = [head, ["---", *["---:"] * len(found)], *[[name, *map(tell, found)] for name, tell in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(words: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--processes", type=int, default=1, help="how many processes the workers are in")
    parser.add_argument("--out", type=Path, help="write the figures as JSON here")
    parser.add_argument("--plot", type=Path, help="draw time and size per task here (PNG or SVG)")
    given = parser.parse_args(words)
    if min(given.tasks) < 10_000:
        parser.error("--tasks: at least 10000, or none is left when the boss is killed")
    found: list[Figures] = []
    try:
        for tasks in given.tasks:
            found.append(measure(tasks, given.workers, given.processes))
            print(table(found[-1:]), flush=True)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    command = shlex.join(["benchmarks/million.py", *(sys.argv[1:] if words is None else words)])
    about = f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    print(f"\n{time.strftime('%Y-%m-%d')}, {about}; `{command}`\n\n{table(found)}")
    if given.plot:
        plot(found, given.plot)
    if given.out:
        given.out.write_text(json.dumps([asdict(each) for each in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
