"""The whole way of a VM: user data, join over HTTPS, work, drain, end; with process trees for servers."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters import processes
from boss.adapters.sockets import free_port
from tests.e2e.deployment import Deployment, until
from tests.e2e.machines import running

SETTINGS = """
[vms]
boss_address = "127.0.0.1"
join_port = {join}
broker_port = {broker}
gate_port = {gate}
{vms}

[policy]
heartbeat = 1
offline_after = 5
{policy}

[workers]
{workers}

[pools.cloud]
maximum = 2
cooldown = {cooldown}
boot_timeout = 60

[[pools.cloud.flavors]]
name = "one"
resources = {{cpus = 1, memory = "64M"}}
"""


class Cloudy(Deployment):
    """A deployment whose workers are machines of ``folder/machines``."""

    program = ("-m", "tests.e2e.machines")

    def __init__(self, folder: Path, vms: str = "", policy: str = "", workers: str = "", cooldown: float = 2) -> None:
        self.machines = folder / "machines"
        super().__init__(folder, ECLOUD_CONFIG=str(folder / "ecloud.toml"), MACHINES=str(self.machines))
        folder.mkdir(parents=True, exist_ok=True)
        ports = dict(zip(("join", "broker", "gate"), (free_port() for _ in range(3)), strict=True))
        (folder / "ecloud.toml").write_text(SETTINGS.format(vms=vms, policy=policy, workers=workers, cooldown=cooldown, **ports))

    def logs(self) -> str:
        """What boss and machines have logged."""
        files = [self.log, *sorted(self.machines.glob("*.log")), *sorted(self.machines.glob("*/log"))]
        return "\n".join(f"--- {file}\n{file.read_text()[-6000:]}" for file in files if file.exists())

    def there(self) -> list[str]:
        """The machines of which something runs."""
        return [
            path.name for path in self.machines.iterdir() if path.is_dir() and not path.name.endswith(".bin") and running(path)
        ]


def started(deployment: Cloudy) -> Iterator[Cloudy]:
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()
        for machine in deployment.machines.iterdir():
            for process in running(machine):
                processes.end(process, 10.0, signal.SIGKILL)
        print(deployment.logs())


def worker_of(cloudy: Cloudy, vm: str = "cloud-1") -> processes.Identity:
    """The process that is this machine's worker."""

    def look() -> processes.Identity | None:
        found = [process for process in running(cloudy.machines / vm) if "worker-" in command(process.pid)]
        return found[0] if len(found) == 1 else None

    return until(look, 30, f"one worker of {vm}")


def command(pid: int) -> str:
    """A process's command line; empty for one that has just ended, or is just becoming another program."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def online(cloudy: Cloudy, vm: str = "cloud-1") -> None:
    until(
        lambda: [w for w in cloudy.look("show_workers") if w["id"] == vm and w["state"] == "online"] or None,
        30,
        f"{vm} to be online",
    )


def kept(cloudy: Cloudy) -> None:
    """One machine that is not scaled down."""
    cloudy.admin("instantiate_worker", "--pool", "cloud")
    online(cloudy)


@pytest.fixture
def cloudy(tmp_path: Path) -> Iterator[Cloudy]:
    """A boss with an empty cloud, whose machines stay when they are idle."""
    yield from started(Cloudy(tmp_path / "ecloud", cooldown=600))


@pytest.fixture
def renewing(tmp_path: Path) -> Iterator[Cloudy]:
    """One whose workers' certificates last for seconds."""
    yield from started(Cloudy(tmp_path / "ecloud", vms='certificate_lifetime = "12s"', cooldown=600))


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Cloudy]:
    """One whose workers do not live long without it."""
    yield from started(
        Cloudy(tmp_path / "ecloud", policy="lease = 5.5\nworker_lease = 8", workers='longest_lease = "12s"', cooldown=600)
    )


@pytest.fixture
def shrinking(tmp_path: Path) -> Iterator[Cloudy]:
    """One whose idle machines go at once."""
    yield from started(Cloudy(tmp_path / "ecloud", cooldown=2))


def test_a_task_brings_up_a_machine_that_joins_runs_it_and_goes(shrinking: Cloudy) -> None:
    task = {"id": "a", "command": "echo $ECLOUD_WORKER > out.txt", "outputs": ["out.txt"], "memory": "32M"}
    name = shrinking.push({"tasks": [task]})
    assert shrinking.finished(name) == {"a": "succeeded"}
    shrinking.admin("fetch", name, "--to", str(shrinking.folder / "got"))
    assert (shrinking.folder / "got" / "out.txt").read_text() == "cloud-1\n"
    machine = shrinking.machines / "cloud-1"
    until(lambda: not machine.exists() or None, 30, "the machine's deletion")
    assert shrinking.there() == []


def test_a_drained_worker_ends_and_its_machine_with_it(cloudy: Cloudy) -> None:
    kept(cloudy)
    (cloudy.machines / "cloud-1.kept").touch()  # else the boss may delete it before it has ended by itself
    cloudy.admin("drain_worker", "cloud-1")
    until(lambda: "the worker has ended" in cloudy.logs() or None, 30, "the word of that")
    until(lambda: not cloudy.there() or None, 30, "the machine to end")


def test_a_worker_that_is_killed_joins_again_as_the_same(cloudy: Cloudy) -> None:
    kept(cloudy)
    first = worker_of(cloudy)
    processes.end(first, 10.0, signal.SIGKILL)
    until(lambda: cloudy.logs().count("joined as cloud-1") == 2 or None, 30, "the second join")
    online(cloudy)
    assert worker_of(cloudy) != first
    assert [vm["id"] for vm in cloudy.look("show_workers")] == ["cloud-1"]


def test_a_boss_that_was_away_while_its_machine_booted_lets_it_in_later(cloudy: Cloudy) -> None:
    kept(cloudy)
    cloudy.kill()
    processes.end(worker_of(cloudy), 10.0, signal.SIGKILL)
    until(lambda: "is not reached" in cloudy.logs() or None, 30, "the machine to find nobody")
    cloudy.start()
    online(cloudy)


def test_what_a_machine_was_given_is_private_and_in_one_folder(cloudy: Cloudy) -> None:
    kept(cloudy)
    folder = cloudy.machines / "cloud-1"
    for name in ("join.json", "worker.json", "tls.key", "key", "tls.pem", "key-cert.pub", "certificates.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600, name
    token = json.loads((folder / "join.json").read_text())["token"]
    assert token not in cloudy.log.read_text() and token not in (folder / "log").read_text()
    assert not any(token in command(process.pid) for process in running(folder))


@pytest.mark.long
def test_certificates_of_seconds_are_renewed_and_used_at_the_next_connection(renewing: Cloudy) -> None:
    kept(renewing)
    certificate = renewing.machines / "cloud-1" / "tls.pem"
    seen = {certificate.read_text()}
    until(lambda: seen.add(certificate.read_text()) or (len(seen) == 4) or None, 60, "the third renewal")
    process = processes.recorded(renewing.state / "mosquitto" / "pid")
    assert process is not None
    processes.end(process, 10.0, signal.SIGKILL)
    task = {"id": "a", "command": "echo yes > out", "outputs": ["out"], "memory": "32M"}
    assert renewing.finished(renewing.push({"tasks": [task]})) == {"a": "succeeded"}
    assert renewing.logs().count("joined as cloud-1") == 1


@pytest.mark.long
def test_a_worker_whose_certificates_ran_out_while_the_boss_was_away_gets_new_ones_at_the_join_door(renewing: Cloudy) -> None:
    kept(renewing)
    name = renewing.push({"tasks": [{"id": "a", "command": "sleep 30; echo yes > out", "outputs": ["out"], "memory": "32M"}]})
    until(lambda: renewing.states(name) == {"a": "running"} or None, 30, "the task to run")
    worker = worker_of(renewing)
    renewing.kill()
    record = renewing.machines / "cloud-1" / "certificates.json"
    until(lambda: json.loads(record.read_text())["until"] < time.time() or None, 30, "the end of the certificates")
    renewing.start()
    assert renewing.finished(name) == {"a": "succeeded"}
    assert worker_of(renewing) == worker and "renewed at the join door" in renewing.logs()
    assert renewing.look("show_tasks", "--job", name)[0]["attempt"] == 1


def test_a_worker_whose_boss_is_gone_ends_after_its_lease_with_its_machine(impatient: Cloudy) -> None:
    kept(impatient)
    impatient.kill()
    until(lambda: not impatient.there() or None, 60, "the machine to end")
    assert "no answer of the boss for" in impatient.logs() and "the worker has ended" in impatient.logs()


@pytest.mark.long
def test_one_that_works_lives_longer_but_not_for_ever(impatient: Cloudy) -> None:
    kept(impatient)
    name = impatient.push({"tasks": [{"id": "a", "command": "sleep 600", "memory": "32M"}]})
    until(lambda: impatient.states(name) == {"a": "running"} or None, 30, "the task to run")
    begun = time.monotonic()
    impatient.kill()
    until(lambda: not impatient.there() or None, 60, "the machine to end")
    assert time.monotonic() - begun > 9.0


@pytest.mark.long
def test_a_worker_that_hangs_is_ended_by_its_machines_watchdog(impatient: Cloudy) -> None:
    kept(impatient)
    name = impatient.push({"tasks": [{"id": "a", "command": "sleep 600", "memory": "32M"}]})
    until(lambda: impatient.states(name) == {"a": "running"} or None, 30, "the task to run")
    os.kill(worker_of(impatient).pid, signal.SIGSTOP)
    impatient.kill()
    until(lambda: not impatient.there() or None, 60, "the machine to end")
    assert "its time was over" in impatient.logs()
