"""Any host that can be reached with ssh becomes a worker, and is left without a trace: a real sshd with an ordinary login."""

import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.adapters import tls
from boss.adapters.certificates import Authority, Gate
from boss.adapters.sockets import free_port
from tests.datastore.host import answers
from tests.e2e.deployment import Deployment, deployed, until
from tests.servers import eventually

SETTINGS = """
[pools.none]
provider = "local"
flavors = [{name = "one", resources = {cpus = 1}}]
maximum = 0
"""


class Host:
    """A private sshd for shell log-ins with one key, whose home is a folder of its own; ``login`` is known to ``ssh``, ``stranger`` not."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.port = free_port()
        user = getpass.getuser()
        self.login, self.stranger = f"{user}@big", f"{user}@127.0.0.1:{self.port}"
        (folder / "authorized_keys").write_text((folder / "key.pub").read_text())
        (folder / "enter").write_text(f'#!/bin/sh\nHOME={self.home} exec sh -c "$SSH_ORIGINAL_COMMAND"\n')
        (folder / "enter").chmod(0o755)
        (folder / "sshd.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
            f"PidFile none\nForceCommand {folder}/enter\n"
        )
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}")
        (folder / "nothing").write_text("")
        (folder / "config").write_text(
            f"Host big\n  HostName 127.0.0.1\n  Port {self.port}\n  IdentityFile {folder}/key\n  UserKnownHostsFile {folder}/known_hosts\n"
            f"Host *\n  UserKnownHostsFile {folder}/nothing\n  GlobalKnownHostsFile none\n"
        )
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
        (self.bin / "ssh").chmod(0o755)
        self._log = (folder / "sshd.log").open("ab")
        self._folder = folder
        self.start()

    def start(self) -> None:
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        self._process = subprocess.Popen([program, "-D", "-e", "-f", str(self._folder / "sshd.conf")], stderr=self._log)
        eventually(lambda: answers(self.port))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.stop()
        self._log.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "host")
    yield made
    made.close()


@pytest.fixture
def ecloud(tmp_path: Path, host: Host) -> Iterator[Deployment]:
    config = tmp_path / "ecloud.toml"
    config.write_text(SETTINGS)
    with deployed(tmp_path / "boss", PATH=f"{host.bin}:{os.environ['PATH']}", ECLOUD_CONFIG=str(config)) as deployment:
        yield deployment


def worker_process(host: Host, name: str) -> int:
    """The pid of a worker on the host."""
    [record] = host.home.glob(f".ecloud/*/{name}/pid")
    return int(record.read_text().partition(":")[0])


def empty(host: Host) -> None:
    """Wait until nothing is left on the host: what a worker left that died by itself is removed beside the rest."""
    until(lambda: not list(host.home.iterdir()) or None, 30, "the host to be empty")


def online(ecloud: Deployment) -> Any:
    """Wait until a worker is online."""
    return until(lambda: [one for one in ecloud.look("show_workers") if one["state"] == "online"] or None, 60, "a worker")


@pytest.mark.long
def test_a_host_is_added_runs_tasks_is_kept_up_and_leaves_no_trace(ecloud: Deployment, host: Host) -> None:
    assert "coming up: 1 cpus" in ecloud.admin("add_host", host.login, "--cpus", "1")
    [worker] = online(ecloud)
    job = ecloud.push({"tasks": [{"id": "where", "command": "echo $ECLOUD_WORKER $HOME > out", "outputs": ["out"]}]})
    assert ecloud.finished(job) == {"where": "succeeded"}
    ecloud.admin("fetch", job, "--to", str(ecloud.folder / "got"))
    assert (ecloud.folder / "got" / "out").read_text().split()[0] == worker["id"]
    assert list(host.home.glob(".ecloud/*/*/worker.json"))

    os.kill(worker_process(host, worker["id"]), signal.SIGKILL)
    until(lambda: [one for one in online(ecloud) if one["id"] != worker["id"]] or None, 90, "the host's next worker")

    ecloud.admin("remove_host", host.login)
    until(lambda: not ecloud.look("show_vms") or None, 60, "its worker to go")
    empty(host)
    until(lambda: "no host" in ecloud.run("admin.py", "remove_host", host.login).stderr or None, 20, "the host to be forgotten")


def test_a_task_that_runs_when_its_host_is_removed_now_is_killed_with_its_worker(ecloud: Deployment, host: Host) -> None:
    ecloud.admin("add_host", host.login)
    online(ecloud)
    job = ecloud.push({"tasks": [{"id": "long", "command": "sleep 7654321"}]})
    until(lambda: ecloud.states(job) == {"long": "running"} or None, 30, "the task to run")
    ecloud.admin("remove_host", host.login, "--now")
    until(lambda: not ecloud.look("show_vms") or None, 60, "its worker to go")
    empty(host)
    assert not subprocess.run(["pgrep", "-f", "sleep 7654321"], capture_output=True, check=False).stdout


def test_a_host_that_cannot_be_added_is_refused_with_the_remedy(ecloud: Deployment, host: Host) -> None:
    unknown = ecloud.run("admin.py", "add_host", host.stranger)
    assert (unknown.returncode, "log in there once" in unknown.stderr) == (1, True), unknown.stderr
    hostile = ecloud.run("admin.py", "add_host", "x@-oProxyCommand=id")
    assert hostile.returncode == 2
    host.stop()
    down = ecloud.run("admin.py", "add_host", host.login)
    assert (down.returncode, "Connection refused" in down.stderr) == (1, True), down.stderr
    assert ecloud.look("show_vms") == [] and list(host.home.iterdir()) == []


def let_expire(ecloud: Deployment, host: Host, name: str) -> Path:
    """Give a worker keys whose certificates ended ten days ago, as if there had been no boss for so long; the broker's certificate."""
    [folder] = host.home.glob(f".ecloud/*/{name}")
    past = Authority(ecloud.folder / "state" / "pki", lambda: time.time() - 14 * 86400.0)
    gate = Gate("127.0.0.1", 22, "ecloud", "ssh-ed25519 AAAA", "/gate.pyz", "/data")
    past.issue_worker(name, ecloud.folder / "past", 96.0, gate)
    for file in ("tls.pem", "tls.key", "key", "key-cert.pub"):
        shutil.copy(ecloud.folder / "past" / file, folder / file)
    return folder / "tls.pem"


@pytest.mark.long
def test_the_next_life_of_the_boss_knows_its_hosts(ecloud: Deployment, host: Host) -> None:
    ecloud.admin("add_host", host.login)
    [worker] = online(ecloud)
    pid = worker_process(host, worker["id"])
    ecloud.kill()
    renewed = let_expire(ecloud, host, worker["id"])
    ecloud.start()
    assert [one["id"] for one in online(ecloud)] == [worker["id"]]
    assert worker_process(host, worker["id"]) == pid
    assert tls.look(renewed).days(time.time()) == pytest.approx(4, abs=0.1)
    job = ecloud.push({"tasks": [{"id": "again", "command": "echo 1 > out", "outputs": ["out"]}]})
    assert ecloud.finished(job) == {"again": "succeeded"}
    ecloud.admin("remove_host", host.login)
    until(lambda: not ecloud.look("show_vms") or None, 60, "its worker to go")
    empty(host)
