"""A worker with a valid certificate at a real Mosquitto, with the boss's link behind it: floods, forgeries, and what is left there."""

import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from boss.adapters.broker import MqttBroker
from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon, Shutter, broker_rights
from boss.adapters.floods import SAVED_MESSAGES, TOO_MANY
from boss.core.events import Event, MessagesDropped, WorkerSaid
from tests.servers import CLUSTER, eventually, mqtt_client
from worker.protocol import (
    MAX_MESSAGE,
    Drain,
    Goodbye,
    Result,
    Results,
    encode,
    topic_boss,
    topic_events,
    topic_in,
    topic_log,
    topic_out,
    topic_status,
)


class Boss:
    """The boss's link, and what it has put."""

    def __init__(self, daemon: Daemon, authority: Authority, folder: Path) -> None:
        self.events: list[Event] = []
        shutter = Shutter(daemon, folder, CLUSTER)
        self.link = MqttBroker(daemon.host, daemon.port, authority.boss(), CLUSTER, 1, lambda worker, chunk: None, shutter)
        self.link.start(self.put)
        eventually(lambda: self.events)

    def put(self, event: Event) -> bool:
        self.events.append(event)
        return True

    def said(self, worker: str) -> int:
        return sum(isinstance(event, WorkerSaid) and event.worker == worker for event in self.events)

    def dropped(self, worker: str) -> MessagesDropped | None:
        found = [event for event in self.events if isinstance(event, MessagesDropped) and event.worker == worker]
        return found[-1] if found else None


@pytest.fixture
def boss(broker_server: Daemon, authority: Authority, tmp_path: Path) -> Iterator[Boss]:
    boss = Boss(broker_server, authority, tmp_path / "mosquitto")
    yield boss
    boss.link.stop()


def client(daemon: Daemon, authority: Authority, folder: Path, name: str) -> mqtt.Client:
    return mqtt_client(daemon, authority.issue_tls(name, folder / name, 1))


@pytest.fixture
def evil(broker_server: Daemon, authority: Authority, tmp_path: Path) -> Iterator[mqtt.Client]:
    made = client(broker_server, authority, tmp_path, "evil")
    yield made
    made.disconnect()
    made.loop_stop()


@pytest.fixture
def honest(broker_server: Daemon, authority: Authority, tmp_path: Path) -> Iterator[mqtt.Client]:
    made = client(broker_server, authority, tmp_path, "honest")
    yield made
    made.disconnect()
    made.loop_stop()


GOODBYE = encode(Goodbye("s"))[0]


def test_who_floods_is_put_aside_named_and_loses_the_brokers_ear_while_others_are_heard(
    boss: Boss, evil: mqtt.Client, honest: mqtt.Client, tmp_path: Path
) -> None:
    for number in range(int(SAVED_MESSAGES) + 3 * TOO_MANY):
        evil.publish(topic_out(CLUSTER, "evil"), GOODBYE, qos=0)
        if number % 1000 == 0:
            honest.publish(topic_out(CLUSTER, "honest"), GOODBYE, qos=1)
    news = eventually(lambda: (found := boss.dropped("evil")) and found.aside and found, 60)
    assert news.count >= TOO_MANY and "messages a second" in news.why
    eventually(lambda: boss.said("honest") == 20)
    assert boss.dropped("honest") is None
    rights = (tmp_path / "mosquitto" / "acl").read_text()
    assert rights.startswith(f"user evil\ntopic deny ecloud/{CLUSTER}/#\n")

    def refused() -> bool:
        answers: list[int] = []
        evil.on_publish = lambda _client, _data, _mid, reason, _properties: answers.append(reason.value)
        evil.publish(topic_out(CLUSTER, "evil"), GOODBYE, qos=1)
        eventually(lambda: answers)
        return answers[-1] == 0x87  # not authorized

    eventually(refused)
    honest.publish(topic_out(CLUSTER, "honest"), GOODBYE, qos=1)
    eventually(lambda: boss.said("honest") == 21)


def test_a_payload_of_64_mb_ends_the_connection_of_who_sends_it_and_nothing_else(
    boss: Boss, evil: mqtt.Client, honest: mqtt.Client
) -> None:
    gone = threading.Event()
    evil.on_disconnect = lambda *_arguments: gone.set()
    evil.publish(topic_out(CLUSTER, "evil"), b"x" * (64 << 20), qos=1)
    assert gone.wait(20)
    honest.publish(topic_out(CLUSTER, "honest"), GOODBYE, qos=1)
    eventually(lambda: boss.said("honest") == 1)
    assert boss.said("evil") == 0


def test_the_largest_packet_that_the_broker_takes_is_dropped_by_the_boss(boss: Boss, evil: mqtt.Client) -> None:
    evil.publish(topic_out(CLUSTER, "evil"), b" " * (MAX_MESSAGE + 1000), qos=1)
    news = eventually(lambda: boss.dropped("evil"))
    assert "more than 262144" in news.why


@pytest.mark.long
def test_nothing_is_said_in_anothers_name_or_in_the_bosss(boss: Boss, evil: mqtt.Client) -> None:
    forged = encode(Results("s", (Result("u1.0.1", "succeeded"),)))[0]
    for topic in (
        topic_out(CLUSTER, "honest"),
        topic_status(CLUSTER, "honest"),
        topic_log(CLUSTER, "honest", "u1.0.1"),
        topic_in(CLUSTER, "honest"),
        topic_boss(CLUSTER),
        topic_events(CLUSTER) + "/job",
        topic_out("another", "evil"),
        f"ecloud/{CLUSTER}/worker/evil/../honest/out",
        topic_log(CLUSTER, "evil", "a/topic/of/its/own"),
    ):
        evil.publish(topic, forged, qos=1, retain=True)
    evil.publish(topic_out(CLUSTER, "evil"), GOODBYE, qos=1)
    eventually(lambda: boss.said("evil") == 1, 60)
    assert {event.worker for event in boss.events if isinstance(event, WorkerSaid)} == {"evil"}


def test_nobody_listens_to_what_others_are_told(boss: Boss, evil: mqtt.Client, honest: mqtt.Client) -> None:
    heard: list[str] = []
    evil.on_message = lambda _client, _data, message: heard.append(message.topic)
    answered = threading.Event()
    evil.on_subscribe = lambda *_arguments: answered.set()
    evil.subscribe(
        [("#", 1), (f"ecloud/{CLUSTER}/#", 1), (topic_in(CLUSTER, "honest"), 1), (topic_in(CLUSTER, "+"), 1), ("$share/g/#", 1)]
    )
    assert answered.wait(5)
    listening = threading.Event()
    got = threading.Event()
    honest.on_subscribe = lambda *_arguments: listening.set()
    honest.on_message = lambda *_arguments: got.set()
    honest.subscribe(topic_in(CLUSTER, "honest"), qos=1)
    assert listening.wait(5)
    boss.link.send("honest", Drain(1, 1))
    assert got.wait(5)
    boss.link.send("evil", Drain(1, 1))
    eventually(lambda: topic_in(CLUSTER, "evil") in heard)
    assert not [topic for topic in heard if "honest" in topic]


def test_what_a_worker_makes_the_broker_keep_is_taken_away_again(
    boss: Boss, evil: mqtt.Client, broker_server: Daemon, authority: Authority
) -> None:
    for number in range(500):
        evil.publish(topic_log(CLUSTER, "evil", f"x-{number}"), b"x" * 1000, qos=1, retain=True)
    evil.publish(topic_out(CLUSTER, "evil"), GOODBYE, qos=1, retain=True)
    evil.publish(topic_status(CLUSTER, "evil"), b"online", qos=1, retain=True)
    eventually(lambda: (news := boss.dropped("evil")) and news.count >= 501)

    def kept() -> set[str]:
        found: set[str] = set()
        witness = mqtt_client(broker_server, authority.boss(), "witness")
        asked = threading.Event()
        witness.on_message = lambda _client, _data, message: found.add(message.topic) if message.retain else None
        witness.on_subscribe = lambda *_arguments: asked.set()
        witness.subscribe(f"ecloud/{CLUSTER}/worker/#", qos=1)
        assert asked.wait(5)
        mark = threading.Event()
        witness.on_publish = lambda *_arguments: mark.set()
        witness.publish(topic_events(CLUSTER) + "/mark", b"x", qos=1)
        assert mark.wait(5)
        witness.disconnect()
        witness.loop_stop()
        return found

    eventually(lambda: kept() == {topic_status(CLUSTER, "evil")})


def test_taking_away_what_was_kept_before_the_boss_came_is_not_counted_against_the_worker(
    evil: mqtt.Client, broker_server: Daemon, authority: Authority, tmp_path: Path
) -> None:
    topics = [topic_log(CLUSTER, "evil", f"x-{number}") for number in range(20)]
    for told in [evil.publish(topic, b"x", qos=1, retain=True) for topic in topics]:
        told.wait_for_publish(5)
    boss = Boss(broker_server, authority, tmp_path / "mosquitto")
    incoming = boss.link._incoming
    eventually(lambda: incoming.floods.dropped("evil") >= len(topics) and not incoming._clearing)
    evil.publish(topic_out(CLUSTER, "evil"), GOODBYE, qos=1)
    eventually(lambda: boss.said("evil"))
    boss.link.stop()
    assert incoming.floods.dropped("evil") == len(topics)


def test_a_shut_out_worker_is_only_ever_a_worker(broker_server: Daemon, tmp_path: Path) -> None:
    shutter = Shutter(broker_server, tmp_path / "mosquitto", CLUSTER)
    before = (tmp_path / "mosquitto" / "acl").read_text()
    for name in ("boss", "listener", "", "a b", "x\nuser boss", "#"):
        shutter(name)
    assert (tmp_path / "mosquitto" / "acl").read_text() == before


def test_a_disk_that_takes_nothing_does_not_cost_the_boss_its_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder can be made here")
    daemon = Daemon("mosquitto", tmp_path / "file" / "mosquitto", lambda port: [])
    Shutter(daemon, tmp_path / "file" / "mosquitto", CLUSTER)("evil")
    assert "cannot be told to shut worker evil out" in caplog.text


def test_who_may_listen_and_who_is_shut_out_stay_so_whichever_is_told_last(broker_server: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "rights"
    shutter = Shutter(broker_server, folder, CLUSTER, ["listener.ada"])
    shutter("evil")
    assert (folder / "acl").read_text() == broker_rights(CLUSTER, ["listener.ada"], ["evil"])
    shutter.write(["listener.ada", "listener.bob"])
    shutter("worse")
    assert (folder / "acl").read_text() == broker_rights(CLUSTER, ["listener.ada", "listener.bob"], ["evil", "worse"])
