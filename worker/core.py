"""The worker's brain: ``Core.handle(event, now) -> effects``. Pure: no clock, no chance, no input or output.

Rules:
- ``now`` is a monotonic clock in seconds. ``Turned`` ends each turn: only then attempts start, results are said, leases end.
- A message of a lower epoch than the highest one seen comes from a boss that was replaced: it is ignored.
- Without an answer of its boss for a lease after its last work the worker leaves; what it holds extends that up to its
  longest lease, counted from that answer; nothing extends that.
- Drained by its boss, a worker finishes all that it was given; told to go by its machine, it gives back what it has not started
  and does not wait for ever until its last results are acknowledged: they are in the spool.

What becomes of each attempt is told in ``attempts``, what is said when in ``outbox``.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Type

from worker import events as ev
from worker import protocol as wire
from worker.attempts import Attempts
from worker.beat import Beat
from worker.outbox import Outbox
from worker.protocol import SILENCE, Result
from worker.renewal import Renewal

#: How long a worker that holds work or results lives without an answer of its boss, in seconds, if it is not told otherwise.
PATIENCE = 48 * 3600.0
#: How long one that was told to go by its machine waits for the acknowledgement of its last results, in seconds.
LAST_WAIT = 30.0
#: How many attempts that cannot be delivered are named in one heartbeat.
MAX_UNDELIVERED = 500


class Identity(NamedTuple):
    """Who says hello: this process's ``session``, its pid, the software that it runs, and what its tasks are held to."""

    session: str
    pid: int = 0
    software: str = ""
    confinement: Mapping[str, str] = {}  # never mutated


class Core:
    """The state of one worker process and the rules about it."""

    def __init__(
        self,
        identity: Identity,
        resources: Mapping[str, float],
        interval: float,
        lease: float,
        now: float,
        finished: Sequence[Result] = (),
        longest: float = PATIENCE,
        renewal: Optional[Renewal] = None,
        heard: Optional[float] = None,
    ) -> None:
        """``interval`` between heartbeats and ``lease`` in seconds until the boss says others; ``finished`` is from the spool.

        ``longest`` bounds the lease of one that holds work, ``renewal`` is of certificates that have to be renewed; ``heard`` is when
        an earlier process of this worker has heard the boss last: leases go on from there.
        """
        self._identity = identity
        self._effects: List[ev.Effect] = []
        self._outbox = Outbox(identity.session)
        self._attempts = Attempts(resources, self._outbox, self._wish)
        self._attempts.restore(finished)
        self._beat = Beat(interval, now)
        self._lease, self._longest = lease, longest
        self._renewal = renewal
        self._renewed = self._attempts.worked = now if heard is None else min(now, heard)
        self._epoch = self._seq = 0
        self._connected, self._address = False, ""
        self._leaving = self._stopping = ""  # the reason, once there is one
        self._asked_to_go = float("inf")  # when its machine did so
        self._exited = False

    def handle(self, event: ev.Event, now: float) -> List[ev.Effect]:
        """What to do about one event, in this order."""
        _ON_EVENT[type(event)](self, event, now)
        effects, self._effects = self._effects, []
        return effects

    def deadline(self) -> float:
        """When to come back with ``Turned`` at the latest, on the clock of ``now``."""
        beat = self._beat.deadline(self._attempts.restless) if self._connected else float("inf")
        end = min(self.lease_end(), self._last_wait_end())
        certificates = self._renewal.deadline() if self._renewal is not None else float("inf")
        deposits = self._attempts.deposits.deadline(self._silent_at())
        return min(beat, end, certificates, deposits, self._attempts.deadline(), self._outbox.deadline(self._connected))

    @property
    def heard(self) -> float:
        """When the boss has answered last, on the clock of ``now``; at first the start."""
        return self._renewed

    def lease_end(self) -> float:
        """Until when this worker lives if nothing more is heard, on the clock of ``now``."""
        longest = self._renewed + max(self._longest, self._lease)
        if self._attempts.ledger.entries:
            return longest
        return min(longest, max(self._renewed, self._attempts.worked) + self._lease)

    # ---- the link ----------------------------------------------------------------------------------------------------

    def _on_connected(self, event: ev.Connected, now: float) -> None:
        self._connected, self._address = True, event.address
        if self._renewal is not None:
            self._renewal.connected(now)
        self._say_hello(now)

    def _on_disconnected(self, event: ev.Disconnected, now: float) -> None:
        self._connected = False

    def _on_heard(self, event: ev.Heard, now: float) -> None:
        message = event.message
        if message.epoch < self._epoch:
            return
        if message.epoch > self._epoch:
            self._epoch, self._seq = message.epoch, 0
        self._seq = max(self._seq, message.seq)
        _ON_MESSAGE[type(message)](self, message, now)

    def _say_hello(self, now: float) -> None:
        """Tell all that is held, then all starts and results again."""
        hello = wire.Hello(
            session=self._identity.session,
            epoch=self._epoch,
            seq=self._seq,
            resources=self._attempts.slots.total,
            held=self._attempts.ledger.held(),
            address=self._address,
            pid=self._identity.pid,
            software=self._identity.software,
            draining=bool(self._leaving),
            confinement=dict(self._identity.confinement),
        )
        self._wish(ev.Send(hello))
        self._beat.said(now)
        self._attempts.tell_all(now)

    # ---- messages of the boss ----------------------------------------------------------------------------------------

    def _assign(self, message: wire.Assign, now: float) -> None:
        for assignment in message.attempts:
            self._attempts.assign(assignment, now)

    def _cancel(self, message: wire.Cancel, now: float) -> None:
        for attempt in message.attempts:
            self._attempts.cancel(attempt, message.reason or "cancelled", now)

    def _recall(self, message: wire.Recall, now: float) -> None:
        self._outbox.answer_recall()
        for attempt in message.attempts:
            self._attempts.recall(attempt)

    def _acknowledge(self, message: wire.Acknowledge, now: float) -> None:
        self._attempts.acknowledge(message.attempts, now)

    def _renew(self, message: wire.Renew, now: float) -> None:
        self._beat.keep(message.interval)
        self._lease, self._renewed = message.lease, now

    def _drain(self, message: wire.Drain, now: float) -> None:
        self._close("drained by the boss")

    def _resync(self, message: wire.Resync, now: float) -> None:
        if self._connected:
            self._say_hello(now)

    def _follow(self, message: wire.Follow, now: float) -> None:
        if not message.on or message.attempt in self._attempts.ledger.entries:
            self._wish(ev.Follow(message.attempt, message.on))

    def _certified(self, message: wire.Certified, now: float) -> None:
        if self._renewal is not None and message.lifetime > 0:
            self._renewal.lasts(now, now + message.lifetime)
            self._wish(ev.Install(message))

    # ---- attempts ----------------------------------------------------------------------------------------------------

    def _on_fetched(self, event: ev.Fetched, now: float) -> None:
        self._attempts.fetched(event.attempt, now)

    def _on_stage_failed(self, event: ev.StageFailed, now: float) -> None:
        self._attempts.stage_failed(event, now)

    def _on_began(self, event: ev.Began, now: float) -> None:
        self._attempts.began(event.attempt, event.at, now)

    def _on_ended(self, event: ev.Ended, now: float) -> None:
        self._attempts.ended(event.result, now)

    def _on_delivered(self, event: ev.Delivered, now: float) -> None:
        self._attempts.delivered(event.result, now)

    # ---- going -------------------------------------------------------------------------------------------------------

    def _on_drain_asked(self, event: ev.DrainAsked, now: float) -> None:
        self._close(event.reason)
        self._asked_to_go = min(self._asked_to_go, now)
        self._attempts.give_back_unstarted()
        self._beat.hurry(now)  # the boss must know before it deals again

    def _on_stop_asked(self, event: ev.StopAsked, now: float) -> None:
        self._close(event.reason)
        self._stopping = self._stopping or event.reason
        self._attempts.stop(event.reason, now)

    def _close(self, reason: str) -> None:
        self._leaving = self._leaving or reason
        self._attempts.closed = True

    def _silent_at(self) -> float:
        """When the boss counts as off."""
        return self._renewed + SILENCE * self._lease

    def _last_wait_end(self) -> float:
        """When to leave without the last acknowledgements; infinite while anything else is to be done here."""
        if self._asked_to_go == float("inf") or self._attempts.busy:
            return float("inf")
        return max(self._asked_to_go, self._attempts.worked) + LAST_WAIT

    def _on_rejoined(self, event: ev.Rejoined, now: float) -> None:
        if self._renewal is not None:
            self._renewal.lasts(now, now + event.lifetime)

    # ---- the end of a turn -------------------------------------------------------------------------------------------

    def _on_turned(self, event: ev.Turned, now: float) -> None:
        if self._exited:
            return
        if now >= self.lease_end() and not self._stopping:
            self._on_stop_asked(ev.StopAsked("no answer of the boss for %.0f s" % (now - self._renewed)), now)
        self._attempts.proceed(now)
        if now >= self._silent_at() and not self._stopping:
            self._attempts.deposits.send(now)
        patient = self._attempts.slots.backlog > 0 and not self._stopping
        self._effects += self._outbox.speak(now, self._connected, patient)
        if self._connected and self._beat.due(now, lambda told: self._has_news(told, now)):
            self._say_alive(now)
        if self._renewal is not None:
            self._effects += self._renewal.ask(self._identity.session, self._connected, now)
        self._leave(now)

    def _say_alive(self, now: float) -> None:
        held = self._attempts.ledger.held()
        beat = wire.Heartbeat(self._identity.session, self._epoch, self._seq, held, draining=bool(self._leaving))
        beat = self._with_trouble(beat)
        self._beat.beaten(beat, now)
        self._wish(ev.Send(beat))

    def _with_trouble(self, beat: wire.Heartbeat) -> wire.Heartbeat:
        """The heartbeat, with what cannot be delivered as things are."""
        stuck = self._attempts.undelivered()[:MAX_UNDELIVERED]
        if not stuck:
            return beat._replace(undelivered=(), trouble="", full=False)
        worst = next((entry for entry in stuck if entry.full), stuck[-1])
        return beat._replace(undelivered=tuple(entry.attempt for entry in stuck), trouble=worst.trouble, full=worst.full)

    def _has_news(self, told: wire.Heartbeat, now: float) -> bool:
        """Whether the boss should hear of more than this heartbeat has told."""
        return self._attempts.kept_waiting(now) or self._with_trouble(told) != told

    def _leave(self, now: float) -> None:
        """Leave when nothing is held; when stopped, as soon as nothing runs and all results are kept."""
        empty = not self._attempts.ledger.entries
        stopped = self._stopping and not self._attempts.running and not self._outbox.unkept
        if not stopped and not (self._leaving and empty) and now < self._last_wait_end():
            return
        if self._connected and empty:
            self._wish(ev.Send(wire.Goodbye(self._identity.session, self._leaving)))
        self._exited = True
        self._wish(ev.Exit(self._stopping or self._leaving))

    def _wish(self, effect: ev.Effect) -> None:
        self._effects.append(effect)


_ON_EVENT: Dict[Type[Any], Callable[[Core, Any, float], None]] = {
    ev.Connected: Core._on_connected,
    ev.Disconnected: Core._on_disconnected,
    ev.Heard: Core._on_heard,
    ev.Began: Core._on_began,
    ev.Ended: Core._on_ended,
    ev.Fetched: Core._on_fetched,
    ev.Delivered: Core._on_delivered,
    ev.StageFailed: Core._on_stage_failed,
    ev.DrainAsked: Core._on_drain_asked,
    ev.StopAsked: Core._on_stop_asked,
    ev.Rejoined: Core._on_rejoined,
    ev.Turned: Core._on_turned,
}
_ON_MESSAGE: Dict[Type[Any], Callable[[Core, Any, float], None]] = {
    wire.Assign: Core._assign,
    wire.Cancel: Core._cancel,
    wire.Recall: Core._recall,
    wire.Acknowledge: Core._acknowledge,
    wire.Renew: Core._renew,
    wire.Drain: Core._drain,
    wire.Resync: Core._resync,
    wire.Follow: Core._follow,
    wire.Certified: Core._certified,
}
