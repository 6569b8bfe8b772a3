"""Port ``Certifier``: signs the keys of workers that have joined, at the join and again at each half-life."""

from collections.abc import Callable

from boss.adapters.certificates import Authority, Gate
from boss.ports import Certificates


class WorkerCertifier:
    """Port ``Certifier``: certificates of ``seconds`` for workers' own keys. ``gate()`` tells where the gate is for VMs."""

    def __init__(self, authority: Authority, gate: Callable[[], Gate], seconds: float) -> None:
        self._authority = authority
        self._gate = gate
        self._seconds = seconds

    def certify(self, worker: str, tls_key: str, ssh_key: str) -> Certificates:
        """Sign both public keys. Raises ValueError for what is no key, or no name of a worker."""
        tls = self._authority.tls_certificate(tls_key, worker, self._seconds)
        caller = f"worker:{worker}"
        ssh = self._authority.ssh_certificate(ssh_key, caller, self._gate().command(caller), self._seconds)
        return Certificates(tls, ssh, self._seconds)
