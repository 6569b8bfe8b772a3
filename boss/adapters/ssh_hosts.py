"""Plain SSH hosts as a pool: port ``Cloud`` with provider ``hosts``. A "flavor" is a login (``user@host[:port]``), its "server" a process.

Rules:
- The system's OpenSSH client logs in, as the boss's own user: ``~/.ssh/config``, ``known_hosts``, agents and jump hosts count, as they
  do for the admin who added the host. It never asks: a host whose key or login is not known is refused, with the remedy.
- On the host only ``~/.ecloud/<cluster>`` is touched, and it is gone when the last worker there is.
- A host that does not answer is not taken for one whose worker is gone: the list says that it is there.
- A host is believed in what concerns itself alone: what it says is short, has the form that was asked for, and is shown without control
  characters. It gets nothing of the boss's user beside the log-in: no agent, no forwarding.
- Certificates are brought over the same log-in, however old the last ones are: a worker reads its files at its next connection.
"""

import io
import json
import logging
import math
import re
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from boss.adapters import worker_config
from boss.adapters.certificates import Authority, Gate
from boss.adapters.spoken import SaidTooMuch, spoken
from boss.adapters.worker_config import WorkerTerms
from boss.core.events import ConsoleRead, Server, ServersListed, VmCreated, VmCreateFailed, VmDeleted, VmDeleteFailed
from boss.core.hosts import PROVIDER
from boss.core.model import Refusal
from boss.ports import HostRefused, Put, Thing

_SCRIPT = Path(__file__).resolve().parents[2] / "worker" / "host.py"
_SETTINGS = ("ClearAllForwardings=yes", "BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=10", "ServerAliveCountMax=3")
_OPTIONS = ("-T", "-a", "-x", *(f"-o{setting}" for setting in _SETTINGS))
_PATIENCE = 120.0
#: Bytes that a host may say.
_LONGEST = 1 << 20
#: What each host has.
_AMOUNTS = ("cpus", "memory", "disk")
#: How a process is named there.
_PROCESS = re.compile(r"[0-9]{1,10}:[0-9]{1,20}")
#: How long a worker's certificates last, in hours; new ones are brought at their half, so that it outlives a weekend without a boss.
_CERTIFICATE_HOURS = 96.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A worker on a host; ``process`` is empty while it is being started."""

    login: str
    process: str


class SshHosts:
    """Workers on hosts that somebody has added. ``terms`` and ``gate()`` tell workers where broker and datastore are."""

    provider = PROVIDER

    def __init__(
        self,
        cluster: str,
        bundle: Path,
        authority: Authority,
        gate: Callable[[], Gate],
        terms: WorkerTerms,
        lifetime: float = math.inf,
    ) -> None:
        """``lifetime``: of certificates, in seconds; at most four days."""
        self._hours = min(_CERTIFICATE_HOURS, lifetime / 3600)
        self._root = f"~/.ecloud/{cluster}"
        self._bundle = bundle
        self._authority = authority
        self._gate = gate
        self._terms = terms
        self._put: Put = lambda _event: False
        self._calls = ThreadPoolExecutor(8, "hosts")
        self._lock = threading.Lock()
        self._started: dict[str, Known] = {}
        self._given_up: set[str] = set()
        self._resources: dict[str, dict[str, float]] = {}

    def start(self, put: Put) -> None:
        """Begin to work."""
        self._put = put

    def expect(self, vm: str, login: str, resources: dict[str, float]) -> None:
        """A host with its claim, of an earlier life of the boss."""
        self._resources[login] = resources
        with self._lock:
            self._started[vm] = Known(login, "of an earlier life")

    def probe(self, login: str) -> dict[str, float]:
        """Log in and look: what the host has. Raises HostRefused with what is in the way."""
        gate = self._gate()
        addresses = (f"{self._terms.broker_host}:{self._terms.broker_port}", f"{gate.host}:{gate.port}")
        said = self._run(login, "probe", *addresses)
        unreachable, resources = said.get("unreachable"), said.get("resources")
        if not isinstance(unreachable, dict) or not isinstance(resources, dict) or not _are_amounts(resources):
            raise _nonsense(login)
        if unreachable:
            address, reason = (_plain(str(word)) for word in next(iter(unreachable.items())))
            raise HostRefused(
                f"{login} cannot reach the boss at {address}: {reason}; set `boss_address` in [vms] to an address "
                "that it can reach, and start the boss again"
            )
        self._resources[login] = {name: float(resources[name]) for name in _AMOUNTS}
        return dict(self._resources[login])

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """Each ends as VmCreated or VmCreateFailed; a worker that runs already is left alone."""
        for vm in vms:
            self._calls.submit(self._create, vm, flavor)

    def delete(self, vm: str, pool: str, server: str) -> None:
        """Ends as VmDeleted or VmDeleteFailed: the worker and its tasks are killed, and their folder is removed.

        It gets no new certificates from now on, whether its host obeys or not.
        """
        with self._lock:
            self._given_up.add(vm)
        self._calls.submit(self._delete, vm)

    def console(self, vm: str, pool: str, server: str) -> None:
        """What is in the worker's log is on its host."""
        self._put(ConsoleRead(vm, ""))

    def read_console(self, vm: str, server: str) -> str:
        """There is none."""
        return ""

    def inventory(self) -> Sequence[Thing]:
        """Nothing that costs."""
        return ()

    def remove(self, thing: Thing) -> None:
        """There is nothing to remove."""

    def renew(self) -> None:
        """Bring the workers new certificates where it is time."""
        with self._lock:
            claims = {vm: known for vm, known in self._started.items() if vm not in self._given_up}
        for vm, known in claims.items():
            if known.process:
                self._calls.submit(self._renew, vm, known.login)

    def list(self, asked: float) -> None:
        """Ends as ServersListed."""
        self._calls.submit(self._list, asked)

    def stop(self, wait: bool = False) -> None:
        """End the threads, or ``wait`` for what they have to do; workers stay."""
        self._calls.shutdown(wait=wait, cancel_futures=not wait)

    # ---- on threads ------------------------------------------------------------------------------------------------

    def _create(self, vm: str, login: str) -> None:
        with self._lock:
            self._started[vm] = Known(login, "")
        try:
            resources = self._resources.get(login) or self.probe(login)
            with tempfile.TemporaryDirectory() as folder:
                archive = self._pack(Path(folder) / vm, vm, resources)
            process = self._run(login, "start", vm, self._bundle.name, data=archive).get("process")
            if not _is_process(process):
                raise _nonsense(login)
        except HostRefused as error:
            self._put(VmCreateFailed(vm, str(error), kind=Refusal.NO_HOST))
        except (OSError, ValueError) as error:
            self._put(VmCreateFailed(vm, f"the worker on {login} could not be started: {error}", kind=Refusal.NO_HOST))
        else:
            with self._lock:
                self._started[vm] = Known(login, process)
            self._put(VmCreated(vm, process, login.rpartition("@")[2].partition(":")[0]))

    def _delete(self, vm: str) -> None:
        with self._lock:
            known = self._started.get(vm)
            if known is None:
                self._given_up.discard(vm)
        if known is None:
            self._put(VmDeleted(vm))
            return
        try:
            self._run(known.login, "stop", vm)
        except HostRefused as error:
            self._put(VmDeleteFailed(vm, str(error)))
            return
        with self._lock:
            self._started.pop(vm, None)
            self._given_up.discard(vm)
        self._put(VmDeleted(vm))

    def _list(self, asked: float) -> None:
        with self._lock:
            claims = dict(self._started)
        logins = sorted({known.login for known in claims.values()})
        living = dict(zip(logins, self._ask_all(logins), strict=True))
        servers = []
        for vm, known in claims.items():
            there = living[known.login]
            if there is not None and vm not in there and known.process:
                self._calls.submit(self._bury, vm, known)
            elif there is None or vm in there:
                servers.append(Server((there or {}).get(vm, known.process), vm, PROVIDER, "ACTIVE" if there else "UNKNOWN"))
        self._put(ServersListed(self.provider, asked, tuple(servers)))

    def _renew(self, vm: str, login: str) -> None:
        try:
            files = self._run(login, "certificates", vm).get("files")
            if not isinstance(files, dict):
                raise _nonsense(login)
            tls, ssh = (str(files.get(name)) for name in (worker_config.TLS_CERTIFICATE, worker_config.SSH_CERTIFICATE))
            again = self._authority.worker_again(vm, tls, ssh, self._gate(), self._hours * 3600)
            if again is None:
                return
            new = dict(zip((worker_config.TLS_CERTIFICATE, worker_config.SSH_CERTIFICATE), again, strict=True))
            self._run(login, "install", vm, data=json.dumps(new).encode())
        except (HostRefused, ValueError) as error:
            _log.warning("the certificates of worker %s on %s are not renewed, and tried again: %s", vm, login, error)
        else:
            _log.info("the certificates of worker %s are renewed", vm, extra={"worker": vm})

    def _bury(self, vm: str, known: Known) -> None:
        """A worker that ended by itself has left its folder."""
        try:
            self._run(known.login, "stop", vm)
        except HostRefused as error:
            _log.info("what %s left on its host stays for now: %s", vm, error, extra={"worker": vm})
            return
        with self._lock:
            self._started.pop(vm, None)

    def _ask_all(self, logins: Sequence[str]) -> Sequence[dict[str, str] | None]:
        with ThreadPoolExecutor(max(1, min(16, len(logins)))) as calls:
            return list(calls.map(self._living, logins))

    def _living(self, login: str) -> dict[str, str] | None:
        """The workers on a host; None when it does not answer."""
        try:
            workers = self._run(login, "list").get("workers")
            if not isinstance(workers, dict) or not all(_is_process(process) for process in workers.values()):
                raise _nonsense(login)
            return workers
        except HostRefused as error:
            _log.info("%s", error)
            return None

    def _pack(self, folder: Path, vm: str, resources: dict[str, float]) -> bytes:
        """A tar stream with the worker's folder: configuration, credentials, bundle."""
        self._authority.issue_worker(vm, folder, self._hours, gate := self._gate())
        (folder / worker_config.BROKER_CA).write_text(self._terms.broker_ca)
        config = worker_config.configuration(self._terms, gate, vm, PROVIDER, resources, folder=".")
        (folder / worker_config.FILE).write_text(worker_config.text(config))
        (folder / self._bundle.name).write_bytes(self._bundle.read_bytes())
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in [folder, *sorted(folder.iterdir())]:
                entry = archive.gettarinfo(path, f"{vm}/{path.name}" if path != folder else vm)
                entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o700 if entry.isdir() else 0o600, 0, 0, "", ""
                archive.addfile(entry, io.BytesIO(path.read_bytes()) if path.is_file() else None)
        return packed.getvalue()

    def _run(self, login: str, what: str, *words: str, data: bytes = b"") -> dict[str, Any]:
        """Run one command of ``worker/host.py`` there. Raises HostRefused with one sentence."""
        script = _SCRIPT.read_bytes()
        place, colon, port = login.rpartition(":")
        options = ("-p", port) if colon and port.isdecimal() else ()
        remote = f"python3 -c 'import sys; exec(sys.stdin.buffer.read({len(script)}))' {' '.join([what, self._root, *words])}"
        command = ["ssh", *_OPTIONS, *options, "--", place if options else login, remote]
        try:
            code, out, err = spoken(command, script + data, _PATIENCE, _LONGEST)
        except SaidTooMuch:
            raise HostRefused(f"{login} said more than {_LONGEST >> 20} MiB: what do its shell's start-up files do?") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostRefused(f"{login} did not answer within {_PATIENCE:.0f} s ({type(error).__name__})") from None
        lines = out.decode(errors="replace").splitlines()
        try:
            said = json.loads(lines[-1])
        except (IndexError, ValueError, RecursionError):
            raise HostRefused(_trouble(login, code, err.decode(errors="replace"))) from None
        if not isinstance(said, dict):
            raise _nonsense(login)
        if "error" in said:
            raise HostRefused(f"{login}: {_plain(str(said['error']))}")
        return said


def _trouble(login: str, code: int, stderr: str) -> str:
    """What ssh has said, and what helps."""
    last = _plain(next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), f"exit code {code}"))
    if "Host key verification failed" in stderr:
        return f"{login}: its host key is not known here: log in there once as the boss's user with ssh, and compare the key"
    if "Permission denied" in stderr:
        return f"{login}: {last}: put the boss's user's public key into authorized_keys there"
    return f"{login} cannot be reached with ssh: {last}"


def _nonsense(login: str) -> HostRefused:
    return HostRefused(f"{login} answers what was not asked for: is the python3 that a log-in finds there a real one?")


def _are_amounts(resources: dict[Any, Any]) -> bool:
    """Whether it names all of what a host has, in numbers that there can be."""
    amounts = [resources.get(name) for name in _AMOUNTS]
    return (
        all(type(amount) in (int, float) and 0 < amount < 2**62 for amount in amounts if amount is not None)
        and None not in amounts
    )


def _is_process(word: object) -> TypeGuard[str]:
    return isinstance(word, str) and _PROCESS.fullmatch(word) is not None


def _plain(text: str) -> str:
    """What a host says, fit for a log and a terminal: one short line, without what could move a cursor."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:500])
