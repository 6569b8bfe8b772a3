"""What a worker is told at its start, as types: the fields of its JSON file. ``worker.config`` reads it, the boss writes it.

Rules:
- No field has a default but ``base``, which is the reader's own: who makes a configuration has thought of each.
- What is not told (no datastore, no watchdog, certificates that are not renewed) is ``None``, and null in the file.

Pure. Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Any, Dict, NamedTuple, Optional

from worker.limits import Limits


class BrokerConfig(NamedTuple):
    """Where the broker is, and the files of mutual TLS: the private CA, our certificate and key (PEM)."""

    host: str
    port: int
    ca: str
    certificate: str
    key: str


class DatastoreConfig(NamedTuple):
    """Where the datastore is, and the files of the SSH log-in: key, its certificate, and the known host key."""

    host: str
    port: int
    user: str
    key: str
    certificate: str
    known_hosts: str


class PulseConfig(NamedTuple):
    """Where the watchdog looks until when this machine may live, and how many seconds it lives on after its worker should have ended."""

    file: str
    margin: float


class RenewalConfig(NamedTuple):
    """The note how long the certificates last, and the public keys that are signed again (files)."""

    record: str
    tls_key: str
    ssh_key: str


class WorkerConfig(NamedTuple):
    """All that a worker is told. ``heartbeat`` and leases in seconds, ``cache_bytes`` bounds the cache of inputs.

    ``pool`` is for the boss that finds it again. ``task_user`` has the groups of the tasks, each of which has a user of its own (empty:
    this process's own user); ``limits`` are what they are held to. With ``allowed_signers`` (a file) only signed work is run.
    ``base`` is the folder of the configuration.
    """

    worker: str
    pool: str
    cluster: str
    folder: str
    broker: BrokerConfig
    datastore: Optional[DatastoreConfig]
    resources: Dict[str, float]
    heartbeat: float
    lease: float
    longest_lease: float
    cache_bytes: int
    task_user: str
    limits: Limits
    allowed_signers: str
    pulse: Optional[PulseConfig]
    renewal: Optional[RenewalConfig]
    base: str = ""


def document(config: WorkerConfig) -> Dict[str, Any]:
    """The configuration as the JSON file has it."""
    told = config._asdict()
    del told["base"]
    return {name: _plain(value) for name, value in told.items()}


def _plain(value: Any) -> Any:
    """A section as an object, and everything else as it is."""
    return value._asdict() if hasattr(value, "_asdict") else value
