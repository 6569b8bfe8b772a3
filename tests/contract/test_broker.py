"""The boss's link to a real Mosquitto with mutual TLS: what it hears, says, drops and survives."""

import json
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from boss.adapters.broker import MqttBroker
from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from boss.core.events import BrokerConnected, BrokerDisconnected, Event, MessagesDropped, WorkerSaid, WorkerStatusSeen
from tests.servers import CLUSTER, eventually, grant_all, mqtt_client
from worker.protocol import (
    MAX_MESSAGE,
    Assign,
    Assignment,
    Drain,
    Goodbye,
    LogChunk,
    Result,
    Results,
    decode,
    encode,
    topic_boss,
    topic_events,
    topic_in,
    topic_log,
    topic_out,
    topic_status,
)


class Boss:
    """A broker adapter with the queue that it puts events into."""

    def __init__(self, daemon: Daemon, authority: Authority, epoch: int = 1) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.chunks: queue.Queue[tuple[str, LogChunk]] = queue.Queue()
        self.dropped: dict[str, MessagesDropped] = {}
        self.refusing = False
        self.link = MqttBroker(
            daemon.host, daemon.port, authority.boss(), CLUSTER, epoch, lambda worker, chunk: self.chunks.put((worker, chunk))
        )

    def put(self, event: Event) -> bool:
        if self.refusing and isinstance(event, WorkerSaid):
            return False
        if isinstance(event, MessagesDropped):
            self.dropped[event.worker] = event
        else:
            self.events.put(event)
        return True

    def start(self) -> "Boss":
        self.link.start(self.put)
        assert self.next() == BrokerConnected()
        return self

    def next(self) -> Event:
        return self.events.get(timeout=10)


@pytest.fixture
def boss(broker_server: Daemon, authority: Authority) -> Iterator[Boss]:
    boss = Boss(broker_server, authority).start()
    yield boss
    boss.link.stop()


class Ear:
    """A plain client that subscribes and keeps what it hears."""

    def __init__(self, client: mqtt.Client, topic: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.client = client
        granted = threading.Event()
        client.on_message = lambda _client, _data, message: self.heard.put((message.topic, bytes(message.payload)))
        client.on_subscribe = lambda *_arguments: granted.set()
        client.subscribe(topic, qos=1)
        assert granted.wait(5)

    def next(self) -> tuple[str, bytes]:
        return self.heard.get(timeout=10)


@pytest.fixture
def worker(broker_server: Daemon, authority: Authority, tmp_path: Path) -> Iterator[Ear]:
    client = mqtt_client(broker_server, authority.issue_tls("vm-1", tmp_path / "vm-1", 1))
    yield Ear(client, topic_in(CLUSTER, "vm-1"))
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def witness(broker_server: Daemon, authority: Authority, tmp_path: Path) -> Iterator[mqtt.Client]:
    """A client with the boss's rights, which sees and may say everything."""
    grant_all(broker_server, "witness")
    client = mqtt_client(broker_server, authority.issue_tls("witness", tmp_path / "witness", 1))
    yield client
    client.disconnect()
    client.loop_stop()


def test_messages_go_to_the_named_worker_in_order(boss: Boss, worker: Ear) -> None:
    said = [Drain(1, number) for number in range(1, 501)]
    for message in said:
        boss.link.send("vm-1", message)
    assert [decode(worker.next()[1]) for _ in said] == said


def test_a_long_message_is_split_and_arrives_whole(boss: Boss, worker: Ear) -> None:
    attempts = tuple(Assignment(f"j.{n}.1", "job", f"t{n}", ("x" * 4000,)) for n in range(200))
    boss.link.send("vm-1", Assign(1, 7, attempts))
    pieces: list[Assign] = []
    while sum(len(piece.attempts) for piece in pieces) < 200:
        piece = decode(worker.next()[1])
        assert isinstance(piece, Assign)
        pieces.append(piece)
    assert tuple(attempt for piece in pieces for attempt in piece.attempts) == attempts
    assert pieces[-1].seq == 7 and all(piece.seq < 7 for piece in pieces[:-1])


def test_a_message_that_is_too_large_is_logged_and_the_next_one_goes(
    boss: Boss, worker: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    boss.link.send("vm-1", Assign(1, 1, (Assignment("j.0.1", "job", "t", ("x" * MAX_MESSAGE,)),)))
    boss.link.send("vm-1", Drain(1, 2))
    assert decode(worker.next()[1]) == Drain(1, 2)
    assert "a message to vm-1 is not sent" in caplog.text


def test_who_speaks_is_told_by_the_topic(boss: Boss, worker: Ear) -> None:
    results = Results("s", (Result("vm-9.0.1", "succeeded"),))
    worker.client.publish(topic_out(CLUSTER, "vm-1"), encode(results)[0], qos=1)
    assert boss.next() == WorkerSaid("vm-1", results)


def test_a_retained_status_is_seen_by_a_boss_that_comes_later(
    boss: Boss, worker: Ear, broker_server: Daemon, authority: Authority
) -> None:
    worker.client.publish(topic_status(CLUSTER, "vm-1"), b"online", qos=1, retain=True)
    assert boss.next() == WorkerStatusSeen("vm-1", True)
    boss.link.stop()
    later = Boss(broker_server, authority, epoch=2).start()
    assert later.next() == WorkerStatusSeen("vm-1", True)
    later.link.stop()


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"\xff\x00", b'{"v":1,"kind":"results","session":"s"}', encode(Drain(1, 1))[0], b"[" * 200_000]
)
def test_what_cannot_be_read_is_dropped_and_named_and_nothing_breaks(
    boss: Boss, worker: Ear, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    worker.client.publish(topic_out(CLUSTER, "vm-1"), payload, qos=1)
    worker.client.publish(topic_out(CLUSTER, "vm-1"), encode(Goodbye("s"))[0], qos=1)
    assert boss.next() == WorkerSaid("vm-1", Goodbye("s"))
    assert "dropped message 1 of worker vm-1" in caplog.text
    eventually(lambda: boss.dropped.get("vm-1"))


def test_a_full_inbox_drops_and_counts(boss: Boss, worker: Ear, caplog: pytest.LogCaptureFixture) -> None:
    boss.refusing = True
    worker.client.publish(topic_out(CLUSTER, "vm-1"), encode(Goodbye("s"))[0], qos=1)
    eventually(lambda: "the inbox is full" in caplog.text)
    boss.refusing = False
    worker.client.publish(topic_out(CLUSTER, "vm-1"), encode(Goodbye("t"))[0], qos=1)
    assert boss.next() == WorkerSaid("vm-1", Goodbye("t"))


def test_followed_output_goes_to_the_log_hub_and_not_into_the_inbox(boss: Boss, worker: Ear) -> None:
    chunk = LogChunk("s", "j.0.1", "stdout", 0, "hello\n")
    worker.client.publish(topic_log(CLUSTER, "vm-1", "j.0.1"), encode(chunk)[0], qos=1)
    assert boss.chunks.get(timeout=5) == ("vm-1", chunk)
    assert boss.events.empty()


def test_announcements_are_lists_of_facts_by_kind(boss: Boss, witness: mqtt.Client) -> None:
    ear = Ear(witness, topic_events(CLUSTER) + "/#")
    boss.link.announce("task", [{"job": "a", "id": "1"}, {"job": "a", "id": "2"}])
    topic, payload = ear.next()
    assert topic == topic_events(CLUSTER) + "/task"
    assert json.loads(payload) == [{"job": "a", "id": "1"}, {"job": "a", "id": "2"}]


def test_a_long_announcement_is_split(boss: Boss, witness: mqtt.Client) -> None:
    ear = Ear(witness, topic_events(CLUSTER) + "/#")
    facts = [{"id": str(number), "reason": "r" * 1000} for number in range(1000)]
    boss.link.announce("task", facts)
    heard: list[dict[str, str]] = []
    while len(heard) < len(facts):
        heard += json.loads(ear.next()[1])
    assert heard == facts


def test_the_boss_is_online_while_it_runs_and_offline_after(boss: Boss, witness: mqtt.Client) -> None:
    ear = Ear(witness, topic_boss(CLUSTER))
    assert json.loads(ear.next()[1]) == {"epoch": 1, "online": True}
    boss.link.stop()
    assert json.loads(ear.next()[1]) == {"epoch": 1, "online": False}


def test_an_old_bosss_late_last_will_is_corrected(boss: Boss, witness: mqtt.Client) -> None:
    ear = Ear(witness, topic_boss(CLUSTER))
    assert json.loads(ear.next()[1]) == {"epoch": 1, "online": True}
    witness.publish(topic_boss(CLUSTER), b'{"epoch": 0, "online": false}', qos=1, retain=True)
    assert json.loads(ear.next()[1]) == {"epoch": 0, "online": False}
    assert json.loads(ear.next()[1]) == {"epoch": 1, "online": True}


def test_a_newer_boss_is_not_contradicted(boss: Boss, witness: mqtt.Client, caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear(witness, topic_boss(CLUSTER))
    ear.next()
    witness.publish(topic_boss(CLUSTER), b'{"epoch": 5, "online": true}', qos=1, retain=True)
    eventually(lambda: "is a second boss running?" in caplog.text)
    boss.link.announce("task", [{"after": "that"}])
    assert json.loads(ear.next()[1])["epoch"] == 5
    assert ear.heard.empty()


def test_a_killed_broker_is_a_change_of_state_and_nothing_old_is_said_again(
    boss: Boss, broker_server: Daemon, authority: Authority, tmp_path: Path
) -> None:
    os.kill(broker_server.pid, signal.SIGKILL)
    assert isinstance(boss.next(), BrokerDisconnected)
    boss.link.send("vm-1", Drain(1, 1))
    assert boss.next() == BrokerConnected()
    client = mqtt_client(broker_server, authority.issue_tls("vm-1", tmp_path / "vm-1", 1))
    ear = Ear(client, topic_in(CLUSTER, "vm-1"))
    boss.link.send("vm-1", Drain(1, 2))
    assert decode(ear.next()[1]) == Drain(1, 2)
    client.disconnect()
    client.loop_stop()


def test_a_broker_that_is_not_there_is_said_once_and_then_found(authority: Authority, broker_server: Daemon) -> None:
    broker_server.stop()
    boss = Boss(broker_server, authority)
    boss.link.start(boss.put)
    down = boss.next()
    assert isinstance(down, BrokerDisconnected) and "Connection refused" in down.reason
    broker_server.start()
    assert boss.next() == BrokerConnected()
    boss.link.stop()
    assert boss.events.empty()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the socket of a failed handshake
def test_a_broker_of_another_ca_is_not_spoken_to(broker_server: Daemon, tmp_path: Path) -> None:
    boss = Boss(broker_server, Authority(tmp_path / "other"))
    boss.link.start(boss.put)
    down = boss.next()
    assert isinstance(down, BrokerDisconnected) and "certificate verify failed" in down.reason
    boss.link.stop()


def test_stopping_while_the_broker_is_away_takes_no_time(authority: Authority, broker_server: Daemon) -> None:
    broker_server.stop()
    boss = Boss(broker_server, authority)
    boss.link.start(boss.put)
    boss.next()
    begun = time.monotonic()
    boss.link.stop()
    assert time.monotonic() - begun < 3


def test_a_fault_in_the_receiver_is_logged_and_the_link_comes_back(
    boss: Boss, worker: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "boss.adapters.broker")  # its traceback is expected; keep the report short

    def stumble(event: Event) -> bool:
        if isinstance(event, WorkerSaid):
            raise ZeroDivisionError
        return boss.put(event)

    boss.link._put = stumble
    worker.client.publish(topic_out(CLUSTER, "vm-1"), encode(Goodbye("s"))[0], qos=1)
    assert isinstance(boss.next(), BrokerDisconnected)
    assert boss.next() == BrokerConnected()


def test_thousands_of_messages_a_second_pass(boss: Boss, worker: Ear) -> None:
    count = 5000
    begun = time.monotonic()
    for number in range(count):
        boss.link.send("vm-1", Drain(1, number))
    for _ in range(count):
        worker.next()
    assert count / (time.monotonic() - begun) > 500  # several thousand on an idle machine; this one may be busy
