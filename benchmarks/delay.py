#!/usr/bin/env python3
"""How busy short tasks keep workers that are far from their boss. Prints a table; ``--out`` writes JSON. Needs root, for namespaces.

Rules:
- Boss, broker and datastore are one host, each worker another: namespaces of this machine, with a relay between them
  (``chaos/network.py``) that holds every packet for ``--delays`` milliseconds in EACH direction: a round trip takes twice that.
- Workers are real ones, brought to their hosts by the boss over SSH. Tasks are ``sleep``; some write a small output each,
  some read a small file each that another task has yielded before (which is not measured).
- Efficiency is what the tasks' sleeping alone would take on all slots, by the time from the first start to the last end; ``job`` the same
  by the time from the push until its end is known. What a task costs beside its sleep (a process, a folder) counts as waste: compare with
  the line of no delay.
- Each kind is preceded by one task per slot, which is not measured: connections are made then.
- The relay is measured by itself first, and how late it was in each run is said: it must not be the limit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import delay_probe, private_boss
from benchmarks.throughput import machine
from chaos.network import Network, NoNetwork
from client import Client, ClientError

_WAIT = 300.0
_PROBE_PORT = 4242
_ROUND_TRIPS = 200
#: How long the tasks of one run sleep in all, by slot, in seconds.
_WORK = 10.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Tasks that sleep for so many seconds each."""

    name: str
    title: str
    seconds: float
    output: bool = False
    input: bool = False

    def document(self, job: str, count: int) -> dict[str, Any]:
        """So many of them."""
        task: dict[str, Any] = {"id": "task-{i}", "foreach": {"i": {"range": [0, count]}}, "command": f"sleep {self.seconds}"}
        if self.output:
            task |= {"command": f"sleep {self.seconds} && echo {{i}} > made-{{i}}.txt", "outputs": ["made-{i}.txt"]}
        if not self.input:
            return {"job": job, "tasks": [task]}
        made = {
            "id": "seed",
            "command": f"mkdir in; for i in $(seq 0 {count - 1}); do echo $i > in/$i.txt; done",
            "outputs": ["in/"],
        }
        return {"job": job, "tasks": [made, task | {"inputs": ["in/{i}.txt"], "after": ["seed"]}]}


KINDS = {
    kind.name: kind
    for kind in (
        Kind("10ms", "10 ms", 0.01),
        Kind("100ms", "100 ms", 0.1),
        Kind("1s", "1 s", 1.0),
        Kind("output", "100 ms, a small output each", 0.1, output=True),
        Kind("input", "100 ms, a small input of its own each", 0.1, input=True),
    )
}


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: delay one way in milliseconds, times in seconds, packets by second; ``behind``: lateness of the relay (median, 99 %)."""

    delay: float
    kind: str
    tasks: int
    run: float
    wall: float
    efficiency: float
    job: float
    cpu_per_task: float
    packets: float
    lost: int
    behind: tuple[float, float]


class RunFailed(Exception):
    """A job that did not succeed measures nothing."""


class Field:
    """A boss, and workers that are far from it."""

    def __init__(self, network: Network, boss: private_boss.PrivateBoss, slots: int) -> None:
        self.network = network
        self.boss = boss
        self.slots = slots
        self._jobs = 0

    def measure(self, kind: Kind, delay: float, loss: float, work: float) -> Figures:
        """Run tasks of a kind at a delay of so many milliseconds in each direction."""
        relay = self.network.relay
        assert relay is not None
        self.network.delay(delay / 1000, loss)
        self._run(kind, self.slots)
        count = max(self.slots, round(work / kind.seconds) * self.slots)
        relay.behind.clear()
        cpu, passed, lost, begun = self.boss.cpu(), relay.passed, relay.lost, time.monotonic()
        tasks = self._run(kind, count)
        wall = time.monotonic() - begun
        run = max(task["finished"] for task in tasks) - min(task["started"] for task in tasks)
        ideal = count * kind.seconds / self.slots
        return Figures(
            delay, kind.name, count, run, wall, ideal / run, ideal / wall, (self.boss.cpu() - cpu) / count,
            (relay.passed - passed) / wall, relay.lost - lost, _late(list(relay.behind)),
        )  # fmt: skip

    def _run(self, kind: Kind, count: int) -> list[dict[str, Any]]:
        self._jobs += 1
        job = self.boss.client.submit(kind.document(f"{kind.name}-{self._jobs}", count))
        state = job.wait(_WAIT)
        if state != "succeeded":
            raise RunFailed(f"the job has {state}: {job.status()['tasks']}")
        return job.tasks("task-*")


def _late(behind: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    if not behind:
        return 0.0, 0.0
    return statistics.median(behind), sorted(behind)[int(len(behind) * 0.99)]


@contextmanager
def field(workers: int, slots: int) -> Iterator[Field]:
    """Network, boss and workers, all of our own. Raises NoNetwork, BossDidNotStart, ClientError."""
    with tempfile.TemporaryDirectory(prefix="ecloud-delay.") as folder, Network(Path(folder), workers, 0, False) as network:
        state = Path(folder) / "state"
        state.mkdir()
        (state / "ecloud.toml").write_text(network.settings())
        logins = network.start_hosts()
        network.enter("boss")
        path = f"{network.bin}:{os.environ['PATH']}"
        process = private_boss.start(state, {"ECLOUD_CONFIG": str(state / "ecloud.toml"), "PATH": path})
        try:
            access = json.loads((state / "api.json").read_text())
            with Client(access["url"], access["token"]) as client:
                for login in logins:
                    client.add_host(login, slots)
                _await_workers(client, workers)
                yield Field(network, private_boss.PrivateBoss(process.pid, state, client), workers * slots)
                for login in logins:
                    client.remove_host(login, now=True)
                _await_workers(client, 0)
        finally:
            private_boss.stop(process)
            network.stop_hosts()


def _await_workers(client: Client, count: int) -> None:
    end = time.monotonic() + 60
    while (there := sum(worker["state"] == "online" for worker in client.workers())) != count:
        if time.monotonic() > end:
            raise RunFailed(f"{there} workers are online instead of {count}: {client.vms()}")
        time.sleep(0.1)


def probe(network: Network, delays: list[float]) -> dict[str, Any]:
    """What the relay does by itself: bytes and packets a second without a delay, and the round trips of each delay in milliseconds."""
    assert network.relay is not None
    there = network.address("w0")
    command = [*network.through("w0"), sys.executable, delay_probe.__file__, there, str(_PROBE_PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as far:
        assert far.stdout is not None
        far.stdout.readline()
        try:
            network.delay(0.0)
            passed, begun = network.relay.passed, time.monotonic()
            rate = delay_probe.throughput(there, _PROBE_PORT)
            packets = (network.relay.passed - passed) / (time.monotonic() - begun)
            trips = {}
            for delay in sorted({0.0, *delays}):
                network.delay(delay / 1000)
                times = delay_probe.round_trips(there, _PROBE_PORT, _ROUND_TRIPS if delay < 10 else _ROUND_TRIPS // 10)
                trips[delay] = [1000 * statistics.median(times), 1000 * times[int(0.99 * len(times))]]
        finally:
            far.terminate()
    return {"bytes_per_second": rate, "packets_per_second": packets, "round_trips_ms": trips}


def table(measured: list[Figures], kinds: list[Kind]) -> str:
    """Efficiencies as a Markdown table: a line for each delay, a column for each kind."""
    rows = [("delay each way, ms", "round trip, ms", *(kind.title for kind in kinds)), ("---:",) * (2 + len(kinds))]
    found = {(figures.delay, figures.kind): figures for figures in measured}
    for delay in sorted({figures.delay for figures in measured}):
        cells = [found.get((delay, kind.name)) for kind in kinds]
        rows.append(
            (
                f"{delay:g}",
                f"{2 * delay:g}",
                *("" if cell is None else f"{cell.efficiency:.3f} ({cell.job:.3f})" for cell in cells),
            )
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    """Measure what was asked for; 1 if a run failed, 2 if it cannot be done here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delays", nargs="+", type=float, default=[0, 0.5, 1, 5, 10, 25, 50], help="ms, in each direction")
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), default=list(KINDS), help="the kinds of tasks (default: all)")
    parser.add_argument("--loss", type=float, default=0.0, help="the share of packets that the relay loses (default: 0)")
    parser.add_argument("--workers", type=int, default=4, help="workers, each on a host of its own (default: 4)")
    parser.add_argument("--slots", type=int, default=2, help="slots of each, at most the cores of this machine (default: 2)")
    parser.add_argument("--work", type=float, default=_WORK, help="seconds of sleep for each slot in one run (default: 10)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = parser.parse_args()
    if min(options.delays) < 0 or not 0 <= options.loss < 1 or options.work <= 0 or options.workers < 1:
        parser.error("delays must not be negative, --loss must be at least 0 and less than 1, --work and --workers more than 0")
    if not 1 <= options.slots <= _cores():
        parser.error(f"--slots must be 1 to {_cores()}, the cores of this machine: a host offers no more")
    if os.geteuid() != 0:
        print("delay: only root can make the network of namespaces that this needs", file=sys.stderr)
        return 2
    about, kinds, failed = machine(), [KINDS[name] for name in options.only], False
    measured: list[Figures] = []
    try:
        with field(options.workers, options.slots) as there:
            relay = probe(there.network, options.delays)
            for delay in options.delays:
                for kind in kinds:
                    try:
                        measured.append(there.measure(kind, delay, options.loss, options.work))
                        print(f"delay: {_told(measured[-1])}", file=sys.stderr, flush=True)
                    except (RunFailed, ClientError, TimeoutError) as error:
                        failed = True
                        print(f"delay: {kind.name} at {delay:g} ms failed: {error}", file=sys.stderr)
            there.network.delay(0.0)
    except (NoNetwork, private_boss.BossDidNotStart, RunFailed, ClientError) as error:
        print(f"delay: {error}", file=sys.stderr)
        return 2
    print(
        f"{about['cores']} cores, Python {about['python']}, load average {about['load_average']:.1f} at the start; "
        f"{options.workers} workers of {options.slots} slots, {options.work:g} s of sleep for each slot, loss {options.loss:g}"
    )
    print(
        f"the relay alone: {relay['bytes_per_second'] / 1e6:.0f} MB/s, {relay['packets_per_second']:,.0f} packets/s, round trips "
        + ", ".join(f"{median:.2f} ms at {delay:g}" for delay, (median, _) in relay["round_trips_ms"].items())
    )
    if measured:
        packets, late = max(figures.packets for figures in measured), max(figures.behind[1] for figures in measured)
        print(f"in the runs: {packets:,.0f} packets/s at most, of which 99 % were no more than {1000 * late:.2f} ms late")
    print()
    print(table(measured, kinds))
    if options.out:
        rows = [asdict(figures) for figures in measured]
        facts = {"workers": options.workers, "slots": options.slots, "work": options.work, "loss": options.loss}
        options.out.write_text(json.dumps({"machine": about, **facts, "relay": relay, "figures": rows}, indent=1))
    return 1 if failed else 0


def _cores() -> int:
    """How many slots a host of this machine can offer."""
    return os.cpu_count() or 1


def _told(figures: Figures) -> str:
    late = 1000 * figures.behind[1]
    return (
        f"{figures.delay:g} ms, {figures.kind}: {figures.tasks} tasks, efficiency {figures.efficiency:.3f} (job {figures.job:.3f}), "
        f"{1000 * figures.cpu_per_task:.1f} ms cpu of the boss a task, {figures.packets:,.0f} packets/s, late {late:.2f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
