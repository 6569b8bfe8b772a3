"""The worker's link to the broker: paho on the main loop's ``selectors``, bytes to and from protocol.

Rules:
- A connection is one paho client from its CONNECT to its end: nothing queued in one life of it is sent in the next. While the
  link is down nothing is handed to paho: the hello after the next connect says everything again.
- Connecting blocks (name look-up, TLS), so each attempt has a thread of its own, which then hands the client over; after
  that it is used on the main thread only, by ``loop_read``, ``loop_write`` and ``loop_misc``.
- TCP_NODELAY, or a hop takes 88 ms. What the TLS layer holds no selector tells of: reading goes on until it holds nothing.
- The status topic is retained: ``online`` once the subscription is granted, ``offline`` at the end and as the last will.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import logging
import random
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, List, Optional, Tuple, cast, get_args

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from worker import events as ev
from worker import protocol as wire
from worker.terms import BrokerConfig

_LOG = logging.getLogger("worker")
#: The broker counts us out after one and a half of these, and we it, in seconds.
KEEPALIVE = 10
#: How long connecting may take, and then the broker's answers, in seconds.
CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 10.0
#: First and longest pause before the next try to connect, in seconds; each is shortened by chance to as little as half.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
#: A connection that lasted this long makes the next pause the first one again, in seconds.
STABLE = 5.0
#: How often paho looks at its keep-alive, in seconds.
_UPKEEP = 1.0
#: Unacknowledged messages that may be under way at once, if the broker allows as many.
_WINDOW = 1000

_TO_WORKER: Tuple[type, ...] = get_args(wire.ToWorker)


class Link:
    """Keeps one worker connected. All methods are for the main thread; ``service`` belongs to each turn of its loop."""

    def __init__(
        self, broker: BrokerConfig, cluster: str, worker: str, selector: selectors.BaseSelector, wake: Callable[[], None]
    ) -> None:
        """``selector`` gets the socket, with ``on_ready`` as its data; ``wake`` is called from the connecting thread."""
        self._broker = broker
        self._cluster = cluster
        self._worker = worker
        self._selector = selector
        self._wake = wake
        self._dialling = False
        self._dialled: List[_Connection] = []
        self._connection: Optional[_Connection] = None
        self._told = False
        self._pause = FIRST_PAUSE
        self._next_dial = 0.0

    def service(self, now: float) -> List[ev.Event]:
        """Take over what has connected, dial when it is time, keep alive; what has happened, in order. ``now``: monotonic."""
        events: List[ev.Event] = []
        if self._dialled:
            self._dialling = False
            self._take_over(self._dialled.pop(), now)
        connection = self._connection
        if connection is not None:
            if connection.subscribed and not self._told:
                self._told = True
                _LOG.info("connected to the broker at %s:%d", self._broker.host, self._broker.port)
                connection.publish(self._status, b"online", retain=True)
                events.append(ev.Connected(connection.address))
            connection.keep_up(now)
            events += connection.heard()
            if connection.over:
                events += self._lose(connection, now)
        elif not self._dialling and now >= self._next_dial:
            self._dialling = True
            threading.Thread(target=self._dial, name="dial", daemon=True).start()
        return events

    def deadline(self) -> float:
        """When to call ``service`` at the latest."""
        if self._connection is not None:
            return self._connection.upkeep
        return float("inf") if self._dialling else self._next_dial

    def on_ready(self, mask: int) -> None:
        """The socket is ready: read what has arrived. (Writing is ``flush``'s.)"""
        if self._connection is not None and mask & selectors.EVENT_READ:
            self._connection.read()

    def send(self, message: wire.ToBoss) -> None:
        """Say something to the boss; dropped while the link is down. Raises ProtocolError for what cannot be said."""
        topic = wire.topic_out(self._cluster, self._worker)
        if isinstance(message, wire.LogChunk):
            topic = wire.topic_log(self._cluster, self._worker, message.attempt)
        if self._connection is not None and self._told:
            for payload in wire.encode(message):
                self._connection.publish(topic, payload)

    def flush(self) -> None:
        """Write what was said, as far as the socket takes it, and have the selector watch for the rest."""
        if self._connection is not None:
            self._connection.flush()

    def leave(self, timeout: float) -> None:
        """Say ``offline``, wait (for so many seconds at most) until everything has arrived at the broker, and disconnect."""
        connection = self._connection
        if connection is None:
            return
        if self._told:
            connection.publish(self._status, b"offline", retain=True)
        end = time.monotonic() + timeout
        while connection.under_way and not connection.over and time.monotonic() < end:
            connection.flush()
            for key, mask in self._selector.select(max(0.0, end - time.monotonic())):
                if key.data == self.on_ready:
                    self.on_ready(mask)
        connection.close()
        self._connection = None

    @property
    def _status(self) -> str:
        return wire.topic_status(self._cluster, self._worker)

    def _dial(self) -> None:
        """Make a connection, or one that is over at once. Runs in a thread of its own."""
        connection = _Connection(self._broker, self._cluster, self._worker)
        connection.open()
        self._dialled.append(connection)
        self._wake()

    def _take_over(self, connection: "_Connection", now: float) -> None:
        if connection.over:
            self._lose(connection, now)
        else:
            self._connection = connection
            connection.attach(self._selector, self.on_ready, now)

    def _lose(self, connection: "_Connection", now: float) -> List[ev.Event]:
        """Plan the next try after a connection has ended, or was never made."""
        connection.close()
        if self._told and now - connection.begun > STABLE:
            self._pause = FIRST_PAUSE
        wait = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 (jitter)
        _LOG.warning("no link to the broker at %s:%d: %s", self._broker.host, self._broker.port, connection.over)
        self._next_dial = now + wait
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
        was_told, self._told, self._connection = self._told, False, None
        return [ev.Disconnected()] if was_told else []


class _Connection:
    """One paho client from CONNECT to its end. ``over`` is why it has ended, empty while it lives."""

    def __init__(self, broker: BrokerConfig, cluster: str, worker: str) -> None:
        self.over = ""
        self.subscribed = False
        self.address = ""
        self.begun = self.upkeep = 0.0
        self._broker = broker
        self._topic = wire.topic_in(cluster, worker)
        self._heard: List[ev.Event] = []
        self._waiting: Deque[Tuple[str, bytes, bool]] = deque()
        self._unanswered, self._window = 0, 1
        self._selector: Optional[selectors.BaseSelector] = None
        self._watched = 0
        self._on_ready: Any = None
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "ecloud-%s-%s" % (cluster, worker), protocol=mqtt.MQTTv5)
        client.connect_timeout = CONNECT_TIMEOUT
        client.max_inflight_messages_set(0)  # the window is ours: paho walks its whole queue at each answer
        client.will_set(wire.topic_status(cluster, worker), b"offline", 1, True)
        client.on_socket_open = _send_at_once
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = _write_later
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        self._client = client

    def open(self) -> None:
        """Connect, up to the CONNECT packet; ``over`` says why that failed."""
        broker = self._broker
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=broker.ca)
            context.load_cert_chain(broker.certificate, broker.key)
            self._client.tls_set_context(context)
            self._client.connect(broker.host, broker.port, KEEPALIVE, clean_start=True)
        except (OSError, ValueError) as error:  # also TLS and name errors; ValueError: a host that no name can be
            self.over = str(error) or type(error).__name__

    def attach(self, selector: selectors.BaseSelector, on_ready: Callable[[int], None], now: float) -> None:
        """Take over on the main thread: from now on the selector watches the socket."""
        self._selector, self._on_ready = selector, on_ready
        self.begun = self.upkeep = now
        link = self._client.socket()
        if link is None:
            self.over = self.over or "closed at once"
            return
        self.address = str(cast(Any, link).getsockname()[0])
        self.flush()

    def keep_up(self, now: float) -> None:
        """Ping when it is time; give up a broker that does not answer."""
        if now < self.upkeep:
            return
        self.upkeep = now + _UPKEEP
        self._client.loop_misc()
        if not self.subscribed and now - self.begun > ANSWER_TIMEOUT:
            self.over = self.over or "the broker does not answer"

    def heard(self) -> List[ev.Event]:
        """The messages that have arrived since the last call."""
        heard, self._heard = self._heard, []
        return heard

    @property
    def under_way(self) -> bool:
        """Whether anything is not at the broker yet, or was not acknowledged by it."""
        return bool(self._waiting) or self._unanswered > 0

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Queue one message at QoS 1; ``flush`` writes it."""
        self._waiting.append((topic, payload, retain))

    def read(self) -> None:
        """Read until nothing is left, in the socket's TLS layer either."""
        going = self._client.loop_read()
        link: Any = self._client.socket()
        while going == MQTTErrorCode.MQTT_ERR_SUCCESS and link is not None and link.pending():
            going = self._client.loop_read()
            link = self._client.socket()

    def flush(self) -> None:
        """Write what is queued, and watch for writability only while something is left."""
        while self._waiting and self._unanswered < self._window:
            topic, payload, retain = self._waiting.popleft()
            if self._client.publish(topic, payload, 1, retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._unanswered += 1
        if self._client.want_write():
            self._client.loop_write()
        link: Any = self._client.socket()
        if link is None or self._selector is None:
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        if not self._watched:
            self._selector.register(link, wanted, self._on_ready)
        elif wanted != self._watched:
            self._selector.modify(link, wanted, self._on_ready)
        self._watched = wanted

    def close(self) -> None:
        """Disconnect in good order as far as the socket takes it at once."""
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()

    def _on_socket_close(self, _client: Any, _data: Any, link: Any) -> None:
        if self._watched and self._selector is not None:
            self._selector.unregister(link)
            self._watched = 0

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.over = "refused: %s" % reason
            return
        self._window = min(_WINDOW, getattr(properties, "ReceiveMaximum", _WINDOW))
        client.subscribe(self._topic, options=SubscribeOptions(qos=1))

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: List[Any], _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self.over = "the broker refuses the subscription to %s: %s" % (self._topic, refused[0])
        self.subscribed = not refused

    def _on_publish(self, _client: Any, _data: Any, _mid: int, reason: Any, _properties: Any) -> None:
        self._unanswered -= 1
        if reason.is_failure:
            _LOG.error("the broker refused a message: %s", reason)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            decoded = wire.decode(bytes(message.payload))
        except wire.ProtocolError as error:
            _LOG.error("a message of the boss is dropped: %s", error)
            return
        if isinstance(decoded, _TO_WORKER):
            self._heard.append(ev.Heard(cast(wire.ToWorker, decoded)))
        else:
            _LOG.error("a message is dropped: %s is nothing that a boss says", type(decoded).__name__)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.over = self.over or "disconnected: %s" % reason


def _send_at_once(_client: Any, _data: Any, link: Any) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _write_later(_client: Any, _data: Any, _link: Any) -> None:
    """That this callback exists keeps paho from writing inside ``publish``: ``flush`` writes once a turn."""
