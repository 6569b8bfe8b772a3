"""Create calls: one for a claim group, asked once, and what became of each of its claims.

Rules:
- Everything that the settings name is looked up before the call, so that what is missing is named and nothing was sent.
- An answer that is lost leaves the claims open (``final`` False) for the next list. A service that failed and said so has ended its work:
  a list right after shows what it made, and the rest is refused for good.
- Claims without a server after a good answer are those for which the quota had no room.
- A claim that is given up before its turn comes is never asked for; one that is given up meanwhile loses its server at once.
"""

import base64
import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_book import Book
from boss.adapters.openstack_errors import CloudError, Effect
from boss.adapters.openstack_servers import Servers
from boss.adapters.userdata import LONGEST, UserDataError
from boss.config import CloudPool
from boss.core.events import Event, Server, VmCreated, VmCreateFailed
from boss.core.model import Refusal

#: Seconds for the answer to a create call: for many servers a busy cloud takes its time.
_READ = 100.0

_log = logging.getLogger(__name__)


class Zones:
    """Which of a pool's availability zones is next for a flavor: the same one, until it has no host."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str], int] = {}

    def of(self, pool: CloudPool, flavor: str) -> str:
        """The zone to ask for; empty where the settings name none."""
        zones = pool.availability_zones
        return zones[self._turns.get((pool.name, flavor), 0) % len(zones)] if zones else ""

    def had_no_host(self, pool: CloudPool, flavor: str, zone: str) -> None:
        """The next one is next, unless it is already."""
        if zone and zone == self.of(pool, flavor):
            self._turns[pool.name, flavor] = self._turns.get((pool.name, flavor), 0) + 1


class Asking:
    """``user_data(pool, group, count)`` makes what the servers of a call start with; ``unwanted(vm, server)`` deletes one at once."""

    def __init__(
        self,
        api: Api,
        book: Book,
        servers: Servers,
        zones: Zones,
        cluster: str,
        epoch: int,
        pools: Mapping[str, CloudPool],
        user_data: Callable[[str, str, int], str],
        unwanted: Callable[[str, str], None],
    ) -> None:
        self.put: Callable[[Event], bool] = lambda _event: False
        self._api = api
        self._book = book
        self._servers = servers
        self._zones = zones
        self._cluster = cluster
        self._epoch = epoch
        self._pools = pools
        self._user_data = user_data
        self._unwanted = unwanted
        self._lock = threading.Lock()
        self._asking: set[str] = set()  # claims whose call is wanted or under way
        self._given_up: set[str] = set()  # those of them that were deleted meanwhile

    def expect(self, vms: Iterable[str]) -> None:
        """A call for these claims will follow."""
        with self._lock:
            self._asking.update(vms)

    def give_up(self, vm: str) -> None:
        """Nobody wants this claim's server any more."""
        with self._lock:
            if vm in self._asking:
                self._given_up.add(vm)

    def ask(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """Make the call, and tell what came of it."""
        try:
            with self._lock:
                unwanted = self._given_up.issuperset(vms)
            if not unwanted:
                self._call(vms, self._pools[pool], flavor)
        except CloudError as error:
            self._refused(vms, error)
        except Exception as error:  # a fault of ours, or of what makes the user data
            _log.exception("servers for %s could not be asked for", ", ".join(vms))
            self._refused(vms, CloudError(Refusal.UNKNOWN, f"the create call went wrong: {error}", Effect.OPEN))
        finally:
            with self._lock:
                self._asking.difference_update(vms)
                self._given_up.difference_update(vms)

    def _call(self, vms: tuple[str, ...], pool: CloudPool, flavor: str) -> None:
        body = {"server": self._wish(pool, vms, flavor)}
        what = f"create {f'{len(vms)} servers' if len(vms) > 1 else 'a server'} of flavor {flavor}"
        try:
            answer = self._api.call("POST", "compute", "/servers", what, json=body, read=_READ)
        except CloudError as error:
            if error.kind is Refusal.INVALID:
                self._book.forget()  # what was there may be gone
            if error.effect is not Effect.ENDED:
                raise
            self._settle(vms, error, lambda: self._servers.of_group(vms[0]))
            return
        if len(vms) == 1:
            self._created(vms[0], Server(str(answer["server"]["id"]), vms[0], pool.name))
        else:
            self._settle(vms, None, lambda: self._servers.of_reservation(str(answer["reservation_id"])))

    def _wish(self, pool: CloudPool, vms: tuple[str, ...], flavor: str) -> dict[str, Any]:
        """The call's document."""
        image = str(self._book.image(pool.image)["id"])
        zone = self._zones.of(pool, flavor)
        wish: dict[str, Any] = {
            "name": facts.server_name(self._cluster, vms[0]),
            "flavorRef": self._book.flavor(flavor)["id"],
            "networks": [{"uuid": network} for network in self._book.networks(pool.networks)],
            "metadata": facts.metadata(self._cluster, self._epoch, pool.name, vms, zone, pool.metadata),
            "user_data": self._encoded(pool, vms),
        }
        wish |= {"block_device_mapping_v2": [_volume(image, pool)]} if pool.boot_volume else {"imageRef": image}
        if self._api.tags():
            wish["tags"] = [facts.tag(self._cluster)]
        if pool.key_name:
            wish["key_name"] = self._book.key(pool.key_name)["name"]
        if pool.security_groups:
            wish["security_groups"] = [{"name": self._book.security_group(name)["id"]} for name in pool.security_groups]
        if zone:
            wish["availability_zone"] = self._book.zone(zone)
        if pool.config_drive:
            wish["config_drive"] = True
        if len(vms) > 1:
            wish |= {"min_count": 1, "max_count": len(vms), "return_reservation_id": True}
        return wish

    def _encoded(self, pool: CloudPool, vms: tuple[str, ...]) -> str:
        try:
            data = base64.b64encode(self._user_data(pool.name, vms[0], len(vms)).encode()).decode()
        except UserDataError as error:  # nothing was sent
            raise CloudError(Refusal.INVALID, str(error)) from None
        if len(data) > LONGEST:
            size = f"the user data of pool {pool.name} has {len(data)} bytes, and Nova takes {LONGEST}"
            raise CloudError(Refusal.INVALID, f"{size}: shorten the pool's packages and pip")
        return data

    def _settle(self, vms: tuple[str, ...], error: CloudError | None, look: Callable[[], list[Server]]) -> None:
        """The call is over: whoever has a server got it, the others were refused (by the quota, if there was no error)."""
        try:
            servers = {server.vm: server for server in look()}
        except CloudError as failed:
            reason = error.reason if error else "the servers were asked for"
            self._refused(vms, CloudError(failed.kind, f"{reason}; then {failed.reason}", Effect.OPEN))
            return
        for vm in vms:
            if vm in servers:
                self._created(vm, servers[vm])
        without = tuple(vm for vm in vms if vm not in servers)
        if without:
            allowed = f"the project's quota allowed {len(vms) - len(without)} of {len(vms)} servers"
            error = error or CloudError(Refusal.QUOTA, allowed + self._limits())
            self._refused(without, CloudError(error.kind, error.reason, Effect.NONE, error.retry_after))

    def _created(self, vm: str, server: Server) -> None:
        self.put(VmCreated(vm, server.server, server.address))
        with self._lock:
            unwanted = vm in self._given_up
        if unwanted:
            self._unwanted(vm, server.server)

    def _refused(self, vms: Iterable[str], error: CloudError) -> None:
        for vm in vms:
            self.put(VmCreateFailed(vm, error.reason, error.effect is Effect.NONE, error.kind, error.retry_after))

    def _limits(self) -> str:
        """What the project may have, in words; empty where that cannot be told."""
        try:
            limits = facts.compute_limits(self._api.get("compute", "/limits", "read the limits"))
        except CloudError:
            return ""
        bounds = [f"{facts.amount(name, limit.total)} {name}" for name, limit in limits.items() if limit.total < math.inf]
        return f" (it may have {', '.join(bounds)})" if bounds else ""


def _volume(image: str, pool: CloudPool) -> dict[str, Any]:
    """The volume that a server boots from, and that goes with it."""
    mapping: dict[str, Any] = {
        "boot_index": 0,
        "uuid": image,
        "source_type": "image",
        "destination_type": "volume",
        "volume_size": pool.boot_volume,
        "delete_on_termination": True,
    }
    return mapping | ({"volume_type": pool.volume_type} if pool.volume_type else {})
