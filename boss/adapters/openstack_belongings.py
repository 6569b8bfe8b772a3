"""What goes with our servers: tags on their ports, their floating IPs, and how much of such things is left. (Volumes: openstack_volumes.)

Rules:
- Nova makes ports after the create call is answered, so they are tagged at the next list, once each.
- A floating IP carries cluster and claim in its description from its creation on, so that it is found whatever is killed when; it is
  released when its server is gone.
- A server that the cloud lets us see but whose things it does not let us tag is used all the same.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from boss.adapters import openstack_facts as facts
from boss.adapters.lanes import Lane
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_book import Book
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_servers import Servers
from boss.config import CloudPool
from boss.core.events import Limit

#: Things that are tagged in one round, so that a list is never long in coming.
_A_ROUND = 100
#: Seconds between looks for ports of new servers that get floating IPs, and how many looks.
_HURRY, _HURRIES = 2.0, 60
Raw = Mapping[str, Any]

_log = logging.getLogger(__name__)


class Belongings:
    """Of one cluster's servers in one cloud."""

    def __init__(self, api: Api, book: Book, servers: Servers, cluster: str, pools: Mapping[str, CloudPool]) -> None:
        self._api = api
        self._book = book
        self._servers = servers
        self._cluster = cluster
        self._tag = facts.tag(cluster)
        self._pools = pools
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._looks = 0  # for ports of new servers, that are still to come; as long as there are some, one waits in the lane
        self._more = False  # whether servers were made since the last look began
        self._ports: list[Raw] = []
        self._tagged: set[str] = set()
        self._addresses_of: dict[str, str] = {}  # floating ones by server, which Nova may not know for long
        self._refused: set[str] = set()  # what this cloud does not let us ask for or do

    def dress(self, raws: Iterable[Raw]) -> None:
        """Tag the ports of these servers, give them floating IPs where their pools say so. Raises CloudError."""
        servers = {str(raw["id"]): raw for raw in raws}
        with self._lock:
            here = {str(port["id"]) for port in self._ports}
            self._tagged &= here
            self._tag_ports(servers)
            self._give_floating(servers)

    def expect(self, pool: CloudPool, lane: Lane) -> None:
        """Servers were made that need a floating IP to be of use: see to it before the next list, for all of them together."""
        if not pool.floating_network:
            return
        with self._turn:
            first = not self._looks
            self._looks, self._more = _HURRIES, True
        if first:
            lane.do(partial(self._hurry, lane), _HURRY)

    def address(self, server: str) -> str:
        """A server's floating address that Nova does not show yet; empty: none that we know."""
        return self._addresses_of.get(server, "")

    def release(self, claim: str) -> None:
        """Give back the floating IPs of a claim whose server is gone. Raises CloudError."""
        if not any(pool.floating_network for pool in self._pools.values()):
            return
        for floating in self._floating(description=f"{self._tag} {claim}"):
            self.remove_floating(str(floating["id"]))

    def remove_floating(self, floating: str) -> None:
        """Give one back; one that is gone is fine. Raises CloudError."""
        try:
            self._api.call("DELETE", "network", f"/floatingips/{floating}", "release a floating IP")
        except CloudError as error:
            if error.status != 404:
                raise

    def limits(self) -> dict[str, Limit]:
        """``addresses`` of the pools' networks, ``ports``, and where used ``floating_ips``. Raises CloudError."""
        found: dict[str, Limit | None] = {"addresses": self._addresses()}
        quotas = self._optional("network", f"/quotas/{self._api.project()}/details.json", "read the network quotas")
        found["ports"] = facts.quota_limit(quotas, "port")
        if any(pool.floating_network for pool in self._pools.values()):
            found["floating_ips"] = facts.quota_limit(quotas, "floatingip")
        return {name: limit for name, limit in found.items() if limit is not None}

    def ports(self) -> list[Raw]:
        """The ports that we see in the pools' networks. Raises CloudError."""
        networks = sorted({network for pool in self._pools.values() for network in self._book.networks(pool.networks)})
        fields = ["id", "network_id", "device_id", "fixed_ips", "tags"]
        what = "list the ports"
        return [
            port
            for network in networks
            for port in self._api.pages("network", "/ports", "ports", what, network_id=network, fields=fields)
        ]

    def _addresses(self) -> Limit | None:
        """Of the pool that has the most room, in the tightest of its networks."""
        with self._lock:
            self._ports = self.ports()
        rooms = [
            facts.tightest(self._room(network) for network in self._book.networks(pool.networks)) for pool in self._pools.values()
        ]
        return max((room for room in rooms if room), key=lambda room: room.total - room.used, default=None)

    def _room(self, network: str) -> Limit:
        counted = facts.availability(self._optional("network", f"/network-ip-availabilities/{network}", "count addresses"))
        mine = (port for port in self._ports if port["network_id"] == network)
        return counted or facts.addresses(self._book.subnets(network), mine)

    def _optional(self, service: str, path: str, what: str) -> dict[str, Any]:
        """An answer that not every cloud gives to everybody; empty where it does not, and then never asked for again."""
        if path in self._refused:
            return {}
        try:
            return self._api.get(service, path, what)
        except CloudError as error:
            if error.status in (401, 403, 404):
                self._refused.add(path)
                return {}
            raise

    def _tag_ports(self, servers: Mapping[str, Raw]) -> None:
        bare = [port for port in self._ports if port["device_id"] in servers and self._tag not in (port.get("tags") or ())]
        for port in [port for port in bare if port["id"] not in self._tagged][:_A_ROUND]:
            vm, group = facts.claim_of(servers[port["device_id"]], self._cluster)
            self._tag_one("network", f"/ports/{port['id']}/tags", {"tags": [self._tag, vm or group]}, "tag a port")
            self._tagged.add(str(port["id"]))

    def _tag_one(self, service: str, path: str, body: Mapping[str, Any], what: str) -> None:
        """A port that is gone needs no tag any more."""
        try:
            self._api.call("PUT", service, path, what, json=body)
        except CloudError as error:
            if error.status != 404:
                raise

    def _hurry(self, lane: Lane) -> None:
        """Look at once for servers that wait for a floating IP, and again until none does."""
        with self._turn:
            self._more = False
        left = 1
        try:
            ours = {str(raw["id"]): raw for raw in self._servers.raw()}
            with self._lock:
                self._ports = self.ports()
                left = self._give_floating(ours)
        except CloudError as error:
            _log.warning("floating IPs wait: %s", error.reason)
        finally:
            with self._turn:
                self._looks = again = self._looks - 1 if left or self._more else 0
            if again:
                lane.do(partial(self._hurry, lane), _HURRY)

    def _give_floating(self, servers: Mapping[str, Raw]) -> int:
        """A floating IP for each server that should have one and has none; how many of them have no port yet."""
        wanting = {server: network for server, raw in servers.items() if (network := self._floating_network(raw))}
        if not wanting:
            return 0
        taken = {str(one["port_id"]): str(one["floating_ip_address"]) for one in self._floating() if one.get("port_id")}
        ports = {str(port["device_id"]): str(port["id"]) for port in self._ports if port["device_id"] in wanting}
        try:
            for server, port in ports.items():
                if port not in taken:
                    vm, group = facts.claim_of(servers[server], self._cluster)
                    taken[port] = self._make_floating(wanting[server], port, vm or server, vm or group)
        finally:  # of those that have theirs it is known, whatever is refused to the next one
            self._addresses_of = {server: taken[port] for server, port in ports.items() if port in taken}
        return len(wanting) - len(ports)

    def _floating_network(self, raw: Raw) -> str:
        """The network from which this server should still get a floating IP; empty: none."""
        pool = self._pools.get(str(raw["metadata"].get(facts.POOL, "")))
        wants = pool is not None and raw.get("status") in ("BUILD", "ACTIVE") and not facts.has_floating(raw)
        return pool.floating_network if pool and wants else ""

    def _make_floating(self, network: str, port: str, claim: str, mark: str) -> str:
        external = self._book.network(network)["id"]
        wish = {"floating_network_id": external, "port_id": port, "description": f"{self._tag} {claim}"}
        answer = self._api.call("POST", "network", "/floatingips", "get a floating IP", json={"floatingip": wish})
        floating = str(answer["floatingip"]["id"])
        self._tag_one("network", f"/floatingips/{floating}/tags", {"tags": [self._tag, mark]}, "tag a floating IP")
        return str(answer["floatingip"]["floating_ip_address"])

    def _floating(self, **filters: str) -> list[dict[str, Any]]:
        project = self._api.project()
        return [
            one
            for one in self._api.pages(
                "network", "/floatingips", "floatingips", "list the floating IPs", project_id=project, **filters
            )
            if str(one.get("description", "")).startswith(f"{self._tag} ")
        ]
