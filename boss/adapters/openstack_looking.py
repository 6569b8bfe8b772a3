"""Lists of servers, limits and flavors of one cloud, as events.

Rules:
- Lists that wait behind a slow one become one, as of the latest wish.
- A server that was listed before counts as gone only when the cloud says 404 for it: lists of clouds with a broken part are short.
- The list comes first; limits, flavors and tags follow, and what of these fails spoils nothing.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_asking import Zones
from boss.adapters.openstack_belongings import Belongings
from boss.adapters.openstack_book import KEPT, Book, no_flavor
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_servers import Raw, Servers
from boss.adapters.openstack_volumes import Volumes
from boss.config import CloudPool
from boss.core.events import CloudFailed, Event, FlavorsSeen, Limit, LimitsSeen, Server, ServersListed
from boss.core.model import Refusal, Resources

_log = logging.getLogger(__name__)


class Looking:
    """What one cloud shows; its methods are called on one thread, but for ``wish``."""

    def __init__(
        self,
        provider: str,
        api: Api,
        book: Book,
        servers: Servers,
        belongings: Belongings,
        volumes: Volumes,
        zones: Zones,
        pools: Mapping[str, CloudPool],
    ) -> None:
        self.put: Callable[[Event], bool] = lambda _event: False
        self._provider = provider
        self._api = api
        self._book = book
        self._servers = servers
        self._belongings = belongings
        self._volumes = volumes
        self._zones = zones
        self._pools = pools
        self._lock = threading.Lock()
        self._wished: float | None = None
        self._listed: dict[str, Server] = {}
        self._flavors_read = float("-inf")
        self._silenced: set[str] = set()

    def wish(self, asked: float) -> bool:
        """A list is wished for; whether ``look`` must be called for it."""
        with self._lock:
            first, self._wished = self._wished is None, asked
            return first

    def look(self) -> None:
        """List the servers and all that belongs to a list."""
        with self._lock:
            asked, self._wished = self._wished or 0.0, None
        try:
            raws = self._servers.raw()
            found = {server.server: server for raw in raws if (server := self._servers.read(raw))}
            found |= self._kept_on(found)
        except CloudError as error:
            self._failed(error)
            return
        except Exception as error:  # an answer that we do not understand: told, so that nobody waits for a list in silence
            _log.exception("%s: the list of servers went wrong", self._provider)
            self._failed(CloudError(Refusal.UNKNOWN, f"the cloud's list of servers cannot be read: {error}"))
            return
        self._listed = found = {key: self._addressed(server) for key, server in found.items()}
        self._turn_zones(raws, found)
        self.put(ServersListed(self._provider, asked, tuple(found.values())))
        if time.monotonic() - self._flavors_read > KEPT:
            self.read_flavors()
        self._read_limits()
        self._quietly("tag ports and addresses", partial(self._belongings.dress, raws))
        self._quietly("see to its volumes", partial(self._volumes.tend, raws))

    def read_flavors(self) -> None:
        """What the pools' flavors offer."""
        try:
            self._book.forget()
            there = {str(one[key]): one for key in ("id", "name") for one in self._book.flavors()}
        except CloudError as error:
            self._failed(error)
            return
        offers: dict[tuple[str, str], Resources] = {}
        absent: dict[tuple[str, str], str] = {}
        for pool in self._pools.values():
            for name, extras in pool.flavors.items():
                if name in there:
                    offers[pool.name, name] = facts.with_extras(facts.resources_of(there[name], pool.boot_volume), extras)
                else:
                    absent[pool.name, name] = no_flavor(name, there.values()).reason
        self._flavors_read = time.monotonic()
        self.put(FlavorsSeen(self._provider, offers, absent))

    def _kept_on(self, found: Mapping[str, Server]) -> dict[str, Server]:
        """Servers that the last list had, that this one lacks, and that the cloud still knows when asked for each."""
        kept = {}
        for server, known in self._listed.items():
            if server not in found and (raw := self._servers.one(server)) is not None:
                kept[server] = self._servers.read(raw) or known
        return kept

    def _addressed(self, server: Server) -> Server:
        floating = self._belongings.address(server.server)
        return replace(server, address=floating) if floating else server

    def _turn_zones(self, raws: Iterable[Raw], found: Mapping[str, Server]) -> None:
        for raw in raws:
            server = found.get(str(raw["id"]))
            pool = self._pools.get(server.pool) if server else None
            if server and pool and server.status == "ERROR" and "no valid host" in server.reason.lower():
                self._zones.had_no_host(pool, facts.flavor_of(raw), facts.zone_of(raw))

    def _read_limits(self) -> None:
        limits: dict[str, Limit] = {}
        self._quietly("read its limits", lambda: limits.update(self._compute_limits()))
        self._quietly("count its addresses", lambda: limits.update(self._belongings.limits()))
        self._quietly("count its volumes", lambda: limits.update(self._volumes.limits()))
        if limits:
            self.put(LimitsSeen(self._provider, limits))

    def _compute_limits(self) -> dict[str, Limit]:
        return facts.compute_limits(self._api.get("compute", "/limits", "read the limits"))

    def _failed(self, error: CloudError) -> None:
        self.put(CloudFailed(self._provider, error.reason, error.kind, error.retry_after))

    def _quietly(self, what: str, look: Callable[[], object]) -> None:
        """What the boss can live without: a cloud that does not do it is told once in the log."""
        try:
            look()
            self._silenced.discard(what)
        except CloudError as error:
            if what not in self._silenced:
                _log.warning("%s: cannot %s: %s", self._provider, what, error.reason)
            self._silenced.add(what)
