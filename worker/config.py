"""What a worker is told at its start: one JSON file, checked once, frozen as ``worker.terms`` has it.

    {"worker": id, "pool": name, "cluster": id, "folder": path,
     "broker": {"host", "port", "ca", "certificate", "key"},
     "datastore": {"host", "port", "user", "key", "certificate", "known_hosts"} or null,
     "resources": {"cpus": 1, "memory": bytes, ...},
     "heartbeat": 5.0, "lease": 1800.0, "longest_lease": 172800.0, "cache_bytes": n,
     "limits": {"enforce": ["memory", "processes", "cpus", "privileges"], "processes": n, "memory_slack": share},
     and, on a VM:
     "task_user": name or "", "allowed_signers": path or "",
     "pulse": {"file", "margin"} or null, "renewal": {"record", "tls_key", "ssh_key"} or null}

Rules:
- Paths of files are absolute, or relative to the folder of the JSON file.
- Unknown fields are ignored: a newer boss may write more. Missing or wrong ones are named, all at once.
- Heartbeat and lease are only the beginning: the boss's ``Renew`` says others.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import json
import os
import re
from typing import Any, Dict, List, Tuple

from worker.limits import ENFORCED, PROCESSES, Limits
from worker.terms import BrokerConfig, DatastoreConfig, PulseConfig, RenewalConfig, WorkerConfig

#: What an id may look like: it becomes a part of topics, of file names and of an account.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ConfigError(Exception):
    """A configuration that a worker cannot start with; the message has one line for each thing that is wrong."""


def load(path: str) -> WorkerConfig:
    """Read and check a configuration file. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise ConfigError("%s: %s" % (path, error.strerror)) from None
    except ValueError as error:
        raise ConfigError("%s: not JSON: %s" % (path, error)) from None
    return parse(document, os.path.dirname(os.path.abspath(path)))


def parse(document: Any, base: str) -> WorkerConfig:
    """Check a configuration; relative paths start at ``base``. Raises ConfigError."""
    if not isinstance(document, dict):
        raise ConfigError("the configuration is not a JSON object")
    reader = _Reader(base)
    broker = reader.section(document, "broker")
    datastore = None
    if document.get("datastore") is not None:
        section = reader.section(document, "datastore")
        datastore = DatastoreConfig(
            *reader.address(section, "datastore"),
            reader.text(section, "user", "datastore."),
            *reader.files(section, "datastore", ("key", "certificate", "known_hosts")),
        )
    pulse = renewal = None
    if document.get("pulse") is not None:
        section = reader.section(document, "pulse")
        pulse = PulseConfig(reader.path(section, "file", "pulse."), reader.positive(section, "margin", 60.0))
    if document.get("renewal") is not None:
        section = reader.section(document, "renewal")
        renewal = RenewalConfig(*reader.files(section, "renewal", ("record", "tls_key", "ssh_key")))
    config = WorkerConfig(
        worker=reader.name(document, "worker"),
        pool=reader.text(document, "pool") if document.get("pool") else "",
        cluster=reader.name(document, "cluster"),
        folder=reader.path(document, "folder"),
        broker=BrokerConfig(
            *reader.address(broker, "broker"),
            *reader.files(broker, "broker", ("ca", "certificate", "key")),
        ),
        datastore=datastore,
        resources=reader.resources(document),
        heartbeat=reader.positive(document, "heartbeat", 5.0),
        lease=reader.positive(document, "lease", 1800.0),
        longest_lease=reader.positive(document, "longest_lease", 48 * 3600.0),
        cache_bytes=int(reader.positive(document, "cache_bytes", float(4 << 30))),
        task_user=reader.text(document, "task_user") if document.get("task_user") else "",
        limits=reader.limits(document),
        allowed_signers=reader.path(document, "allowed_signers") if document.get("allowed_signers") else "",
        pulse=pulse,
        renewal=renewal,
        base=base,
    )
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return config


class _Reader:
    """Takes fields out of a document and gathers what is wrong with them."""

    def __init__(self, base: str) -> None:
        self.problems: List[str] = []
        self._base = base

    def section(self, document: Dict[str, Any], name: str) -> Dict[str, Any]:
        value = document.get(name)
        if isinstance(value, dict):
            return value
        self.problems.append("%s: %s" % (name, "is missing" if value is None else "is not an object"))
        return {}

    def text(self, document: Dict[str, Any], name: str, prefix: str = "") -> str:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value
        self.problems.append("%s%s: %s" % (prefix, name, "is missing" if value is None else "is not a text"))
        return ""

    def name(self, document: Dict[str, Any], name: str) -> str:
        value = self.text(document, name)
        if value and not _ID.fullmatch(value):
            self.problems.append("%s: %r is no id (letters, digits, '.', '_', '-')" % (name, value))
        return value

    def path(self, document: Dict[str, Any], name: str, prefix: str = "") -> str:
        value = self.text(document, name, prefix)
        return os.path.join(self._base, value) if value else ""

    def address(self, section: Dict[str, Any], where: str) -> Tuple[str, int]:
        host = self.text(section, "host", where + ".")
        port = section.get("port")
        if type(port) is not int or not 0 < port < 65536:
            self.problems.append("%s.port: is not a port (1 to 65535)" % where)
            port = 0
        return host, port

    def files(self, section: Dict[str, Any], where: str, names: Tuple[str, ...]) -> Tuple[str, ...]:
        paths = tuple(self.path(section, name, where + ".") for name in names)
        for name, path in zip(names, paths):
            if path and not os.path.isfile(path):
                self.problems.append("%s.%s: there is no file %s" % (where, name, path))
        return paths

    def positive(self, document: Dict[str, Any], name: str, default: float) -> float:
        value = document.get(name, default)
        if type(value) in (int, float) and 0 < value < float("inf"):
            return float(value)
        self.problems.append("%s: is not a positive number" % name)
        return default

    def limits(self, document: Dict[str, Any]) -> Limits:
        if document.get("limits") is None:
            return Limits()
        section = self.section(document, "limits")
        names = section.get("enforce", list(ENFORCED))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.problems.append("limits.enforce: is not a list of names")
            names = []
        count, slack = section.get("processes", PROCESSES), section.get("memory_slack", 0.0)
        if type(count) is not int or count < 1:
            self.problems.append("limits.processes: is not a number of at least 1")
        if type(slack) not in (int, float) or not 0 <= slack < float("inf"):
            self.problems.append("limits.memory_slack: is not a number of at least 0")
        return Limits(tuple(names), count, slack)  # names that a newer boss knows say nothing here

    def resources(self, document: Dict[str, Any]) -> Dict[str, float]:
        section = self.section(document, "resources")
        for name, amount in section.items():
            if type(amount) not in (int, float) or not 0 <= amount < float("inf"):
                self.problems.append("resources.%s: is not a number of at least 0" % name)
        cpus = section.get("cpus")
        if not isinstance(cpus, (int, float)) or cpus <= 0:
            self.problems.append("resources.cpus: is not a positive number")
        return section
