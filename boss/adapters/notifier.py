"""Notices on their way to people: one thread for each target, and one that looks at what stands for a while.

Rules:
- The loop only puts notices down here. What is slow, or does not answer, costs its own target's thread and nobody else.
- A notice is in the database until each of its units has been told or was given up, and each of these ends is one event for the loop. So a
  boss that is killed tells after its next start what it has not told; what it has told and not noted yet it tells again, under the same id.
- What is given up is said in the log; no failure is said more than a few times.
"""

import logging
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from boss.adapters.wording import Wording
from boss.core.events import Event
from boss.core.requests import ContextSet
from boss.notices.delivery import Message, NotSent, Tried, UnknownTarget
from boss.notices.notice import Kind, Notice, made, to_text
from boss.notices.noting import FACT, STANDING, Row
from boss.notices.outbox import Batch, Outbox
from boss.notices.targets import Target, Telling
from boss.notices.watching import Disk, Left, Standing
from boss.ports import Desk

#: Seconds between two looks at disks and pools, and between two at what lies in the clouds; and after which what stands is noted again.
LOOK, LEAKS, SAVE = 30.0, 900.0, 1200.0
#: Seconds for the loop's answer; and for all threads to end.
PATIENCE, GOODBYE = 60.0, 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What can stand for a while: ``paused`` pools with the reasons, ``disks``, and what was ``left`` in the clouds. They may block."""

    paused: Callable[[], Mapping[str, str]]
    disks: Callable[[], Sequence[Disk]]
    left: Callable[[], Sequence[Left]]


class Sender(Protocol):
    """Whoever brings messages to their receivers (``boss.adapters.sending``)."""

    def send(self, target: Target, address: str, message: Message) -> None:
        """Deliver a message to a webhook, or to this address. Raises NotSent."""


class Notifier:
    """Runs while the context lasts. ``begin`` says to whom it reports."""

    def __init__(
        self,
        telling: Telling,
        wording: Wording,
        sender: Sender,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.telling = telling
        self._wording, self._sender, self._clock, self._steady = wording, sender, clock, steady
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._outboxes = {
            target.name: Outbox(telling.gather, telling.retry_for, lambda _unit: random.random())  # noqa: S311 (jitter)
            for target in telling.targets
        }
        self._pending: dict[str, tuple[Notice, set[str]]] = {}
        self._counts: Counter[str] = Counter()
        self._failing: Counter[str] = Counter()  # tries in a row that failed, by unit
        self._standing: Standing | None = None  # None: nothing was loaded yet
        self._saved = (frozenset[str](), 0.0)
        self._leaks_seen: float | None = None
        self._epoch = 0
        self._put: Callable[[Event], bool] = lambda event: False
        self._desk: Desk | None = None
        self._around: Surroundings | None = None
        self._threads: list[threading.Thread] = []

    def begin(self, desk: Desk, around: Surroundings) -> None:
        """Before anything is taken: who hears what became of notices, and what is looked at."""
        self._desk, self._put, self._around = desk, desk.put, around

    # ---- on the loop's thread ----------------------------------------------------------------------------------

    def loaded(self, epoch: int, standing: str | None) -> None:
        """The database was read."""
        with self._changed:
            self._epoch = epoch
            if self._standing is None:
                self._standing = Standing.of(standing)
                self._saved = frozenset(self._standing.seen), self._clock()

    def take(self, rows: Sequence[Row], left_out: int = 0) -> None:
        """Put these down to be told."""
        if left_out:
            log.error("%d notices are left out: too many wait for their delivery already", left_out, extra={"count": left_out})
        nobodys: dict[str, str | None] = {}
        with self._changed:
            for notice, said in rows:
                if notice.id in self._pending:
                    continue
                units = {unit for unit in said if self.telling.target(unit) is not None}
                age = self._clock() - notice.at
                if not units or age > self.telling.retry_for:
                    log.warning("a notice is given up (%s): %s", "it is too old" if units else "its target is gone", notice.text)
                    nobodys[FACT + notice.id] = None
                    continue
                self._pending[notice.id] = notice, units
                for unit in units:
                    self._outboxes[unit.partition(" ")[0]].put(unit, notice, self._steady(), age)
            if nobodys:
                self._put(ContextSet(nobodys))
            self._changed.notify_all()

    # ---- for others ----------------------------------------------------------------------------------------------

    def counts(self) -> Mapping[str, int]:
        """Messages that were delivered, retried and given up in this life."""
        return dict(self._counts)

    def test(self, name: str, caller: str) -> list[Tried]:
        """Send a test message now, to one target or all (an empty name); blocks for seconds. Raises UnknownTarget."""
        chosen = [target for target in self.telling.targets if name in ("", target.name)]
        if name and not chosen:
            raise UnknownTarget(name)
        if not chosen:
            return []
        with ThreadPoolExecutor(min(8, len(chosen))) as pool:
            return [tried for found in pool.map(lambda target: self._test(target, caller), chosen) for tried in found]

    def __enter__(self) -> "Notifier":
        self._threads = [
            threading.Thread(target=self._deliver, args=(target,), name=f"notify-{target.name}", daemon=True)
            for target in self.telling.targets
        ]
        if self.telling.asks_for(Kind.POOL_PAUSED, Kind.DISK, Kind.LEAK):
            self._threads.append(threading.Thread(target=self._watch, name="notify-watch", daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._over.set()
            self._changed.notify_all()
        end = time.monotonic() + GOODBYE
        for thread in self._threads:  # what is under way is told again by the next life, if it was not noted
            thread.join(max(0.0, end - time.monotonic()))

    # ---- delivering ----------------------------------------------------------------------------------------------

    def _deliver(self, target: Target) -> None:
        outbox = self._outboxes[target.name]
        while True:
            with self._changed:
                while not self._over.is_set() and not (due := outbox.due(self._steady())):
                    look = outbox.next()
                    self._changed.wait(None if look is None else max(0.0, look - self._steady()))
            for batch in () if self._over.is_set() else due:
                self._send(target, outbox, batch)
            if self._over.is_set():
                return

    def _send(self, target: Target, outbox: Outbox, batch: Batch) -> None:
        address = batch.unit.partition(" ")[2]
        try:
            message = self._wording.message(batch.unit, batch.notices, target.template)
            self._sender.send(target, address, message)
        except NotSent as error:
            self._failed(target, outbox, batch, error)
        except Exception as error:  # a fault of ours must not end the target's thread, and is no reason to ask at once again
            log.exception("a message to %s stumbled", target.name, extra={"target": target.name})
            self._failed(target, outbox, batch, NotSent(f"internal error: {type(error).__name__}"))
        else:
            with self._changed:
                outbox.delivered(batch, self._steady())
                self._counts["delivered"] += 1
                self._settle(batch)
            if self._failing.pop(batch.unit, 0):
                log.info("messages to %s arrive again", target.name, extra={"target": target.name})

    def _failed(self, target: Target, outbox: Outbox, batch: Batch, error: NotSent) -> None:
        with self._changed:
            over = outbox.failed(batch, self._steady(), error.for_good, error.wait)
            self._counts["given up" if over else "retried"] += 1
            if over:
                self._settle(batch)
        about, fields = f"{len(batch.notices)} notice(s) for {target.name}", {"target": target.name, "count": len(batch.notices)}
        if over:
            self._failing.pop(batch.unit, None)
            log.error("%s given up: %s; the first: %s", about, error, batch.notices[0].text, extra=fields)
            return
        self._failing[batch.unit] += 1
        if self._failing[batch.unit] == 1:
            log.warning("%s not delivered, and tried again: %s", about, error, extra=fields)

    def _settle(self, batch: Batch) -> None:
        """This unit has been told, or is given up: note it. To be called under the lock, so that the notes keep their order."""
        facts: dict[str, str | None] = {}
        for notice in batch.notices:
            units = self._pending[notice.id][1]
            units.discard(batch.unit)
            facts[FACT + notice.id] = to_text(notice, sorted(units)) if units else None
            if not units:
                del self._pending[notice.id]
        self._put(ContextSet(facts))

    def _test(self, target: Target, caller: str) -> list[Tried]:
        sentence = f"this is a test, asked for by {caller}: messages of ecloud to {target.name} arrive"
        notice = made(f"test-{secrets.token_hex(8)}", Kind.TEST, self._clock(), "test", sentence, caller)
        tried = []
        for unit in self.telling.receivers(target, caller):
            address = unit.partition(" ")[2]
            try:
                self._sender.send(target, address, self._wording.message(unit, [notice], target.template))
                tried.append(Tried(target.name, address, True, "taken"))
            except NotSent as error:
                tried.append(Tried(target.name, address, False, str(error)))
        if not tried:
            tried.append(Tried(target.name, "", False, f"[notify.people] has no address of {caller}, to whom the test would go"))
        return tried

    # ---- watching ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            try:
                self.look()
            except Exception:  # what cannot be looked at now can be at the next look
                log.exception("what stands could not be looked at")

    def look(self) -> None:
        """Look at what stands, once, and have it told."""
        around, desk = self._around, self._desk
        with self._changed:
            standing = self._standing
        if standing is None or around is None or desk is None:
            return
        now = self._clock()
        seen = Standing(dict(standing.seen), standing.suspects)
        notices = seen.look(now, self._epoch, around.paused(), around.disks(), self.telling.disk)
        if self.telling.asks_for(Kind.LEAK) and (self._leaks_seen is None or now - self._leaks_seen >= LEAKS):
            self._leaks_seen = now
            notices += seen.look_for_leaks(now, self._epoch, around.left())
        rows = [(notice, units) for notice in notices if (units := self.telling.units(notice))]
        keys = frozenset(seen.seen)
        if not rows and keys == self._saved[0] and (not keys or now - self._saved[1] < SAVE):
            self._standing = seen
            return
        facts = {STANDING: seen.text() if keys else None} | {FACT + notice.id: to_text(notice, units) for notice, units in rows}
        if desk.ask(lambda reply: ContextSet(facts, reply)).result(PATIENCE).code == 200:
            self._standing, self._saved = seen, (keys, now)
            self.take(rows)
