"""Local worker processes behind the Cloud port: made, found again, missed, deleted, each with all that they started."""

import json
import math
import os
import queue
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters import processes
from boss.adapters.broker import MqttBroker
from boss.adapters.bundle import worker_bundle
from boss.adapters.certificates import Authority, Gate
from boss.adapters.daemons import Daemon
from boss.adapters.local import LocalCloud
from boss.adapters.worker_config import WorkerTerms
from boss.core.events import (
    BrokerConnected,
    Event,
    Server,
    ServersListed,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
    WorkerSaid,
    WorkerStatusSeen,
)
from boss.core.model import Flavor, Pool
from tests.servers import CLUSTER, eventually
from worker.protocol import Assign, Assignment, Results

#: Stands for the worker's bundle: writes down what it was given, starts a child in a session of its own, ends well on SIGTERM.
WORKER = """
import json, os, signal, subprocess, sys
config = json.load(open(sys.argv[2]))
folder = config["folder"]
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
signal.signal(signal.SIGTERM, lambda *_: (child.kill(), child.wait(), os._exit(0)))
open(folder + "/up.new", "w").write(json.dumps({"child": child.pid, "environ": dict(os.environ)}))
os.rename(folder + "/up.new", folder + "/up")
while True:
    signal.pause()
"""
POOLS = (Pool("local", "local", (Flavor("cpus-2", {"cpus": 2, "memory": 1 << 30}),)),)


class House:
    """A local cloud with its inbox; ``again()`` is the next life of the boss."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.workers = folder / "workers"
        self.authority = authority
        self.events: queue.Queue[Event] = queue.Queue()
        self.bundle = folder / "worker.py"
        self.bundle.write_text(WORKER)
        self.cloud = self._open()

    def _open(self) -> LocalCloud:
        terms = WorkerTerms("testing1", "127.0.0.1", 8883, self.authority.ca.read_text(), 2.0, 60.0, 3600.0, 1 << 30)
        gate = Gate("127.0.0.1", 2222, "me", self.authority.host_key_public, "/gate.pyz", "/data")
        cloud = LocalCloud(self.workers, self.bundle, self.authority, lambda: gate, POOLS, terms)
        cloud.start(self.put)
        return cloud

    def put(self, event: Event) -> bool:
        self.events.put(event)
        return True

    def again(self) -> None:
        self.cloud.stop()
        self.cloud = self._open()

    def next(self) -> Event:
        return self.events.get(timeout=10)

    def create(self, vm: str) -> VmCreated:
        self.cloud.create((vm,), "local", "cpus-2")
        created = self.next()
        assert isinstance(created, VmCreated), created
        return created

    def up(self, vm: str) -> dict[str, object]:
        """What the worker wrote when it was up."""
        path = self.workers / vm / "up"
        eventually(path.exists)
        written: dict[str, object] = json.loads(path.read_text())
        return written

    def child(self, vm: str) -> processes.Identity:
        pid = self.up(vm)["child"]
        assert isinstance(pid, int)
        child = processes.identify(pid)
        assert child is not None
        return child

    def listed(self) -> tuple[Server, ...]:
        self.cloud.list(7.0)
        answer = self.next()
        assert isinstance(answer, ServersListed) and (answer.provider, answer.asked) == ("local", 7.0)
        return answer.servers


@pytest.fixture
def house(tmp_path: Path, authority: Authority) -> Iterator[House]:
    house = House(tmp_path, authority)
    yield house
    for folder in list(house.workers.iterdir()):
        house.cloud.delete(folder.name, "local", "")
    for _ in list(house.workers.iterdir()):
        eventually(lambda: isinstance(house.next(), VmDeleted))
    house.cloud.stop()


def pid_of(created: VmCreated) -> int:
    return int(created.server.split(":")[0])


def test_a_worker_is_started_with_its_credentials_and_terms(house: House) -> None:
    created = house.create("local-1")
    house.up("local-1")
    folder = house.workers / "local-1"
    config = json.loads((folder / "worker.json").read_text())
    assert (created.vm, created.address) == ("local-1", "127.0.0.1")
    assert config["resources"] == {"cpus": 2, "memory": 1 << 30}
    assert (config["worker"], config["cluster"], config["folder"]) == ("local-1", "testing1", str(folder))
    assert (config["heartbeat"], config["lease"], config["cache_bytes"]) == (2.0, 60.0, 1 << 30)
    secrets = [folder / config["broker"]["key"], folder / config["datastore"]["key"], *folder.glob("*.pem")]
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in secrets} == {0o600}


def test_a_worker_gets_our_python_and_none_of_the_bosss_secrets(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_DATABASE_URL", "mysql://user:secret@host/db")
    house.create("local-1")
    environ = house.up("local-1")["environ"]
    assert isinstance(environ, dict)
    assert environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert {name for name in environ if name.startswith("ECLOUD_")} == {"ECLOUD_WORKER", "ECLOUD_WORKER_FOLDER"}


def test_a_claim_gets_one_server_however_often_it_is_asked(house: House) -> None:
    assert house.create("local-1") == house.create("local-1")


def test_what_lives_is_listed_and_what_was_deleted_is_not(house: House) -> None:
    created = house.create("local-1")
    house.create("local-2")
    house.cloud.delete("local-2", "local", "")
    assert house.next() == VmDeleted("local-2")
    assert house.listed() == (Server(created.server, "local-1", "local", "ACTIVE", "127.0.0.1"),)


def test_a_deleted_worker_takes_its_tasks_and_its_folder_with_it(house: House) -> None:
    created = house.create("local-1")
    child = house.child("local-1")
    (house.workers / "local-1" / "locked" / "inner").mkdir(parents=True)
    (house.workers / "local-1" / "locked").chmod(0o500)
    house.cloud.delete("local-1", "local", created.server)
    assert house.next() == VmDeleted("local-1")
    assert processes.identify(pid_of(created)) is None
    assert not processes.is_alive(child)
    assert not (house.workers / "local-1").exists()


def test_deleting_what_does_not_exist_counts_as_deleted(house: House) -> None:
    house.cloud.delete("local-9", "local", "")
    assert house.next() == VmDeleted("local-9")


def test_another_clusters_worker_of_the_same_name_is_left_alone(house: House) -> None:
    environ = os.environ | {"ECLOUD_WORKER": "local-1", "ECLOUD_WORKER_FOLDER": "/elsewhere/local-1"}
    bystander = subprocess.Popen(["sleep", "600"], env=environ)
    house.create("local-1")
    house.cloud.delete("local-1", "local", "")
    assert house.next() == VmDeleted("local-1")
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_killed_worker_is_missed_at_once_and_its_tasks_end(house: House) -> None:
    created = house.create("local-1")
    child = house.child("local-1")
    os.kill(pid_of(created), signal.SIGKILL)
    assert house.next() == ServersListed("local", math.inf, ())
    assert not processes.is_alive(child)
    assert (house.workers / "local-1" / "worker.log").exists(), "kept, to see why"


def test_a_worker_that_ends_well_leaves_nothing(house: House) -> None:
    created = house.create("local-1")
    house.up("local-1")
    os.kill(pid_of(created), signal.SIGTERM)
    assert house.next() == ServersListed("local", math.inf, ())
    assert not (house.workers / "local-1").exists()


def test_the_next_life_of_the_boss_finds_its_workers_and_misses_them_too(house: House) -> None:
    created = house.create("local-1")
    house.up("local-1")
    house.again()
    assert [server.server for server in house.listed()] == [created.server]
    assert house.create("local-1") == created
    os.kill(
        pid_of(created), signal.SIGKILL
    )  # here the earlier life is this very process: the cloud reaps it when it sees the end
    assert house.next() == ServersListed("local", math.inf, ())


def test_a_worker_that_died_while_no_boss_ran_is_gone_with_its_tasks(house: House) -> None:
    created = house.create("local-1")
    child = house.child("local-1")
    house.cloud.stop()
    os.kill(pid_of(created), signal.SIGKILL)
    os.waitpid(pid_of(created), 0)
    house.again()
    assert house.listed() == ()
    assert not processes.is_alive(child)


def test_a_worker_whose_boss_was_killed_while_it_created_it_does_not_leak(house: House) -> None:
    created = house.create("local-1")
    child = house.child("local-1")
    house.cloud.stop()
    (house.workers / "local-1" / "pid").unlink()  # killed between the start and the note of it
    house.again()
    assert house.listed() == ()
    os.waitpid(pid_of(created), 0)
    assert not processes.is_alive(child)


@pytest.mark.parametrize(
    ("vm", "flavor", "why"), [("local-1", "huge", "no flavor 'huge'"), ("../../etc", "cpus-2", "no name for a broker account")]
)
def test_a_claim_that_cannot_be_met_fails_with_the_reason(house: House, vm: str, flavor: str, why: str) -> None:
    house.cloud.create((vm,), "local", flavor)
    failed = house.next()
    assert isinstance(failed, VmCreateFailed) and failed.final
    assert why in failed.reason


def test_a_worker_that_ends_at_once_is_a_failure_or_a_loss_and_its_log_says_why(house: House) -> None:
    house.bundle.write_text("raise SystemExit('no such luck')")
    house.cloud.create(("local-1",), "local", "cpus-2")

    def has_ended() -> bool:
        event = house.next()
        return isinstance(event, VmCreateFailed) or event == ServersListed("local", math.inf, ())

    eventually(has_ended)
    assert "no such luck" in (house.workers / "local-1" / "worker.log").read_text()


def test_only_the_newest_folders_of_the_dead_are_kept(house: House) -> None:
    house.cloud.stop()
    for number in range(30):
        (house.workers / f"local-{number}").mkdir()
    house.again()
    house.listed()
    assert len(list(house.workers.iterdir())) == 10


def test_a_real_worker_joins_and_runs_a_task(
    tmp_path: Path, authority: Authority, broker_server: Daemon, ssh_server: Daemon
) -> None:
    events: queue.Queue[Event] = queue.Queue()

    def put(event: Event) -> bool:
        events.put(event)
        return True

    gate = Gate(ssh_server.host, ssh_server.port, "me", authority.host_key_public, "/gate.pyz", "/data")
    terms = WorkerTerms(CLUSTER, broker_server.host, broker_server.port, authority.ca.read_text(), 2.0, 60.0, 3600.0, 1 << 30)
    link = MqttBroker(broker_server.host, broker_server.port, authority.boss(), CLUSTER, 1, lambda _worker, _chunk: None)
    cloud = LocalCloud(tmp_path / "workers", worker_bundle(tmp_path / "bundles"), authority, lambda: gate, POOLS, terms)
    link.start(put)
    assert events.get(timeout=10) == BrokerConnected()
    cloud.start(put)
    cloud.create(("local-1",), "local", "cpus-2")
    heard = [events.get(timeout=10) for _ in range(3)]
    assert {type(event) for event in heard} == {VmCreated, WorkerStatusSeen, WorkerSaid}
    link.send(
        "local-1", Assign(1, 1, (Assignment("j.0.1", "job", "t", ("python3 -c 'import paho; print(1)'",), needs={"cpus": 1}),))
    )
    said = events.get(timeout=10)
    while not (isinstance(said, WorkerSaid) and isinstance(said.message, Results)):
        said = events.get(timeout=10)
    assert said.worker == "local-1"
    assert [(result.attempt, result.stdout) for result in said.message.results] == [("j.0.1", "1\n")], (
        "tasks find our Python first"
    )
    cloud.delete("local-1", "local", "")
    while not isinstance(events.get(timeout=10), VmDeleted):
        pass
    cloud.stop()
    link.stop()
