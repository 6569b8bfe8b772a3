"""Servers on their way out: asked to go, watched until the cloud says 404, asked again while they stay.

Rules:
- One entry for each claim (or stray server), however often its deletion is wished for.
- A few are looked at one by one; many by one list, and one by one when the list has them no more.
- What the cloud refuses for one of them does not hold the others up.
- What stands in the way is told once for each reason; asking again goes on for ``PATIENCE`` seconds. The core wishes anew after that.
- A busy cloud takes its time, and is not asked again before ``_AGAIN`` seconds; one that gave up (ERROR, nothing under way) is, soon.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from boss.adapters import openstack_facts as facts
from boss.adapters.lanes import Lane
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_belongings import Belongings
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_servers import Raw, Servers
from boss.adapters.openstack_volumes import Volumes
from boss.core.events import Event, VmDeleted, VmDeleteFailed

#: Seconds for which one wish is pursued; between looks, first and at last; until a server that stays is asked again, first and at last.
PATIENCE = 900.0
_LOOK, _LOOK_LONGEST = 0.5, 3.0
_AGAIN, _AGAIN_LONGEST = 30.0, 120.0
_AGAIN_BROKEN, _TROUBLE = 3.0, 2.5
#: So many are looked at one by one.
_FEW = 4
#: Answers that concern the one thing that was asked for, and say nothing of the others.
_OF_ONE = frozenset({400, 403, 404, 409})


_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    vm: str
    servers: list[str]
    since: float
    again: float = 0.0  #: when it is asked again; 0: not asked yet
    asked: float = 0.0  #: when it was asked
    interval: float = _AGAIN  #: until it is asked again
    trouble: float = _TROUBLE  #: until it is asked again when the call itself failed
    known: bool = False  #: whether ``servers`` are all that there are
    told: set[str] = field(default_factory=set)


class Leaving:
    """The deletions of one cloud. ``changes`` makes the calls, ``rest`` looks."""

    def __init__(
        self,
        api: Api,
        servers: Servers,
        belongings: Belongings,
        volumes: Volumes,
        changes: Lane,
        rest: Lane,
    ) -> None:
        self.put: Callable[[Event], bool] = lambda _event: False
        self._api = api
        self._servers = servers
        self._belongings = belongings
        self._volumes = volumes
        self._changes = changes
        self._rest = rest
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._looking = False

    def begin(self, vm: str, server: str) -> None:
        """Delete the server of this id, or the one of this claim; ends as VmDeleted."""
        key = vm or server
        with self._lock:
            entry = self._entries.setdefault(key, _Entry(vm, [], time.monotonic()))
            entry.since = time.monotonic()
            if server and server not in entry.servers:
                entry.servers.append(server)
            entry.known = entry.known or bool(server)
        self._changes.do(partial(self._ask, key))

    def _ask(self, key: str) -> None:
        with self._lock:
            entry = self._entries.get(key)
        if entry is None:
            return
        try:
            if not entry.known:
                found = [server.server for server in self._servers.of_claim(entry.vm)]
                with self._lock:
                    entry.servers += [server for server in found if server not in entry.servers]
                    entry.known = True
            for server in list(entry.servers):
                self._mark_volumes(entry.vm, server)
                self._delete(server)
        except CloudError as error:
            self._tell(entry, error.reason)
            entry.trouble = min(entry.trouble * 2, _AGAIN)
            self._put_off(entry, max(entry.trouble, error.retry_after))
            if not entry.known:
                self._changes.do(partial(self._ask, key), max(entry.trouble, error.retry_after))
        else:
            entry.trouble = _TROUBLE
            self._put_off(entry, entry.interval)
            entry.interval = min(entry.interval * 2, _AGAIN_LONGEST)
        self._look_soon()

    def _mark_volumes(self, vm: str, server: str) -> None:
        """What a server boots from must be known as ours when it outlives it. Raises CloudError of Nova alone."""
        if self._volumes.concern(vm) and (raw := self._servers.one(server)) is not None:
            try:
                self._volumes.mark([raw])
            except CloudError as error:
                _log.info("the volumes of %s are not marked yet: %s", vm or server, error.reason)

    def _delete(self, server: str) -> None:
        try:
            self._api.call("DELETE", "compute", f"/servers/{server}", "delete a server")
        except CloudError as error:
            if error.status != 404:
                raise

    def _look_soon(self) -> None:
        with self._lock:
            if self._looking:
                return
            self._looking = True
        self._rest.do(partial(self._look, _LOOK), _LOOK)

    def _look(self, interval: float) -> None:
        try:
            self._look_at_all()
        finally:
            with self._lock:
                self._looking = bool(self._entries)
            if self._looking:
                self._rest.do(partial(self._look, min(interval * 1.3, _LOOK_LONGEST)), interval)

    def _look_at_all(self) -> None:
        with self._lock:
            entries = {key: entry for key, entry in self._entries.items() if entry.known and entry.again}
        try:
            if sum(len(entry.servers) for entry in entries.values()) > _FEW:
                there = {str(raw["id"]): raw for raw in self._servers.raw()}
            else:
                there = {}
            for key, entry in entries.items():
                try:
                    self._look_at(key, entry, there)
                except CloudError as error:
                    if error.status not in _OF_ONE:
                        raise
                    self._tell(entry, error.reason)
        except CloudError as error:
            for entry in entries.values():
                self._tell(entry, error.reason)

    def _look_at(self, key: str, entry: _Entry, there: Mapping[str, Raw]) -> None:
        """How one deletion stands; ``there`` are servers as a list has just shown them."""
        now = time.monotonic()
        left = {server: raw for server in entry.servers if (raw := there.get(server) or self._servers.one(server))}
        with self._lock:
            entry.servers = [server for server in entry.servers if server in left]
        if not entry.servers:
            self._release(key, entry, now)
            self._drop(key)
            self.put(VmDeleted(entry.vm))
        elif now - entry.since > PATIENCE:
            self._drop(key)
        elif now >= entry.again or (now >= entry.asked + _AGAIN_BROKEN and any(_gave_up(raw) for raw in left.values())):
            self._put_off(entry, entry.interval)
            for raw in left.values():
                self._stays(entry, raw)
            self._changes.do(partial(self._ask, key))

    def _release(self, key: str, entry: _Entry, now: float) -> None:
        """Give back what a server had beside itself; what is refused for too long is left to whoever looks for leaks."""
        try:
            self._belongings.release(entry.vm or key)
        except CloudError as error:
            if now - entry.since <= PATIENCE:
                raise
            _log.warning("what belonged to %s stays behind (admin.py vm_leaks shows it): %s", entry.vm or key, error.reason)

    def _stays(self, entry: _Entry, raw: Raw) -> None:
        """A server that should be gone by now: say how it stands; one that the cloud only puts aside is deleted for good."""
        status, fault = str(raw.get("status", "nothing")), facts.fault_of(raw)
        task = raw.get("OS-EXT-STS:task_state") or "nothing under way"
        self._tell(entry, f"the cloud was asked to delete it and says {status} ({task})" + (f": {fault}" if fault else ""))
        if status == "SOFT_DELETED":
            path, what = f"/servers/{raw['id']}/action", "delete a server for good"
            self._api.call("POST", "compute", path, what, json={"forceDelete": None})

    def _drop(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def _put_off(self, entry: _Entry, wait: float) -> None:
        entry.asked = time.monotonic()
        entry.again = entry.asked + wait

    def _tell(self, entry: _Entry, reason: str) -> None:
        if entry.vm and reason not in entry.told:
            entry.told.add(reason)
            self.put(VmDeleteFailed(entry.vm, reason))


def _gave_up(raw: Raw) -> bool:
    """Whether nothing is being done about a server any more."""
    status = str(raw.get("status", ""))
    return status in ("ERROR", "SOFT_DELETED") and not raw.get("OS-EXT-STS:task_state")
