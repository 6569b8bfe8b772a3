"""Boot volumes of our servers: marked as ours, counted, and gone when their server is.

Rules:
- Nova makes them while it builds a server, and deletes them with it. They are marked at the next list, or when their server is asked to go.
- What Nova leaves behind (the volume service was away when the server went) is let go of and deleted by us, ``GRACE`` after it was seen.
- A volume that is attached to a server which is there is never touched, nor one that does not go with its server. A boss of an earlier
  life than a server of its cluster deletes nothing.
- Where the cloud says that it cannot delete one, only people can: that is told once, and the inventory shows it.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_errors import CloudError
from boss.config import CloudPool
from boss.core.events import Limit

#: Seconds that a volume without a server is left to Nova, which may be about to delete it.
GRACE = 60.0
Raw = Mapping[str, Any]

_log = logging.getLogger(__name__)


def of_server(raw: Raw) -> list[str]:
    """The volumes that go with a server."""
    attached = raw.get("os-extended-volumes:volumes_attached") or ()
    return [str(volume["id"]) for volume in attached if volume.get("delete_on_termination", True)]


class Volumes:
    """Of one cluster's servers in one project, as a boss in the life ``epoch`` sees them. Every call raises CloudError."""

    def __init__(self, api: Api, cluster: str, epoch: int, pools: Mapping[str, CloudPool]) -> None:
        self._api = api
        self._cluster = cluster
        self._epoch = epoch
        self._pools = pools
        self._marked: set[str] = set()
        self._unmarked: dict[str, Raw] = {}  # volumes that could not be marked, and the servers that had them
        self._alone: dict[str, float] = {}  # since when volumes are seen without a server
        self._told: set[str] = set()

    def concern(self, claim: str) -> bool:
        """Whether a claim's server may have a volume of its own: by its pool, and also where the settings know that no more."""
        pool = self._pools.get(claim.rpartition("-")[0])
        return pool is None or bool(pool.boot_volume)

    def tend(self, servers: Iterable[Raw]) -> None:
        """Mark what these servers (all of the cluster) boot from, and delete what has been left behind."""
        if not any(pool.boot_volume for pool in self._pools.values()):
            return
        servers = list(servers)
        self._marked &= {volume for raw in servers for volume in of_server(raw)}
        self.mark(servers)
        if all(self._epoch >= facts.epoch_of(raw) for raw in servers):
            self._sweep(servers)

    def mark(self, servers: Iterable[Raw]) -> None:
        """Write on the boot volumes of these servers whose they are, once each."""
        booted = {volume: raw for raw in servers if self._boots_from_one(raw) for volume in of_server(raw)}
        for volume, raw in {**self._unmarked, **booted}.items():
            if volume in self._marked:
                continue
            vm, group = facts.claim_of(raw, self._cluster)
            marks = {facts.CLUSTER: self._cluster, facts.CLAIM: vm or group}
            self._unmarked[volume] = raw
            self._change("PUT", f"/volumes/{volume}", "tag a volume", {"name": str(raw["name"]), "metadata": marks})
            self._unmarked.pop(volume, None)  # a deletion may have marked it at the same time
            self._marked.add(volume)

    def remove(self, volume: str) -> None:
        """Delete one that a person wants gone, and let it go before where its server is gone; one that is gone is fine."""
        raw = self._one(volume)
        if raw is not None and raw["status"] != "deleting":
            users = {user for user in _users(raw) if not self._is_there(user)}
            self._let_go(raw, users)
            self._change("DELETE", f"/volumes/{volume}", f"delete the volume {raw.get('name') or volume}")

    def all(self) -> Iterator[Raw]:
        """Every volume that we see; none where the cloud has no such service."""
        if self._api.has("volume"):
            yield from self._api.pages("volume", "/volumes/detail", "volumes", "list the volumes")

    def limits(self) -> dict[str, Limit]:
        """``volumes`` and ``volume_space`` (bytes) of the project, where a pool uses them."""
        if not any(pool.boot_volume for pool in self._pools.values()):
            return {}
        return facts.volume_limits(self._api.get("volume", "/limits", "read the volume limits"))

    def _boots_from_one(self, raw: Raw) -> bool:
        pool = self._pools.get(str((raw.get("metadata") or {}).get(facts.POOL, "")))
        return bool(pool and pool.boot_volume)

    def _sweep(self, servers: Iterable[Raw]) -> None:
        """Delete our volumes whose server has been gone for the grace."""
        there = {str(raw["id"]) for raw in servers}
        now = time.monotonic()
        alone = [raw for raw in self._ours() if there.isdisjoint(_users(raw)) and raw["status"] not in ("deleting", "creating")]
        self._alone = {volume: self._alone.get(volume, now) for volume in (str(raw["id"]) for raw in alone)}
        for raw in alone:
            if now - self._alone[str(raw["id"])] >= GRACE:
                self._end(raw)

    def _end(self, raw: Raw) -> None:
        volume = str(raw["id"])
        try:
            self.remove(volume)
        except CloudError as error:
            if error.status != 400:
                raise
            if volume not in self._told:
                self._told.add(volume)
                _log.warning("the volume %s (%s) of a server that is gone stays: %s", volume, raw["status"], error.reason)

    def _ours(self) -> list[Raw]:
        """Those that are marked; a cloud whose filter does not know metadata shows others too."""
        marks = {facts.CLUSTER: self._cluster}
        found = self._api.pages("volume", "/volumes/detail", "volumes", "list the volumes", metadata=str(marks))
        return [raw for raw in found if marks.items() <= (raw.get("metadata") or {}).items()]

    def _one(self, volume: str) -> Raw | None:
        try:
            found: Raw = self._api.get("volume", f"/volumes/{volume}", "look at a volume")["volume"]
        except CloudError as error:
            if error.status == 404:
                return None
            raise
        return found

    def _let_go(self, raw: Raw, gone: set[str]) -> None:
        """End what holds a volume to servers that are gone."""
        for held in raw.get("attachments") or ():
            if str(held.get("server_id")) in gone and held.get("attachment_id"):
                self._change("DELETE", f"/attachments/{held['attachment_id']}", "let go of a volume")

    def _is_there(self, server: str) -> bool:
        try:
            self._api.get("compute", f"/servers/{server}", "look at a server")
        except CloudError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _change(self, method: str, path: str, what: str, volume: Mapping[str, Any] | None = None) -> None:
        """What is gone already needs no change."""
        try:
            self._api.call(method, "volume", path, what, json={"volume": volume} if volume is not None else None)
        except CloudError as error:
            if error.status != 404:
                raise


def _users(raw: Raw) -> list[str]:
    return [str(held["server_id"]) for held in raw.get("attachments") or () if held.get("server_id")]
