"""Our servers in one project, as the cloud lists them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_errors import CloudError
from boss.config import CloudPool
from boss.core.events import Server

#: Faults of servers that are kept, so that each is asked for once.
_FAULTS = 500
Raw = dict[str, Any]


def console_of(api: Api, server: str, lines: int) -> str:
    """The last lines of a server's console. Raises CloudError, also where there is none."""
    body = {"os-getConsoleOutput": {"length": lines}}
    return str(api.call("POST", "compute", f"/servers/{server}/action", "read a console", json=body).get("output") or "")


class Servers:
    """Those of one cluster. Every look raises CloudError."""

    def __init__(self, api: Api, cluster: str, pools: Mapping[str, CloudPool]) -> None:
        self._api = api
        self._cluster = cluster
        self._pools = pools
        self._faults: dict[str, str] = {}  # of servers in ERROR, by id

    def raw(self) -> list[Raw]:
        """All of them as Nova shows them, without deleted ones, found by their tag; where there are no tags, among all of the project."""
        filters = {"tags": facts.tag(self._cluster)} if self._api.tags() else {}
        return self._listed(filters)

    def all(self) -> list[Server]:
        """All of them."""
        return [server for raw in self.raw() if (server := self.read(raw))]

    def of_reservation(self, reservation: str) -> list[Server]:
        """Those that one call made, by its answer."""
        return [server for raw in self._listed({"reservation_id": reservation}) if (server := self.read(raw))]

    def of_group(self, group: str) -> list[Server]:
        """Those that the call for this claim and those after it made."""
        return [server for server in self.all() if server.group == group]

    def of_claim(self, vm: str) -> list[Server]:
        """Those that carry this claim (one, unless somebody has copied a server's metadata)."""
        return [server for server in self.all() if server.vm == vm]

    def one(self, server: str) -> Raw | None:
        """A server as the cloud shows it; None when it is gone."""
        try:
            raw: Raw = self._api.get("compute", f"/servers/{server}", "look at a server").get("server", {})
        except CloudError as error:
            if error.status == 404:
                return None
            raise
        return None if str(raw.get("status", "")).upper() == "DELETED" else raw

    def read(self, raw: Raw) -> Server | None:
        """One line for the core; None for a server that is not ours, or deleted."""
        pool = self._pools.get(str((raw.get("metadata") or {}).get(facts.POOL, "")))
        server = facts.server_of(raw, self._cluster, pool.networks if pool else ())
        if server and server.status == "ERROR" and not server.reason:
            return replace(server, reason=self._fault(server.server))
        return server

    def _fault(self, server: str) -> str:
        """Nova's lists are silent about servers that no host would take; asked for alone, each says why."""
        if server not in self._faults:
            self._faults[server] = facts.fault_of(self.one(server) or {})
            while len(self._faults) > _FAULTS:
                del self._faults[next(iter(self._faults))]
        return self._faults[server]

    def _listed(self, filters: Mapping[str, str]) -> list[Raw]:
        found = self._api.pages("compute", "/servers/detail", "servers", "list the servers", **filters)
        return [raw for raw in found if facts.is_ours(raw, self._cluster) and raw.get("status") != "DELETED"]
