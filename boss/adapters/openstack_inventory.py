"""Everything in a project that carries a cluster's tag, for people who look for leaks, and its removal.

Rules:
- Looks through the whole project, not only through what a tag finds: metadata, names and descriptions count too.
- Calls block, for seconds; they are made for a person who waits.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_belongings import Belongings
from boss.adapters.openstack_errors import CloudError


class Kind(StrEnum):
    """What a thing is."""

    SERVER = "server"
    VOLUME = "volume"
    PORT = "port"
    FLOATING_IP = "floating IP"


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of ours: ``claim`` is whose it is (a group's first claim where more is not known), ``age`` in seconds, 0 if unknown.

    ``uses`` is the id of the server that has it; empty for servers and for what no server has.
    """

    kind: Kind
    id: str
    name: str
    cluster: str
    claim: str
    status: str
    age: float
    uses: str = ""


class Inventory:
    """Of one project."""

    def __init__(self, api: Api, cluster: str, belongings: Belongings) -> None:
        self._api = api
        self._cluster = cluster
        self._belongings = belongings

    def things(self, every_cluster: bool = False) -> list[Thing]:
        """All that is this cluster's, or any cluster's; servers first. Raises CloudError."""
        servers = list(self._servers())
        found = [*servers, *self._volumes(servers), *self._ports(servers), *self._floating()]
        return [thing for thing in found if every_cluster or thing.cluster == self._cluster]

    def remove(self, thing: Thing) -> None:
        """Ask for its deletion; one that is gone is fine. Raises CloudError."""
        service, path = {
            Kind.SERVER: ("compute", "/servers/"),
            Kind.VOLUME: ("volume", "/volumes/"),
            Kind.PORT: ("network", "/ports/"),
            Kind.FLOATING_IP: ("network", "/floatingips/"),
        }[thing.kind]
        try:
            self._api.call("DELETE", service, f"{path}{thing.id}", f"delete the {thing.kind} {thing.name or thing.id}")
        except CloudError as error:
            if error.status != 404:
                raise

    def _servers(self) -> Iterator[Thing]:
        for raw in self._api.pages("compute", "/servers/detail", "servers", "list the servers"):
            cluster = str((raw.get("metadata") or {}).get(facts.CLUSTER, ""))
            status = str(raw.get("status", ""))
            if cluster and status != "DELETED":
                vm, group = facts.claim_of(raw, cluster)
                yield Thing(Kind.SERVER, str(raw["id"]), str(raw["name"]), cluster, vm or group, status, _age(raw))

    def _volumes(self, servers: list[Thing]) -> Iterator[Thing]:
        if not self._api.has("volume"):
            return
        owners = {server.id: server for server in servers}
        for raw in self._api.pages("volume", "/volumes/detail", "volumes", "list the volumes"):
            written = raw.get("metadata") or {}
            user = next((str(one["server_id"]) for one in raw.get("attachments") or ()), "")
            cluster = str(written.get(facts.CLUSTER, ""))
            if cluster:
                claim = str(written.get(facts.CLAIM, "")) or (owners[user].claim if user in owners else "")
                yield Thing(Kind.VOLUME, str(raw["id"]), str(raw["name"]), cluster, claim, str(raw["status"]), _age(raw), user)

    def _ports(self, servers: list[Thing]) -> Iterator[Thing]:
        owners = {server.id: server for server in servers}
        for raw in self._api.pages("network", "/ports", "ports", "list the ports", project_id=self._api.project()):
            cluster, claim = _of_tags(raw)
            user = str(raw.get("device_id") or "")
            if not cluster and user in owners:
                cluster, claim = owners[user].cluster, owners[user].claim
            if cluster:
                yield Thing(Kind.PORT, str(raw["id"]), _first_address(raw), cluster, claim, str(raw["status"]), _age(raw), user)

    def _floating(self) -> Iterator[Thing]:
        what = "list the floating IPs"
        try:
            found = list(self._api.pages("network", "/floatingips", "floatingips", what, project_id=self._api.project()))
        except CloudError as error:
            if error.status == 404:  # a cloud without routers
                return
            raise
        for raw in found:
            cluster, claim = _of_tags(raw)
            mark, _, described = str(raw.get("description") or "").partition(" ")
            if not cluster and mark.startswith("ecloud-"):
                cluster, claim = mark.removeprefix("ecloud-"), described
            if cluster:
                address, user = str(raw["floating_ip_address"]), str(raw.get("port_id") or "")
                yield Thing(Kind.FLOATING_IP, str(raw["id"]), address, cluster, claim, str(raw["status"]), _age(raw), user)


def _of_tags(raw: Mapping[str, Any]) -> tuple[str, str]:
    """The cluster and claim in a port's or floating IP's tags; empty where there are none of ours."""
    tags = [str(one) for one in raw.get("tags") or ()]
    cluster = next((one.removeprefix("ecloud-") for one in tags if one.startswith("ecloud-")), "")
    claim = next((one for one in tags if one != facts.tag(cluster)), "") if cluster else ""
    return cluster, claim


def _first_address(raw: Mapping[str, Any]) -> str:
    return next((str(fixed["ip_address"]) for fixed in raw.get("fixed_ips") or ()), str(raw.get("name") or ""))


def _age(raw: Mapping[str, Any]) -> float:
    """Seconds since it was made, by the cloud's clock; the services write times with and without a zone, always in UTC."""
    text = str(raw.get("created") or raw.get("created_at") or "")
    try:
        made = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return max(0.0, time.time() - (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp())
