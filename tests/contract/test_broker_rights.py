"""The broker attacked: what a worker's certificate, a listener's, a stranger's and an old one reach on a real Mosquitto."""

import queue
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from boss.adapters.broker import MqttBroker
from boss.adapters.certificates import Authority, Gate, TlsFiles
from boss.adapters.daemons import Daemon, mosquitto, write_rights
from boss.adapters.incoming import Incoming
from boss.adapters.listeners import BrokerListeners
from boss.core.events import Event
from boss.listeners import ListenerTaken
from tests.servers import CLUSTER, eventually, mqtt_client

BASE = f"ecloud/{CLUSTER}"
#: Everything that is said at the broker, and somebody else's topics beside.
TOPICS = [
    *(
        f"{BASE}/worker/{who}/{channel}"
        for who in ("w1", "w2", "boss", "listener.ada")
        for channel in ("in", "out", "status", "log/a.0.1")
    ),
    *(f"{BASE}/{rest}" for rest in ("boss/status", "boss/other", "events/task", "events/job", "events", "other")),
    "ecloud/other/worker/w1/in",
    "ecloud/other/worker/w1/out",
    "ecloud/other/boss/status",
    "somewhere/else",
    "$SYS/broker/version",
]
#: Subscriptions that would hear more than they may.
WIDE = [
    "#",
    "$SYS/#",
    "+/#",
    "ecloud/#",
    "ecloud/+/worker/+/in",
    f"{BASE}/worker/+/out",
    f"{BASE}/events/#",
    "$share/g/ecloud/#",
    *TOPICS,
]


class Client:
    """A client that hears all that it is let, and says things until it is let."""

    def __init__(self, daemon: Daemon, tls: TlsFiles) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.link = mqtt_client(daemon, tls)
        self.link.on_message = lambda _c, _d, message: self.heard.put((message.topic, bytes(message.payload)))

    def listen(self, *topics: str) -> "Client":
        granted: queue.Queue[int] = queue.Queue()
        self.link.on_subscribe = lambda _c, _d, mid, _r, _p: granted.put(mid)
        for topic in topics:
            self.link.subscribe(topic, 1)
            granted.get(timeout=10)
        return self

    def say(self, topic: str, payload: bytes, retain: bool = False) -> str:
        """Publish; what the broker says of it, "cut off" when it ends the connection instead."""
        eventually(self.link.is_connected)
        answers: queue.Queue[str] = queue.Queue()
        self.link.on_publish = lambda _c, _d, _m, reason, _p: answers.put(str(reason))
        self.link.on_disconnect = lambda *_said: answers.put("cut off")
        self.link.publish(topic, payload, 1, retain)
        return answers.get(timeout=10)

    def end(self) -> None:
        self.link.disconnect()
        self.link.loop_stop()


def said(daemon: Daemon, tls: TlsFiles, topic: str, payload: bytes, retain: bool = False) -> bool:
    """Whether somebody new may say this: a connection that says what it may not is cut off."""
    client = Client(daemon, tls)
    try:
        return client.say(topic, payload, retain) in ("Success", "No matching subscribers")
    finally:
        client.end()


@pytest.fixture
def boss(broker_server: Daemon, authority: Authority) -> Iterator[Client]:
    """The boss, hearing everything in its cluster."""
    client = Client(broker_server, authority.boss())
    yield client.listen(f"{BASE}/#")
    client.end()


@pytest.fixture
def worker(broker_server: Daemon, authority: Authority, tmp_path: Path) -> Iterator[Client]:
    """A worker whose certificate somebody has stolen."""
    client = Client(broker_server, authority.issue_tls("w1", tmp_path / "w1", 1))
    yield client
    client.end()


class Ears:
    """The listeners of a broker, as a boss has them."""

    def __init__(self, daemon: Daemon, authority: Authority, folder: Path) -> None:
        self.folder = folder
        self.daemon = daemon
        self.authority = authority
        self.known = BrokerListeners(authority, self._changed)

    def _changed(self, accounts: list[str]) -> None:
        write_rights(self.daemon.output.parent, CLUSTER, accounts)
        self.daemon.reload()

    def make(self, name: str, seconds: float = 3600.0) -> TlsFiles:
        folder = self.folder / f"listener-{name}"
        folder.mkdir()
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "256", "-m", "PKCS8", "-N", "", "-f", str(key)], check=True)
        pem, _ = self.known.make(name, key.with_name("key.pub").read_text(), seconds)
        (folder / "pem").write_text(pem)
        return TlsFiles(self.authority.ca, folder / "pem", key)


@pytest.fixture
def ears(broker_server: Daemon, authority: Authority, tmp_path: Path) -> Ears:
    return Ears(broker_server, authority, tmp_path)


def reached(boss: Client, who: Client, marks: int) -> set[str]:
    """The topics on which ``who`` hears what the boss says; the last thing that it may hear ends the looking."""
    for topic in TOPICS:
        if topic.startswith(BASE):
            boss.say(topic, b"said by the boss", retain=True)
    found = set()
    while len(found) < marks:
        found.add(who.heard.get(timeout=10)[0])
    with pytest.raises(queue.Empty):
        while True:
            found.add(who.heard.get(timeout=0.5)[0])
    return found


# ---- a worker's certificate --------------------------------------------------------------------------------------------


def test_a_worker_hears_its_own_orders_and_the_bosss_status_whatever_it_asks_for(boss: Client, worker: Client) -> None:
    worker.listen(*WIDE)
    assert reached(boss, worker, 2) == {f"{BASE}/worker/w1/in", f"{BASE}/boss/status"}


def test_a_worker_hears_no_retained_word_that_was_said_before_it_came(boss: Client, worker: Client) -> None:
    for topic in TOPICS:
        if topic.startswith(BASE):
            boss.say(topic, b"old", retain=True)
    worker.listen(*WIDE)
    found = {worker.heard.get(timeout=10)[0] for _ in range(2)}
    with pytest.raises(queue.Empty):
        while True:
            found.add(worker.heard.get(timeout=0.5)[0])
    assert found == {f"{BASE}/worker/w1/in", f"{BASE}/boss/status"}


@pytest.mark.long
def test_a_worker_is_heard_on_its_own_topics_and_on_no_other(
    broker_server: Daemon, authority: Authority, boss: Client, tmp_path: Path
) -> None:
    own = {f"{BASE}/worker/w1/{channel}" for channel in ("out", "status", "log/a.0.1")}
    tls = authority.issue_tls("w1", tmp_path / "w1", 1)
    for topic in TOPICS:
        for retain in (False, True):
            assert said(broker_server, tls, topic, b"forged", retain) == (topic in own), topic
    heard = set()
    while len(heard) < len(own):
        heard.add(boss.heard.get(timeout=10)[0])
    with pytest.raises(queue.Empty):
        while True:
            heard.add(boss.heard.get(timeout=0.5)[0])
    assert heard == own


def test_a_last_will_reaches_no_farther_than_its_worker(
    broker_server: Daemon, authority: Authority, boss: Client, tmp_path: Path
) -> None:
    tls = authority.issue_tls("w3", tmp_path / "w3", 1)
    for topic in (f"{BASE}/worker/w2/status", f"{BASE}/boss/status", f"{BASE}/worker/w3/status"):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.tls_set(str(tls.ca), str(tls.certificate), str(tls.key))
        client.will_set(topic, b"offline", 1, retain=True)
        client.connect(broker_server.host, broker_server.port)
        client.loop_start()
        eventually(lambda client=client: client.is_connected() or not client._thread)  # type: ignore[misc]
        link = client.socket()
        assert link is not None
        link.close()  # without goodbye
        client.loop_stop()
    assert boss.heard.get(timeout=20) == (f"{BASE}/worker/w3/status", b"offline")


def test_nobody_takes_over_the_bosss_session_by_its_name(
    broker_server: Daemon, authority: Authority, worker: Client, tmp_path: Path
) -> None:
    events: queue.Queue[Event] = queue.Queue()
    link = MqttBroker(broker_server.host, broker_server.port, authority.boss(), CLUSTER, 1, lambda _w, _c: None)
    link.start(lambda event: events.put(event) or True)  # type: ignore[func-returns-value]
    try:
        assert type(events.get(timeout=10)).__name__ == "BrokerConnected"
        for name in (f"ecloud-{CLUSTER}-boss", "boss", f"ecloud-{CLUSTER}-w2", "w2"):
            thief = mqtt_client(broker_server, authority.issue_tls("thief", tmp_path / f"thief-{name}", 1), name)
            assert thief.is_connected()
            thief.disconnect()
            thief.loop_stop()
        assert worker.link.is_connected() and events.empty()
    finally:
        link.stop()


def test_the_boss_takes_nothing_from_an_account_that_is_no_workers() -> None:
    put: list[Event] = []
    incoming = Incoming(lambda _worker, _chunk: put.append(None))  # type: ignore[arg-type]
    for name in ("boss", "listener", "listener.ada"):
        incoming.read(f"{BASE}/worker/{name}/status", b"online", lambda event: put.append(event) or True)  # type: ignore[func-returns-value]
        assert incoming.floods.dropped(name) == 1
    assert put == []


# ---- listeners -----------------------------------------------------------------------------------------------------------


def test_a_listener_hears_events_and_nothing_of_workers(boss: Client, ears: Ears) -> None:
    ada = Client(ears.daemon, ears.make("ada"))
    ada.listen(*WIDE)
    allowed = {f"{BASE}/events/task", f"{BASE}/events/job", f"{BASE}/events", f"{BASE}/boss/status"}
    assert reached(boss, ada, 4) == allowed
    ada.end()


@pytest.mark.long
def test_a_listener_can_say_nothing_anywhere(boss: Client, ears: Ears) -> None:
    tls = ears.make("ada")
    for topic in TOPICS:
        assert not said(ears.daemon, tls, topic, b"lie", True), topic
    assert boss.heard.empty()


def test_a_revoked_listener_hears_nothing_more_and_never_comes_back_while_others_stay(boss: Client, ears: Ears) -> None:
    tls, other = ears.make("ada"), ears.make("bob")
    ada, bob = Client(ears.daemon, tls), Client(ears.daemon, other)
    for client in (ada, bob):
        client.listen(f"{BASE}/events/#")
    boss.say(f"{BASE}/events/job", b"before")
    assert ada.heard.get(timeout=10)[1] == bob.heard.get(timeout=10)[1] == b"before"
    drops: list[object] = []
    bob.link.on_disconnect = lambda *said: drops.append(said)
    gone = ears.known.revoke("ada")
    assert gone is not None and [one.name for one in ears.known.known()] == ["bob"]
    eventually(lambda: not reaches(ears.daemon, tls))
    boss.say(f"{BASE}/events/job", b"after")
    assert bob.heard.get(timeout=10)[1] == b"after"
    assert ada.heard.empty() and not drops and reaches(ears.daemon, other)
    assert ears.known.revoke("ada") is None
    again = ears.make("ada-2")
    assert reaches(ears.daemon, again)
    for client in (ada, bob):
        client.end()


def test_a_name_that_is_taken_and_a_key_that_is_none_are_refused(ears: Ears) -> None:
    ears.make("ada")
    with pytest.raises(ListenerTaken, match="revoke_listener ada"):
        ears.known.make("ada", "ecdsa-sha2-nistp256 AAAA", 60.0)
    with pytest.raises(ValueError, match="key"):
        ears.known.make("bob", "ssh-ed25519 AAAA", 60.0)
    assert [one.name for one in ears.known.known()] == ["ada"]


def public() -> str:
    """A new listener's public key."""
    form = serialization.PublicFormat.OpenSSH
    return ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


def test_the_broker_is_told_last_what_is_true_however_many_are_made_at_once(authority: Authority) -> None:
    told: list[list[str]] = []
    second = threading.Thread(target=lambda: known.make("bob", public(), 60.0))

    def changed(accounts: list[str]) -> None:
        if "listener.bob" not in accounts:
            second.start()
            second.join(0.5)  # as far as it comes while this is being written
        told.append(accounts)

    known = BrokerListeners(authority, changed)
    known.make("ada", public(), 60.0)
    second.join()
    assert told == [["listener.ada"], ["listener.ada", "listener.bob"]]


def test_a_listener_is_on_the_list_of_the_revoked_before_it_is_forgotten(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = BrokerListeners(authority)
    pem, _ = known.make("ada", public(), 60.0)

    def full(document: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(known, "_write", full)
    with pytest.raises(OSError, match="No space"):
        known.revoke("ada")
    revoked = x509.load_pem_x509_crl(authority.crl().read_bytes())
    serial = x509.load_pem_x509_certificate(pem.encode()).serial_number
    assert revoked.get_revoked_certificate_by_serial_number(serial) is not None
    assert [one.name for one in known.known()] == ["ada"]  # so that somebody takes it back again


@pytest.mark.parametrize("name", ["boss", "listener", "listener.ada"])
def test_no_worker_gets_a_certificate_of_an_account_that_is_not_a_workers(
    authority: Authority, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match="taken"):
        authority.issue_worker(name, tmp_path / "x", 1.0, Gate("h", 1, "u", "k", "p", "r"))


# ---- strangers -----------------------------------------------------------------------------------------------------------


def reaches(daemon: Daemon, tls: TlsFiles | None, ca: Path | None = None) -> bool:
    """Whether the broker answers a CONNECT with these credentials (None: none)."""
    context = ssl.create_default_context(cafile=str(ca or (tls.ca if tls is not None else "")))
    if tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    connect = bytes([0x10, 15, 0, 4]) + b"MQTT" + bytes([5, 2, 0, 60, 0, 0, 2]) + b"ab"
    try:
        with (
            socket.create_connection((daemon.host, daemon.port), timeout=10) as link,
            context.wrap_socket(link, server_hostname=daemon.host) as secure,
        ):
            secure.sendall(connect)
            answer = secure.recv(4)
            return len(answer) >= 4 and answer[0] == 0x20 and answer[3] == 0
    except OSError:
        return False


def test_only_a_certificate_of_this_ca_that_is_valid_now_opens_the_broker(
    broker_server: Daemon, authority: Authority, tmp_path: Path
) -> None:
    assert reaches(broker_server, authority.issue_tls("w1", tmp_path / "w1", 1))
    assert not reaches(broker_server, None, authority.ca)
    stranger = Authority(tmp_path / "stranger")
    for tls in (stranger.boss(), stranger.issue_tls("w1", tmp_path / "forged", 1)):
        assert not reaches(broker_server, tls, authority.ca)
    past = Authority(authority.folder, lambda: time.time() - 7 * 3600)
    assert not reaches(broker_server, past.issue_tls("w1", tmp_path / "old", 1))
    future = Authority(authority.folder, lambda: time.time() + 7 * 3600)
    assert not reaches(broker_server, future.issue_tls("w1", tmp_path / "early", 1))
    server = authority.server(["127.0.0.1"])
    assert not reaches(broker_server, server)  # what a server shows is no log-in


def test_a_password_or_plain_words_open_nothing(broker_server: Daemon, authority: Authority) -> None:
    with socket.create_connection((broker_server.host, broker_server.port), timeout=10) as link:
        link.sendall(bytes([0x10, 15, 0, 4]) + b"MQTT" + bytes([5, 2, 0, 60, 0, 0, 2]) + b"ab")
        try:
            assert not link.recv(4).startswith(b"\x20")
        except ConnectionResetError:
            pass
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set(str(authority.ca))
    client.username_pw_set("boss", "boss")
    client.connect(broker_server.host, broker_server.port)
    while client.loop(0.1) == MQTTErrorCode.MQTT_ERR_SUCCESS:
        assert not client.is_connected()


def test_a_user_name_in_the_packet_does_not_count_beside_the_certificate(
    broker_server: Daemon, authority: Authority, boss: Client, tmp_path: Path
) -> None:
    tls = authority.issue_tls("w1", tmp_path / "w1", 1)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set(str(tls.ca), str(tls.certificate), str(tls.key))
    client.username_pw_set("boss", "x")
    client.connect(broker_server.host, broker_server.port)
    client.loop_start()
    eventually(client.is_connected)
    answers: queue.Queue[str] = queue.Queue()
    client.on_publish = lambda _c, _d, _m, reason, _p: answers.put(str(reason))
    client.publish(f"{BASE}/worker/w2/in", b"forged", 1)
    assert answers.get(timeout=10) == "Not authorized" and boss.heard.empty()
    client.disconnect()
    client.loop_stop()


def test_the_list_of_the_revoked_outlives_the_brokers_life(authority: Authority, tmp_path: Path) -> None:
    first = mosquitto(tmp_path / "mosquitto", authority, CLUSTER)
    first.start()
    ears = Ears(first, authority, tmp_path)
    tls = ears.make("ada")
    ears.known.revoke("ada")
    first.stop()
    second = mosquitto(tmp_path / "mosquitto", Authority(authority.folder), CLUSTER)
    second.start()
    try:
        assert not reaches(second, tls) and reaches(second, authority.issue_tls("w1", tmp_path / "w1", 1))
    finally:
        second.stop()
