"""Two bosses and one database: the second works when the first is gone, and never before. Broker, datastore and VMs are neither's own."""

import getpass
import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from boss.adapters import processes
from boss.adapters.bundle import gate_bundle
from boss.adapters.certificates import Authority
from boss.adapters.daemons import mosquitto, sshd
from boss.adapters.database import Database
from boss.adapters.sockets import free_port
from boss.adapters.store import Store
from boss.config import gate_program
from client import Client
from tests.e2e.deployment import Deployment, until
from tests.e2e.machines import running

CLUSTER = "c0ffee00"
LEASE = 5.0
SETTINGS = """
database_url = "{database}"
boss_lease = {lease}

[broker]
host = "127.0.0.1"
port = {broker}

[datastore]
address = "{user}@localhost:{gate}"
root = "{root}"
host_key = "{host_key}"

[vms]
boss_address = "127.0.0.1"
join_port = {join}

[policy]
heartbeat = 1
offline_after = 5

[pools.cloud]
maximum = 2
cooldown = 600
boot_timeout = 60

[[pools.cloud.flavors]]
name = "one"
resources = {{cpus = 1, memory = "64M"}}
"""


class Pair:
    """What two bosses share, and both; ``first`` and ``second`` as they were made."""

    def __init__(self, folder: Path, database: str, stack: ExitStack) -> None:
        self.database = database
        store = Store(database, CLUSTER)
        store.open()
        store.close()
        pki = folder / "shared-pki"
        authority = Authority(pki)
        (pki / "gate_secret").write_text("5e" * 32)
        broker = mosquitto(folder / "broker", authority, CLUSTER)
        gate = sshd(folder / "gate", authority)
        for daemon in (broker, gate):
            daemon.start()
            stack.callback(daemon.stop)
        self.root = folder / "files"
        self.root.mkdir()
        shutil.copy(gate_bundle(folder / "bundles"), gate_program(str(self.root)))
        self.machines = folder / "machines"
        stack.callback(self._end_machines)
        self.first, self.second = (self._boss(folder / name, pki, broker.port, gate.port, authority) for name in ("one", "two"))
        for boss in (self.first, self.second):
            stack.callback(boss.stop)

    def _boss(self, folder: Path, pki: Path, broker: int, gate: int, authority: Authority) -> Deployment:
        made = Deployment(folder, ECLOUD_CONFIG=str(folder / "ecloud.toml"), MACHINES=str(self.machines))
        made.program = ("-m", "tests.e2e.machines")
        made.state.mkdir(parents=True)
        shutil.copytree(pki, made.state / "pki")
        (folder / "ecloud.toml").write_text(
            SETTINGS.format(
                database=self.database,
                lease=LEASE,
                broker=broker,
                user=getpass.getuser(),
                gate=gate,
                root=self.root,
                host_key=authority.host_key_public,
                join=free_port(),
            )
        )
        return made

    def row(self) -> tuple[int, int, float]:
        """Epoch and turn of the boss row, and the seconds that its lease has left."""
        [(epoch, turn, left)] = self._select("SELECT epoch, turn, expires - UNIX_TIMESTAMP(SYSDATE(6)) FROM boss")
        return int(epoch), int(turn), float(left)

    def numbers(self) -> list[int]:
        """How many attempts each task has had."""
        return [int(number) for (number,) in self._select("SELECT number FROM tasks ORDER BY task_index")]

    def _select(self, sql: str) -> list[tuple[Any, ...]]:
        db = Database(self.database, readonly=True)
        try:
            return db.select(sql)
        finally:
            db.close()

    def _end_machines(self) -> None:
        for machine in self.machines.iterdir() if self.machines.exists() else ():
            for process in running(machine):
                processes.end(process, 10.0, signal.SIGKILL)


@pytest.fixture
def pair(tmp_path: Path, mariadb_url: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        made = Pair(tmp_path, mariadb_url, stack)
        yield made
        for boss in (made.first, made.second):
            print(boss.log.read_text()[-8000:] if boss.log.exists() else "no log")


def ready(said: list[str]) -> bool | None:
    return any(line.startswith("ready: ") for line in said) or None


def api_of(boss: Deployment) -> str:
    return str(json.loads((boss.state / "api.json").read_text())["url"])


def sleepers(count: int) -> dict[str, object]:
    """Tasks of a third of a second with a result each."""
    return {
        "tasks": [
            {
                "id": "t{n}",
                "foreach": {"n": {"range": [0, count]}},
                "command": "sleep 0.3; echo {n} > {n}.txt",
                "outputs": ["{n}.txt"],
                "memory": "32M",
            }
        ]
    }


@pytest.mark.long
def test_a_standby_takes_over_within_its_time_and_nothing_runs_twice(pair: Pair) -> None:
    pair.first.start()
    said = pair.second.begin("--standby")
    until(lambda: said or None, 30, "the standby to say what it waits for")
    assert said[0].startswith("standby: the boss on ") and "holds the database mysql://" in said[0]
    name = pair.first.push(sleepers(40))
    until(lambda: "succeeded" in pair.first.states(name).values() or None, 60, "the first result")
    assert not ready(said)
    token = pair.first.look("create_token", "researcher", "eve")["token"]
    pair.first.kill()
    gone = time.monotonic()
    until(lambda: ready(said), 15, "the standby to take over")
    with Client(f"{api_of(pair.first)},{api_of(pair.second)}", token) as client:  # of which only the second answers
        assert len(list(client.tasks(f"{name}:*"))) == 40
    print(f"took over after {time.monotonic() - gone:.1f} s")
    assert set(pair.second.finished(name).values()) == {"succeeded"}
    assert pair.numbers() == [1] * 40
    assert {int((pair.root / "jobs" / name / f"{n}.txt").read_text()) for n in range(40)} == set(range(40))
    again = pair.first.begin()
    until(lambda: None if pair.first.alive() else True, 30, "the old boss to see that it is not needed")
    assert pair.first.boss is not None and pair.first.boss.returncode == 1
    assert again[0].startswith("waiting: the boss on ") and "or start this one with --standby" in pair.first.log.read_text()


def test_a_boss_that_lives_is_never_taken_over_from_and_one_that_ends_is_at_once(pair: Pair) -> None:
    pair.first.start()
    said = pair.second.begin("--standby")
    epoch, turn, left = pair.row()
    until(lambda: pair.row()[1] > turn + 6 or None, 30, "six renewals, one and a half leases long")
    assert not ready(said) and pair.row()[0] == epoch and left <= LEASE
    assert pair.first.stop() == 0
    until(lambda: ready(said), 15, "the standby to take over")
    assert pair.row()[0] == epoch + 1


@pytest.mark.long
def test_a_boss_that_was_stopped_finds_another_in_its_place_and_does_nothing_more(pair: Pair) -> None:
    pair.first.start()
    said = pair.second.begin("--standby")
    name = pair.first.push(sleepers(30))
    until(lambda: "succeeded" in pair.first.states(name).values() or None, 60, "the first result")
    pair.first.kill(signal.SIGSTOP)
    until(lambda: ready(said), 15, "the standby to take over")
    pair.first.kill(signal.SIGCONT)
    until(lambda: None if pair.first.alive() else True, 30, "the first boss to end")
    assert pair.first.boss is not None and pair.first.boss.returncode == 1
    assert "another boss has taken over (the boss on " in pair.first.log.read_text()
    assert set(pair.second.finished(name).values()) == {"succeeded"}
    assert pair.numbers() == [1] * 30


def test_a_standby_with_other_keys_or_nothing_to_take_over_says_so(pair: Pair) -> None:
    pair.first.start()
    pair.second.program = ("-m", "boss")
    (pair.second.state / "pki" / "gate_secret").write_text("77" * 32)
    pair.second.begin("--standby")
    until(lambda: None if pair.second.alive() else True, 30, "the standby to end")
    assert "has other keys: copy the folder `pki`" in pair.second.log.read_text()
    settings = pair.second.folder / "ecloud.toml"
    whole = settings.read_text()
    without_broker = whole.replace('host = "127.0.0.1"\n', "")
    without_datastore = whole[: whole.index("[datastore]")] + whole[whole.index("[vms]") :]
    for text, sentence in (
        (without_broker, "set [broker] host"),
        (without_datastore, "set [datastore] address"),
        (whole.replace(pair.database, f"sqlite:///{pair.second.folder / 'own.db'}"), "set database_url (MySQL)"),
    ):
        settings.write_text(text)
        pair.second.begin("--standby")
        until(lambda: None if pair.second.alive() else True, 30, "the standby to end")
        assert sentence in pair.second.log.read_text().splitlines()[-1]
    assert json.loads(pair.first.admin("status", "--json"))["boss"]["epoch"] == pair.row()[0]
