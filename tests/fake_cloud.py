"""A cloud in memory behind the port ``Cloud``, which passes the same contract as a real OpenStack (tests/contract/cloud_contract.py).

``Project`` is what is out there: servers, flavors, quotas, and what goes wrong. ``FakeCloud`` is one life of a boss that uses it. Events
are put by the caller's own thread, before a verb returns; servers boot, and go, as lists are asked for.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from boss.core.events import (
    CloudFailed,
    ConsoleRead,
    FlavorsSeen,
    Limit,
    LimitsSeen,
    Server,
    ServersListed,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
    VmDeleteFailed,
)
from boss.core.model import Refusal
from boss.ports import Put, Thing

GIB = 2**30


@dataclass(slots=True)
class Faults:
    """What goes wrong from now on. ``down``: refused connections; ``silent``: no call is ever answered."""

    down: bool = False
    silent: bool = False
    credential: bool = False
    lost_answers: bool = False  #: the servers are made, and the answer never comes
    stuck: bool = False  #: servers stay in BUILD
    broken: str = ""  #: servers go to ERROR for this reason
    refused_deletions: int = 0  #: so many deletions end in ERROR
    volumes_away: bool = False  #: servers go without their boot volumes


@dataclass(slots=True)
class _Made:
    cluster: str
    line: Server
    flavor: str
    lists: int = 0  #: how often it was listed


@dataclass(slots=True)
class _Volume:
    """What a server boots from; ``cluster`` and ``claim`` are empty until it is marked."""

    server: str
    cluster: str = ""
    claim: str = ""


@dataclass(slots=True)
class Project:
    """Flavors by name: cpus, bytes of memory, bytes of disk. ``hosts`` is the largest number of cpus that fits on a host."""

    instances: float = 1000
    volume_limit: float = math.inf
    cpus: float = math.inf
    memory: float = math.inf
    hosts: int = 500
    flavors: dict[str, tuple[int, int, int]] = field(
        default_factory=lambda: {
            "lab.1": (1, GIB, 4 * GIB),
            "lab.2": (2, 4 * GIB, 10 * GIB),
            "lab.8": (8, 16 * GIB, 40 * GIB),
            "lab.huge": (100000, GIB, 4 * GIB),
        }
    )
    faults: Faults = field(default_factory=Faults)
    servers: dict[str, _Made] = field(default_factory=dict)
    volumes: dict[str, _Volume] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)  #: the claims of each create call
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def used(self) -> dict[str, float]:
        """What is used of each limit."""
        sizes = [self.flavors[made.flavor] for made in self.servers.values()]
        return {
            "instances": float(len(sizes)),
            "cpus": float(sum(size[0] for size in sizes)),
            "memory": float(sum(size[1] for size in sizes)),
            "volumes": float(len(self.volumes)),
        }

    def room(self, flavor: str) -> tuple[int, str]:
        """How many more servers of a flavor the quota allows, and which limit it is that says so."""
        asked = {"instances": 1.0, "cpus": float(self.flavors[flavor][0]), "memory": float(self.flavors[flavor][1])}
        used, rooms = self.used(), {}
        for name, total in (("instances", self.instances), ("cpus", self.cpus), ("memory", self.memory)):
            if total < math.inf:
                rooms[name] = int((total - used[name]) // asked[name])
        tightest = min(rooms, key=lambda name: rooms[name])
        total = {"instances": self.instances, "cpus": self.cpus, "memory": self.memory}[tightest]
        said = f"{tightest}: {asked[tightest]:g} asked for, {used[tightest]:g} of {total:g} used"
        return max(0, rooms[tightest]), said


class FakeCloud:
    """One boss's way into a project."""

    def __init__(
        self,
        project: Project,
        cluster: str,
        epoch: int,
        pools: dict[str, list[str]],
        provider: str = "fake",
        volumes: bool = False,
    ) -> None:
        self.provider = provider
        self._volumes = volumes
        self.project = project
        self._cluster = cluster
        self._epoch = epoch
        self._pools = pools
        self._put: Put = lambda _event: False

    def start(self, put: Put) -> None:
        """Tell the flavors."""
        self._put = put
        if (failed := self._failure()) is not None:
            self._failed(failed)
            return
        known = self.project.flavors
        self._put(FlavorsSeen(self.provider, {
            (pool, name): dict(zip(("cpus", "memory", "disk"), map(float, known[name]), strict=True))
            for pool, names in self._pools.items() for name in names if name in known
        }, {
            (pool, name): f"there is no flavor {name!r}" for pool, names in self._pools.items() for name in names if name not in known
        }))  # fmt: skip

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """All or as many as the quota allows, at once."""
        failed = self._failure()
        if failed is None and self.project.faults.silent:
            return
        self.project.calls.append(vms)
        if failed is not None:
            self._refuse(vms, *failed)
        elif flavor not in self.project.flavors:
            self._refuse(vms, Refusal.INVALID, f"there is no flavor {flavor!r}; there are: {', '.join(self.project.flavors)}")
        else:
            self._make(vms, pool, flavor)

    def delete(self, vm: str, pool: str, server: str) -> None:
        """Gone at once, unless a fault keeps it."""
        failed = self._failure()
        if failed is not None:
            self._put(VmDeleteFailed(vm, failed[1]))
            return
        for made in self._ours():
            if made.line.server == server or (not server and made.line.vm == vm):
                if self.project.faults.refused_deletions:
                    self.project.faults.refused_deletions -= 1
                    self._put(VmDeleteFailed(vm, "the cloud was asked to delete it and says ERROR"))
                    self.delete(vm, pool, server)  # the adapter asks again by itself
                    return
                self._remove_server(made.line.server)
        self._put(VmDeleted(vm))

    def console(self, vm: str, pool: str, server: str) -> None:
        """A line for a server that is there."""
        self._put(ConsoleRead(vm, "FAKE CONSOLE OUTPUT\n" if server in self.project.servers else ""))

    def list(self, asked: float) -> None:
        """Servers boot from one list to the next."""
        failed = self._failure()
        if failed is not None:
            self._failed(failed)
            return
        if self.project.faults.silent:
            return
        for made in self._ours():
            made.line = self._grown(made)
            made.lists += 1
        self._tend_volumes()
        self._put(ServersListed(self.provider, asked, tuple(made.line for made in self._ours())))
        used, project = self.project.used(), self.project
        totals = {"instances": project.instances, "cpus": project.cpus, "memory": project.memory}
        if self._volumes:
            totals["volumes"] = project.volume_limit
        self._put(LimitsSeen(self.provider, {name: Limit(float(total), used[name]) for name, total in totals.items()}))

    def read_console(self, vm: str, server: str) -> str:
        """A line for a server that is there."""
        return "FAKE CONSOLE OUTPUT\n" if server in self.project.servers else ""

    def inventory(self) -> Sequence[Thing]:
        """Servers and their volumes."""
        servers = [
            Thing(
                self.provider, "server", made.line.server, made.line.server, made.line.vm, made.line.status, None, self._cluster
            )
            for made in self._ours()
        ]
        volumes = [
            Thing(self.provider, "volume", name, name, volume.claim, "in-use", None, self._cluster, volume.server)
            for name, volume in self.project.volumes.items()
            if volume.cluster == self._cluster
        ]
        return servers + volumes

    def remove(self, thing: Thing) -> None:
        """Gone at once."""
        if thing.kind == "server" and thing.id in self.project.servers:
            self._remove_server(thing.id)
        self.project.volumes.pop(thing.id, None)

    def stop(self) -> None:
        """Nothing runs."""

    def _make(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        allowed, said = self.project.room(flavor)
        made = vms[:allowed]
        tell: Callable[[VmCreated], object] = (lambda _event: None) if self.project.faults.lost_answers else self._put
        for vm in made:
            server = f"server-{next(self.project.numbers)}"
            line = Server(server, vm, pool, "BUILD", group=vms[0], epoch=self._epoch)
            self.project.servers[server] = _Made(self._cluster, line, flavor)
            tell(VmCreated(vm, server))
        if self.project.faults.lost_answers:
            for vm in vms:
                self._put(VmCreateFailed(vm, "the service did not answer: no answer in time", False, Refusal.UNAVAILABLE))
        elif len(made) < len(vms):
            what = (
                f"the project's quota allowed {allowed} of {len(vms)} servers"
                if made
                else "the project's quota does not allow it"
            )
            self._refuse(vms[allowed:], Refusal.QUOTA, f"{what} - {said}")

    def _grown(self, made: _Made) -> Server:
        faults, size = self.project.faults, self.project.flavors[made.flavor]
        if made.line.status != "BUILD" or faults.stuck:
            return made.line
        reason = faults.broken or ("No valid host was found." if size[0] > self.project.hosts else "")
        if not reason and self._volumes:
            reason = self._boot_volume(made.line.server)
        if reason:
            return replace(made.line, status="ERROR", reason=reason)
        if not made.lists:
            return made.line
        return replace(made.line, status="ACTIVE", address=f"10.0.0.{int(made.line.server.rpartition('-')[2])}")

    def _boot_volume(self, server: str) -> str:
        """Make what a server boots from; why not, if the quota has no room."""
        volumes = self.project.volumes
        if f"volume-of-{server}" not in volumes:
            if len(volumes) >= self.project.volume_limit:
                return f"Maximum number of volumes allowed ({self.project.volume_limit:g}) exceeded for quota 'volumes'."
            volumes[f"volume-of-{server}"] = _Volume(server)
        return ""

    def _tend_volumes(self) -> None:
        """Mark those of our servers, and delete marked ones whose servers are gone."""
        for name, volume in list(self.project.volumes.items()):
            made = self.project.servers.get(volume.server)
            if made is not None and made.cluster == self._cluster:
                volume.cluster, volume.claim = made.cluster, made.line.vm
            elif made is None and volume.cluster == self._cluster:
                del self.project.volumes[name]

    def _remove_server(self, server: str) -> None:
        del self.project.servers[server]
        if not self.project.faults.volumes_away:
            self.project.volumes.pop(f"volume-of-{server}", None)

    def _ours(self) -> "list[_Made]":
        return [made for made in self.project.servers.values() if made.cluster == self._cluster]

    def _failure(self) -> tuple[Refusal, str] | None:
        if self.project.faults.down:
            return Refusal.UNAVAILABLE, "the compute service cannot be reached: connection refused"
        if self.project.faults.credential:
            return Refusal.CREDENTIAL, "the cloud does not accept our credential (401)"
        return None

    def _failed(self, failure: tuple[Refusal, str]) -> None:
        self._put(CloudFailed(self.provider, failure[1], failure[0]))

    def _refuse(self, vms: tuple[str, ...], kind: Refusal, reason: str) -> None:
        for vm in vms:
            self._put(VmCreateFailed(vm, reason, True, kind))
