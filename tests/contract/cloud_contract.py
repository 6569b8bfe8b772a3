"""What every cloud of the boss does, whatever is behind it: run on the fake in memory and, in tests/openstack, on a real OpenStack.

A ``Rig`` gives a test a project with room, one with 3 instances, 6 cpus and 2 volumes, and the faults. Its flavors: ``lab.1`` (1 cpu,
1 GiB of memory, 4 GiB of disk), ``lab.2`` (2 cpus), ``lab.8``, and ``lab.huge``, which no host has room for.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import pytest

from boss.core.events import (
    CloudFailed,
    ConsoleRead,
    Event,
    FlavorsSeen,
    LimitsSeen,
    Server,
    ServersListed,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
    VmDeleteFailed,
)
from boss.core.model import Refusal
from boss.ports import Cloud, Thing
from tests.servers import eventually

#: The flavors that the pool ``p`` has; the cloud knows all but the last.
FLAVORS = ("lab.1", "lab.2", "lab.8", "lab.huge", "lab.none")
GIB = 2**30
E = TypeVar("E", bound=Event)


class Rig(Protocol):
    """One kind of cloud for the tests."""

    #: Seconds that anything may take.
    patience: float

    def open(self, cluster: str, epoch: int = 1, small: bool = False, volumes: bool = False) -> Cloud:
        """A cloud with the pool ``p``, not started; with ``volumes`` its servers boot from volumes."""

    def down(self) -> AbstractContextManager[None]:
        """Its API refuses connections."""

    def silent(self) -> AbstractContextManager[None]:
        """Its API takes calls and never answers."""

    def refused_deletion(self) -> AbstractContextManager[None]:
        """Deletions fail while this lasts, or once."""

    def volumes_away(self) -> AbstractContextManager[None]:
        """The volume service does not answer: servers that go leave their boot volumes behind."""

    def wrong_credential(self, cluster: str) -> Cloud:
        """A cloud that does not know us."""


class Life:
    """One life of a boss with a cloud: what it is told, and lists on demand."""

    def __init__(self, cloud: Cloud, patience: float) -> None:
        self.cloud = cloud
        self.patience = patience
        self.inbox: queue.Queue[Event] = queue.Queue()
        self.asked = 0.0
        cloud.start(self._put)

    def _put(self, event: Event) -> bool:
        self.inbox.put(event)
        return True

    def next(self, kind: type[E], fits: Callable[[E], bool] = lambda _event: True) -> E:
        """The next event of a kind; others are passed over."""
        until = time.monotonic() + self.patience
        passed = []
        while True:
            try:
                event = self.inbox.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {kind.__name__} within {self.patience} s; there were {passed}")
            if isinstance(event, kind) and fits(event):
                return event
            passed.append(event)

    def create(self, *vms: str, flavor: str = "lab.1") -> dict[str, VmCreated | VmCreateFailed]:
        """Ask for a group, and wait for the end of each claim."""
        self.cloud.create(vms, "p", flavor)
        return self.ends(vms, (VmCreated, VmCreateFailed))

    def delete(self, *vms: str, server: str = "") -> None:
        """Delete claims, and wait until each is gone."""
        for vm in vms:
            self.cloud.delete(vm, "p", server)
        self.ends(vms, (VmDeleted,))

    def ends(self, vms: Iterable[str], kinds: tuple[type, ...]) -> dict[str, VmCreated | VmCreateFailed]:
        """One event of these kinds for each claim."""
        waiting, found = set(vms), {}
        while waiting:
            event = self.next(Event)  # type: ignore[arg-type]
            if isinstance(event, kinds) and event.vm in waiting:  # type: ignore[union-attr]
                waiting.discard(event.vm)  # type: ignore[union-attr]
                found[event.vm] = event  # type: ignore[union-attr]
        return found  # type: ignore[return-value]

    def servers(self) -> dict[str, Server]:
        """A fresh list, by server."""
        self.asked += 1.0
        self.cloud.list(self.asked)
        listed = self.next(ServersListed, lambda event: event.asked == self.asked)
        return {server.server: server for server in listed.servers}

    def until(self, fits: Callable[[dict[str, Server]], bool]) -> dict[str, Server]:
        """The first list that fits."""
        until, never = time.monotonic() + self.patience, threading.Event()
        while not fits(found := self.servers()):
            assert time.monotonic() < until, f"never: {found}"
            never.wait(self.patience / 200)
        return found


def volumes_of(cloud: Cloud) -> list[Thing]:
    """The boot volumes of the cluster, as its inventory shows them."""
    return [thing for thing in cloud.inventory() if thing.kind == "volume"]


def all_active(servers: dict[str, Server]) -> bool:
    """Whether every server runs."""
    return all(server.status == "ACTIVE" for server in servers.values())


def only(servers: dict[str, Server]) -> Server:
    """The one server of a list."""
    assert len(servers) == 1, servers
    return next(iter(servers.values()))


class CloudContract:
    """Subclasses have fixtures ``rig`` (a ``Rig``) and ``life`` (a started ``Life`` of a cluster of this test alone)."""

    def test_flavors_are_told_at_the_start_in_cpus_and_bytes_and_unknown_ones_by_name(self, rig: Rig, cluster: str) -> None:
        life = Life(rig.open(cluster), rig.patience)
        seen = life.next(FlavorsSeen)
        assert seen.provider == life.cloud.provider
        assert seen.flavors["p", "lab.1"] == {"cpus": 1, "memory": GIB, "disk": 4 * GIB}
        assert {flavor for _, flavor in seen.flavors} == set(FLAVORS) - {"lab.none"}
        assert list(seen.absent) == [("p", "lab.none")] and "there is no flavor 'lab.none'" in seen.absent["p", "lab.none"]
        life.cloud.stop()

    def test_a_claim_gets_one_server_that_boots_and_has_an_address(self, life: Life) -> None:
        made = life.create("p-1")["p-1"]
        assert isinstance(made, VmCreated)
        listed = only(
            life.until(lambda servers: any(server.status == "ACTIVE" and server.address for server in servers.values()))
        )
        assert (listed.server, listed.vm, listed.group, listed.pool, listed.epoch) == (made.server, "p-1", "p-1", "p", 1)

    def test_a_group_gets_a_server_for_each_claim_and_the_list_tells_which(self, life: Life) -> None:
        made = life.create("p-9", "p-10", "p-11")
        assert len({event.server for event in made.values() if isinstance(event, VmCreated)}) == 3
        listed = life.servers()
        assert {server.vm: server.server for server in listed.values()} == {vm: event.server for vm, event in made.items()}  # type: ignore[union-attr]
        assert {server.group for server in listed.values()} == {"p-9"}

    def test_of_a_group_beyond_the_quota_what_fits_is_made_and_the_rest_refused(self, small: Life) -> None:
        ends = small.create("p-1", "p-2", "p-3", "p-4", "p-5", flavor="lab.2")
        refused = [event for event in ends.values() if isinstance(event, VmCreateFailed)]
        assert [event.vm for event in ends.values() if isinstance(event, VmCreated)] == ["p-1", "p-2", "p-3"]
        assert [(event.vm, event.final, event.kind) for event in refused] == [(vm, True, Refusal.QUOTA) for vm in ("p-4", "p-5")]
        assert "quota allowed 3 of 5 servers" in refused[0].reason
        assert {server.vm for server in small.servers().values()} == {"p-1", "p-2", "p-3"}

    def test_of_a_group_of_which_the_quota_allows_one_the_first_claim_has_the_server(self, small: Life) -> None:
        small.create("p-1", "p-2", flavor="lab.2")
        ends = small.create("p-3", "p-4", "p-5", flavor="lab.2")
        assert isinstance(ends["p-3"], VmCreated)
        assert isinstance(ends["p-4"], VmCreateFailed)
        assert {server.vm for server in small.servers().values()} == {"p-1", "p-2", "p-3"}

    def test_a_quota_that_has_no_room_is_told_with_its_numbers(self, small: Life) -> None:
        refused = small.create("p-1", flavor="lab.8")["p-1"]
        assert isinstance(refused, VmCreateFailed)
        assert (refused.final, refused.kind) == (True, Refusal.QUOTA)
        assert "8 asked for, 0 of 6 used" in refused.reason

    def test_a_flavor_that_is_not_there_is_named_with_those_that_are(self, life: Life) -> None:
        refused = life.create("p-1", "p-2", flavor="lab.none")["p-2"]
        assert isinstance(refused, VmCreateFailed)
        assert (refused.final, refused.kind) == (True, Refusal.INVALID)
        assert "'lab.none'" in refused.reason
        assert "there are: lab." in refused.reason
        assert not life.servers()

    def test_a_server_that_no_host_has_room_for_is_in_error_with_the_reason_and_can_be_deleted(self, life: Life) -> None:
        life.create("p-1", flavor="lab.huge")
        listed = only(life.until(lambda servers: only(servers).status != "BUILD"))
        assert listed.status == "ERROR"
        assert "no valid host" in listed.reason.lower()
        life.delete("p-1", server=listed.server)
        assert not life.servers()

    def test_a_deletion_ends_when_the_server_is_gone_and_again_at_once_when_it_is_repeated(self, life: Life) -> None:
        made = life.create("p-1")["p-1"]
        assert isinstance(made, VmCreated)
        life.delete("p-1", server=made.server)
        assert not life.servers()
        life.delete("p-1", server=made.server)

    def test_a_server_is_deleted_by_its_claim_alone_and_no_other_with_it(self, life: Life) -> None:
        life.create("p-1", "p-2", "p-3")
        life.delete("p-2")
        assert {server.vm for server in life.servers().values()} == {"p-1", "p-3"}

    def test_a_claim_without_a_server_counts_as_deleted(self, life: Life) -> None:
        life.delete("p-77")

    def test_a_claim_that_is_given_up_at_once_leaves_no_server(self, life: Life) -> None:
        life.cloud.create(("p-1", "p-2"), "p", "lab.1")
        for vm in ("p-1", "p-2"):
            life.cloud.delete(vm, "p", "")
        life.until(lambda servers: not servers)
        life.create("p-3")
        assert {server.vm for server in life.servers().values()} == {"p-3"}

    def test_a_later_life_finds_the_servers_of_an_earlier_one_with_their_epoch(self, rig: Rig, life: Life, cluster: str) -> None:
        life.create("p-1", "p-2")
        later = Life(rig.open(cluster, epoch=2), rig.patience)
        assert {(server.vm, server.epoch) for server in later.servers().values()} == {("p-1", 1), ("p-2", 1)}
        later.create("p-3")
        assert {(server.vm, server.epoch) for server in life.servers().values()} == {("p-1", 1), ("p-2", 1), ("p-3", 2)}
        later.cloud.stop()

    def test_servers_of_another_cluster_are_not_ours(self, rig: Rig, life: Life, cluster: str) -> None:
        life.create("p-1")
        other = Life(rig.open(f"x{cluster[1:]}"), rig.patience)
        assert not other.servers()
        other.delete("p-1")
        assert {server.vm for server in life.servers().values()} == {"p-1"}
        other.cloud.stop()

    def test_limits_come_with_a_list_and_count_servers(self, small: Life) -> None:
        small.create("p-1", flavor="lab.2")
        small.until(lambda servers: only(servers).status == "ACTIVE")
        small.servers()
        seen = small.next(LimitsSeen)
        assert seen.provider == small.cloud.provider
        told = {name: (limit.total, limit.used) for name, limit in seen.limits.items()}
        assert told["instances"] == (3, 1)
        assert told["cpus"] == (6, 2)
        assert told["memory"] == (16 * GIB, 4 * GIB)

    def test_a_console_is_read_and_one_that_is_not_there_is_empty(self, rig: Rig, life: Life) -> None:
        made = life.create("p-1")["p-1"]
        assert isinstance(made, VmCreated)
        life.until(lambda servers: only(servers).status == "ACTIVE")

        def told() -> bool:
            life.cloud.console("p-1", "p", made.server)
            return "CONSOLE" in life.next(ConsoleRead).text

        eventually(told, rig.patience)
        life.cloud.console("p-2", "p", "no-such-server")
        assert life.next(ConsoleRead) == ConsoleRead("p-2", "")
        assert "CONSOLE" in life.cloud.read_console("p-1", made.server)
        assert life.cloud.read_console("p-2", "no-such-server") == ""

    def test_a_deletion_that_fails_is_told_and_asked_for_again_until_it_succeeds(self, rig: Rig, life: Life) -> None:
        made = life.create("p-1")["p-1"]
        assert isinstance(made, VmCreated)
        life.until(lambda servers: only(servers).status == "ACTIVE")
        with rig.refused_deletion():
            life.cloud.delete("p-1", "p", made.server)
            assert "ERROR" in life.next(VmDeleteFailed).reason
        life.ends(["p-1"], (VmDeleted,))
        assert not life.servers()

    def test_boot_volumes_are_marked_with_cluster_and_claim_and_go_with_their_servers(self, rig: Rig, cluster: str) -> None:
        life = Life(rig.open(cluster, volumes=True), rig.patience)
        life.create("p-1", "p-2")
        servers = life.until(all_active)
        life.until(lambda _servers: [thing.name for thing in volumes_of(life.cloud) if thing.name] != [])
        life.servers()  # whatever follows a list has been done when the next one comes
        volumes = volumes_of(life.cloud)
        assert {(thing.claim, thing.uses, thing.cluster) for thing in volumes} == {
            (server.vm, server.server, cluster) for server in servers.values()
        }
        life.delete("p-1", "p-2")
        life.until(lambda _servers: not life.cloud.inventory())
        life.cloud.stop()

    def test_a_quota_of_volumes_is_among_the_limits_and_a_server_without_one_says_why(self, rig: Rig, cluster: str) -> None:
        life = Life(rig.open(cluster, small=True, volumes=True), rig.patience)
        life.create("p-1", "p-2")
        life.until(all_active)
        life.servers()
        told = life.next(LimitsSeen, lambda event: event.limits["volumes"].used == 2).limits["volumes"]
        assert (told.total, told.used) == (2, 2)
        life.create("p-3")
        listed = life.until(lambda servers: any(server.status == "ERROR" for server in servers.values()))
        [refused] = [server for server in listed.values() if server.status == "ERROR"]
        assert refused.vm == "p-3"
        assert "volumes allowed (2) exceeded for quota" in refused.reason
        life.delete("p-1", "p-2", "p-3")
        life.until(lambda _servers: not life.cloud.inventory())
        life.cloud.stop()

    def test_a_boss_that_ended_before_the_answer_leaves_volumes_that_a_later_life_marks(self, rig: Rig, cluster: str) -> None:
        life = Life(rig.open(cluster, volumes=True), rig.patience)
        life.cloud.create(("p-1", "p-2"), "p", "lab.1")
        life.until(lambda servers: len(servers) == 2)
        life.cloud.stop()
        later = Life(rig.open(cluster, epoch=2, volumes=True), rig.patience)
        later.until(all_active)
        later.until(lambda _servers: sorted(thing.claim for thing in volumes_of(later.cloud)) == ["p-1", "p-2"])
        later.delete("p-1", "p-2")
        later.until(lambda _servers: not later.cloud.inventory())
        later.cloud.stop()

    def test_a_volume_that_outlived_its_server_is_in_the_inventory_and_deleted_by_a_later_life(
        self, rig: Rig, cluster: str
    ) -> None:
        life = Life(rig.open(cluster, volumes=True), rig.patience)
        life.create("p-1")
        life.until(all_active)
        life.servers()
        with rig.volumes_away():
            life.delete("p-1")
        life.cloud.stop()
        later = Life(rig.open(cluster, epoch=2, volumes=True), rig.patience)
        assert [(thing.kind, thing.claim) for thing in later.cloud.inventory()] == [("volume", "p-1")]
        later.until(lambda _servers: not later.cloud.inventory())
        later.cloud.stop()

    def test_a_volume_that_nobody_owns_is_removed_by_hand(self, rig: Rig, cluster: str) -> None:
        life = Life(rig.open(cluster, volumes=True), rig.patience)
        life.create("p-1")
        life.until(all_active)
        life.servers()
        with rig.volumes_away():
            life.delete("p-1")
        [left] = life.cloud.inventory()
        life.cloud.remove(left)
        life.cloud.remove(left)  # gone is fine
        life.until(lambda _servers: not life.cloud.inventory())
        life.cloud.stop()

    def test_an_api_that_is_down_is_told_and_its_calls_did_nothing(self, rig: Rig, life: Life) -> None:
        with rig.down():
            refused = life.create("p-1", "p-2")
            life.cloud.list(99.0)
            failed = life.next(CloudFailed)
        assert {(end.final, end.kind) for end in refused.values()} == {(True, Refusal.UNAVAILABLE)}  # type: ignore[union-attr]
        assert failed.kind is Refusal.UNAVAILABLE
        assert "cannot be reached" in failed.reason
        assert not life.servers()

    def test_a_cloud_that_does_not_know_us_says_so(self, rig: Rig, cluster: str) -> None:
        life = Life(rig.wrong_credential(cluster), rig.patience)
        assert life.next(CloudFailed).kind is Refusal.CREDENTIAL
        refused = life.create("p-1")["p-1"]
        assert isinstance(refused, VmCreateFailed)
        assert (refused.final, refused.kind) == (True, Refusal.CREDENTIAL)
        assert "credential" in refused.reason
        life.cloud.stop()

    def test_no_silent_api_delays_the_end_of_a_boss(self, rig: Rig, cluster: str) -> None:
        life = Life(rig.open(cluster), rig.patience)
        life.next(FlavorsSeen)
        with rig.silent():
            began = time.monotonic()
            life.cloud.create(("p-1",), "p", "lab.1")
            life.cloud.list(1.0)
            life.cloud.delete("p-2", "p", "")
            life.cloud.stop()
            assert time.monotonic() - began < 5.0
