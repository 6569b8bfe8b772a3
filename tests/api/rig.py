"""A boss for tests of the API: the real loop, core, SQLite store, intake and HTTP server around scripted workers.

What is scripted speaks the real ports: a broker that hands assignments to workers in this process, a cloud that gives servers at
once, a datastore of plain dictionaries. A task's command decides what its worker does: ``hold`` runs until it is told to end,
``fail`` fails with exit code 3, everything else succeeds with its outputs as files.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from boss.adapters.intake import Intake
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.api.app import create_app
from boss.api.house import ApiFacts
from boss.api.loghub import LogHub
from boss.api.serving import Served, address_of
from boss.core.events import (
    BrokerConnected,
    ConsoleRead,
    DatastoreSeen,
    ResultAccepted,
    Server,
    ServersListed,
    VmCreated,
    VmDeleted,
    WorkerSaid,
)
from boss.core.model import Flavor
from boss.core.requests import StopWanted
from boss.core.tokens import Role
from boss.loop import Loop, Outside
from boss.ports import Access, CloudDown, DatastoreDown, Put, Thing
from tests.core.scene import GIB, local_pool, policy
from tests.servers import eventually
from worker.protocol import (
    Assign,
    Assignment,
    Cancel,
    Drain,
    Follow,
    Goodbye,
    Hello,
    LogChunk,
    Result,
    Results,
    Started,
    ToBoss,
    ToWorker,
)

TOKEN = "the-token-of-ada"
OTHER = "the-token-of-bob"
SHA = "ab" * 32

#: Tasks as ``{id: command}`` or in full.
Tasks = Mapping[str, str] | Sequence[Mapping[str, Any]]


class Workers:
    """Port ``Broker``, and the workers behind it. ``held`` are the attempts that run until ``end`` is called."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, Assignment]] = {}
        self.followed: list[tuple[str, bool]] = []
        self.digest = SHA  #: of whatever is yielded
        self._put: Put = lambda event: True

    def start(self, put: Put) -> None:
        """Be connected at once."""
        self._put = put
        put(BrokerConnected())
        put(DatastoreSeen(True))

    def stop(self) -> None:
        """Nothing to end."""

    def announce(self, kind: str, facts: Sequence[Mapping[str, object]]) -> None:
        """Listeners of the API hear it from the desk."""

    def join(self, worker: str) -> None:
        """A worker's first words."""
        self._say(worker, Hello("s1", 0, 0, {"cpus": 2, "memory": 8 * GIB}, {}, "127.0.0.1"))

    def send(self, worker: str, message: ToWorker) -> None:
        """A worker hears the boss, and does what the commands say."""
        match message:
            case Assign():
                for assignment in message.attempts:
                    self._run(worker, assignment)
            case Cancel():
                for attempt in message.attempts:
                    self.end(attempt, "cancelled")
            case Follow():
                self.followed.append((message.attempt, message.on))
            case Drain():
                if not any(runner == worker for runner, _ in self.held.values()):
                    self._say(worker, Goodbye("s1", "drained"))

    def _run(self, worker: str, assignment: Assignment) -> None:
        self._say(worker, Started("s1", {assignment.attempt: time.time()}))
        self.held[assignment.attempt] = (worker, assignment)
        if assignment.commands != ("hold",):
            self.end(assignment.attempt, "failed" if assignment.commands == ("fail",) else "succeeded")

    def end(self, attempt: str, outcome: str = "succeeded", stdout: str = "out of it\n", stderr: str = "err of it\n") -> None:
        """An attempt ends."""
        if attempt not in self.held:
            return
        worker, assignment = self.held.pop(attempt)
        failed = outcome == "failed"
        started = time.time()
        done = Result(
            attempt,
            outcome,
            phase="run" if failed else "",
            exit_code=3 if failed else 0,
            reason="exit code 3" if failed else "",
            started=started,
            finished=started + 1.5,
            stdout=stdout,
            stderr=stderr,
            stdout_size=len(stdout),
            stderr_size=len(stderr),
            files=tuple((output.to, 5, self.digest) for output in assignment.outputs if not output.to.endswith("/"))
            if outcome == "succeeded"
            else (),
        )
        self._say(worker, Results("s1", (done,)))

    def tell(self, attempt: str, result: Result) -> None:
        """A held attempt ends with just this result."""
        worker, _ = self.held.pop(attempt)
        self._say(worker, Results("s1", (result,)))

    def end_all(self) -> None:
        """Everything that is held succeeds."""
        for attempt in list(self.held):
            self.end(attempt)

    def _say(self, worker: str, message: ToBoss) -> None:
        self._put(WorkerSaid(worker, message))


class Instant:
    """Port ``Cloud``: servers exist as soon as they are asked for, and their workers join."""

    provider = "local"

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._servers: dict[str, Server] = {}
        self.lost: list[Thing] = []
        self._put: Put = lambda event: True

    def start(self, put: Put) -> None:
        """Remember where events go."""
        self._put = put

    def stop(self) -> None:
        """Nothing to end."""

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """Servers, and their workers' hellos."""
        for vm in vms:
            self._servers[vm] = Server(f"server-of-{vm}", vm, pool)
            self._put(VmCreated(vm, f"server-of-{vm}", "127.0.0.1"))
            self._workers.join(vm)

    def delete(self, vm: str, pool: str, server: str) -> None:
        """Gone."""
        self._servers.pop(vm, None)
        self._put(VmDeleted(vm))

    def read_console(self, vm: str, server: str) -> str:
        """There is none."""
        return ""

    def inventory(self) -> Sequence[Thing]:
        """The servers, and what a test has left beside them."""
        return [*(Thing("local", "server", one.server, one.vm, one.vm, one.status) for one in self._servers.values()), *self.lost]

    def remove(self, thing: Thing) -> None:
        """Gone, unless it holds fast."""
        if thing.status == "stuck":
            raise CloudDown(f"{thing.name} cannot be removed")
        self.lost.remove(thing)

    def console(self, vm: str, pool: str, server: str) -> None:
        """Nothing was written."""
        self._put(ConsoleRead(vm, ""))

    def list(self, asked: float) -> None:
        """What there is."""
        self._put(ServersListed(self.provider, asked, tuple(self._servers.values())))


class Shelf:
    """Ports ``Results`` and ``Datastore`` on dictionaries; ``down`` makes it unreachable."""

    def __init__(self) -> None:
        self.results: dict[str, dict[str, tuple[int, str]]] = {}
        self.logs: dict[tuple[str, str, int, str], bytes] = {}
        self.data: set[str] = set()
        self.contents: dict[tuple[str, str], bytes] = {}
        self.down = ""
        self.shut: dict[str, float] = {}
        self._put: Put = lambda event: True

    def start(self, put: Put) -> None:
        """Remember where events go."""
        self._put = put

    def stop(self) -> None:
        """Nothing to end."""

    def accept(self, attempt: str, job: str, files: Sequence[tuple[str, int, str]], keep: bool = False) -> None:
        """Accepted at once."""
        self.results.setdefault(job, {}).update({path: (size, digest) for path, size, digest in files})
        self._put(ResultAccepted(attempt))

    def reject(self, attempt: str) -> None:
        """Nothing is kept of it."""

    def shut_out(self, tokens: Mapping[str, float]) -> None:
        """Remembered."""
        self.shut = dict(tokens)

    def read_record(self, attempt: str) -> None:
        """There never is one."""

    def grant(self, worker: str, attempt: str, job: str, task: str, inputs: Sequence[Sequence[object]]) -> str:
        """A proof that nobody checks here."""
        return "proof"

    def listing(self, job: str) -> list[tuple[str, int, str]]:
        """What was accepted."""
        if self.down:
            raise DatastoreDown(self.down)
        return [(path, size, digest) for path, (size, digest) in sorted(self.results.get(job, {}).items())]

    def taken(self, jobs: Sequence[str]) -> list[str]:
        """Those with results."""
        if self.down:
            raise DatastoreDown(self.down)
        return [job for job in jobs if job in self.results]

    def read_log(self, job: str, task: str, number: int, stream: str, offset: int, limit: int) -> bytes:
        """A part of a stored log."""
        return self.logs.get((job, task, number, stream), b"")[offset : offset + limit]

    def read_results(self, job: str, files: Sequence[tuple[str, int, int]]) -> list[bytes | None]:
        """Parts of what ``contents`` has."""
        if self.down:
            raise DatastoreDown(self.down)
        held = [(self.contents.get((job, path)), offset, limit) for path, offset, limit in files]
        return [None if data is None else data[offset : offset + limit] for data, offset, limit in held]

    def space(self) -> tuple[str, int, int]:
        """Half of it is free."""
        if self.down:
            raise DatastoreDown(self.down)
        return "store:/data", 50 << 30, 100 << 30

    def shared(self, prefix: str) -> list[tuple[str, int, str, float, str]]:
        """What was put there."""
        return [(name, 5, SHA, 1000.0, "ada") for name in sorted(self.data) if name.startswith(prefix)]

    def locate(self, sources: Sequence[str]) -> list[tuple[str, str]]:
        """What was not put there."""
        if self.down:
            raise DatastoreDown(self.down)
        return [(source, f"there is no {source}") for source in sources if source.partition(":")[2] not in self.data]

    def check(self) -> str:
        """Always well."""
        return "wrote and read 16 bytes"


class Signer:
    """Port ``Issuer``: signs by writing role and name."""

    def access(self, public_key: str, name: str, role: Role, until: float | None = None, token: str = "") -> Access:
        """A certificate in name only."""
        if not public_key.startswith("ssh-"):
            raise ValueError("that is no OpenSSH public key")
        return Access(
            "127.0.0.1", 2222, "ecloud", f"certificate of {role} {name}", "[127.0.0.1]:2222 ssh-ed25519 AAAA", until or 5000.0
        )


class Counted:
    """The app, with a count of what was asked for."""

    def __init__(self, app: ASGIApp, asked: dict[str, int]) -> None:
        self._app = app
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a request, and let it pass."""
        path = scope.get("path", "").removeprefix("/api/v1")
        self._asked[path] = self._asked.get(path, 0) + 1
        await self._app(scope, receive, send)


class Rig:
    """The boss; ``http`` asks its API as the admin root."""

    def __init__(self, folder: Path, intake: Intake, **facts: Any) -> None:
        self.workers = Workers()
        self.shelf = Shelf()
        self.hub = LogHub()
        self.checked: list[str] = []
        self._clients: list[httpx.Client] = []
        self.folder = folder
        self.intake = intake
        self.store = Store(f"sqlite:///{folder / 'boss.db'}", "cluster1")
        epoch = self.store.open()
        self.reader = Reader(f"sqlite:///{folder / 'boss.db'}")
        self.cloud = Instant(self.workers)
        large = Flavor("local.2", {"cpus": 2, "memory": 8 * GIB})  # as the workers say
        pools = (replace(local_pool(), flavors=(large,), limits={"cpus": 4}),)
        rules = policy(pools=pools, heartbeat=600.0, offline_after=1200.0, lease=3600.0, stop_grace=0.0)
        self.loop = Loop(Outside(self.store, self.workers, self.shelf, {"local": self.cloud}), rules, epoch)
        self.url, self._listener = address_of("127.0.0.1", 0, folder / "port")
        self.facts = ApiFacts(
            **{
                "version": "9.9",
                "api_url": self.url,
                "tokens": {TOKEN: "root", OTHER: "rita"},
                "received": folder / "received",
                "boss_address": "here",
                "datastore_address": "ecloud@store",
                "read_datastore": self._read,
                "check_datastore": self._check,
                "clouds": (self.cloud,),
                "max_task_file": 1 << 20,
                **facts,
            }
        )
        self.app = create_app(self.loop, self.reader, self.shelf, Signer(), intake, self.facts, self.hub)
        self.asked: dict[str, int] = {}
        self._server = Served(Counted(self.app, self.asked), self._listener)
        self._thread = threading.Thread(target=self.loop.run, name="loop")
        self.http = self.client(TOKEN)

    def client(self, token: str) -> httpx.Client:
        """HTTP with another token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        made = httpx.Client(base_url=self.url + "/api/v1", headers=headers, timeout=30, trust_env=False)
        self._clients.append(made)
        return made

    def as_a(self, role: str, name: str) -> httpx.Client:
        """HTTP with a new token of this role for this name."""
        return self.client(str(self.post("/tokens", {"role": role, "name": name})["token"]))

    def __enter__(self) -> "Rig":
        self._thread.start()
        for part in (self.workers, self.cloud, self.shelf):
            part.start(self.loop.put)
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._server.__exit__(None, None, None)
        self.workers.end_all()
        self.loop.put(StopWanted())
        self.loop.put(StopWanted())
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.reader.close()
        self.store.close()

    def _read(self, address: str) -> None:
        if "@" not in address:
            raise ValueError(f"{address!r} is no address of a datastore")

    def _check(self, address: str) -> str:
        if address.startswith("down@"):
            raise DatastoreDown(f"{address} refused the connection")
        self.checked.append(address)
        return "wrote and read 16 bytes"

    # ---- asking

    def get(self, path: str, code: int = 200, **params: Any) -> Any:
        """A GET that is answered with this code."""
        return _said(self.http.get(path, params=params), code)

    def post(self, path: str, body: object = None, code: int = 200) -> Any:
        """A POST that is answered with this code."""
        return _said(self.http.post(path, json=body), code)

    def plan(self, text: object, code: int = 200, **options: Any) -> Any:
        """Plan a push of a document (or of bytes)."""
        return _said(self.http.post("/pushes", files=parts(text, options)), code)

    def push(self, tasks: Tasks, name: str = "job", **options: Any) -> str:
        """Push and open a job: tasks as ``{id: command}`` or in full. Returns its name."""
        return self.push_by(self.http, tasks, name, **options)

    def push_as(self, owner: str, tasks: Tasks, name: str = "job", **options: Any) -> str:
        """Push and open a job as a researcher of this name."""
        return self.push_by(self.as_a("researcher", owner), tasks, name, **options)

    def push_by(self, client: httpx.Client, tasks: Tasks, name: str = "job", **options: Any) -> str:
        """Push and open a job through this client."""
        rows = [{"id": one, "command": command} for one, command in tasks.items()] if isinstance(tasks, Mapping) else list(tasks)
        planned = _said(client.post("/pushes", files=parts({"job": name, "tasks": rows}, options)), 200)
        return str(_said(client.post(f"/pushes/{planned['push']}/open"), 200)["job"])

    def states(self, job: str = "job") -> dict[str, str]:
        """Task id -> state."""
        return {task["id"]: task["state"] for task in self.get("/tasks", target=job)["tasks"]}

    def watched(self, path: str = "/status") -> Callable[[], bool]:
        """Whether somebody has asked for a path at least three times (a stream: once) since now."""
        asked = self.asked
        before = asked.get(path, 0)
        return lambda: asked.get(path, 0) >= before + (1 if path == "/events" else 3)

    def until(self, look: Callable[["Rig"], object]) -> None:
        """Wait until this is so."""
        eventually(lambda: look(self))


def parts(text: object, options: Mapping[str, Any]) -> dict[str, tuple[str, bytes, str]]:
    """The parts of a push."""
    data = text if isinstance(text, bytes) else json.dumps(text).encode()
    kind = "application/json"
    return {
        "tasks": ("x.json", data, kind),
        "options": ("options.json", json.dumps({"file_name": "x.json", **options}).encode(), kind),
    }


def _said(response: httpx.Response, code: int) -> Any:
    assert response.status_code == code, f"{response.status_code}: {response.text}"
    return response.json() if response.content else None


def chunk(attempt: str, text: str, offset: int = 0, stream: str = "stdout") -> LogChunk:
    """A piece of a log, as a worker publishes it."""
    return LogChunk("s1", attempt, stream, offset, text)
