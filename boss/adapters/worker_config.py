"""What workers are told at their start: the one place that writes it, for processes of this machine, plain hosts and VMs.

Rules:
- All that differs between kinds of workers is an argument; nobody else puts a ``worker.json`` together. A field that is added to
  ``worker.terms`` is filled in here for every kind, or fails the type check.
- The files of credentials lie beside ``worker.json``, under the same names everywhere.
- On a VM the machine's own part, which its user data has brought, is laid over what the join door answers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from boss.adapters.certificates import Gate
from worker.limits import Limits
from worker.terms import BrokerConfig, DatastoreConfig, PulseConfig, RenewalConfig, WorkerConfig, document

#: The file itself, and the files that it names. The private keys are made where the worker is, or by ``Authority.issue_worker``.
FILE = "worker.json"
BROKER_CA, TLS_CERTIFICATE, TLS_KEY = "ca.pem", "tls.pem", "tls.key"
#: Whose jobs it runs, where it runs signed ones only.
SIGNERS = "allowed_signers"
SSH_KEY, SSH_CERTIFICATE, KNOWN_HOSTS = "key", "key-cert.pub", "known_hosts"
#: How a machine that made its own keys has them certified again.
RENEWAL = RenewalConfig(record="certificates.json", tls_key=f"{TLS_KEY}.pub", ssh_key=f"{SSH_KEY}.pub")


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """What all workers are told alike. ``broker_ca`` is the PEM text of the broker's own CA; times in seconds.

    ``limits`` are what tasks are held to, by pool, where that is not the default.
    """

    cluster: str
    broker_host: str
    broker_port: int
    broker_ca: str
    heartbeat: float
    lease: float
    longest_lease: float
    cache_bytes: int
    limits: Mapping[str, Limits] = field(default_factory=dict)


def configuration(
    terms: WorkerTerms,
    gate: Gate,
    worker: str,
    pool: str,
    resources: Mapping[str, float],
    *,
    folder: str,
    renewal: RenewalConfig | None = None,
    allowed_signers: str = "",
) -> WorkerConfig:
    """What this worker is told. ``folder`` is where it works: absolute, or from where its ``worker.json`` is."""
    return WorkerConfig(
        worker=worker,
        pool=pool,
        cluster=terms.cluster,
        folder=folder,
        broker=BrokerConfig(terms.broker_host, terms.broker_port, BROKER_CA, TLS_CERTIFICATE, TLS_KEY),
        datastore=DatastoreConfig(gate.host, gate.port, gate.user, SSH_KEY, SSH_CERTIFICATE, KNOWN_HOSTS),
        resources=dict(resources),
        heartbeat=terms.heartbeat,
        lease=terms.lease,
        longest_lease=terms.longest_lease,
        cache_bytes=terms.cache_bytes,
        task_user="",
        limits=terms.limits.get(pool, Limits()),
        allowed_signers=allowed_signers,
        pulse=None,
        renewal=renewal,
    )


def machine_part(task_user: str, pulse: PulseConfig, signed_only: bool = False) -> dict[str, object]:
    """The fields that a VM knows from its user data, as they lie over those of ``configuration``."""
    return {"task_user": task_user, "pulse": pulse._asdict(), "allowed_signers": SIGNERS if signed_only else ""}


def text(config: WorkerConfig) -> str:
    """The content of ``worker.json``."""
    return json.dumps(document(config), indent=2)
