"""What is told to workers at their start: the same to a process of this machine, to a plain host and to a VM, and read by all alike."""

import asyncio
import json
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from boss.adapters.certificates import Authority, Gate
from boss.adapters.certifier import WorkerCertifier
from boss.adapters.join_tokens import JoinTokens
from boss.adapters.local import LocalCloud
from boss.adapters.ssh_hosts import SshHosts
from boss.adapters.userdata import MachineTerms, UserData
from boss.adapters.worker_config import WorkerTerms
from boss.api.join import JoinDoor
from boss.config import VmSoftware
from boss.core.events import Event, VmCreated, VmDeleted
from boss.core.model import Flavor, Pool
from boss.core.requests import Answer, Request
from worker import config, join
from worker.limits import Limits
from worker.protocol import VERSION
from worker.terms import WorkerConfig

#: Nothing here is a default of anybody, and no two are alike.
LIMITS = Limits(("cpus",), 77, 0.25)
TERMS = WorkerTerms(
    *("cluster7", "10.1.2.3", 18883, "the broker's CA", 2.5, 61.0, 7201.0, 12345678),
    limits=dict.fromkeys(("local", "hosts", "cloud"), LIMITS),
)
#: A worker that stays until it is ended.
BUNDLE = "import signal\nsignal.pause()\n"
POOL = Pool("cloud", "openstack", (Flavor("one", {"cpus": 2}),))
RESOURCES = {"cpus": 2.0}
#: Logs in nowhere: runs the command here, in a home of its own.
SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift 2
HOME=%s exec sh -c "$*"
"""


@pytest.fixture
def gate(authority: Authority) -> Gate:
    return Gate("10.9.8.7", 2022, "eva", authority.host_key_public, "/gate.pyz", "/data")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "worker-0123456789ab.pyz"
    path.write_text(BUNDLE)
    return path


def started(cloud: LocalCloud | SshHosts, pool: str, flavor: str, path: Path) -> Iterator[Path]:
    """Start one worker, and end it when its file has been looked at."""
    events: queue.Queue[Event] = queue.Queue()

    def put(event: Event) -> bool:
        events.put(event)
        return True

    cloud.start(put)
    cloud.create(("w-1",), pool, flavor)
    created = events.get(timeout=20)
    assert isinstance(created, VmCreated), created
    yield path
    cloud.delete("w-1", pool, created.server)
    assert events.get(timeout=20) == VmDeleted("w-1")
    cloud.stop()


def of_this_machine(folder: Path, authority: Authority, gate: Gate, bundle: Path, terms: WorkerTerms) -> Iterator[Path]:
    pool = replace(POOL, name="local", provider="local")
    cloud = LocalCloud(folder / "workers", bundle, authority, lambda: gate, [pool], terms)
    yield from started(cloud, "local", "one", folder / "workers" / "w-1" / "worker.json")


def of_a_host(folder: Path, authority: Authority, gate: Gate, bundle: Path, terms: WorkerTerms) -> Iterator[Path]:
    hosts = SshHosts(terms.cluster, bundle, authority, lambda: gate, terms)
    hosts.expect("w-1", "eva@big", RESOURCES)
    yield from started(hosts, "hosts", "eva@big", folder / "home" / ".ecloud" / terms.cluster / "w-1" / "worker.json")


class Desk:
    """A core that lets everybody in."""

    def ask(self, _request: Callable[[int], Request]) -> "Future[Answer]":
        future: Future[Answer] = Future()
        future.set_result(Answer(200, {"worker": "w-1", "pool": "cloud", "resources": RESOURCES}))
        return future


def of_a_vm(folder: Path, authority: Authority, gate: Gate, bundle: Path, terms: WorkerTerms) -> Iterator[Path]:
    tokens = JoinTokens(folder / "join_key", terms.cluster)
    machine = MachineTerms("https://10.1.2.3:8444", "the boss's CA", 3600.0, 1800.0)
    rendered = UserData({"cloud": POOL}, {"cloud": VmSoftware()}, tokens.make, machine).render("cloud", "cloud-1", 1)
    brought = {Path(file["path"]).name: file["content"] for file in yaml.safe_load(rendered)["write_files"]}
    told = json.loads(brought["join.json"])
    vm = folder / "vm"
    vm.mkdir()
    join.make_keys(str(vm))
    keys = {f"{kind}_key": join.public_key(str(vm), name) for kind, name in (("tls", join.TLS_KEY), ("ssh", join.SSH_KEY))}
    door = JoinDoor(
        Desk(),  # type: ignore[arg-type]
        tokens,
        WorkerCertifier(authority, lambda: gate, 3600.0),
        lambda: gate,
        terms,
        bundle,
    )

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=door.app()), base_url="https://boss") as client:
            return await client.post("/join", json={"token": told["token"], "version": VERSION, **keys})

    answer = asyncio.run(ask())
    assert answer.status_code == 200, answer.text
    join.install(str(vm), told, answer.json())
    yield vm / "worker.json"


@pytest.fixture(params=[of_this_machine, of_a_host, of_a_vm])
def told_to(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    authority: Authority,
    gate: Gate,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """The file of a worker of each kind."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "home").mkdir()
    (programs / "ssh").write_text(SSH % (tmp_path / "home"))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    yield from request.param(tmp_path, authority, gate, bundle, TERMS)


def leaves(value: Any) -> Iterator[Any]:
    """What is in a document, without its names."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    else:
        yield value


def test_every_field_that_a_worker_reads_is_told_to_every_kind_of_worker(told_to: Path) -> None:
    assert set(json.loads(told_to.read_text())) == set(WorkerConfig._fields) - {"base"}


def test_every_term_of_the_boss_reaches_every_kind_of_worker(told_to: Path) -> None:
    read = config.load(str(told_to))
    told = [*leaves(json.loads(told_to.read_text())), Path(read.broker.ca).read_text()]
    assert [field.name for field in fields(WorkerTerms) if getattr(TERMS, field.name) not in [*told, TERMS.limits]] == []
    assert read.limits == LIMITS


def test_every_kind_of_worker_reads_what_the_boss_has_told(told_to: Path, gate: Gate) -> None:
    read = config.load(str(told_to))
    assert (read.worker, read.cluster, read.resources) == ("w-1", TERMS.cluster, RESOURCES)
    assert (read.broker.host, read.broker.port) == (TERMS.broker_host, TERMS.broker_port)
    assert read.datastore is not None
    assert (read.datastore.host, read.datastore.port, read.datastore.user) == (gate.host, gate.port, gate.user)
    assert (read.heartbeat, read.lease, read.longest_lease) == (TERMS.heartbeat, TERMS.lease, TERMS.longest_lease)
    assert read.cache_bytes == TERMS.cache_bytes
    for key in (read.broker.key, read.datastore.key):
        assert "PRIVATE KEY" in Path(key).read_text()


def test_only_a_vm_has_a_watchdog_a_user_for_tasks_and_certificates_to_renew(
    told_to: Path, request: pytest.FixtureRequest
) -> None:
    read = config.load(str(told_to))
    on_a_vm = request.node.callspec.params["told_to"] is of_a_vm
    assert (read.pulse is not None, read.renewal is not None, bool(read.task_user)) == (on_a_vm,) * 3
