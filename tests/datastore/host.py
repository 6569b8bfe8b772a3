"""A datastore for tests: its folder, its gate as a plain child process, and its gate behind a private sshd.

The fixtures ``sshd`` and ``datastore`` are known to every test (``tests/conftest.py``).
"""

import getpass
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from boss.adapters.sockets import free_port
from datastore import gate, layout
from datastore.acceptance import Acceptance, Upload
from datastore.channel import Channel, Endpoint
from datastore.sessions import PLACES
from datastore.transfer import Given, deliver
from datastore.tree import Tree
from datastore.turns import TURNS
from tests.servers import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = bytes(range(32))
CLUSTER = "c1"
NEVER = Event()


class Sshd:
    """A private OpenSSH server on a free loopback port that trusts one certificate authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True)
        for name in ("authority", "host", "caller"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.port = free_port()
        self._log = folder / "sshd.log"
        (folder / "sshd.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nTrustedUserCAKeys {folder}/authority.pub\n"
            "AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin yes\nPidFile none\nPrintMotd no\nMaxStartups 100\n"
        )
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}")
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", str(self.folder / "sshd.conf")], stderr=log)
        eventually(lambda: answers(self.port))

    def stop(self) -> None:
        """Kill it and the sessions that it serves."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self._process.pid)], capture_output=True, text=True).stdout
        self._process.kill()
        self._process.wait()
        for pid in children.split():
            _kill(int(pid))

    def certificate(self, caller: str, root: Path) -> Endpoint:
        """A log-in whose certificate forces the gate of this folder for this caller."""
        name = hashlib.sha256(f"{caller} {root}".encode()).hexdigest()[:16]
        key = self.folder / name
        shutil.copy(self.folder / "caller", key)
        shutil.copy(self.folder / "caller.pub", f"{key}.pub")
        command = " ".join(map(shlex.quote, gate_command(caller, root)))
        options = ["-O", "clear", "-O", f"force-command={command}"]
        user = getpass.getuser()
        _run("ssh-keygen", "-q", "-s", str(self.folder / "authority"), "-I", caller, "-n", user, *options, f"{key}.pub")
        return Endpoint("127.0.0.1", self.port, user, str(key), f"{key}-cert.pub", str(self.known_hosts))


class Datastore:
    """One datastore's folder, set up unless told otherwise."""

    def __init__(self, root: Path, *, initialised: bool = True) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self._channels: list[Channel] = []
        self.tree = Tree(str(root))
        if initialised:
            gate.set_up(self.tree, CLUSTER, SECRET)

    def close(self) -> None:
        """End all sessions."""
        for channel in self._channels:
            channel.close()
        os.close(self.tree.descriptor)

    @cached_property
    def boss(self) -> Channel:
        """The boss's lasting session."""
        return self.gate("boss")

    def gate(self, caller: str, *more: str) -> Channel:
        """A new session at the gate, without SSH between; ``more`` is for the end of its forced command."""
        channel = Channel([*gate_command(caller, self.root), *more])
        self._channels.append(channel)
        return channel

    def grant(
        self, attempt: str = "u.0.1", job: str = "j", task: str = "t", worker: str = "w1", inputs: Any = ()
    ) -> dict[str, Any]:
        """A valid grant, as the fields of a request."""
        rows = [list(row) for row in inputs]
        proof = layout.grant(SECRET, worker, attempt, job, task, rows)
        return {"attempt": attempt, "job": job, "task": task, "inputs": rows, "grant": proof}

    def upload(
        self, files: Mapping[str, bytes], attempt: str = "u.0.1", job: str = "j", channel: Channel | None = None, **more: Any
    ) -> list[tuple[str, int, str]]:
        """Deliver these files as an attempt's outputs; returns the manifest."""
        given = [given_bytes(self.root.parent, path, data) for path, data in files.items()]
        through = channel or self.gate("worker:w1")
        manifest = deliver(through, self.grant(attempt, job), given, more.get("logs", {}), more.get("result", "{}"), 10**6, NEVER)
        assert manifest is not None
        return manifest

    def accept(self, manifest: Sequence[Any], attempt: str = "u.0.1", job: str = "j") -> tuple[str, str, str]:
        """Accept one upload in this process."""
        return Acceptance(self.tree).accept([Upload(attempt, job, tuple((p, s, d) for p, s, d in manifest))])[0]

    def results(self, job: str = "j") -> dict[str, bytes]:
        """All plain files of a job but its manifest."""
        folder = self.root / "jobs" / job
        return {path: (folder / path).read_bytes() for path, _what in self.tree.files(f"jobs/{job}") if path != layout.MANIFEST}

    def sums_hold(self, job: str = "j") -> bool:
        """Whether ``sha256sum -c`` is content, and names exactly the files that are there."""
        folder = self.root / "jobs" / job
        lines = (folder / layout.MANIFEST).read_text().splitlines()
        named = sorted(layout.parse_manifest_line(line)[0] for line in lines)
        checked = subprocess.run(["sha256sum", "-c", "--quiet", "--strict", layout.MANIFEST], cwd=folder, capture_output=True)
        return named == sorted(self.results(job)) and checked.returncode == 0

    def inventory(self) -> dict[str, str]:
        """Every path below the root with its sha256 (folders: ``/``), to compare two moments."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if name in (PLACES, TURNS):
                continue  # empty: who is here, not what is here
            found[name] = "/" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        return found


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One OpenSSH server for all tests, which trusts one certificate authority."""
    server = Sshd(tmp_path_factory.mktemp("sshd") / "server")
    yield server
    server.stop()


@pytest.fixture
def datastore(tmp_path: Path) -> Iterator[Datastore]:
    """A datastore that was set up and holds nothing."""
    store = Datastore(tmp_path / "root")
    yield store
    store.close()


def gate_command(caller: str, root: Path) -> list[str]:
    """The gate as a host without anything else of ours would run it."""
    return [
        "env",
        f"PYTHONPATH={REPOSITORY}",
        sys.executable,
        "-S",
        "-m",
        "datastore.gate",
        "--root",
        str(root),
        "--caller",
        caller,
    ]


def given_bytes(folder: Path, path: str, data: bytes, executable: bool = False) -> Given:
    """A file to deliver with this content."""
    local = folder / f"given-{hashlib.sha256(data).hexdigest()}"
    local.write_bytes(data)
    return Given(path, lambda: os.open(local, os.O_RDONLY), executable)


def sha256(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


def record_of(root: Path, attempt: str) -> dict[str, Any]:
    """The record of an upload that waits for the boss."""
    record: dict[str, Any] = json.loads((root / layout.incoming_folder(attempt) / layout.RECORD).read_text())
    return record


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            return probe.recv(4) == b"SSH-"
    except OSError:
        return False
