"""Local processes as "VMs": port ``Cloud`` with provider ``local``, the same worker bundle and protocol as on a real VM.

    workers/<claim>/worker.json     what the worker is told
    workers/<claim>/...             its credentials, its attempts, its spool
    workers/<claim>/pid             which process it is: "<pid>:<start time>", the server's id
    workers/<claim>/worker.log      what it says

Rules:
- A worker is a session of its own and outlives the boss; a later life of the boss finds it by its pid file.
- One thread creates, deletes, lists and watches, so no list is older than an event put before it. An end that nobody asked
  for is noticed at once (pidfd) and told as a server list in which it is missing.
- With a worker go its tasks: every process whose environment names its folder. The same holds for what was left by a worker that
  died, and by a create call in whose middle the boss was killed.
- A deleted worker's folder goes, spool and all, as a VM's disk does: the boss deletes what is drained, or what it has given up. The
  folders of the last workers that died by themselves are kept, for their logs.
"""

import json
import logging
import math
import os
import selectors
import shutil
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from boss.adapters import processes, worker_config
from boss.adapters.certificates import Authority, Gate
from boss.adapters.worker_config import WorkerTerms
from boss.core.events import ConsoleRead, Server, ServersListed, VmCreated, VmCreateFailed, VmDeleted, VmDeleteFailed
from boss.core.model import Flavor, Pool
from boss.ports import Put, Thing

#: What marks the processes of a worker: this variable names its folder. The worker hands it on to its tasks.
_MARK = "ECLOUD_WORKER_FOLDER"
_ADDRESS = "127.0.0.1"
#: A local worker's certificates live as long as the boss's own: the CA's key lies beside them, under the same user.
_CERTIFICATE_HOURS = 0.0
_KILL_TIMEOUT = 10.0
_KILL_ROUNDS = 20
_KEPT_FOLDERS = 10
#: Bytes of a worker's log that tell why it did not start.
_CONSOLE = 16 * 2**10

_log = logging.getLogger(__name__)


class LocalCloud:
    """Worker processes of this machine. ``gate()`` tells where the datastore is now; ``bundle`` is the worker's .pyz."""

    provider = "local"

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        authority: Authority,
        gate: Callable[[], Gate],
        pools: Sequence[Pool],
        terms: WorkerTerms,
        signers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``signers`` are the texts of the ``allowed_signers`` of pools that run signed jobs only."""
        self._signers = dict(signers)
        self._folder = folder.resolve()
        self._bundle = bundle
        self._authority = authority
        self._gate = gate
        self._flavors = {(pool.name, flavor.name): flavor for pool in pools for flavor in pool.flavors}
        self._terms = terms
        self._put: Put = lambda _event: False
        self._orders: deque[Callable[[], None]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._alive: dict[str, tuple[Server, int]] = {}  # by claim: its line in the list, its pidfd
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self, put: Put) -> None:
        """Begin to work; finds the workers that an earlier life of the boss left."""
        self._put = put
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._order(self._adopt)
        self._thread = threading.Thread(target=self._serve, name="local cloud", daemon=True)
        self._thread.start()

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """Each ends as VmCreated or VmCreateFailed. A claim whose worker lives gets the same answer again."""
        for vm in vms:
            self._order(partial(self._create, vm, pool, flavor))

    def delete(self, vm: str, pool: str, server: str) -> None:
        """Ends as VmDeleted or VmDeleteFailed: the worker and its tasks are killed, its folder is removed."""
        self._order(partial(self._delete, vm))

    def read_console(self, vm: str, server: str) -> str:
        """There is none."""
        return ""

    def inventory(self) -> Sequence[Thing]:
        """Nothing: a process that nobody claims is ended as soon as it is seen."""
        return ()

    def remove(self, thing: Thing) -> None:
        """There is nothing to remove."""

    def console(self, vm: str, pool: str, server: str) -> None:
        """Ends as ConsoleRead with the end of the worker's log."""
        self._order(partial(self._console, vm))

    def renew(self) -> None:
        """Sign the workers' certificates again where it is time; they read them at their next connection."""
        self._order(self._renew)

    def list(self, asked: float) -> None:
        """Ends as ServersListed with the workers that live."""
        self._order(partial(self._list, asked))

    def stop(self) -> None:
        """End the thread; workers stay."""
        if self._thread is None:
            return
        self._order(self._leave)
        self._thread.join()
        self._thread = None
        for _, watch in self._alive.values():
            os.close(watch)
        self._selector.close()
        os.close(self._bell)

    def _order(self, what: Callable[[], None]) -> None:
        self._orders.append(what)
        os.eventfd_write(self._bell, 1)

    def _leave(self) -> None:
        self._stopping = True

    def _serve(self) -> None:
        self._selector.register(self._bell, selectors.EVENT_READ)
        while not self._stopping:
            for key, _ in self._selector.select():
                if key.fileobj == self._bell:
                    os.eventfd_read(self._bell)
                else:
                    self._obey(partial(self._bury, key.data))
            while self._orders and not self._stopping:
                self._obey(self._orders.popleft())

    def _obey(self, order: Callable[[], None]) -> None:
        try:
            order()
        except Exception:  # a fault of ours: said loudly; the claim's deadline or the next list repairs what it left
            _log.exception("the local cloud stumbled")

    # ---- the orders, all on the one thread -----------------------------------------------------------------------

    def _adopt(self) -> None:
        for folder in sorted(path for path in self._folder.iterdir() if path.is_dir()):
            process = processes.recorded(folder / "pid")
            if process and self._recognise(folder, process):
                _log.info(
                    "found worker %s of an earlier life, process %d", folder.name, process.pid, extra={"worker": folder.name}
                )
            else:
                self._kill_all(folder)
        self._prune()

    def _recognise(self, folder: Path, process: processes.Identity) -> bool:
        try:
            pool = json.loads((folder / worker_config.FILE).read_text())["pool"]
            self._watch(folder.name, pool, process)
        except (OSError, ValueError, KeyError) as error:
            _log.warning("worker %s of an earlier life is ended: %s", folder.name, error, extra={"worker": folder.name})
            return False
        return True

    def _create(self, vm: str, pool: str, flavor: str) -> None:
        if vm not in self._alive:
            try:
                process = self._launch(vm, pool, self._flavors[pool, flavor])
            except KeyError:
                self._put(VmCreateFailed(vm, f"there is no flavor {flavor!r} in pool {pool!r}"))
                return
            except (OSError, ValueError) as error:
                self._put(VmCreateFailed(vm, f"the worker could not be started: {error}"))
                return
            self._watch(vm, pool, process)
        self._put(VmCreated(vm, self._alive[vm][0].server, _ADDRESS))

    def _delete(self, vm: str) -> None:
        folder = self._folder / vm
        try:
            self._kill_all(folder)
            self._unwatch(vm)
            _remove(folder)
        except OSError as error:
            self._put(VmDeleteFailed(vm, str(error)))
            return
        self._put(VmDeleted(vm))

    def _console(self, vm: str) -> None:
        try:
            text = (self._folder / vm / "worker.log").read_bytes()[-_CONSOLE:].decode(errors="replace")
        except OSError:
            text = ""
        self._put(ConsoleRead(vm, text))

    def _renew(self) -> None:
        for vm in self._alive:
            try:
                if self._authority.renew_worker(vm, self._folder / vm, self._gate()):
                    _log.info("the certificates of worker %s are renewed", vm, extra={"worker": vm})
            except (OSError, ValueError) as error:
                _log.error("the certificates of worker %s cannot be renewed: %s", vm, error, extra={"worker": vm})

    def _list(self, asked: float) -> None:
        self._put(ServersListed(self.provider, asked, tuple(server for server, _ in self._alive.values())))

    def _bury(self, vm: str) -> None:
        """A worker has ended by itself: end what it left, and tell."""
        code = self._unwatch(vm)
        folder = self._folder / vm
        try:
            self._kill_all(folder)
            if code == 0:  # drained, or its lease was over: it held nothing any more
                _remove(folder)
            else:
                _log.warning("worker %s has died (%s); see %s", vm, _ending(code), folder / "worker.log", extra={"worker": vm})
                self._prune()
        finally:
            self._list(math.inf)

    # ---- processes and folders -----------------------------------------------------------------------------------

    def _launch(self, vm: str, pool: str, flavor: Flavor) -> processes.Identity:
        """Write the worker's folder and start it. Raises OSError or ValueError with what is in the way."""
        folder = self._prepare(vm, pool, flavor)
        pid = _spawn([sys.executable, "-I", "-S", str(self._bundle), "--config", str(folder / worker_config.FILE)], folder)
        process = processes.record(folder / "pid", pid)
        if process is None:
            os.waitpid(pid, 0)
            raise OSError(f"it ended at once; see {folder / 'worker.log'}")
        return process

    def _prepare(self, vm: str, pool: str, flavor: Flavor) -> Path:
        """Write the worker's folder."""
        folder = self._folder / vm
        self._authority.issue_worker(vm, folder, _CERTIFICATE_HOURS, gate := self._gate())
        (folder / worker_config.BROKER_CA).write_text(self._terms.broker_ca)
        if pool in self._signers:
            (folder / worker_config.SIGNERS).write_text(self._signers[pool])
        told = worker_config.SIGNERS if pool in self._signers else ""
        config = worker_config.configuration(
            self._terms, gate, vm, pool, flavor.resources, folder=str(folder), allowed_signers=told
        )
        (folder / worker_config.FILE).write_text(worker_config.text(config))
        return folder

    def _watch(self, vm: str, pool: str, process: processes.Identity) -> None:
        watch = os.pidfd_open(process.pid)  # of a zombie too: it is reported as ended in the next turn
        self._selector.register(watch, selectors.EVENT_READ, vm)
        self._alive[vm] = Server(str(process), vm, pool, "ACTIVE", _ADDRESS), watch

    def _unwatch(self, vm: str) -> int | None:
        """Forget a worker that has ended; its wait status, None where an earlier life of the boss had started it."""
        if vm not in self._alive:
            return None
        server, watch = self._alive.pop(vm)
        self._selector.unregister(watch)
        os.close(watch)
        try:
            pid, code = os.waitpid(int(server.server.partition(":")[0]), os.WNOHANG)
        except ChildProcessError:
            return None
        return code if pid else None

    def _kill_all(self, folder: Path) -> None:
        """SIGKILL the worker of this folder and every process that it started. Raises OSError if some will not end."""
        worker = processes.recorded(folder / "pid")
        if worker:
            processes.end(worker, _KILL_TIMEOUT, signal.SIGKILL)
        for _ in range(_KILL_ROUNDS):  # a process may have forked while we looked
            left = processes.with_variable(_MARK, str(folder))
            if not left:
                return
            for process in left:
                processes.end(process, _KILL_TIMEOUT, signal.SIGKILL)
        raise OSError(f"processes of {folder.name} do not end, among them {left[0].pid}")

    def _prune(self) -> None:
        """Keep the newest folders of workers that are no more, and remove the rest."""
        dead = [folder for folder in self._folder.iterdir() if folder.name not in self._alive]
        dead.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in dead[_KEPT_FOLDERS:]:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder with all that tasks have left in it, folders that they locked included. Raises OSError."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except PermissionError:
        for parent, names, _ in os.walk(folder):
            for path in (Path(parent, name) for name in names):
                if not path.is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(folder)


def _spawn(command: list[str], folder: Path) -> int:
    """Start a worker in a session of its own with its output in ``worker.log``; its pid."""
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        command[0],
        command,
        _environment(folder),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder / "worker.log"), appending, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD),
    )


def _environment(folder: Path) -> dict[str, str]:
    """The boss's environment without its own variables (they may hold a password), with our Python first on PATH."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}"
    return inherited | {"PATH": path, "ECLOUD_WORKER": folder.name, _MARK: str(folder)}


def _ending(code: int | None) -> str:
    """A wait status in words."""
    if code is None:
        return "an earlier life of the boss had started it"
    if os.WIFSIGNALED(code):
        return f"killed by {signal.Signals(os.WTERMSIG(code)).name}"
    return f"exit code {os.waitstatus_to_exitcode(code)}"
