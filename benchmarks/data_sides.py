"""The two sides of ``benchmarks/data.py``: plain scp and tar over an sshd of their own, and the worker's own code at a boss's datastore.

Rules:
- Both sshds run on the same loopback with the same cipher; the reference reads and writes folders of the same file system.
- ``promise`` has the reference do what ecloud does besides: sha256 of all that came, and flush it to the disk. It is timed apart.
"""

import getpass
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.private_boss import PrivateBoss
from boss.adapters.certificates import Authority, Gate
from boss.adapters.daemons import Daemon, find_program
from datastore import layout
from datastore.channel import Endpoint
from worker.protocol import Assignment, Input, Output, Result, granted_inputs
from worker.stage import Stage

CIPHER = "aes128-gcm@openssh.com"
#: The cache of a worker as it ships, in bytes.
CACHE = 4 * 2**30


class Reference:
    """An sshd for shell log-ins, and the programs that anybody would move files with."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        self._folder = folder
        self._daemon = Daemon("sshd", folder / "sshd", self._prepare)
        self._daemon.start()
        key = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[{self._daemon.host}]:{self._daemon.port} {key}")
        self._options = [
            "-F", "none", "-i", str(folder / "key"), "-c", CIPHER, "-o", f"UserKnownHostsFile={folder / 'known_hosts'}",
            "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
        ]  # fmt: skip
        self._host = f"{getpass.getuser()}@{self._daemon.host}"

    def stop(self) -> None:
        """End the sshd."""
        self._daemon.stop()

    def scp_in(self, source: Path, target: Path) -> None:
        """One file there."""
        self._run(["scp", "-q", *self._options, "-P", str(self._daemon.port), str(source), f"{self._host}:{target}"])

    def scp_out(self, source: Path, target: Path) -> None:
        """One file back."""
        self._run(["scp", "-q", *self._options, "-P", str(self._daemon.port), f"{self._host}:{source}", str(target)])

    def tar_in(self, source: Path, target: Path) -> None:
        """A folder there, as one stream."""
        target.mkdir()
        self._pipe(["tar", "-C", str(source), "-cf", "-", "."], self._ssh(f"tar -C {target} -xf -"))

    def tar_out(self, source: Path, target: Path) -> None:
        """A folder back."""
        target.mkdir()
        self._pipe(self._ssh(f"tar -C {source} -cf - ."), ["tar", "-C", str(target), "-xf", "-"])

    @staticmethod
    def promise(target: Path) -> None:
        """sha256 of each file, and everything on the disk."""
        if target.is_dir():
            self_sums = "find . -type f -print0 | xargs -0 sha256sum > /dev/null && sync -f ."
            subprocess.run(["sh", "-c", self_sums], cwd=target, check=True)
        else:
            subprocess.run(["sha256sum", str(target)], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["sync", str(target)], check=True)

    def _ssh(self, command: str) -> list[str]:
        return ["ssh", *self._options, "-p", str(self._daemon.port), self._host, command]

    @staticmethod
    def _run(command: list[str]) -> None:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    @staticmethod
    def _pipe(first: list[str], second: list[str]) -> None:
        with subprocess.Popen(first, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as giving:
            subprocess.run(second, check=True, stdin=giving.stdout)
        if giving.returncode:
            raise subprocess.CalledProcessError(giving.returncode, first)

    def _prepare(self, port: int) -> list[str]:
        config = self._folder / "sshd_config"
        (self._folder / "authorized").write_text((self._folder / "key.pub").read_text())
        lines = [
            f"ListenAddress 127.0.0.1:{port}", f"HostKey {self._folder / 'host'}", "PidFile none", "StrictModes no", "UsePAM no",
            f"AuthorizedKeysFile {self._folder / 'authorized'}", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password", "Subsystem sftp internal-sftp", "UseDNS no",
        ]  # fmt: skip
        config.write_text("\n".join(lines) + "\n")
        return [find_program("sshd", "openssh-server"), "-D", "-e", "-f", str(config)]


@dataclass
class Worker:
    """One worker's way to the datastore: the code that every worker runs, with a certificate of its own."""

    name: str
    stage: Stage
    secret: bytes
    number: int = 0

    def give(self, folder: Path, *outputs: str) -> str:
        """Deliver outputs that lie in a folder, as those of a new attempt, whose name is returned."""
        self.number += 1
        attempt = f"{self.name}.{self.number}.1"
        order = self._order(attempt, outputs=tuple(Output(path, path) for path in outputs))
        self.stage.deliver(order, str(folder), Result(attempt, "succeeded"), "/none", "/none", threading.Event())
        return attempt

    def take(self, folder: Path, job: str, *inputs: str) -> None:
        """Fetch results of a job into a folder, as inputs of a new attempt."""
        self.number += 1
        order = self._order(f"{self.name}.{self.number}.1", job, tuple(Input(path, "") for path in inputs))
        self.stage.fetch(order, str(folder), threading.Event())

    def _order(
        self, attempt: str, job: str = "bench", inputs: tuple[Input, ...] = (), outputs: tuple[Output, ...] = ()
    ) -> Assignment:
        order = Assignment(attempt, job, "t", (), inputs, outputs)
        rows = [list(row) for row in granted_inputs(order)]
        return order._replace(grant=layout.grant(self.secret, self.name, attempt, job, "t", rows))


class Ours:
    """The datastore of a running boss, and workers' ways to it."""

    def __init__(self, boss: PrivateBoss, folder: Path) -> None:
        self._folder = folder
        self.root = boss.state / "datastore"
        self._authority = Authority(boss.state / "pki")
        self._secret = bytes.fromhex((boss.state / "pki" / "gate_secret").read_text().strip())
        [program] = (boss.state / "bundles").glob("gate-*.pyz")
        user, _, place = str(boss.client.context()["datastore_address"]).rpartition("@")
        host, _, port = place.rpartition(":")
        self._gate = Gate(host, int(port), user, self._authority.host_key_public, str(program), str(self.root), sys.executable)

    @contextmanager
    def worker(self, name: str, cache: int = CACHE) -> Iterator[Worker]:
        """One that has fetched nothing yet."""
        folder = self._folder / name
        files = self._authority.issue_login(folder / "login", self._gate, f"worker:{name}", 86400.0)
        endpoint = Endpoint(
            self._gate.host, self._gate.port, self._gate.user, str(files.key), str(files.certificate), str(files.known_hosts)
        )
        stage = Stage(endpoint, str(folder / "cache"), cache)
        try:
            yield Worker(name, stage, self._secret)
        finally:
            stage.close()


def random_file(path: Path, size: int) -> None:
    """A file of bytes that nothing can make smaller."""
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, 1 << 22)))
