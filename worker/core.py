"""The worker's brain: ``Core.handle(event, now) -> effects``. Pure: no clock, no chance, no input or output.

Rules:
- ``now`` is a monotonic clock in seconds. ``Turned`` ends each turn: only then attempts start, results are said, leases end.
- An attempt is started once in a session, whatever arrives twice or late; a repeat is answered by what is known of it.
- A message of a lower epoch than the highest one seen comes from a boss that was replaced: it is ignored.
- Cancelled is what the boss asked for, whatever the attempt itself came to meanwhile; only a result that is finished stands.
- Without an answer of its boss for a lease after its last work the worker leaves; what it holds extends that up to ``PATIENCE``.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Type

from worker import events as ev
from worker import protocol as wire
from worker.errands import Errands
from worker.ledger import Entry, Ledger, Left, Step
from worker.outbox import Outbox
from worker.protocol import Assignment, Result
from worker.slots import Claim, Slots

#: How long a worker that holds work or results lives without an answer of its boss, in seconds.
PATIENCE = 48 * 3600.0
#: The longest reason that travels in a result, in characters.
MAX_REASON = 1000


class Identity(NamedTuple):
    """Who says hello: this process's ``session``, its pid, and the software that it runs."""

    session: str
    pid: int = 0
    software: str = ""


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
    ) -> None:
        """``interval`` between heartbeats and ``lease`` in seconds until the boss says others; ``finished``: from the spool."""
        self._identity = identity
        self._slots = Slots(resources)
        self._ledger = Ledger()
        self._errands = Errands()
        self._outbox = Outbox(identity.session)
        self._interval, self._lease = interval, lease
        self._renewed = self._worked = self._beaten = now
        self._epoch = self._seq = self._running = 0
        self._connected, self._address = False, ""
        self._leaving = self._stopping = ""  # the reason, once there is one
        self._exited = False
        self._effects: List[ev.Effect] = []
        for result in finished:
            entry = self._ledger.enter(result.attempt)
            entry.result = result
            entry.advance(Step.FINISHED)

    def handle(self, event: ev.Event, now: float) -> List[ev.Effect]:
        """What to do about one event, in this order."""
        _ON_EVENT[type(event)](self, event, now)
        effects, self._effects = self._effects, []
        return effects

    def deadline(self) -> float:
        """When to come back with ``Turned`` at the latest, on the clock of ``now``."""
        beat = self._beaten + self._interval if self._connected else self._lease_end()
        return min(beat, self._lease_end(), self._errands.deadline(), self._outbox.deadline(self._connected))

    # ---- the link ------------------------------------------------------------------------------------------------

    def _on_connected(self, event: ev.Connected, now: float) -> None:
        self._connected, self._address = True, event.address
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
            resources=self._slots.total,
            held=self._ledger.held(),
            address=self._address,
            pid=self._identity.pid,
            software=self._identity.software,
            draining=bool(self._leaving),
        )
        self._wish(ev.Send(hello))
        self._beaten = now
        for entry in self._ledger.entries.values():
            self._tell(entry, now)

    def _tell(self, entry: Entry, now: float) -> None:
        """Say (again) what is known of an attempt: its result, or that it was started."""
        if entry.step is Step.FINISHED and entry.result is not None:
            self._outbox.repeat(entry.result, now)
        elif entry.step in (Step.RUNNING, Step.DELIVERING, Step.UNDELIVERED) and entry.started:
            self._outbox.began(entry.attempt, entry.started, now)

    # ---- messages of the boss --------------------------------------------------------------------------------------

    def _assign(self, message: wire.Assign, now: float) -> None:
        for assignment in message.attempts:
            attempt = assignment.attempt
            entry, left = self._ledger.entries.get(attempt), self._ledger.left(attempt)
            if entry is not None:
                self._tell(entry, now)
            elif left is Left.RECALLED or (left is None and (self._leaving or self._ledger.full(attempt))):
                self._give_back(attempt)
            elif left is None:
                self._take_on(assignment, now)

    def _take_on(self, assignment: Assignment, now: float) -> None:
        entry = self._ledger.enter(assignment.attempt, assignment)
        entry.needs = self._slots.needs(assignment.needs)
        lacking = self._slots.lacking(entry.needs)
        if lacking:
            self._finish(entry, Result(entry.attempt, "failed", "infrastructure", reason=lacking), now)
        elif assignment.inputs:
            self._errands.enqueue(entry.attempt)
        else:
            self._make_ready(entry)

    def _make_ready(self, entry: Entry) -> None:
        entry.advance(Step.READY)
        self._slots.enqueue(Claim(entry.number, entry.attempt, entry.needs))

    def _cancel(self, message: wire.Cancel, now: float) -> None:
        for attempt in message.attempts:
            left = self._ledger.left(attempt)
            if left is Left.RECALLED:
                self._give_back(attempt)
            elif left is None:
                entry = self._ledger.entries.get(attempt) or self._ledger.enter(attempt)
                self._cancel_entry(entry, message.reason or "cancelled", now)

    def _cancel_entry(self, entry: Entry, reason: str, now: float) -> None:
        repeated, entry.cancelled = bool(entry.cancelled), entry.cancelled or reason
        if entry.step in (Step.QUEUED, Step.READY):
            self._unqueue(entry)
            self._finish_cancelled(entry, None, now)
        elif entry.step is Step.UNDELIVERED:
            self._delivered(entry, entry.result or Result(entry.attempt, "cancelled"), now)
        elif entry.step in (Step.FETCHING, Step.DELIVERING):
            self._wish(ev.Halt(entry.attempt))
        elif entry.step is Step.FINISHED:
            self._tell(entry, now)
        elif not repeated:
            self._wish(ev.Kill(entry.attempt, reason))

    def _recall(self, message: wire.Recall, now: float) -> None:
        self._outbox.answer_recall()
        for attempt in message.attempts:
            entry = self._ledger.entries.get(attempt)
            if entry is not None:
                self._give_back_entry(entry)
            elif self._ledger.left(attempt) is not Left.ACKNOWLEDGED:
                self._give_back(attempt)

    def _acknowledge(self, message: wire.Acknowledge, now: float) -> None:
        forgotten = []
        for attempt in message.attempts:
            entry = self._ledger.entries.get(attempt)
            if entry is not None and entry.step is Step.FINISHED:
                self._outbox.forget(attempt)
                self._ledger.leave(attempt, Left.ACKNOWLEDGED)
                forgotten.append(attempt)
        if forgotten:
            self._worked = now
            self._wish(ev.Forget(tuple(forgotten)))

    def _renew(self, message: wire.Renew, now: float) -> None:
        self._interval, self._lease, self._renewed = message.interval, message.lease, now

    def _drain(self, message: wire.Drain, now: float) -> None:
        self._leaving = self._leaving or "drained by the boss"

    def _resync(self, message: wire.Resync, now: float) -> None:
        if self._connected:
            self._say_hello(now)

    def _follow(self, message: wire.Follow, now: float) -> None:
        if not message.on or message.attempt in self._ledger.entries:
            self._wish(ev.Follow(message.attempt, message.on))

    # ---- attempts ----------------------------------------------------------------------------------------------------

    def _on_fetched(self, event: ev.Fetched, now: float) -> None:
        entry = self._after_fetch(event.attempt, now)
        if entry is not None:
            self._errands.fetched += 1
            self._make_ready(entry)

    def _on_stage_failed(self, event: ev.StageFailed, now: float) -> None:
        held = self._ledger.entries.get(event.attempt)
        if held is not None and held.step is not Step.FETCHING:
            if held.step is Step.DELIVERING:
                self._delivery_failed(held, event, now)
            return
        entry = self._after_fetch(event.attempt, now)
        if entry is not None and event.final:
            self._finish(entry, Result(entry.attempt, "failed", event.phase, reason=event.reason), now)
        elif entry is not None:
            entry.advance(Step.QUEUED)
            self._postpone(entry, event.jitter, now)

    def _after_fetch(self, attempt: str, now: float) -> Optional[Entry]:
        """The entry whose fetch is over, unless it was given back or cancelled meanwhile (which is then done)."""
        self._errands.fetching -= 1
        entry = self._ledger.entries.get(attempt)
        if entry is None:
            self._wish(ev.Forget((attempt,)))
        elif entry.cancelled:
            self._finish_cancelled(entry, None, now)
            return None
        return entry

    def _on_began(self, event: ev.Began, now: float) -> None:
        entry = self._ledger.entries[event.attempt]
        entry.started = event.at
        self._tell(entry, now)

    def _on_ended(self, event: ev.Ended, now: float) -> None:
        entry, result = self._ledger.entries[event.attempt], event.result
        self._running -= 1
        self._slots.give(entry.needs)
        if self._stopping:
            self._finish(entry, result._replace(outcome="failed", phase="infrastructure", reason=self._stopping), now)
            return
        if entry.cancelled:
            result = result._replace(outcome="cancelled", phase="", reason=entry.cancelled)
        if _worth_delivering(entry.order, result):
            entry.tries = 0
            self._errands.delivering += 1
            entry.advance(Step.DELIVERING)
            self._deliver(entry, result)
        else:
            self._finish(entry, result, now)

    def _deliver(self, entry: Entry, result: Result) -> None:
        entry.result = result
        self._wish(ev.Deliver(entry.order, result))

    def _on_delivered(self, event: ev.Delivered, now: float) -> None:
        entry = self._ledger.entries.get(event.attempt)
        if entry is not None and entry.step is Step.DELIVERING:
            self._delivered(entry, event.result, now)

    def _delivery_failed(self, entry: Entry, event: ev.StageFailed, now: float) -> None:
        result = entry.result or Result(entry.attempt, "failed")
        if entry.cancelled:
            self._delivered(entry, result, now)
        elif not event.final:
            entry.advance(Step.UNDELIVERED)
            self._postpone(entry, event.jitter, now)
        elif result.outcome != "succeeded" or not entry.order.outputs:
            self._delivered(entry, result, now)  # only its long logs are lost; their tails are in the result
        else:
            failed = result._replace(outcome="failed", phase=event.phase, reason=event.reason, files=())
            if _worth_delivering(entry.order, failed):
                self._deliver(entry, failed)
            else:
                self._delivered(entry, failed, now)

    def _delivered(self, entry: Entry, result: Result, now: float) -> None:
        self._errands.delivering -= 1
        if entry.cancelled:
            self._finish_cancelled(entry, result, now)
        else:
            self._finish(entry, result, now)

    def _postpone(self, entry: Entry, jitter: float, now: float) -> None:
        self._errands.postpone(entry.attempt, entry.tries, jitter, now)
        entry.tries += 1

    def _finish_cancelled(self, entry: Entry, result: Optional[Result], now: float) -> None:
        result = result or Result(entry.attempt, "cancelled")
        self._finish(entry, result._replace(outcome="cancelled", phase="", reason=entry.cancelled, files=()), now)

    def _finish(self, entry: Entry, result: Result, now: float) -> None:
        entry.advance(Step.FINISHED)
        entry.result = _fitting(result)
        self._worked = now
        self._outbox.finished(entry.result, now)

    # ---- giving back and going ---------------------------------------------------------------------------------------

    def _give_back_entry(self, entry: Entry) -> None:
        """Give back an attempt if it was not started, unless it is already being cancelled."""
        if entry.step not in (Step.QUEUED, Step.FETCHING, Step.READY) or entry.cancelled:
            return
        self._unqueue(entry)
        self._wish(ev.Halt(entry.attempt) if entry.step is Step.FETCHING else ev.Forget((entry.attempt,)))
        self._give_back(entry.attempt)

    def _give_back(self, attempt: str) -> None:
        self._ledger.leave(attempt, Left.RECALLED)
        self._outbox.give_back(attempt)

    def _unqueue(self, entry: Entry) -> None:
        """Take an attempt out of those that wait for a start."""
        self._slots.withdraw(entry.attempt)
        if entry.step is Step.READY and entry.order.inputs:
            self._errands.fetched -= 1

    def _on_drain_asked(self, event: ev.DrainAsked, now: float) -> None:
        self._leaving = self._leaving or event.reason
        for entry in self._ledger.at(Step.QUEUED, Step.FETCHING, Step.READY):
            self._give_back_entry(entry)
        self._beaten = now - self._interval  # a heartbeat at once: the boss must know before it deals again

    def _on_stop_asked(self, event: ev.StopAsked, now: float) -> None:
        self._on_drain_asked(ev.DrainAsked(event.reason), now)
        self._stopping = self._stopping or event.reason
        for entry in self._ledger.at(Step.RUNNING):
            self._wish(ev.Kill(entry.attempt, event.reason, grace=False))
        for entry in self._ledger.at(Step.DELIVERING, Step.UNDELIVERED):
            self._wish(ev.Halt(entry.attempt))
            result = entry.result or Result(entry.attempt, "failed")
            self._finish(entry, result._replace(outcome="failed", phase="infrastructure", reason=event.reason, files=()), now)

    def _lease_end(self) -> float:
        if self._ledger.entries:
            return self._renewed + max(PATIENCE, self._lease)
        return max(self._renewed, self._worked) + self._lease

    # ---- the end of a turn -------------------------------------------------------------------------------------------

    def _on_turned(self, event: ev.Turned, now: float) -> None:
        if self._exited:
            return
        if now >= self._lease_end() and not self._stopping:
            self._on_stop_asked(ev.StopAsked("no answer of the boss for %.0f s" % (now - self._renewed)), now)
        self._run_errands(now)
        self._start()
        patient = self._slots.backlog > 0 and not self._stopping
        self._effects += self._outbox.speak(now, self._connected, patient)
        if self._connected and now >= self._beaten + self._interval:
            self._beat(now)
        self._leave()

    def _run_errands(self, now: float) -> None:
        for attempt in self._errands.due(now):
            entry = self._ledger.entries.get(attempt)
            if entry is not None and entry.step is Step.QUEUED:
                self._errands.enqueue(attempt)
            elif entry is not None and entry.step is Step.UNDELIVERED and entry.result is not None:
                entry.advance(Step.DELIVERING)
                self._deliver(entry, entry.result)
        attempt = self._errands.next_fetch()
        while attempt:
            entry = self._ledger.entries.get(attempt)
            if entry is not None and entry.step is Step.QUEUED:
                entry.advance(Step.FETCHING)
                self._errands.fetching += 1
                self._wish(ev.Fetch(entry.order))
            attempt = self._errands.next_fetch()

    def _start(self) -> None:
        if self._stopping or self._errands.congested:
            return
        for attempt in self._slots.admit():
            entry = self._ledger.entries[attempt]
            self._unqueue(entry)
            entry.advance(Step.RUNNING)
            self._running += 1
            self._wish(ev.Start(entry.order))

    def _beat(self, now: float) -> None:
        self._beaten = now
        who, held = self._identity.session, self._ledger.held()
        self._wish(ev.Send(wire.Heartbeat(who, self._epoch, self._seq, held, draining=bool(self._leaving))))

    def _leave(self) -> None:
        empty = not self._ledger.entries
        if self._exited or not ((self._leaving and empty) or (self._stopping and not self._running and not self._outbox.unkept)):
            return
        if self._connected and empty:
            self._wish(ev.Send(wire.Goodbye(self._identity.session, self._leaving)))
        self._exited = True
        self._wish(ev.Exit(self._stopping or self._leaving))

    def _wish(self, effect: ev.Effect) -> None:
        self._effects.append(effect)


def _worth_delivering(assignment: Assignment, result: Result) -> bool:
    """Whether the datastore has to be visited: outputs of a success, or logs longer than their tails."""
    has_outputs = bool(assignment.outputs) and result.outcome == "succeeded"
    return has_outputs or max(result.stdout_size, result.stderr_size) > wire.MAX_TAIL


def _fitting(result: Result) -> Result:
    """A result that surely fits into a message: a long reason is cut, a long manifest is left to the datastore's record."""
    if len(result.reason) > MAX_REASON:
        result = result._replace(reason=result.reason[: MAX_REASON - 3] + "...")
    if result.files and sum(len(path.encode("utf-8", "replace")) + 100 for path, _, _ in result.files) > wire.MAX_MESSAGE // 2:
        result = result._replace(files=None)
    return result


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
}
