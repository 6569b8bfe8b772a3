"""Servers of one OpenStack project behind the port ``Cloud``: created, listed, read, deleted; every end is an event.

Rules:
- Three lanes of threads, so that nothing waits for what is slow: changes (create, delete), looks (lists, limits, flavors), the rest.
- The boss's loop never waits for a cloud: every verb returns at once, and an end of the boss waits seconds at most.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from boss.adapters.lanes import Lane
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_asking import Asking, Zones
from boss.adapters.openstack_belongings import Belongings
from boss.adapters.openstack_book import Book
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_inventory import Inventory
from boss.adapters.openstack_leaving import Leaving
from boss.adapters.openstack_looking import Looking
from boss.adapters.openstack_servers import Servers, console_of
from boss.adapters.openstack_volumes import Volumes
from boss.config import CloudPool
from boss.core.events import ConsoleRead
from boss.ports import Put, Thing

#: Bytes and lines of a console's end.
_CONSOLE, _CONSOLE_LINES = 8192, 200
#: The same where somebody looks for what was written long ago: the host keys of a machine that has booted.
_WHOLE, _WHOLE_LINES = 1 << 20, 5000

_log = logging.getLogger(__name__)


class OpenStackCloud:
    """One cloud's servers for one cluster. ``user_data(pool, group, count)`` makes what a claim group's servers start with.

    ``cloud`` is an entry of clouds.yaml, or empty for the OS_* variables; all ``pools`` are of this cloud.
    """

    def __init__(
        self,
        cloud: str,
        cluster: str,
        epoch: int,
        pools: Sequence[CloudPool],
        user_data: Callable[[str, str, int], str],
        keep_console: Callable[[str, str], None] = lambda vm, text: None,
    ) -> None:
        self.provider = f"openstack:{cloud}" if cloud else "openstack"
        named = {pool.name: pool for pool in pools}
        self._put: Put = lambda _event: False
        self._changes = Lane(f"{self.provider} changes", 8)
        self._looks = Lane(f"{self.provider} looks", 1)
        self._rest = Lane(f"{self.provider} rest", 2)
        self._pools = named
        self._keep_console = keep_console
        self._api = Api(cloud)
        book, zones = Book(self._api), Zones()
        servers = Servers(self._api, cluster, named)
        self._belongings = Belongings(self._api, book, servers, cluster, named)
        volumes = Volumes(self._api, cluster, epoch, named)
        self._leaving = Leaving(self._api, servers, self._belongings, volumes, self._changes, self._rest)
        self._looking = Looking(self.provider, self._api, book, servers, self._belongings, volumes, zones, named)
        self._asking = Asking(self._api, book, servers, zones, cluster, epoch, named, user_data, self._leaving.begin)
        self._inventory = Inventory(self._api, self.provider, cluster, volumes)

    def start(self, put: Put) -> None:
        """Begin to work; asks for the flavors at once."""
        self._put = self._leaving.put = self._looking.put = self._asking.put = put
        for lane in (self._changes, self._looks, self._rest):
            lane.start()
        self._looks.do(self._looking.read_flavors)

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """One create call for these claims. Each ends as VmCreated or VmCreateFailed."""
        self._asking.expect(vms)
        self._changes.do(partial(self._create, vms, pool, flavor))

    def delete(self, vm: str, pool: str, server: str) -> None:
        """Ends as VmDeleted when the server is gone; VmDeleteFailed says why that takes long."""
        self._asking.give_up(vm)
        self._leaving.begin(vm, server)

    def console(self, vm: str, pool: str, server: str) -> None:
        """Ends as ConsoleRead with the end of the server's console."""
        self._rest.do(partial(self._console, vm, server))

    def list(self, asked: float) -> None:
        """Ends as ServersListed and LimitsSeen, or as CloudFailed."""
        if self._looking.wish(asked):
            self._looks.do(self._looking.look)

    def read_console(self, vm: str, server: str) -> str:
        """The end of a server's console as it is now; empty where there is none: blocks for seconds."""
        return self._read_console(vm, server, _WHOLE_LINES, _WHOLE)

    def inventory(self, every_cluster: bool = False) -> Sequence[Thing]:
        """All that carries our tag (or any cluster's): blocks for seconds. Raises CloudDown."""
        return self._inventory.things(every_cluster)

    def remove(self, thing: Thing) -> None:
        """Delete what the inventory has shown: blocks for seconds. Raises CloudDown."""
        self._inventory.remove(thing)

    def stop(self) -> None:
        """End the threads; servers stay."""
        for lane in (self._changes, self._looks, self._rest):
            lane.stop()
        self._api.close()

    def _create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        self._asking.ask(vms, pool, flavor)
        if pool in self._pools:
            self._belongings.expect(self._pools[pool], self._rest)

    def _read_console(self, vm: str, server: str, lines: int, size: int) -> str:
        text = ""
        if server:
            try:
                text = console_of(self._api, server, lines)
            except CloudError as error:
                _log.info("%s: no console of %s: %s", self.provider, vm, error.reason)
        return text.encode()[-size:].decode(errors="ignore")

    def _console(self, vm: str, server: str) -> None:
        end = self._read_console(vm, server, _CONSOLE_LINES, _CONSOLE)
        if end.strip():
            try:
                self._keep_console(vm, end)
            except OSError as error:
                _log.warning("the console of %s could not be kept: %s", vm, error, extra={"vm": vm})
        self._put(ConsoleRead(vm, end))
