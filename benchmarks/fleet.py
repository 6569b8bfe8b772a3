#!/usr/bin/env python3
"""Thousands of workers at one boss: real connections, real protocol, simulated attempts. Prints a table; ``--out`` writes JSON.

Rules:
- Boss, broker and database are the real ones, started for this; what is simulated is what a worker does with an attempt (it waits).
- Workers are clients in ``--processes`` processes of this machine, so what they cost is this machine's too; it is told beside.
- Cpu is the kernel's accounting: of the boss alone, and of the broker.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fleet_boss import SOCKETS
from benchmarks.private_boss import ROOT, start, stop
from benchmarks.processes import cpu_of, memory_of
from client import Client, Job

#: How long anything may take, in seconds.
_PATIENCE = 900.0
SETTINGS = """
[policy]
create_timeout = 900
[pools.local]
provider = "local"
flavors = [{{name = "one", resources = {{cpus = 1}}}}]
maximum = {workers}
minimum = {workers}
boot_timeout = 900
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, and what it should be."""

    what: str
    figure: str
    goal: str = ""


class Failed(Exception):
    """What did not end well measures nothing."""


class Crowd:
    """The processes with the workers, seen from the driver."""

    def __init__(self, folder: Path, count: int) -> None:
        self.sockets = [folder / f"crowd-{number}" for number in range(count)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "benchmarks.fleet_workers"]
        self.processes = [subprocess.Popen([*command, str(path)], env=environment, cwd=folder) for path in self.sockets]
        self._links: list[Any] = []
        for path in self.sockets:
            wait_for(path.exists, 30, "the workers' processes")
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(path))
            self._links.append(link.makefile("rwb"))

    def ask(self, do: str) -> list[dict[str, Any]]:
        """Tell all processes something; their answers."""
        for link in self._links:
            link.write(json.dumps({"do": do}).encode() + b"\n")
            link.flush()
        return [json.loads(link.readline()) for link in self._links]

    def sum(self, name: str) -> float:
        """A figure of all processes together."""
        return float(sum(answer[name] for answer in self.ask("tell")))

    def close(self) -> None:
        """End the processes."""
        for path in self.sockets:
            path.unlink(missing_ok=True)
        for process in self.processes:
            process.terminate()
            process.wait()


def wait_for(condition: Callable[[], Any], seconds: float, what: str, pause: float = 0.2) -> float:
    """Wait until something holds; how long that took. Raises Failed."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise Failed(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
    return time.monotonic() - begun


class Fleet:
    """A boss with its crowd of workers."""

    def __init__(self, folder: Path, workers: int, processes: int, database: str | None = None) -> None:
        self.workers = workers
        self.crowd = Crowd(folder, processes)
        (folder / "ecloud.toml").write_text(SETTINGS.format(workers=workers))
        self._state = folder / "state"
        self._state.mkdir()
        self._settings = {
            "ECLOUD_CONFIG": str(folder / "ecloud.toml"),
            "ECLOUD_LIMITS__MAX_TASKS": "2000000",
            SOCKETS: ":".join(map(str, self.crowd.sockets)),
            **({"ECLOUD_DATABASE_URL": database} if database else {}),
        }
        self.start()

    def start(self) -> None:
        """Start the boss (again)."""
        self.boss = start(self._state, self._settings, "benchmarks.fleet_boss")
        access = json.loads((self._state / "api.json").read_text())
        self.client = Client(access["url"], access["token"])

    @property
    def broker(self) -> int:
        """The pid of mosquitto."""
        threads = Path(f"/proc/{self.boss.pid}/task").iterdir()
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
        [pid] = [child for child in children if Path(f"/proc/{child}/comm").read_text().strip() == "mosquitto"]
        return int(pid)

    def online(self) -> int:
        """How many workers the boss knows to be online."""
        return int(self.client.status(brief=True)["fleet"]["online"])

    def push(self, name: str, count: int, command: str) -> Job:
        """A job of so many equal tasks."""
        task = {"id": "t{i}", "foreach": {"i": {"range": [0, count]}}, "command": command}
        file = self._state / f"{name}.json"
        file.write_text(json.dumps({"job": name, "tasks": [task]}))
        return self.client.push(file)

    def close(self) -> None:
        """End all of it."""
        self.client.close()
        stop(self.boss)
        self.crowd.close()


def join_storm(fleet: Fleet) -> Iterator[Line]:
    """All workers connect at the same moment."""
    made = wait_for(lambda: fleet.crowd.sum("workers") >= fleet.workers, _PATIENCE, "the workers to be made")
    yield Line(f"{fleet.workers:,} workers asked for, keys and certificates made", f"{made:.0f} s")
    boss, broker, begun = cpu_of(fleet.boss.pid), cpu_of(fleet.broker), time.monotonic()
    fleet.crowd.ask("go")
    wait_for(lambda: fleet.crowd.sum("connected") >= fleet.workers, _PATIENCE, "the workers to be connected")
    wait_for(lambda: fleet.online() >= fleet.workers, _PATIENCE, "the workers to be online", 0.5)
    took = time.monotonic() - begun
    yield Line(f"{fleet.workers:,} workers join at once", f"{took:.1f} s", "60 s")
    yield Line("cpu of it: boss, broker", f"{cpu_of(fleet.boss.pid) - boss:.1f} s, {cpu_of(fleet.broker) - broker:.1f} s")


def steady(fleet: Fleet, seconds: float, rounds: int) -> Iterator[Line]:
    """Tasks of so many seconds on all workers."""
    fleet.crowd.ask("forget")
    count = fleet.workers * rounds
    job = fleet.push(f"steady-{seconds:g}", count, f"sleep {seconds:g}")
    wait_for(lambda: fleet.crowd.sum("started") >= fleet.workers, _PATIENCE, "every worker to have a task", 0.5)
    boss, broker, begun = cpu_of(fleet.boss.pid), cpu_of(fleet.broker), time.monotonic()
    before = fleet.crowd.sum("ended")
    wait_for(lambda: fleet.crowd.sum("ended") >= count * 0.8, _PATIENCE, "most tasks to end", 0.5)
    lasted, ended = time.monotonic() - begun, fleet.crowd.sum("ended") - before
    yield Line(
        f"tasks of {seconds:g} s on {fleet.workers:,} workers: results", f"{ended / lasted:.0f}/s",
        f"{fleet.workers / seconds:.0f}/s",
    )  # fmt: skip
    used = (cpu_of(fleet.boss.pid) - boss) / lasted
    yield Line("  cores of the boss, of the broker", f"{used:.2f}, {(cpu_of(fleet.broker) - broker) / lasted:.2f}", "0.5 (boss)")
    finish(fleet, job)
    answers = fleet.crowd.ask("tell")
    span = max(answer["last"] for answer in answers) - min(answer["first"] for answer in answers if answer["first"])
    busy = sum(answer["worked"] for answer in answers) / (span * fleet.workers)
    yield Line("  busy, from the first start to the last end", f"{busy:.3f}", "0.95" if seconds <= 1 else "")


def cut(fleet: Fleet) -> Iterator[Line]:
    """All links are cut at once, by the broker's death, while every worker has work."""
    fleet.crowd.ask("forget")
    job = fleet.push("cut", fleet.workers * 2, "sleep 20")
    wait_for(lambda: fleet.crowd.sum("started") >= fleet.workers, _PATIENCE, "every worker to have a task", 0.5)
    os.kill(fleet.broker, signal.SIGKILL)
    wait_for(lambda: fleet.crowd.sum("connected") == 0, 30, "the links to be cut", 0.05)
    back = wait_for(lambda: fleet.crowd.sum("connected") >= fleet.workers, _PATIENCE, "all workers to be back", 0.2)
    yield Line(f"{fleet.workers:,} links cut at once: everybody back", f"{back:.1f} s", "30 s")
    finish(fleet, job)
    yield Line("  tasks that ran twice, or were lost", f"{fleet.crowd.sum('repeated'):.0f}, 0", "0, 0")


def finish(fleet: Fleet, job: Job) -> None:
    """Wait for a job's end. Raises Failed unless each task ran once and succeeded."""
    state = job.wait(_PATIENCE)
    counts = job.status()["tasks"]
    ran = fleet.crowd.sum("started")
    if state != "succeeded" or ran != counts["succeeded"]:
        raise Failed(f"{job.name} has {state}: {counts}; {ran:.0f} attempts ran")


PARTS: dict[str, Callable[[Fleet], Iterator[Line]]] = {
    "join": join_storm,
    "minute": lambda fleet: steady(fleet, 60, 3),
    "second": lambda fleet: steady(fleet, 1, 30),
    "cut": cut,
}


@contextmanager
def a_fleet(workers: int, processes: int) -> Iterator[Fleet]:
    """A fleet of one's own in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="ecloud-fleet.") as folder:
        fleet = Fleet(Path(folder), workers, processes)
        try:
            yield fleet
        finally:
            fleet.close()


def main(words: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4, help="how many processes the workers are in")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; `join` comes first anyway")
    parser.add_argument("--out", type=Path, help="write the figures as JSON here")
    given = parser.parse_args(words)
    wanted = ["join", *[name for name in given.only or PARTS if name != "join"]]
    lines: list[Line] = []
    try:
        with a_fleet(given.workers, given.processes) as fleet:
            for name in wanted:
                for line in PARTS[name](fleet):
                    lines.append(line)
                    print(f"| {line.what} | {line.figure} | {line.goal} |", flush=True)
            lines.append(Line("peak memory of the boss", f"{memory_of(fleet.boss.pid, 'VmHWM') >> 20} MB"))
            lines.append(Line("peak memory of the broker", f"{memory_of(fleet.broker, 'VmHWM') >> 20} MB"))
            for line in lines[-2:]:
                print(f"| {line.what} | {line.figure} | {line.goal} |", flush=True)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    if given.out:
        given.out.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
