#!/usr/bin/env python3
"""How ecloud compares with other ways to run the same tasks on this machine: a row for each system, beside xargs in the same minutes.

    benchmarks/throughput.py                      ecloud on SQLite and on MariaDB, make
    benchmarks/throughput.py --peers --runs 5     HyperQueue, Ray, Dask and Huey, too
    benchmarks/throughput.py --systems sqlite --only true chain --short
    benchmarks/throughput.py --show figures.json  what an earlier one has written with --out

Rules:
- Each task is the same command as its own process, on two slots everywhere. ecloud runs as shipped: every change committed, mutual TLS,
  a folder and a log for each attempt.
- Seconds are what a user waits: from the first call that submits (ecloud: writing the task file) to the knowledge that all have succeeded.
- xargs runs the same number of commands right before and right after each load: ratios hold on a machine whose speed changes.
- Cpu is the kernel's accounting of all processes of a system, its client, its database and the tasks themselves included.
- The queue of 100,000 tasks is submitted to a system that was just started and whose slots are taken; bytes are the growth of the
  processes that hold what waits.
- Systems take turns, a run each; the table has the median of the runs, with the lowest and the highest.
- A system is started for each of its runs, and warmed up before each load, which is not measured.
"""

import argparse
import fcntl
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Line, Measured, ratio, table
from benchmarks.loads import LOADS, SHORT, SLOTS, Load
from benchmarks.processes import cpu_below, cpu_of_children
from benchmarks.systems import OWN, PEERS, SYSTEMS, LoadFailed, Missing, Running, System, python_of, running
from worker.processes import become_subreaper


def run_xargs(load: Load) -> tuple[float, float]:
    """Seconds and cpu seconds of xargs running the load's command as often."""
    lines = "".join(f"{number}\n" for number in range(load.tasks))
    used, begun = cpu_of_children(), time.monotonic()
    subprocess.run(["xargs", "-P", str(load.parallel), "-I", "NUMBER", *load.command], input=lines, text=True, check=True)
    return time.monotonic() - begun, cpu_of_children() - used


def measure(system: Running, name: str, run: int, load: Load, short: bool) -> Measured:
    """Run one load on a started system, with xargs before and after it. Raises LoadFailed."""
    busy = os.getloadavg()[0]
    if load.held:
        system.ask("hold")
    before = () if load.held else (run_xargs(load),)
    if not load.held:
        system.ask("warm-up")
    cpu = cpu_below()
    found = system.ask("run", load=load.name, short=short)
    cpu = cpu_below() - cpu
    if "unable" in found:
        return Measured(name, run, load.name, load.tasks, unable=found["unable"])
    beside = () if load.held else (*before, run_xargs(load))
    return Measured(
        name, run, load.name, load.tasks, found["seconds"], cpu, found["bytes"],
        tuple(seconds for seconds, _ in beside), tuple(used for _, used in beside), busy,
    )  # fmt: skip


def measure_system(system: System, python: Path, run: int, loads: Sequence[Load], short: bool, line: Line) -> None:
    """One run of a system: its loads on one life of it, and the queue on another. Raises LoadFailed."""
    for those in ([load for load in loads if not load.held], [load for load in loads if load.held]):
        if not those:
            continue
        with running(system, python) as started:
            line.title, line.durable = started.about, started.durable
            for load in those:
                one = measure(started, system.name, run, load, short)
                line.measured.append(one)
                print(f"throughput: run {run}, {system.name}, {told(one)}", file=sys.stderr)


def told(one: Measured) -> str:
    """One measurement in a line, for whoever waits."""
    if one.unable:
        return f"{one.load}: {one.unable}"
    beside = f", {found:.2f} x xargs" if (found := ratio(one)) else ""
    return f"{one.load}: {one.tasks / one.seconds:,.0f} tasks/s{beside}, {1000 * one.cpu / one.tasks:.2f} ms cpu"


@contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """Nobody else who takes this lock measures meanwhile."""
    if lock is None:
        yield
        return
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def machine() -> dict[str, object]:
    """What the figures were measured on, and when."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    names = [line.partition("=")[2].strip('"') for line in release.splitlines() if line.startswith("PRETTY_NAME=")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.machine(),
        "system": names[0] if names else platform.platform(),
        "python": platform.python_version(),
        "command": shlex.join(["benchmarks/throughput.py", *sys.argv[1:]]),
    }


def heading(about: dict[str, object], lines: Sequence[Line]) -> str:
    """When, where, how, and how busy the machine was with other things."""
    runs = max((one.run for line in lines for one in line.measured), default=0)
    busy = [one.load_average for line in lines for one in line.measured if not one.unable]
    averages = f"load average {min(busy):.1f} to {max(busy):.1f}" if busy else "nothing measured"
    return (
        f"{about['date']}, {about['cores']} cores ({about['processor']}), {about['system']}, Python {about['python']}; "
        f"{'1 run' if runs == 1 else f'{runs} runs'}, {averages}; `{about['command']}`"
    )


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, metavar="NAME", help=f"of {', '.join(SYSTEMS)} (default: {' '.join(OWN)})"
    )
    parser.add_argument(
        "--peers", action="store_true", help=f"with {', '.join(PEERS)}, each installed into a cache the first time"
    )
    parser.add_argument("--only", nargs="+", choices=LOADS, metavar="LOAD", help=f"of {', '.join(LOADS)} (default: all)")
    parser.add_argument("--runs", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--short", action="store_true", help="fewer tasks: seconds a load")
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="measure each system under this file's lock (flock), where others measure, too"
    )
    parser.add_argument("--out", type=Path, help="write everything that was measured as JSON, too")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing: print the table of what --out has written")
    chosen = parser.parse_args()
    if chosen.runs < 1:
        parser.error("--runs: at least 1")
    return chosen


def show(about: dict[str, object], lines: Sequence[Line]) -> None:
    """Print everything."""
    print(heading(about, lines))
    if lines:
        print(f"\n{table(lines)}")


def show_file(path: Path) -> int:
    """Print what an earlier run has written; 2 if that cannot be read."""
    try:
        found = json.loads(path.read_text())
        lines = [
            Line(one["title"], one["durable"], [Measured(**measured) for measured in one["measured"]]) for one in found["systems"]
        ]
        about = dict(found["machine"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"throughput: {path} is not what --out writes: {error}", file=sys.stderr)
        return 2
    show(about, lines)
    return 0


def main() -> int:
    """Measure what was asked for; 1 if a load failed."""
    chosen, about, failed = arguments(), machine(), False
    if chosen.show:
        return show_file(chosen.show)
    become_subreaper()
    loads = [load for load in (SHORT if chosen.short else LOADS).values() if not chosen.only or load.name in chosen.only]
    wanted: dict[str, Path] = {}
    for name in dict.fromkeys([*(chosen.systems or OWN), *(PEERS if chosen.peers else [])]):
        try:
            wanted[name] = python_of(SYSTEMS[name])
        except Missing as error:
            print(f"throughput: {name} is left out: {error}", file=sys.stderr)
    lines = {name: Line(name, "") for name in wanted}
    try:
        for run in range(1, chosen.runs + 1):
            for name, python in wanted.items():
                try:
                    with alone(chosen.lock):
                        measure_system(SYSTEMS[name], python, run, loads, chosen.short, lines[name])
                except LoadFailed as error:
                    failed = True
                    print(f"throughput: run {run}, {name} failed: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        failed = True
        print("throughput: interrupted; this was measured:", file=sys.stderr)
    found = [line for line in lines.values() if line.measured]
    show(about, found)
    if chosen.out:
        measured = [asdict(line) for line in found]
        chosen.out.write_text(json.dumps({"machine": about, "slots": SLOTS, "systems": measured}, indent=1))
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
