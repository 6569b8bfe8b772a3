"""A scripted boss at a real broker, and a real worker process from the bundle: what the tests of the running worker speak with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from boss.adapters.bundle import worker_bundle
from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from datastore import layout
from datastore.channel import Endpoint
from tests.datastore.host import SECRET
from tests.servers import CLUSTER, eventually
from worker import protocol as wire

M = TypeVar("M")


def granted(plain: wire.Assignment) -> wire.Assignment:
    """The assignment with the datastore's grant for worker ``w1``, as a boss makes it for anything."""
    inputs = [list(item) for item in wire.granted_inputs(plain)]
    return plain._replace(grant=layout.grant(SECRET, "w1", plain.attempt, plain.job, plain.task, inputs))


def granted_task(name: str, *commands: str, **more: object) -> wire.Assignment:
    """Attempt ``<name>.0.1`` of job ``j``, granted."""
    return granted(wire.Assignment(f"{name}.0.1", "j", name, commands, **more))  # type: ignore[arg-type]


class ScriptedBoss:
    """Says what the test says, hears what one worker says. ``epoch`` and message numbers are kept here."""

    def __init__(self, daemon: Daemon, authority: Authority, worker: str) -> None:
        self.epoch = 1
        self.heard: list[wire.Message] = []
        self.statuses: list[str] = []
        self.connects = 0
        self._seq = 0
        self._worker = worker
        tls = authority.boss()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "scripted-boss", protocol=mqtt.MQTTv5)
        client.tls_set(str(tls.ca), str(tls.certificate), str(tls.key))
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._subscribe
        client.on_message = self._on_message
        client.connect(daemon.host, daemon.port)
        client.loop_start()
        self.client = client
        eventually(client.is_connected)

    def say(self, kind: Callable[..., wire.ToWorker], *rest: object) -> None:
        """Send ``kind(epoch, next seq, *rest)`` to the worker."""
        self._seq += 1
        for payload in wire.encode(kind(self.epoch, self._seq, *rest)):
            self.client.publish(wire.topic_in(CLUSTER, self._worker), payload, 1)

    def assign(self, *attempts: wire.Assignment) -> None:
        """Assign attempts."""
        self.say(wire.Assign, attempts)

    def wait(self, kind: type[M], fits: Callable[[M], object] = lambda _: True) -> M:
        """The first message of a kind that fits, which is then taken out of what was heard."""

        def found() -> M | None:
            for message in list(self.heard):
                if isinstance(message, kind) and fits(message):
                    self.heard.remove(message)
                    return message
            return None

        return eventually(found)

    def result(self, attempt: str) -> wire.Result:
        """The result of one attempt (other results of the same message stay to be heard)."""

        def found() -> wire.Result | None:
            results = [r for m in list(self.heard) if isinstance(m, wire.Results) for r in m.results]
            return next((r for r in results if r.attempt == attempt), None)

        return eventually(found)

    def acknowledge(self, *attempts: str) -> None:
        """The results of these attempts are durable."""
        self.say(wire.Acknowledge, attempts)

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()

    def _subscribe(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(wire.topic_out(CLUSTER, self._worker), 1), (wire.topic_status(CLUSTER, self._worker), 1)])
        client.subscribe(wire.topic_log(CLUSTER, self._worker, "+"), 1)
        self.connects += 1

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/status"):
            self.statuses.append(message.payload.decode())
        else:
            self.heard.append(wire.decode(message.payload))


class WorkerProcess:
    """A worker run from the bundle with an interpreter of its own, in its own folder."""

    python = sys.executable

    def __init__(
        self,
        folder: Path,
        daemon: Daemon,
        authority: Authority,
        worker: str,
        resources: Mapping[str, float],
        endpoint: Endpoint | None = None,
        **more: object,
    ) -> None:
        self.id = worker
        self.folder = folder
        self.log = folder / "worker.log"
        self._bundle = worker_bundle(folder.parent / "bundles")
        files = authority.issue_tls(worker, folder / "credentials", 24)
        broker = {"host": daemon.host, "port": daemon.port} | {
            name: str(getattr(files, name)) for name in ("ca", "certificate", "key")
        }
        self._config = folder / "worker.json"
        document = {
            "worker": worker, "cluster": CLUSTER, "folder": str(folder / "work"), "broker": broker,
            "datastore": None if endpoint is None else endpoint._asdict(),
            "resources": dict(resources), "heartbeat": 0.2, "lease": 60.0, "cache_bytes": 1 << 20, **more,
        }  # fmt: skip
        self._config.write_text(json.dumps(document))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "WorkerProcess":
        """Start the process (again)."""
        self.prepare()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.through(), self.python, "-I", "-S", str(self._bundle), "--config", str(self._config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self

    def through(self) -> list[str]:
        """A command that ends by running the worker, such as one that changes the user."""
        return []

    def prepare(self) -> None:
        """Called before each start."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker process alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=20)

    def tasks(self) -> list[int]:
        """The pids of all processes on this machine that were started for attempts of this worker."""
        mark = f"ECLOUD_WORKER_FOLDER={os.path.realpath(self.folder / 'work')}".encode()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    environ = Path("/proc", name, "environ").read_bytes()
                except OSError:
                    continue  # gone, or a kernel thread
                if mark in environ.split(b"\0"):
                    found.append(int(name))
        return found
