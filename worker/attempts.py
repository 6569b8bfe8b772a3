"""What becomes of each attempt on this worker, from the assignment to the acknowledgement. Pure.

    given -> (inputs fetched) -> started when there is room -> ended -> (outputs, long logs delivered) -> finished -> acknowledged

Rules:
- An attempt is started once in a session, whatever arrives twice or late; a repeat is answered by what is known of it.
- Cancelled is what the boss asked for, whatever the attempt itself came to meanwhile; only a result that is finished stands.
- Room is free again as soon as the process has ended: deliveries go on beside the next attempts.
- Logs that cannot be stored never change a result: their tails are in it.
- What fails outside its command (inputs, start, outputs, this machine) says why in the last line of its stderr, like a command does.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Callable, List, Mapping, Optional, Sequence

from worker import events as ev
from worker import protocol as wire
from worker.deposits import Deposits
from worker.errands import Errands
from worker.ledger import Entry, Ledger, Left, Step
from worker.outbox import Outbox
from worker.protocol import Assignment, Result
from worker.slots import Claim, Slots
from worker.trust import VERIFIES

#: The longest reason that travels in a result, in characters.
MAX_REASON = 1000

#: How long an attempt may wait for its start before that is news to the boss, in seconds.
PATIENCE = 2.0

_WAITING = (Step.QUEUED, Step.READY)
_UNSTARTED = (Step.QUEUED, Step.FETCHING, Step.READY)
_UNFINISHED_RUNS = (Step.RUNNING, Step.DELIVERING, Step.UNDELIVERED)


class Attempts:
    """All attempts that this worker holds. ``now`` is monotonic seconds; what is to be done goes to ``wish``."""

    def __init__(self, resources: Mapping[str, float], outbox: Outbox, wish: Callable[[ev.Effect], None]) -> None:
        self.slots = Slots(resources)
        self._verifies = VERIFIES in resources  # then each attempt goes through the stage, which has it verified
        self.ledger = Ledger()
        self.worked = 0.0  #: when the last attempt was finished or acknowledged
        self.running = 0
        self.closed = False  #: nothing new is taken
        self.deposits = Deposits(wish)
        self._errands = Errands()
        self._outbox = outbox
        self._wish = wish
        self._stopped = ""  # why everything is to end, once it is

    def restore(self, results: Sequence[Result]) -> None:
        """Enter the unacknowledged results of an earlier life of this worker."""
        for result in results:
            entry = self.ledger.enter(result.attempt)
            entry.result = result
            entry.advance(Step.FINISHED)

    def tell_all(self, now: float) -> None:
        """Say all starts and results again."""
        for entry in self.ledger.entries.values():
            self._tell(entry, now)

    # ---- what the boss wants -----------------------------------------------------------------------------------------

    def assign(self, assignment: Assignment, now: float) -> None:
        """Take an attempt on; a repeat is answered, and one that cannot be taken is given back."""
        attempt = assignment.attempt
        entry, left = self.ledger.entries.get(attempt), self.ledger.left(attempt)
        if entry is not None:
            self._tell(entry, now)
        elif left is Left.RECALLED or (left is None and (self.closed or self.ledger.full(attempt))):
            self._give_back(attempt)
        elif left is None:
            self._take_on(assignment, now)

    def cancel(self, attempt: str, reason: str, now: float) -> None:
        """End an attempt, or see to it that it never starts."""
        left = self.ledger.left(attempt)
        if left is Left.RECALLED:
            self._give_back(attempt)
        elif left is None:
            self._cancel(self.ledger.entries.get(attempt) or self.ledger.enter(attempt), reason, now)

    def recall(self, attempt: str) -> None:
        """Give an attempt back, if it was not started."""
        entry = self.ledger.entries.get(attempt)
        if entry is not None:
            self._give_back_entry(entry)
        elif self.ledger.left(attempt) is not Left.ACKNOWLEDGED:
            self._give_back(attempt)

    def acknowledge(self, attempts: Sequence[str], now: float) -> None:
        """Forget the results that the boss has."""
        forgotten = []
        for attempt in attempts:
            entry = self.ledger.entries.get(attempt)
            if entry is not None and entry.step is Step.FINISHED:
                self._outbox.forget(attempt)
                self.deposits.forget(attempt)
                self.ledger.leave(attempt, Left.ACKNOWLEDGED)
                forgotten.append(attempt)
        if forgotten:
            self.worked = now
            self._wish(ev.Forget(tuple(forgotten)))

    # ---- what has happened -------------------------------------------------------------------------------------------

    def fetched(self, attempt: str, now: float) -> None:
        """Its inputs are there."""
        entry = self._after_fetch(attempt, now)
        if entry is not None:
            self._errands.fetched += 1
            self._make_ready(entry)

    def stage_failed(self, event: ev.StageFailed, now: float) -> None:
        """Its inputs could not be had, or its outputs not be sent."""
        if self.deposits.failed(event.attempt, event.final, now):
            return
        held = self.ledger.entries.get(event.attempt)
        if held is not None and held.step is Step.DELIVERING:
            self._delivery_failed(held, event, now)
        elif held is None or held.step is Step.FETCHING:
            self._fetch_failed(event, now)

    def began(self, attempt: str, at: float, now: float) -> None:
        """Its process was started."""
        entry = self.ledger.entries[attempt]
        entry.started = at
        self._tell(entry, now)

    def ended(self, result: Result, now: float) -> None:
        """Its process has ended, or could not be started."""
        entry = self.ledger.entries[result.attempt]
        self.running -= 1
        self.slots.give(entry.needs)
        if self._stopped:
            self._finish_stopped(entry, result, now)
            return
        if entry.cancelled:
            result = result._replace(outcome="cancelled", phase="", reason=entry.cancelled)
        if _worth_delivering(entry.order, result):
            entry.advance(Step.DELIVERING)
            entry.tries = 0
            self._errands.delivering += 1
            self._deliver(entry, result)
        else:
            self._finish(entry, result, now)

    def delivered(self, result: Result, now: float) -> None:
        """Its outputs and long logs, or its deposit, are at the datastore."""
        self.deposits.arrived(result.attempt)
        entry = self.ledger.entries.get(result.attempt)
        if entry is not None and entry.step is Step.DELIVERING:
            self._end_delivery(entry, result, now)

    # ---- the end of a turn, and the end ------------------------------------------------------------------------------

    def proceed(self, now: float) -> None:
        """Send out what is due to be fetched or delivered, and start what fits."""
        for attempt in self._errands.due(now):
            entry = self.ledger.entries.get(attempt)
            if entry is not None and entry.step is Step.QUEUED:
                self._errands.enqueue(attempt)
            elif entry is not None and entry.step is Step.UNDELIVERED and entry.result is not None:
                entry.advance(Step.DELIVERING)
                self._deliver(entry, entry.result)
        attempt = self._errands.next_fetch()
        while attempt:
            entry = self.ledger.entries.get(attempt)
            if entry is not None and entry.step is Step.QUEUED:
                entry.advance(Step.FETCHING)
                self._errands.fetching += 1
                self._wish(ev.Fetch(entry.order))
            attempt = self._errands.next_fetch()
        if self.slots.backlog and not self._errands.congested:
            self._start()

    def undelivered(self) -> List[Entry]:
        """Attempts that have ended and whose delivery met trouble, those included that are being tried again."""
        return [entry for entry in self.ledger.at(Step.DELIVERING, Step.UNDELIVERED) if entry.trouble]

    def kept_waiting(self, now: float) -> bool:
        """Whether an attempt has waited so long for a start that the boss would rather have it back."""
        return any(entry.step in _WAITING and now - entry.given > PATIENCE for entry in self.ledger.entries.values())

    @property
    def restless(self) -> bool:
        """Whether there may soon be news of an attempt that no message of its own will tell."""
        return bool(self.slots.backlog) or self._errands.any

    @property
    def busy(self) -> bool:
        """Whether anything is held but finished results."""
        return any(entry.step is not Step.FINISHED for entry in self.ledger.entries.values())

    def deadline(self) -> float:
        """When to ``proceed`` at the latest, if nothing happens; infinite when nothing waits for a time."""
        return self._errands.deadline()

    def give_back_unstarted(self) -> None:
        """Give back everything that was not started."""
        for entry in self.ledger.at(*_UNSTARTED):
            self._give_back_entry(entry)

    def stop(self, reason: str, now: float) -> None:
        """Kill what runs and break off what is delivered: all of it failed, by the infrastructure."""
        self._stopped = reason
        self.give_back_unstarted()
        for entry in self.ledger.at(Step.RUNNING):
            self._wish(ev.Kill(entry.attempt, reason, grace=False))
        for entry in self.ledger.at(Step.DELIVERING, Step.UNDELIVERED):
            self._wish(ev.Halt(entry.attempt))
            self._finish_stopped(entry, entry.result or Result(entry.attempt, "failed"), now)

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _tell(self, entry: Entry, now: float) -> None:
        """Say (again) what is known of an attempt: its result, or that it was started."""
        if entry.step is Step.FINISHED and entry.result is not None:
            self._outbox.repeat(entry.result, now)
        elif entry.step in _UNFINISHED_RUNS and entry.started:
            self._outbox.began(entry.attempt, entry.started, now)

    def _take_on(self, assignment: Assignment, now: float) -> None:
        entry = self.ledger.enter(assignment.attempt, assignment)
        entry.given = now
        entry.needs = self.slots.needs(assignment.needs)
        lacking = self.slots.lacking(entry.needs)
        if lacking:
            self._finish(entry, Result(entry.attempt, "failed", "infrastructure", reason=lacking), now)
        elif self._is_staged(assignment):
            self._errands.enqueue(entry.attempt)
        else:
            self._make_ready(entry)

    def _is_staged(self, assignment: Assignment) -> bool:
        """Whether something is to be fetched or verified before the attempt can start."""
        return bool(assignment.inputs) or self._verifies

    def _make_ready(self, entry: Entry) -> None:
        entry.advance(Step.READY)
        self.slots.enqueue(Claim(entry.number, entry.attempt, entry.needs))

    def _start(self) -> None:
        for attempt in self.slots.admit():
            entry = self.ledger.entries[attempt]
            self._unqueue(entry)
            entry.advance(Step.RUNNING)
            self.running += 1
            self._wish(ev.Start(entry.order))

    def _unqueue(self, entry: Entry) -> None:
        """Take an attempt out of those that wait for a start."""
        self.slots.withdraw(entry.attempt)
        if entry.step is Step.READY and self._is_staged(entry.order):
            self._errands.fetched -= 1

    def _cancel(self, entry: Entry, reason: str, now: float) -> None:
        repeated, entry.cancelled = bool(entry.cancelled), entry.cancelled or reason
        if entry.step in (Step.QUEUED, Step.READY):
            self._unqueue(entry)
            self._finish_cancelled(entry, None, now)
        elif entry.step is Step.UNDELIVERED:
            self._end_delivery(entry, entry.result or Result(entry.attempt, "cancelled"), now)
        elif entry.step in (Step.FETCHING, Step.DELIVERING):
            self._wish(ev.Halt(entry.attempt))
        elif entry.step is Step.FINISHED:
            self._tell(entry, now)
        elif not repeated:
            self._wish(ev.Kill(entry.attempt, reason))

    def _give_back_entry(self, entry: Entry) -> None:
        """Give back an attempt if it was not started, unless it is already being cancelled."""
        if entry.step not in _UNSTARTED or entry.cancelled:
            return
        self._unqueue(entry)
        self._wish(ev.Halt(entry.attempt) if entry.step is Step.FETCHING else ev.Forget((entry.attempt,)))
        self._give_back(entry.attempt)

    def _give_back(self, attempt: str) -> None:
        self.ledger.leave(attempt, Left.RECALLED)
        self._outbox.give_back(attempt)

    def _after_fetch(self, attempt: str, now: float) -> Optional[Entry]:
        """The entry whose fetch is over, unless it was given back or cancelled meanwhile (which is then done)."""
        self._errands.fetching -= 1
        entry = self.ledger.entries.get(attempt)
        if entry is None:
            self._wish(ev.Forget((attempt,)))
        elif entry.cancelled:
            self._finish_cancelled(entry, None, now)
            return None
        return entry

    def _fetch_failed(self, event: ev.StageFailed, now: float) -> None:
        entry = self._after_fetch(event.attempt, now)
        if entry is not None and event.final:
            self._finish(entry, Result(entry.attempt, "failed", event.phase, reason=event.reason), now)
        elif entry is not None:
            entry.advance(Step.QUEUED)
            self._postpone(entry, event.jitter, now)

    def _deliver(self, entry: Entry, result: Result) -> None:
        entry.result = result
        self._wish(ev.Deliver(entry.order, result))

    def _delivery_failed(self, entry: Entry, event: ev.StageFailed, now: float) -> None:
        result = entry.result or Result(entry.attempt, "failed")
        failed = result._replace(outcome="failed", phase=event.phase, reason=event.reason, files=())
        if not event.final and not entry.cancelled:
            entry.trouble, entry.full = event.reason[:MAX_REASON], event.full
            entry.advance(Step.UNDELIVERED)
            self._postpone(entry, event.jitter, now)
        elif entry.cancelled or result.outcome != "succeeded" or not entry.order.outputs:
            self._end_delivery(entry, result, now)
        elif _worth_delivering(entry.order, failed):
            self._deliver(entry, failed)  # its long logs
        else:
            self._end_delivery(entry, failed, now)

    def _postpone(self, entry: Entry, jitter: float, now: float) -> None:
        self._errands.postpone(entry.attempt, entry.tries, jitter, now)
        entry.tries += 1

    def _end_delivery(self, entry: Entry, result: Result, now: float) -> None:
        self._errands.delivering -= 1
        if entry.cancelled:
            self._finish_cancelled(entry, result, now)
        else:
            self._finish(entry, result, now)

    def _finish_cancelled(self, entry: Entry, result: Optional[Result], now: float) -> None:
        result = result or Result(entry.attempt, "cancelled")
        self._finish(entry, result._replace(outcome="cancelled", phase="", reason=entry.cancelled, files=()), now)

    def _finish_stopped(self, entry: Entry, result: Result, now: float) -> None:
        self._finish(entry, result._replace(outcome="failed", phase="infrastructure", reason=self._stopped, files=()), now)

    def _finish(self, entry: Entry, result: Result, now: float) -> None:
        entry.advance(Step.FINISHED)
        entry.result = _explained(_fitting(result))
        self.worked = now
        self._outbox.finished(entry.result, now)
        if entry.assignment is not None:
            self.deposits.finished(entry.assignment, entry.result)


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


def _explained(result: Result) -> Result:
    """A result whose log says why it failed, where the command itself could not."""
    if result.outcome != "failed" or result.phase == "run" or not result.reason:
        return result
    begun = "\n" if result.stderr and not result.stderr.endswith("\n") else ""
    line = "%s%s%s\n" % (begun, wire.VERDICT, " ".join(result.reason.split("\n")))
    added = len(line.encode("utf-8", "replace"))
    kept = (result.stderr + line).encode("utf-8", "replace")[-wire.MAX_TAIL :].decode("utf-8", "ignore")
    return result._replace(stderr=kept, stderr_size=result.stderr_size + added)
