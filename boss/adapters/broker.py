"""MQTT, seen from the boss: bytes from and to the workers, by paho on one thread of its own. Port ``Broker``.

Rules:
- Every call of paho happens on one thread, driven by ``selectors`` (paho's own loop uses select(), which fails silently above
  descriptor 1,023). Other threads append to a deque and ring, once per batch.
- A connection is one paho client from its CONNECT to its end: nothing queued in one life of it is sent in the next, for the
  reactor says everything again after BrokerConnected, which is put when the subscriptions are granted.
- While not connected, what is to be sent is dropped. paho never holds more than ``_WINDOW`` unacknowledged messages; the
  rest waits in the deque (paho walks its whole queue at each acknowledgement).
- Announcements are news and go at QoS 0; all else at QoS 1.
"""

import json
import logging
import os
import random
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from boss.adapters.certificates import TlsFiles
from boss.adapters.incoming import Incoming
from boss.core.events import BrokerConnected, BrokerDisconnected
from boss.ports import Put
from worker.protocol import (
    MAX_MESSAGE,
    SUPPORTED,
    Assign,
    LogChunk,
    ProtocolError,
    ToWorker,
    encode,
    topic_boss,
    topic_events,
    topic_in,
)

_KEEPALIVE = 10
_CONNECT_TIMEOUT = 5.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_LAST_WORDS_TIMEOUT = 1.0
#: Messages that are read before what waits is written: whoever only listens never answers, and is asked again.
_READS = 256
#: Unacknowledged messages that the boss has under way at once, if the broker allows as many.
_WINDOW = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outgoing:
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class MqttBroker:
    """The boss's link to any MQTT 5 broker with mutual TLS.

    ``tls.certificate`` is that of the account ``boss``. ``on_log(worker, chunk)`` gets the output of followed attempts on
    the broker's thread: it must only hand over. ``shut_out(worker)`` may take a worker's rights at the broker away, if it goes on and on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: TlsFiles,
        cluster: str,
        epoch: int,
        on_log: Callable[[str, LogChunk], None],
        shut_out: Callable[[str], None] = lambda worker: None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._cluster = cluster
        self._epoch = epoch
        self._online = json.dumps({"epoch": epoch, "online": True}).encode()
        self._offline = json.dumps({"epoch": epoch, "online": False}).encode()
        self._outgoing: deque[_Outgoing] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False
        self._stopping = False
        self._up: bool | None = None  # None: never tried
        self._put: Put = lambda _event: False
        self._thread: threading.Thread | None = None
        self._incoming = Incoming(on_log, shut_out, self._clear)

    def start(self, put: Put) -> None:
        """Connect, and keep connecting; puts BrokerConnected, BrokerDisconnected, WorkerSaid, WorkerStatusSeen."""
        self._put = put
        self._thread = threading.Thread(target=self._serve, name="broker", daemon=True)
        self._thread.start()

    def send(self, worker: str, message: ToWorker) -> None:
        """Publish to one worker; dropped while not connected, or when it is larger than a message may be (logged)."""
        if not self._up:
            return
        try:
            payloads = encode(message, self._incoming.versions.get(worker, SUPPORTED[0]))  # all workers read the older one
        except ProtocolError as error:
            if isinstance(message, Assign) and len(message.attempts) > 1:  # one that is too long must not hold the others back
                for attempt in message.attempts:
                    self.send(worker, message._replace(attempts=(attempt,)))
                return
            _log.error("a message to %s is not sent: %s", worker, error, extra={"worker": worker})
            return
        topic = topic_in(self._cluster, worker)
        self._outgoing.extend(_Outgoing(topic, payload) for payload in payloads)
        self._ring()

    def announce(self, kind: str, facts: Sequence[Mapping[str, object]]) -> None:
        """Publish facts as JSON lists on the topic of their kind; dropped while not connected."""
        if not self._up or not facts:
            return
        topic = f"{topic_events(self._cluster)}/{kind}"
        self._outgoing.extend(_Outgoing(topic, payload, qos=0) for payload in _lists(facts))
        self._ring()

    def stop(self) -> None:
        """Publish offline, disconnect and end the thread."""
        if self._thread is None:
            return
        self._stopping = True
        self._ring()
        self._thread.join()
        self._thread = None
        os.close(self._bell)

    def _ring(self) -> None:
        if not self._rung:  # the thread resets this before it empties the deque, so no message waits unnoticed
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def _serve(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping:
            begun = time.monotonic()
            try:
                reason = self._live()
            except Exception as error:  # a fault of ours: said loudly, and the link goes on
                _log.exception("the broker's thread stumbled")
                reason = f"internal error: {error}"
            pause = _FIRST_PAUSE if self._up and time.monotonic() - begun > _LONGEST_PAUSE else min(pause * 2, _LONGEST_PAUSE)
            self._tell(False, reason)
            self._outgoing.clear()
            self._rest(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    def _rest(self, seconds: float) -> None:
        """Wait before the next connection, unless the bell says that this is the end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            if not self._stopping and selector.select(seconds):
                self._hush()

    def _live(self) -> str:
        """One connection from beginning to end; returns why it ended."""
        account = f"ecloud-{self._cluster}-boss"  # the same for all lives: the broker lets a new boss push out an old one
        will = _Outgoing(topic_boss(self._cluster), self._offline, retain=True)
        connection = _Connection(self._host, self._port, self._tls, account, will, self._hear)
        self._incoming.begin()  # before anything is heard: what is kept comes with the answer to the subscription
        try:
            connection.open([*Incoming.topics(self._cluster), topic_boss(self._cluster)])
            with selectors.DefaultSelector() as selector:
                selector.register(self._bell, selectors.EVENT_READ)
                self._converse(connection, selector)
        except OSError as error:
            return f"{self._host}:{self._port}: {error}"
        finally:
            connection.close()
        return connection.ended

    def _converse(self, connection: "_Connection", selector: selectors.BaseSelector) -> None:
        while not self._stopping and connection.turn(selector):
            self._hush()
            if connection.subscribed and not self._up:
                connection.publish(_Outgoing(topic_boss(self._cluster), self._online, retain=True))
                self._tell(True)
            while self._outgoing and connection.has_room():
                connection.publish(self._outgoing.popleft())
            self._incoming.tell(self._put)
        if self._stopping and connection.subscribed:
            self._take_leave(connection, selector)

    def _take_leave(self, connection: "_Connection", selector: selectors.BaseSelector) -> None:
        """Send what waits, then say that this boss is gone: an orderly end sends no last will."""
        for last in [*self._outgoing, _Outgoing(topic_boss(self._cluster), self._offline, retain=True)]:
            connection.publish(last)
        deadline = time.monotonic() + _LAST_WORDS_TIMEOUT
        while connection.under_way and time.monotonic() < deadline and connection.turn(selector):
            self._hush()

    def _hush(self) -> None:
        if self._rung:
            self._rung = False
            try:
                os.eventfd_read(self._bell)
            except BlockingIOError:  # the flag was set, the ring itself is still to come
                return

    def _tell(self, up: bool, reason: str = "") -> None:
        """Put what changed; only changes are events."""
        if self._up == up:
            return
        self._up = up
        if up:
            _log.info("connected to the broker at %s:%d", self._host, self._port)
            self._put(BrokerConnected())
        elif not self._stopping:
            _log.warning("not connected to the broker: %s", reason)
            self._put(BrokerDisconnected(reason))

    def _clear(self, topic: str) -> None:
        """Take away what a worker has made the broker keep."""
        self._outgoing.append(_Outgoing(topic, b"", retain=True))

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        if topic != topic_boss(self._cluster):
            self._incoming.read(topic, payload, self._put, retained)
        elif payload and payload != self._online:
            self._correct(payload)

    def _correct(self, payload: bytes) -> None:
        """An old boss's late last will has spoiled the retained status: say it again, unless a newer boss said that."""
        try:
            epoch = json.loads(payload)["epoch"]
        except (ValueError, KeyError, TypeError):
            epoch = 0
        if isinstance(epoch, int) and epoch > self._epoch:
            _log.error("the broker knows a boss of epoch %d, this one has %d: is a second boss running?", epoch, self._epoch)
            return
        self._outgoing.append(_Outgoing(topic_boss(self._cluster), self._online, retain=True))


class _Connection:
    """One paho client from CONNECT to its end; used on the broker's thread only."""

    def __init__(
        self, host: str, port: int, tls: TlsFiles, client_id: str, will: _Outgoing, hear: Callable[[str, bytes, bool], None]
    ) -> None:
        self.subscribed = False
        self.under_way: set[int] = set()  #: what the broker has not acknowledged
        self.ended = "closed"
        self._host = host
        self._port = port
        self._tls = tls
        self._hear = hear
        self._topics: list[str] = []
        self._window = _WINDOW
        self._registered = 0
        self._more = False  # the TLS layer holds what was not read yet
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        client.connect_timeout = _CONNECT_TIMEOUT
        client.max_inflight_messages = 0  # the window is ours
        client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_socket_open = _send_at_once
        client.on_socket_register_write = _write_later
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        self._client = client

    def open(self, topics: Sequence[str]) -> None:
        """Connect (for five seconds at most) and ask for these topics. Raises OSError."""
        self._topics = list(topics)
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self._tls.ca))
        context.load_cert_chain(self._tls.certificate, self._tls.key)
        self._client.tls_set_context(context)
        self._client.connect(self._host, self._port, _KEEPALIVE, clean_start=True)

    def turn(self, selector: selectors.BaseSelector) -> bool:
        """Write what waits, wait for news for a second at most, read it; False when the connection has ended."""
        if self._client.want_write():
            self._client.loop_write()
        link = self._client.socket()
        if link is None:
            return False
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        if not self._registered:
            selector.register(link, wanted)
        elif self._registered != wanted:
            selector.modify(link, wanted)
        self._registered = wanted
        ready = selector.select(0.0 if self._more else 1.0)
        if self._more or any(key.fileobj is link for key, _ in ready):
            self._read_some(link)
        self._client.loop_misc()
        return self._client.socket() is not None

    def has_room(self) -> bool:
        """Whether another message may be under way."""
        return len(self.under_way) < self._window

    def publish(self, message: _Outgoing) -> None:
        """Queue one message; the next turn writes it."""
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if message.qos and info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.under_way.add(info.mid)

    def close(self) -> None:
        """Say goodbye, as far as the socket takes it, and close."""
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()

    def _read_some(self, link: Any) -> None:
        """Read until the TLS layer holds nothing, which no selector tells of, or until it is time that something is said in between."""
        self._more = True
        for _ in range(_READS):
            going = self._client.loop_read()
            if going != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None or not link.pending():
                self._more = False
                return

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.ended = f"refused: {reason}"
            return
        self._window = min(_WINDOW, getattr(properties, "ReceiveMaximum", _WINDOW))
        client.subscribe([(topic, SubscribeOptions(qos=1, retainAsPublished=True)) for topic in self._topics])

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        refused = [topic for topic, reason in zip(self._topics, reasons, strict=True) if reason.is_failure]
        if refused:
            self.ended = f"the broker refuses the subscription to {refused[0]}: has this account the rights of a boss?"
            self._client.disconnect()
        else:
            self.subscribed = True

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        if mid in self.under_way:
            self.under_way.remove(mid)
            if reason.is_failure:
                _log.error("the broker refused a message of the boss: %s", reason)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._hear(message.topic, bytes(message.payload), message.retain)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if self.ended == "closed":
            self.ended = str(reason)


def _send_at_once(_client: mqtt.Client, _data: Any, link: Any) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a hop takes 88 ms without


def _write_later(_client: mqtt.Client, _data: Any, _link: Any) -> None:
    """That this callback exists keeps paho from writing inside ``publish``; the turn writes all at once."""


def _lists(facts: Sequence[Mapping[str, object]]) -> list[bytes]:
    """The facts as JSON lists, none longer than a message may be; a single one that is longer is left out."""
    payload = json.dumps([dict(fact) for fact in facts], separators=(",", ":")).encode()
    if len(payload) <= MAX_MESSAGE:
        return [payload]
    if len(facts) == 1:
        _log.warning("an announcement of %d bytes is left out", len(payload))
        return []
    half = len(facts) // 2
    return _lists(facts[:half]) + _lists(facts[half:])
