#!/usr/bin/env python3
"""What a turn of the boss's core costs beside so many workers, in cpu time: no broker, no database, no clock but the simulated one.

Rules:
- Every worker has a task of a minute. A turn hears of a few that have ended, and as many heartbeats as there are meanwhile; then it
  deals.
- It is cpu time of one process, so that other programs on the machine matter little.
"""

import argparse
import sys
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from boss.core import picture, reactor
from boss.core.effects import Effect, Send
from boss.core.events import BrokerConnected, Event, TimePassed, VmCreated, WorkerSaid
from boss.core.model import Flavor, Policy, Pool, TaskSpec, Template
from boss.core.requests import JobOpened, JobStaged, TasksStaged
from boss.core.state import State
from worker.protocol import Assign, Heartbeat, Hello, Result, Results, Started

#: How long a task runs, results a turn, turns between two pictures for the API.
RUNS, RESULTS, PICTURE = 60.0, 5, 20
OFFER = {"cpus": 1.0, "memory": 2.0**30}


class Core:
    """A core with workers that all have something to do."""

    def __init__(self, workers: int, turns: int) -> None:
        pool = Pool("local", "local", (Flavor("one", OFFER),), minimum=workers, maximum=workers)
        self.state = State(Policy(pools=(pool,), heartbeat=2.0, offline_after=6.0, lease=30.0))
        self.now = 1000.0
        self.running: deque[tuple[str, str]] = deque()
        self.turn(BrokerConnected())
        names = list(self.state.vms)
        self.turn(*(VmCreated(name, f"server-{name}", "10.0.0.1") for name in names))
        self.turn(*(WorkerSaid(name, Hello("s", 1, 0, OFFER, {})) for name in names))
        tasks = tuple(TaskSpec(index, f"t{index}", 0) for index in range(workers + (turns + 1) * RESULTS))
        self.turn(JobStaged("u1", "job", "ada", "s1"), TasksStaged("u1", (Template(0, "t", ("sleep 60",)),), tasks))
        self.turn(JobOpened("u1", {}))
        assert len(self.running) == workers

    def turn(self, *events: Event) -> None:
        """One turn of the loop, without commit and effects."""
        effects: list[Effect] = []
        for event in (*events, TimePassed()):
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.take_changes()
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Assign):
                self.running += [(effect.worker, assignment.attempt) for assignment in effect.message.attempts]

    def news(self, number: int, rate: float) -> list[Event]:
        """What is said while so many tasks end; ``rate``: heartbeats a second."""
        events: list[Event] = []
        for _ in range(RESULTS):
            worker, attempt = self.running.popleft()
            result = Result(attempt, "succeeded", exit_code=0, started=self.now - RUNS, finished=self.now)
            events += [WorkerSaid(worker, Started("s", {attempt: result.started})), WorkerSaid(worker, Results("s", (result,)))]
        for count in range(max(1, round(rate * RUNS / len(self.state.workers) * RESULTS))):
            worker, attempt = self.running[(number * 7 + count * 13) % len(self.running)]
            events.append(WorkerSaid(worker, Heartbeat("s", 1, self.state.workers[worker].sent, {attempt: "running"})))
        return events


def measure(workers: int, turns: int) -> tuple[float, float]:
    """Cpu seconds of a turn, and of a picture."""
    core = Core(workers, turns)
    rate = min(workers / 2.0, 250.0)
    picture.publish(core.state, core.now, 0.0)
    handled = shown = 0.0
    for number in range(turns):
        core.now += RUNS / workers * RESULTS
        events = core.news(number, rate)
        begun = time.process_time()
        core.turn(*events)
        ended = time.process_time()
        handled += ended - begun
        if number % PICTURE == 0:
            picture.publish(core.state, core.now, 0.0)
            shown += time.process_time() - ended
    return handled / turns, shown / (turns / PICTURE)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--turns", type=int, default=400)
    given = parser.parse_args()
    print(f"| workers | ms of cpu a turn of {RESULTS} results | ms of cpu a picture |\n| ---: | ---: | ---: |")
    for workers in given.workers:
        turn, shown = measure(workers, given.turns)
        print(f"| {workers:,} | {turn * 1e3:.2f} | {shown * 1e3:.1f} |", flush=True)


if __name__ == "__main__":
    main()
