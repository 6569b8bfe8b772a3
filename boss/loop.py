"""The shell around the core: inbox -> core -> one commit -> effects. One thread, one writer.

Rules:
- Other threads only put events into the inbox; the loop's thread alone touches the state, the store and the outgoing ports.
- Durable first, then speak: effects are performed after the turn's one commit.
- Nothing expires on old news: ``TimePassed`` is handled only in a turn that emptied the inbox, and the loop clock advances
  at most one second more than the wait it asked for, so that a stopped boss does not see everybody time out.
- No other boss may act: before effects are performed the store assures that the database is still this one's, also where nothing
  was to be committed. A boss that finds another in its place does nothing any more and ends.
- If a commit fails, the state is dropped, loaded again and resumed; who asked in that turn is told "unknown, ask again".
- If the core raises, the turn is replayed one event per commit, and the culprit is put aside and reported.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from boss.core import audit, deadlines, reactor
from boss.core.deeds import Asker
from boss.core.effects import (
    AcceptResult,
    Announce,
    Certify,
    CreateVms,
    DeleteVm,
    Effect,
    ListServers,
    ReadConsole,
    ReadRecord,
    RejectResult,
    Reply,
    Send,
    ShutOut,
    Stop,
)
from boss.core.events import BrokerConnected, BrokerDisconnected, Event, TimePassed
from boss.core.model import Job, Policy
from boss.core.picture import publish, state_of
from boss.core.requests import Answer, Request, StopWanted
from boss.core.state import State
from boss.core.tokens import Token
from boss.core.view import JobView, View
from boss.inbox import Inbox, LoopClock
from boss.meters import Meters
from boss.notices.noting import Noting
from boss.ports import Broker, Certifier, Cloud, Results, Store, StoreError, Superseded
from worker.protocol import Assign, Assignment, Certified, ToWorker, granted_inputs

log = logging.getLogger(__name__)

#: The longest wait without an event, in seconds.
IDLE = 3600.0
#: Making pictures takes one part in so many of the loop's time, so that they are fresh where they are cheap; and the longest pause
#: between two, in seconds.
PICTURES, OLDEST = 20.0, 1.0
#: After a turn the loop pauses for so many times as long as it took, at most for so many seconds for each worker and VM beyond a small
#: fleet, at most for so many in all, and not for less than a millisecond.
BREATH, BREATH_EACH, LONGEST_BREATH, LEAST_BREATH = 2.0, 3e-5, 0.03, 1e-3
SMALL_FLEET = 200
#: Seconds between two removals of old entries of the audit.
AUDIT_SWEEP = 600.0
#: Seconds to wait before the next attempt to load after the store has failed.
RELOAD = 1.0


@dataclass(slots=True)
class Outside:
    """The adapters that the loop speaks through; ``clouds`` by provider. ``certifier`` is None where no VM can join."""

    store: Store
    broker: Broker
    results: Results
    clouds: Mapping[str, Cloud] = field(default_factory=dict)
    certifier: Certifier | None = None


class Loop:
    """The boss's one writer; also the ``Desk`` of the API. ``run()`` returns when the core says Stop."""

    def __init__(
        self,
        outside: Outside,
        policy: Policy,
        epoch: int,
        clock: LoopClock | None = None,
        audit_keep: float = 365 * 86400.0,
        inbox: Inbox | None = None,
        noting: Noting | None = None,
    ) -> None:
        self._outside = outside
        self._policy = policy
        self._epoch = epoch
        self._clock = clock or LoopClock()
        self._started = self._clock.now
        self._inbox = inbox or Inbox()
        self.meters = Meters()
        self._noting = noting
        self._state = State(policy, epoch)
        self._connected = False
        self._futures: dict[int, Future[Answer]] = {}
        self._askers: dict[int, Asker] = {}
        self._audit_keep = audit_keep
        self._audit_swept = self._clock.now
        self._replies = 0
        self._lock = threading.Lock()
        self._view = View(self._clock.now, epoch, self._started)
        self._jobs_shown: Mapping[str, JobView] = {}
        self._published = 0.0
        self._rest = 0.0  # seconds until the next picture at least
        self._tokens: Mapping[str, Token] | None = None
        self._unseen = False
        self._paused = 0.0  # seconds, since the last turn
        self._over: list[Job] = []  # finished, and to leave the memory when nobody holds an attempt of theirs
        self._listeners: tuple[Callable[[str, Mapping[str, object]], None], ...] = ()
        self._ended = False
        self._superseded = ""  # by whom
        self._stop_asked = False  # heard even while the database does not answer and no turn begins
        self.ended_as_asked = True

    # ---- the desk: called from any thread ------------------------------------------------------------------------

    def put(self, event: Event) -> bool:
        """Add an event to the inbox."""
        if isinstance(event, StopWanted):
            self._stop_asked = True
        return self._inbox.put(event)

    def lose(self, reason: str) -> None:
        """Another boss has the database: end at once, and do nothing any more."""
        self._superseded = reason
        self._inbox.put(TimePassed())  # wakes the loop

    def ask(self, request: Callable[[int], Request], asker: Asker | None = None) -> "Future[Answer]":
        """Put a request; its future ends after the commit of its turn."""
        future: Future[Answer] = Future()
        with self._lock:
            if self._ended:
                future.set_result(Answer(503, {"error": "the boss is stopping"}))
                return future
            self._replies += 1
            reply = self._replies
            self._futures[reply] = future
            if asker is not None:
                self._askers[reply] = asker
        self._inbox.put(request(reply))
        return future

    def view(self) -> View:
        """The newest published picture."""
        return self._view

    def waiting(self) -> tuple[int, int]:
        """How many events wait in the inbox, and how many readers hear announcements."""
        return self._inbox.depth(), len(self._listeners)

    def jobs_shown(self) -> Mapping[str, JobView]:
        """The jobs of the newest published picture, by uid."""
        return self._jobs_shown

    def tokens(self) -> Mapping[str, Token] | None:
        """The tokens by their digests; a change is seen here before whoever asked for it is answered."""
        return self._tokens

    def listen(self, receive: Callable[[str, Mapping[str, object]], None]) -> Callable[[], None]:
        """Call ``receive`` on the loop's thread for each announcement; returns the way to stop."""
        with self._lock:
            self._listeners = (*self._listeners, receive)

        def stop() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not receive)

        return stop

    # ---- the loop ------------------------------------------------------------------------------------------------

    def run(self, loaded: Callable[[], None] = lambda: None) -> None:
        """Load, resume, say so, and turn until the core says Stop (or another boss has taken the database over)."""
        self.begin()
        loaded()
        while not self._ended:
            self.turn()
        with self._lock:
            for future in self._futures.values():
                future.set_result(Answer(503, {"error": "the boss has stopped"}))
            self._futures.clear()

    def begin(self) -> None:
        """Load and resume: what comes before the first turn."""
        self._load()

    @property
    def ended(self) -> bool:
        """Whether this loop is over: there is no further turn."""
        return self._ended

    def turn(self) -> None:
        """Wait for events or a deadline; handle, commit, perform."""
        due = deadlines.next_look(self._state, self._clock.now)
        wait = IDLE if due is None else max(0.0, due - self._clock.now)
        if self._unseen:
            wait = min(wait, max(0.0, self._published + self._rest - self._clock.now))
        events = self._inbox.drain(wait)
        begun = self._clock.steady()
        if self._superseded:
            self._give_up(self._superseded)
            return
        now = self._clock.advance(wait + self._paused)
        self._state.lag = self._clock.lag()
        if self._inbox.empty():
            events.append(TimePassed())
        try:
            self._play(events, now)
        except Superseded as error:
            self._give_up(str(error))
        except StoreError as error:
            self._recover(events, f"the database did not take a change: {error}")
        except Exception:  # a fault of ours, whatever it is: one event must not end the boss, and the replay finds which it was
            self.meters.faults += 1
            log.exception("the core raised; replaying %d events one by one", len(events))
            self._replay(events)
        self._publish(now)
        spent = self._clock.steady() - begun
        self.meters.turned(len(events), spent)
        self._breathe(spent)

    def _breathe(self, spent: float) -> None:
        """Let more arrive before the next turn, where a large fleet speaks all the time: what comes meanwhile shares that turn's commit.

        Not where something waits already.
        """
        fleet = len(self._state.workers) + len(self._state.vms)
        pause = min(BREATH * spent, (fleet - SMALL_FLEET) * BREATH_EACH, LONGEST_BREATH)
        self._paused = pause if pause >= LEAST_BREATH and not self._ended and self._inbox.empty() else 0.0
        if self._paused:
            self._clock.sleep(self._paused)

    def _play(self, events: Iterable[Event], now: float) -> None:
        effects: list[Effect] = []
        for event in events:
            self._make_loaded(event)
            effects += self._handle(event, now)
        effects += reactor.settle(self._state, now)
        self._sweep_audit(now)
        if self._policy.check:
            self._state.check()
        self._commit()
        if effects:
            self._outside.store.assure()
        if any(isinstance(effect, Reply) for effect in effects):
            self._show(now)  # whoever is answered finds in the view what was done for him
        self._perform(effects, now)

    def _handle(self, event: Event, now: float) -> list[Effect]:
        """Handle one event; what a person changes by it goes into the audit, in the same commit."""
        reply = getattr(event, "reply", 0)
        asker = self._askers.get(reply) if reply else None
        deed = audit.deed_of(self._state, event) if asker is not None else None
        effects = reactor.handle(self._state, event, now)
        if asker is not None and deed is not None:
            audit.note(self._state, asker, deed, reply, effects, now)
        return effects

    def _sweep_audit(self, now: float) -> None:
        if now - self._audit_swept >= AUDIT_SWEEP:
            self._audit_swept = now
            self._state.changes.audit_before = self._state.wall(now) - self._audit_keep

    def _commit(self) -> None:
        changes = self._state.take_changes()
        if changes:
            if self._noting is not None:
                self._noting.note(self._state, changes, self._clock.now)
            begun = self._clock.steady()
            self._outside.store.commit(changes)
            self.meters.committed(self._state, changes, self._clock.now, self._clock.steady() - begun)
            if self._noting is not None:
                self._noting.committed()
        if changes.tokens:
            self._show_tokens()
        finished = {job.uid: job for job in (*changes.jobs.values(), *changes.new_jobs.values(), *self._over)}
        self._over = [job for job in finished.values() if job.finished is not None and job.loaded and not self._unload(job)]

    def _show_tokens(self) -> None:
        self._tokens = {token.digest: token for token in self._state.tokens.values()}

    def _unload(self, job: Job) -> bool:
        """A finished job's tasks stay in the store only; commands that need them load them again. False while a worker holds one."""
        if self._state.roster.holds(job.uid):
            return False
        job.tasks, job.templates, job.input_sets, job.loaded = [], [], {}, False
        self._state.forget(job)
        return True

    def _make_loaded(self, event: Event) -> None:
        """Bring the tasks of a finished job back, if the event is about one. What is not committed yet is committed first."""
        name = getattr(event, "job", None)
        uid = self._state.names.get(name, "") if isinstance(name, str) else getattr(event, "uid", "")
        job = self._state.jobs.get(uid)
        if job is None or job.loaded:
            return
        self._commit()
        job.tasks = self._outside.store.load_tasks(job)
        job.inits = [task.index for task in job.tasks if task.template.init]
        job.loaded = True
        self._over.append(job)

    # ---- trouble -------------------------------------------------------------------------------------------------

    def _recover(self, events: Iterable[Event], reason: str) -> None:
        self.meters.recoveries += 1
        log.error("%s; loading everything again", reason)
        for event in events:
            self._answer(getattr(event, "reply", 0), Answer(503, {"error": f"unknown whether it happened: {reason}; ask again"}))
            if isinstance(event, BrokerConnected | BrokerDisconnected):  # said once, and nowhere in the store
                self._connected = isinstance(event, BrokerConnected)
        self._load()

    def _give_up(self, reason: str) -> None:
        """Another boss has taken over: nothing more may be said or done here."""
        log.error("this boss ends: %s", reason)
        self.ended_as_asked = False
        self._end()

    def _end(self) -> None:
        with self._lock:
            self._ended = True

    def _replay(self, events: Iterable[Event]) -> None:
        """Find the event that the core cannot digest: one event per commit, each on a state that is known to be good."""
        self._load()
        for event in events:
            if self._ended:
                return  # nothing could be loaded: the state in memory is not known to be good
            try:
                self._play([event], self._clock.now)
            except Superseded as error:
                self._give_up(str(error))
                return
            except StoreError as error:
                self._recover([event], f"the database did not take a change: {error}")
            except Exception as error:
                log.exception("put aside: %r", event)
                sentence = f"the boss could not do this ({type(error).__name__}: {error}); its log says more"
                self._answer(getattr(event, "reply", 0), Answer(500, {"error": sentence}))
                self._load()

    def _load(self) -> None:
        """Drop the state, take the store's and resume; keeps trying while the store does not answer."""
        old = self._state
        while True:
            try:
                effects, now = self._taken_up(old)
                break
            except Superseded as error:
                self._give_up(str(error))
                return
            except StoreError as error:
                if self._stop_asked:
                    log.error("cannot load: %s; ending without it, workers go on for their lease", error)
                    self._end()
                    return
                log.error("cannot load: %s; trying again in %.0f s", error, RELOAD)
                self._turn_away(f"the boss cannot use its database: {error}; ask again later")
                self._clock.sleep(RELOAD)
        self._perform(effects, now)

    def _turn_away(self, sentence: str) -> None:
        """Answer those who ask while nothing can be done for them; what else has happened waits."""

        def asks(event: Event) -> bool:
            reply = getattr(event, "reply", 0)
            self._answer(reply, Answer(503, {"error": sentence}))
            return bool(reply)

        self._inbox.sift(asks)

    def _taken_up(self, old: State) -> tuple[list[Effect], float]:
        """One try of it; what is to be done then. Raises StoreError, and Superseded."""
        picture = self._outside.store.load()
        self._over.clear()
        now = self._clock.advance(RELOAD)
        self._state = state_of(
            self._policy, self._epoch, picture.context, picture.jobs, picture.workers, picture.vms, picture.tokens
        )
        self.meters.loaded(self._state)
        if self._noting is not None:
            self._noting.load(self._state)
        self._show_tokens()
        self._state.connected, self._state.stopping, self._state.stop_deadline = self._connected, old.stopping, old.stop_deadline
        for worker in self._state.workers.values():  # this is still the same epoch: numbers of messages only grow
            worker.sent = old.workers[worker.id].sent if worker.id in old.workers else 0
        self._state.dropped = old.dropped
        self._state.lag = self._clock.lag()
        effects = reactor.resume(self._state, now)
        self._commit()
        self._outside.store.assure()
        return list(effects), now

    # ---- speaking ------------------------------------------------------------------------------------------------

    def _perform(self, effects: Iterable[Effect], now: float) -> None:
        """Speak. What was committed has happened: a wish that raises is reported and the others are performed, never the turn again."""
        announced: dict[str, list[Mapping[str, object]]] = {}
        for effect in effects:
            if isinstance(effect, Announce):
                announced.setdefault(effect.kind, []).append(effect.facts)
                continue
            try:
                self._perform_one(effect, now)
            except Exception:  # a port may only fail by an event; one that raises must not keep the others from being performed
                log.exception("could not do this: %r", effect)
        self._connected = self._state.connected
        for kind, facts in announced.items():
            self._tell(kind, facts)

    def _perform_one(self, effect: Effect, now: float) -> None:
        match effect:
            case Send():
                self._outside.broker.send(effect.worker, self._granted(effect.worker, effect.message))
            case Certify():
                self._certify(effect)
            case Reply():
                self._answer(effect.reply, effect.answer)
            case AcceptResult():
                self._outside.results.accept(effect.attempt, effect.job, effect.files, effect.keep)
            case RejectResult():
                self._outside.results.reject(effect.attempt)
            case ShutOut():
                self._outside.results.shut_out(effect.tokens)
            case ReadRecord():
                self._outside.results.read_record(effect.attempt)
            case CreateVms():
                self._cloud_of(effect.pool).create(effect.vms, effect.pool, effect.flavor)
            case ReadConsole():
                self._cloud_of(effect.pool).console(effect.vm, effect.pool, effect.server)
            case DeleteVm():
                self._cloud_of(effect.pool).delete(effect.vm, effect.pool, effect.server)
            case ListServers():
                self._outside.clouds[effect.provider].list(now)
            case Stop():
                self._end()

    def _certify(self, effect: Certify) -> None:
        """Sign, which takes no time, and send; what cannot be signed is reported by the loop."""
        if self._outside.certifier is not None:
            signed = self._outside.certifier.certify(effect.worker, effect.tls_key, effect.ssh_key)
            self._outside.broker.send(effect.worker, Certified(self._epoch, effect.seq, signed.tls, signed.ssh, signed.lifetime))

    def _tell(self, kind: str, facts: Sequence[Mapping[str, object]]) -> None:
        try:
            self._outside.broker.announce(kind, facts)
            for receive in self._listeners:
                for fact in facts:
                    receive(kind, fact)
        except Exception:  # listeners are guests: what they do wrong is reported and stays theirs
            log.exception("could not announce %d facts about a %s", len(facts), kind)

    def _granted(self, worker: str, message: ToWorker) -> ToWorker:
        """Assignments get the proof with which the worker may use the datastore."""
        if not isinstance(message, Assign):
            return message
        return message._replace(attempts=tuple(self._grant(worker, assignment) for assignment in message.attempts))

    def _grant(self, worker: str, assignment: Assignment) -> Assignment:
        proof = self._outside.results.grant(
            worker, assignment.attempt, assignment.job, assignment.task, granted_inputs(assignment)
        )
        return assignment._replace(grant=proof)

    def _cloud_of(self, pool_name: str) -> Cloud:
        pool = self._state.pool(pool_name)
        provider = pool.provider if pool is not None else "local"
        return self._outside.clouds[provider]

    def _answer(self, reply: int, answer: Answer) -> None:
        if not reply:
            return
        with self._lock:
            future = self._futures.pop(reply, None)
            self._askers.pop(reply, None)
        if future is not None:
            future.set_result(answer)

    def _publish(self, now: float) -> None:
        """Let the API see how things stand; what is held back, because pictures are dear, is shown when its time comes."""
        if now == self._published:
            self._unseen = False  # this turn was shown before its requests were answered
            return
        self._unseen = now - self._published < self._rest
        if not self._unseen:
            self._show(now)

    def _show(self, now: float) -> None:
        begun = self._clock.steady()
        self.meters.look(self._state, now)
        self._view = publish(self._state, now, self._started)
        self._jobs_shown = {job.uid: job for job in self._view.jobs}
        self._published = now
        self._rest = min(OLDEST, PICTURES * (self._clock.steady() - begun))
