#!/usr/bin/env python3
"""How fast servers of an OpenStack project come and go by ecloud, beside a bare openstacksdk loop. Prints a table; ``--out`` writes JSON.

    tests/openstack/lab in .venv/bin/python benchmarks/cloud.py [--only create fleet tasks] [--kills 20] [--out FILE]

Rules:
- ``create``: the adapter asks for servers as the boss does (VMs that are wanted at the same moment by one call); ten threads of plain
  openstacksdk ask one by one before and after it, and their mean counts, because a cloud's speed changes while one measures.
- ``fleet``: a job that is worth hundreds of VMs is pushed to a boss with an empty cloud; its servers run nothing. When all are ACTIVE the
  fleet is shut down. Meanwhile the boss is asked, four times a second, what only its loop can answer.
- ``tasks``: tasks of two seconds on VMs that boot, join and go; with ``--kills`` the boss is killed at random moments. Twice a second the
  cloud's servers are compared with the boss's claims.
- What does not end well is an error, and measures nothing.
"""

import argparse
import json
import queue
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cloud_lab import LabBoss, Place, Project, TookTooLong, lab_boss, wait
from benchmarks.cloud_watch import Loop, Orphans
from benchmarks.private_boss import BossDidNotStart
from benchmarks.throughput import machine
from boss.adapters.openstack import OpenStackCloud
from boss.config import CloudPool
from boss.core.events import CloudFailed, Event, FlavorsSeen, ServersListed, VmCreated, VmCreateFailed, VmDeleted
from client import Client, ClientError

_WAIT = 1800.0


class WentWrong(Exception):
    """What was measured did not succeed."""


@dataclass(frozen=True, slots=True)
class Created:
    """Creation of servers. Seconds from the first call to the last answer, until all are ACTIVE, and until all are gone."""

    servers: int
    answered: float
    active: float
    gone: float
    bare_answered: float
    bare_active: float

    @property
    def answered_ratio(self) -> float:
        """The rate of answered calls in units of the bare loop's rate."""
        return self.bare_answered / self.answered

    @property
    def active_ratio(self) -> float:
        """The rate of ACTIVE servers in units of the bare loop's rate."""
        return self.bare_active / self.active


@dataclass(frozen=True, slots=True)
class Fleet:
    """Many servers by a boss. Seconds since the push began; ``cpu`` of the boss and its children, ``memory`` of the boss in bytes."""

    servers: int
    first_call: float
    active: float
    gone: float
    cpu: float
    memory: int
    loop_usual: float
    loop_worst: float
    ports_left: int


@dataclass(frozen=True, slots=True)
class Tasks:
    """A job from an empty cloud to an empty cloud. Seconds since the push; ``worst_orphan``: the longest that a server had no claim."""

    tasks: int
    kills: int
    first_server: float
    done: float
    empty: float
    peak: int
    servers: int
    worst_orphan: float
    orphans: int
    looks: int
    ports_left: int


# ---- creation --------------------------------------------------------------------------------------------------------


def measure_creation(place: Place, count: int) -> Created:
    """The adapter between two bare loops."""
    project = Project(place)
    before = _bare(project, count)
    answered, active, gone = _adapter(place, count)
    after = _bare(project, count)
    bare = [(one + other) / 2 for one, other in zip(before, after, strict=True)]
    return Created(count, answered, active, gone, bare[0], bare[1])


def _bare(project: Project, count: int) -> tuple[float, float]:
    prefix = f"bare-{uuid.uuid4().hex[:6]}-"
    begun = time.monotonic()
    answered = project.create_bare(prefix, count)
    try:
        wait(lambda: _count(project, prefix) >= count, _WAIT, "bare servers to be ACTIVE", 1.0)
        active = time.monotonic() - begun
    finally:
        project.delete(prefix)
    return answered, active


def _count(project: Project, prefix: str) -> int:
    standing = [status for _, _, status, _ in project.servers(prefix)]
    if "ERROR" in standing:
        raise WentWrong("a server is in ERROR")
    return standing.count("ACTIVE")


def _adapter(place: Place, count: int) -> tuple[float, float, float]:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(event: Event) -> bool:
        events.put(event)
        return True

    def next_of(*kinds: type) -> Any:
        while True:
            event = events.get(timeout=_WAIT)
            if isinstance(event, VmCreateFailed | CloudFailed):
                raise WentWrong(event.reason)
            if isinstance(event, kinds):
                return event

    pool = CloudPool("p", place.cloud, place.image, {place.flavor: {}}, (place.network,))
    cloud = OpenStackCloud(place.cloud, uuid.uuid4().hex[:8], 1, [pool], lambda _pool, _group, _count: "#!/bin/sh\nexit 0\n")
    cloud.start(put)
    made: dict[str, str] = {}
    try:
        next_of(FlavorsSeen)
        begun = time.monotonic()
        cloud.create(tuple(f"p-{number}" for number in range(1, count + 1)), "p", place.flavor)
        while len(made) < count:
            created: VmCreated = next_of(VmCreated)
            made[created.vm] = created.server
        answered = time.monotonic() - begun

        def all_active() -> bool:
            cloud.list(time.time())
            listed: ServersListed = next_of(ServersListed)
            return sum(server.status == "ACTIVE" for server in listed.servers) >= count

        wait(all_active, _WAIT, "servers to be ACTIVE", 1.0)
        active = time.monotonic() - begun
        begun = time.monotonic()
        for vm, server in made.items():
            cloud.delete(vm, "p", server)
        while made:
            deleted: VmDeleted = next_of(VmDeleted)
            made.pop(deleted.vm, None)
        gone = time.monotonic() - begun
        if left := cloud.inventory():
            raise WentWrong(f"{len(left)} things are left in the cloud")
    finally:
        for vm, server in made.items():
            cloud.delete(vm, "p", server)
        cloud.stop()
    return answered, active, gone


# ---- a fleet ---------------------------------------------------------------------------------------------------------


def measure_fleet(place: Place, count: int) -> Fleet:
    """As many VMs as a job is worth, and none of them after a shut-down."""
    project = Project(place)
    pool = {"maximum": count, "haste": 1.0, "boot_timeout": "3h"}  # cloud-config: these servers run nothing and join nowhere
    with lab_boss(place, pool, {"create_timeout": "30m"}) as boss:
        _ready(boss)
        cpu, begun, wall = boss.measured().cpu(), time.monotonic(), time.time()
        task = {"id": "t{n}", "foreach": {"n": {"range": [0, count]}}, "command": "true", "runtime": 36000}
        boss.client.submit({"job": "fleet", "tasks": [task]})
        with Loop(boss, "fleet:t0") as loop:
            wait(boss.client.vms, 60, "the first claim", 0.05)
            first_call = min(vm["created"] for vm in boss.client.vms()) - wall  # the claim is committed, then the call is made
            wait(lambda: _active(project) >= count, _WAIT, f"{count} servers to be ACTIVE", 2.0)
            active = time.monotonic() - begun
            begun = time.monotonic()
            boss.client.close_fleet(now=True)
            wait(lambda: not project.ours() and not boss.client.vms(), _WAIT, "all servers to be gone", 2.0)
            gone = time.monotonic() - begun
        measured = boss.measured()
        return Fleet(
            count, first_call, active, gone, measured.cpu() - cpu, measured.peak_memory(), loop.usual, loop.worst, project.ports()
        )  # fmt: skip


def _active(project: Project) -> int:
    return sum(status == "ACTIVE" for _, _, status, _ in project.ours())


def _ready(boss: LabBoss) -> None:
    """Wait until the boss knows what its flavors offer, and what the project may have."""
    begun = boss.ask(lambda client: client.status())
    wait(lambda: boss.ask(_has_limits), 60, "the cloud's limits", 0.2)
    if begun["vms"]:
        raise WentWrong("the boss has VMs already")


def _has_limits(client: Client) -> bool:
    basis = client.connection.get("/basis")
    return bool(basis["limits"] and basis["sizes"])


# ---- tasks -----------------------------------------------------------------------------------------------------------


def measure_tasks(place: Place, count: int, kills: int, seed: int, vms: int) -> Tasks:
    """From an empty cloud to all results, and back to an empty cloud."""
    project, dice = Project(place), random.Random(seed)
    pool = {"maximum": vms, "cooldown": 5, "user_data": "script"}
    with lab_boss(place, pool, {"list_interval": 10}) as boss:
        _ready(boss)
        begun = time.monotonic()
        task = {"id": "t{n}", "foreach": {"n": {"range": [0, count]}}, "command": "sleep 2"}
        job = boss.client.submit({"job": "tasks", "tasks": [task]})
        with Orphans(project, boss.state) as orphans:
            for _ in range(kills):
                threading.Event().wait(dice.uniform(0.3, 6.0))
                boss.kill()
                threading.Event().wait(dice.uniform(0.0, 1.0))
                boss.start()
            wait(lambda: boss.ask(lambda _client: job.status())["finished"], _WAIT, "all results", 1.0)
            done = time.monotonic() - begun
            ended = boss.ask(lambda _client: job.status())
            if ended["tasks"] != {"succeeded": count}:
                raise WentWrong(f"the tasks ended as {ended['tasks']}")
            wait(lambda: not project.ours() and not boss.ask(lambda client: client.vms()), _WAIT, "an empty cloud", 1.0)
            empty = time.monotonic() - begun
        return Tasks(
            count, kills, (orphans.first or begun) - begun, done, empty, orphans.peak, len(orphans.ever),
            max(orphans.worst.values(), default=0.0), len(orphans.worst), orphans.looks, project.ports(),
        )  # fmt: skip


# ---- telling ---------------------------------------------------------------------------------------------------------


def rows_of(measured: Created | Fleet | Tasks) -> list[tuple[str, str, str]]:
    """What was measured, the figure, and what it is compared with."""
    match measured:
        case Created():
            what = f"{measured.servers} servers by one call"
            answered = f"bare {measured.bare_answered:.1f} s: x {measured.answered_ratio:.2f}"
            active = f"bare {measured.bare_active:.1f} s: x {measured.active_ratio:.2f}"
            return [
                (f"{what}: all answered", f"{measured.answered:.1f} s", answered),
                (f"{what}: all ACTIVE", f"{measured.active:.1f} s", active),
                (f"{what}: all gone", f"{measured.gone:.1f} s", ""),
            ]
        case Fleet():
            what = f"{measured.servers} servers through the boss"
            usual, worst = f"{1000 * measured.loop_usual:.0f} ms", f"{1000 * measured.loop_worst:.0f} ms"
            return [
                (f"{what}: first create call after the push", f"{measured.first_call:.2f} s", "at most 2 s"),
                (f"{what}: all ACTIVE", f"{measured.active:.0f} s", f"{measured.servers / measured.active:.2f} a second"),
                (f"{what}: all gone", f"{measured.gone:.0f} s", f"{measured.ports_left} ports left"),
                (f"{what}: answers of the boss's loop, median", usual, f"longest {worst}"),
                (f"{what}: the boss's peak memory", f"{measured.memory / 2**20:.0f} MB", f"{measured.cpu:.0f} s of cpu"),
            ]
        case Tasks():
            what = f"{measured.tasks} tasks of 2 s" + (f", boss killed {measured.kills} times" if measured.kills else "")
            orphans = f"{measured.orphans} servers without a claim, the longest {measured.worst_orphan:.1f} s"
            return [
                (f"{what}: first server", f"{measured.first_server:.1f} s", ""),
                (f"{what}: all results", f"{measured.done:.0f} s", f"{measured.peak} VMs at most, {measured.servers} in all"),
                (f"{what}: empty cloud", f"{measured.empty:.0f} s", f"{measured.ports_left} ports left"),
                (f"{what}: seen in {measured.looks} looks", orphans, ""),
            ]


def table(all_measured: list[Created | Fleet | Tasks]) -> str:
    """The figures as a Markdown table."""
    rows = [("what", "figure", "beside"), ("---", "---:", "---"), *(row for one in all_measured for row in rows_of(one))]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    """Measure what was asked for; 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("create", "fleet", "tasks")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="what to measure (default: all)")
    parser.add_argument("--create", type=int, default=50, metavar="N", help="servers of `create` (50)")
    parser.add_argument("--fleet", type=int, default=300, metavar="N", help="servers of `fleet` (300)")
    parser.add_argument("--tasks", type=int, default=200, metavar="N", help="tasks of `tasks` (200)")
    parser.add_argument("--vms", type=int, default=10, metavar="N", help="VMs of `tasks` at most (10)")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="how often the boss of `tasks` is killed (0)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which it is killed (1)")
    parser.add_argument("--cloud", default=Place().cloud, help="the entry of clouds.yaml (lab)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = parser.parse_args()
    place, about, measured, failed = Place(options.cloud), machine(), [], False
    runs: dict[str, Callable[[], Created | Fleet | Tasks]] = {
        "create": lambda: measure_creation(place, options.create),
        "fleet": lambda: measure_fleet(place, options.fleet),
        "tasks": lambda: measure_tasks(place, options.tasks, options.kills, options.seed, options.vms),
    }
    for name in options.only:
        try:
            measured.append(runs[name]())
            print(f"cloud: {name} is measured", file=sys.stderr)
        except (WentWrong, TookTooLong, BossDidNotStart, ClientError) as error:
            failed = True
            print(f"cloud: {name} failed: {error}", file=sys.stderr)
    print(f"{about['cores']} cores, Python {about['python']}, load average {about['load_average']:.1f} at the start")
    print()
    print(table(measured))
    if options.out:
        rows = {type(one).__name__.lower(): asdict(one) for one in measured}
        options.out.write_text(json.dumps({"machine": about, "figures": rows}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
