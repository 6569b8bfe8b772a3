"""What a boss with workers on other machines has besides: an address for them, doors that open there, and what VMs start with.

Rules:
- Without a pool of VMs, and without a word of the address at which hosts reach the boss, nothing listens beyond loopback.
- The broker's and the join door's certificates name the address; the CA in a VM's user data is all that it trusts.
- Workers of this machine keep to loopback.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from boss.adapters import address, sockets
from boss.adapters.address import BossAddress
from boss.adapters.certificates import Authority, Gate
from boss.adapters.daemons import DaemonError, Outer, broker_names
from boss.adapters.hosts import Hosts
from boss.adapters.join_tokens import JoinTokens
from boss.adapters.userdata import MachineTerms, UserData
from boss.adapters.worker_config import WorkerTerms
from boss.api.join import JoinDoor
from boss.api.serving import Served
from boss.config import BossConfig
from boss.ports import Certifier, Desk

#: Connections of the join door that are served at the same time.
AT_ONCE = 256

log = logging.getLogger(__name__)


class Doors:
    """Where VMs reach this boss: made once, before anything listens. Raises NoAddress, a ValueError."""

    def __init__(self, settings: BossConfig, context: Mapping[str, str]) -> None:
        self._settings = settings
        self.address: BossAddress = address.find(context.get(address.FACT, ""), settings.vms.address)
        shown = f" (listening on {self.address.listen})" if self.address.listen != self.address.host else ""
        log.info("VMs reach this boss at %s%s, by %s", self.address.host, shown, self.address.how)

    @property
    def broker(self) -> Outer:
        """Where the private broker listens for them."""
        return Outer(self.address.host, self.address.listen, self._settings.vms.broker_port)

    @property
    def sshd(self) -> Outer:
        """Where the private sshd listens for them."""
        return Outer(self.address.host, self.address.listen, self._settings.vms.gate_port)

    def gate(self, own: Gate) -> Gate:
        """The datastore's gate as they reach it: an outside one is where it is."""
        if own.host != sockets.LOOPBACK:
            return own
        return replace(own, host=self.address.host, port=self._settings.vms.gate_port)

    def hosts(self) -> Hosts:
        """How the boss looks into them."""
        software = self._settings.software
        folders = {name: one.folder for name, one in software.items() if one.kind == "cloud-config"}
        return Hosts(self._settings.state / "hosts", self._settings.pki / "vm_key", folders)

    def user_data(self, authority: Authority, cluster: str, bundle: Path) -> UserData:
        """What makes their user data."""
        pools = {pool.name: pool for pool in self._settings.policy.pools}
        url = f"https://{self.address.at(self._settings.vms.join_port)}"
        times = self._settings.vms.join_allowance, self._settings.policy.worker_lease
        digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
        terms = MachineTerms(url, authority.ca.read_text(), *times, self.hosts().public_key, bundle=digest)
        return UserData(pools, self._settings.software, self._tokens(cluster).make, terms, self._settings.signers)

    def terms(self, own: WorkerTerms) -> WorkerTerms:
        """What workers on other machines are told, who reach the private broker here; an outside one is where it is."""
        if self._settings.broker is not None:
            return own
        return replace(own, broker_host=self.address.host, broker_port=self._settings.vms.broker_port)

    def open(
        self,
        desk: Desk,
        authority: Authority,
        certifier: Certifier,
        gate: Callable[[], Gate],
        terms: WorkerTerms,
        bundle: Path,
        stack: ExitStack,
    ) -> Served:
        """Serve the join door until the stack is left. Raises DaemonError when nobody can listen there."""
        settings = self._settings
        door = JoinDoor(desk, self._tokens(terms.cluster), certifier, gate, terms, bundle, self.hosts().remember)
        outer = Outer(self.address.host, self.address.listen, settings.vms.join_port)
        outer.check("join door", "join_port")
        try:
            listener = sockets.listening(outer.listen, outer.port, backlog=AT_ONCE)
        except OSError as error:
            raise DaemonError(
                f"the join door cannot listen on {outer.shown}: {error}; choose another join_port in [vms]"
            ) from None
        tls = authority.server(broker_names(self.broker))
        return stack.enter_context(Served(door.app(), listener, tls, "join door", AT_ONCE))

    def _tokens(self, cluster: str) -> JoinTokens:
        return JoinTokens(self._settings.pki / "join_key", cluster)
