"""Everything in a project that carries a cluster's tag, for people who look for leaks, and its removal.

Rules:
- Looks through the whole project, not only through what a tag finds: metadata, names and descriptions count too.
- Calls block, for seconds; they are made for a person who waits.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_volumes import Volumes, of_server
from boss.ports import CloudDown, Thing


class Kind(StrEnum):
    """What a thing is."""

    SERVER = "server"
    VOLUME = "volume"
    PORT = "port"
    FLOATING_IP = "floating IP"


class Inventory:
    """Of one project."""

    def __init__(self, api: Api, provider: str, cluster: str, volumes: Volumes) -> None:
        self._api = api
        self._provider = provider
        self._cluster = cluster
        self._volumes = volumes

    def things(self, every_cluster: bool = False) -> list[Thing]:
        """All that is this cluster's, or any cluster's; servers first. Raises CloudDown."""
        try:
            boots: dict[str, list[str]] = {}  # the volumes that go with each server
            servers = list(self._servers(boots))
            found = [*servers, *self._boot_volumes(servers, boots), *self._ports(servers), *self._floating()]
        except CloudError as error:
            raise CloudDown(error.reason) from error
        return [thing for thing in found if every_cluster or thing.cluster == self._cluster]

    def remove(self, thing: Thing) -> None:
        """Ask for its deletion; one that is gone is fine. Raises CloudDown."""
        if thing.kind == Kind.VOLUME:
            try:
                self._volumes.remove(thing.id)
            except CloudError as error:
                raise CloudDown(error.reason) from error
            return
        service, path = {
            Kind.SERVER: ("compute", "/servers/"),
            Kind.PORT: ("network", "/ports/"),
            Kind.FLOATING_IP: ("network", "/floatingips/"),
        }[Kind(thing.kind)]
        try:
            self._api.call("DELETE", service, f"{path}{thing.id}", f"delete the {thing.kind} {thing.name or thing.id}")
        except CloudError as error:
            if error.status != 404:
                raise CloudDown(error.reason) from error

    def _servers(self, boots: dict[str, list[str]]) -> Iterator[Thing]:
        for raw in self._api.pages("compute", "/servers/detail", "servers", "list the servers"):
            cluster = str((raw.get("metadata") or {}).get(facts.CLUSTER, ""))
            status = str(raw.get("status", ""))
            if cluster and status != "DELETED":
                vm, group = facts.claim_of(raw, cluster)
                boots[str(raw["id"])] = of_server(raw)
                yield Thing(
                    self._provider, Kind.SERVER, str(raw["id"]), str(raw["name"]), vm or group, status, _made(raw), cluster
                )

    def _boot_volumes(self, servers: list[Thing], boots: Mapping[str, list[str]]) -> Iterator[Thing]:
        """Those that are marked as ours, and those of our servers that are not yet."""
        owners = {volume: server for server in servers for volume in boots.get(server.id, ())}
        for raw in self._volumes.all():
            written = raw.get("metadata") or {}
            owner = owners.get(str(raw["id"]))
            cluster = str(written.get(facts.CLUSTER, "")) or (owner.cluster if owner else "")
            if cluster:
                claim = str(written.get(facts.CLAIM, "")) or (owner.claim if owner else "")
                user = next((str(one["server_id"]) for one in raw.get("attachments") or ()), "")
                name, status = str(raw["name"]), str(raw["status"])
                yield Thing(self._provider, Kind.VOLUME, str(raw["id"]), name, claim, status, _made(raw), cluster, user)

    def _ports(self, servers: list[Thing]) -> Iterator[Thing]:
        owners = {server.id: server for server in servers}
        for raw in self._api.pages("network", "/ports", "ports", "list the ports", project_id=self._api.project()):
            cluster, claim = _of_tags(raw)
            user = str(raw.get("device_id") or "")
            if not cluster and user in owners:
                cluster, claim = owners[user].cluster, owners[user].claim
            if cluster:
                name, status = _first_address(raw), str(raw["status"])
                yield Thing(self._provider, Kind.PORT, str(raw["id"]), name, claim, status, _made(raw), cluster, user)

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
                status = str(raw["status"])
                yield Thing(self._provider, Kind.FLOATING_IP, str(raw["id"]), address, claim, status, _made(raw), cluster, user)


def _of_tags(raw: Mapping[str, Any]) -> tuple[str, str]:
    """The cluster and claim in a port's or floating IP's tags; empty where there are none of ours."""
    tags = [str(one) for one in raw.get("tags") or ()]
    cluster = next((one.removeprefix("ecloud-") for one in tags if one.startswith("ecloud-")), "")
    claim = next((one for one in tags if one != facts.tag(cluster)), "") if cluster else ""
    return cluster, claim


def _first_address(raw: Mapping[str, Any]) -> str:
    return next((str(fixed["ip_address"]) for fixed in raw.get("fixed_ips") or ()), str(raw.get("name") or ""))


def _made(raw: Mapping[str, Any]) -> float | None:
    """When it was made, in Unix seconds; the services write times with and without a zone, always in UTC."""
    text = str(raw.get("created") or raw.get("created_at") or "")
    try:
        made = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()
