"""Dealing: ready tasks become attempts on workers. Asks placement, carries its plan out. Part of the reactor.

Rules:
- Only an online worker that is not draining gets anything, and only while the boss is connected.
- What is really free is given away first; then short tasks are dealt ahead of time (prefetch), as many as fit into
  ``policy.prefetch_seconds`` of observed run time (a part of it where owners compete), shared evenly, so that they do not wait for a
  round trip. A worker that is far away gets as many as outlast the trip (``distance``). Of many alike, of which none has ended yet,
  hardly any are dealt ahead: a quick task before them says nothing about them.
- A job with init tasks prepares a worker first: the placement that wants it there is answered with the init attempts. Only these take
  room then: what is left of the worker is dealt to others, in the same turn and for as long as the preparation lasts.
- The text of a task is rendered here and nowhere else.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from math import ceil, floor, inf
from types import MappingProxyType

from boss.core import backlog, distance, fairness, pace, provenance, trust, usage
from boss.core.effects import RejectResult, Send
from boss.core.lifecycle import TaskCause
from boss.core.model import Attempt, InputSpec, Job, JobState, Task, Wanted, Worker
from boss.core.placement import EPSILON, Demand, Offer, Placement, Shares, fits, needs_on, place
from boss.core.ready import Bucket
from boss.core.restored import next_number
from boss.core.state import State
from boss.core.templates import texts_of
from datastore.layout import is_folder, is_pattern, matches, overlap
from datastore.sources import is_outside
from worker.expansion import named
from worker.protocol import Assign, Assignment, Input, Output
from worker.texts import render
from worker.trust import VERIFIES

#: While tasks of several owners wait, so much less is dealt ahead: whoever is next waits the shorter; a row still outlasts a round trip.
CONTENDED = 4.0
#: How many tasks per slot may wait on a worker while the run time of others of their job is all that is known of them.
GUESSED = 1.0


def deal(state: State, now: float) -> None:
    """Give ready tasks to workers with room; adds one Assign message per worker to the effects."""
    if state.stopping or not state.connected or not state.ready.buckets:
        return
    dealt: dict[str, list[Assignment]] = {}
    while _deal_once(state, dealt, now):
        pass  # a worker was to be prepared: the room that its job was thought to take is there for others
    for name, assignments in dealt.items():
        send_assignments(state, state.workers[name], assignments)


def _deal_once(state: State, dealt: dict[str, list[Assignment]], now: float) -> bool:
    """Place what is ready and carry it out; True if a worker is prepared for a job since, so that another look is worth while.

    Each time that this is True a job has one more worker that it does not ask for, so it ends.
    """
    if not state.roster.anybody() or not state.ready.buckets:
        return False
    demands = demands_of(state, state.roster.cpus(), state.roster.preparing())
    offers, shares = _offers_and_shares(state, demands)
    free, ahead = place(demands, offers, shares), []
    if any(demand.count and (demand.depth or demand.even) for demand in demands):
        ahead = place(demands, offers, shares, prefetch=True)
    prepared = [_carry_out(state, placement, dealt, now, free=True) for placement in free]
    prepared += [_carry_out(state, placement, dealt, now, free=False) for placement in ahead]
    return any(prepared)


def offers_of(state: State) -> Iterator[Offer]:
    """The room of each worker that may get something now."""
    return (_offer(state.workers[name]) for name in state.roster.room(-inf))


def offers_for(state: State, demands: Sequence[Demand]) -> list[Offer]:
    """As many of the offers as make a difference to these demands where nothing is dealt ahead, and no row is waited for.

    Of each demand the first that it fits on, as many as there are tasks: whatever the others take, it finds its place among these.
    """
    most = sum(demand.count for demand in demands)
    left = {number: most for number, demand in enumerate(demands) if demand.count}
    least = min((dict(demands[number].shape).get("cpus", -inf) for number in left), default=inf)
    found: list[Offer] = []
    for name in state.roster.room(least - 2 * EPSILON * max(1.0, least)):
        worker = state.workers[name]
        offer = None
        for number in list(left):
            demand = demands[number]
            if name in demand.refused:
                continue
            offer = offer or _offer(worker)
            if fits(needs_on(demand.shape, offer.total), offer.free, offer.total):
                if not found or found[-1] is not offer:
                    found.append(offer)
                left[number] -= 1
                if not left[number]:
                    del left[number]
        if not left:
            break
    return found


def _offers_and_shares(state: State, demands: Sequence[Demand]) -> tuple[list[Offer], Shares]:
    """The offers that these demands are placed on, and what everybody occupies: no more of both than makes a difference."""
    ahead = any(demand.depth or demand.even for demand in demands)
    if len(demands) <= 1:  # one alone has nobody to be fair to
        offers = _offers_ahead(state, demands[0]) if ahead else offers_for(state, demands)
        return offers, Shares(turns=state.turns)
    shares = None if ahead else fairness.shares_of_long_tasks(state)
    if shares is not None:
        return offers_for(state, demands), shares
    everybody = list(offers_of(state))
    return everybody, fairness.shares_on(state, everybody)


def _offers_ahead(state: State, demand: Demand) -> list[Offer]:
    """The offers that have room for a task of the only demand, free or ahead; those whose row is full are passed by."""
    far, _ = state.roster.far()
    factor = max(demand.depth, min(demand.even, distance.ahead(far, demand.seconds)) if demand.even else 0.0)
    least = dict(demand.shape).get("cpus", -inf) - factor * state.roster.largest()
    return [_offer(state.workers[name]) for name in state.roster.room(least - 2 * EPSILON * max(1.0, abs(least)))]


def _offer(worker: Worker) -> Offer:
    free = {name: total - worker.used.get(name, 0.0) for name, total in worker.resources.items()}
    return Offer(worker.id, worker.resources, free, worker.pool, trip=round(worker.trip or 0.0, 3))


def demands_of(state: State, slots: float, elsewhere: Mapping[str, Set[str]] = MappingProxyType({})) -> list[Demand]:
    """What the ready tasks of running jobs ask for; ``slots`` bounds how far ahead they may be dealt.

    ``elsewhere`` are workers that a job cannot use at this moment, by its uid.
    """
    demands: list[Demand] = []
    if usage.is_spent(state, state.last_turn):
        return demands
    owners = {bucket.job.owner for bucket in state.ready.buckets.values()}
    window = state.policy.prefetch_seconds / (CONTENDED if len(owners) > 1 else 1.0)
    far: tuple[float, float] | None = None
    for key, bucket in state.ready.buckets.items():
        job = bucket.job
        if job.state is not JobState.OPEN or job.wanted is not Wanted.RUN:
            continue
        if usage.is_spent_by(state, job, state.last_turn) or trust.is_over(bucket.shape, state.wall(state.last_turn)):
            continue
        if any(trust.is_over(state.ready.shape(job.tasks[index]), state.wall(state.last_turn)) for index in job.inits):
            continue
        refused = frozenset(state.roster.barred(job.uid)) | elsewhere.get(job.uid, frozenset())
        seconds, guessed = _expected(state, bucket)
        depth, weight = _depth(state, bucket, slots, seconds, window), fairness.weight(state, seconds)
        if guessed:
            depth = min(depth, GUESSED)
        demand = Demand(key, bucket.priority, job.owner, job.uid, bucket.shape, bucket.count, refused, depth, weight)
        # where owners compete, nobody waits behind a row of anything that fairness calls long
        if (
            seconds is not None
            and not guessed
            and seconds <= distance.LONGEST_TASK
            and slots
            and window
            and (len(owners) == 1 or weight < 1.0)
        ):
            trip, free = far = far or state.roster.far()
            if distance.ahead(trip, seconds):
                demand.seconds, demand.even = seconds, _even(state, bucket.count - free, slots, whole=seconds > trip)
        demands.append(demand)
    return demands


def _expected(state: State, bucket: Bucket) -> tuple[float | None, bool]:
    """How long the bucket's next task will probably run, and whether that is a guess from other tasks of its job."""
    task = next((bucket.job.tasks[index] for _, index in bucket.heap[:1]), None)
    return (pace.expected(state, task), pace.is_guess(state, task)) if task is not None else (None, False)


def _depth(state: State, bucket: Bucket, slots: float, seconds: float | None, window: float) -> float:
    """How many more tasks per slot may wait on a worker: by their run time, but never more than an even share of what is there."""
    if seconds is None or not slots or backlog.is_full(state):
        return 0.0
    ahead = window / max(seconds, 0.001)
    return float(int(min(state.policy.prefetch_limit, ahead, bucket.count / slots)))


def _even(state: State, count: float, slots: float, whole: bool) -> float:
    """How many tasks per slot may wait on a far worker at most: an even share of all that no slot runs, dealt ahead or not (``count``).

    Only as far as all slots get one more where a task may wait for longer (``whole``) than another slot for a trip.
    """
    if count <= 0 or backlog.is_full(state):
        return 0.0
    return float(min(state.policy.prefetch_limit, floor(count / slots) if whole else ceil(count / slots)))


def _carry_out(state: State, placement: Placement, dealt: dict[str, list[Assignment]], now: float, free: bool) -> bool:
    """Deal a placement's tasks, to ``free`` room or ahead; True if an init task was dealt instead."""
    bucket = state.ready.buckets.get(placement.key)  # type: ignore[call-overload]
    if bucket is None:
        return False
    worker = state.workers[placement.worker]
    if bucket.job.inits and not is_prepared(worker, bucket.job):
        return _prepare(state, worker, bucket.job, dealt, now)
    avoid = worker.id if len(state.workers) > 1 else ""
    for _ in range(placement.count):
        task = bucket.pop(avoid)
        if task is None:
            return False
        previous = task.attempt
        if previous is not None and previous.state == "lost":
            state.out.append(RejectResult(previous.id))  # from here on its upload must not be accepted any more
        task.number = next_number(state, task)
        attempt = Attempt(task.job.uid, task.index, task.number, worker.id, state.wall(now))
        task.attempt = attempt
        task.worker, task.started, task.finished = worker.id, None, None
        state.changes.new_attempts[attempt.id] = attempt
        state.move(task, TaskCause.DEALT)
        state.hold(worker, attempt, task)
        if free:
            distance.probe(worker, attempt.id, now)
        dealt.setdefault(worker.id, []).append(_assigned(state, task, attempt))
    return False


def _assigned(state: State, task: Task, attempt: Attempt) -> Assignment:
    """The assignment of an attempt, on record with what it is made of."""
    assignment = assignment_of(task, attempt)
    provenance.record(state, task, attempt, assignment.inputs)
    return assignment


def is_prepared(worker: Worker, job: Job) -> bool:
    """Whether all init tasks of the job have succeeded on this worker, in this session of it."""
    done = worker.prepared.get(job.uid)
    return done is not None and done.issuperset(job.inits)


def _prepare(state: State, worker: Worker, job: Job, dealt: dict[str, list[Assignment]], now: float) -> bool:
    """Deal the next init task of the job to this worker, unless one is under way there; whether one was dealt."""
    if any(attempt.init and attempt.job == job.uid for attempt in worker.held.values()):
        return False
    done = worker.prepared.setdefault(job.uid, set())
    task = next(job.tasks[index] for index in job.inits if index not in done)
    task.number = next_number(state, task)
    attempt = Attempt(job.uid, task.index, task.number, worker.id, state.wall(now), init=True)
    state.changes.new_attempts[attempt.id] = attempt
    state.touch(task)
    state.hold(worker, attempt, task)
    dealt.setdefault(worker.id, []).append(_assigned(state, task, attempt))
    return True


def send_assignments(state: State, worker: Worker, assignments: list[Assignment]) -> None:
    """One message with these assignments; the attempts remember its number. Of signed documents only those hear who verify."""
    if VERIFIES not in worker.resources:
        assignments = [one._replace(document="", entry=0, row=0) if one.document else one for one in assignments]
    worker.sent += 1
    for assignment in assignments:
        worker.held[assignment.attempt].seq = worker.sent
    state.out.append(Send(worker.id, Assign(state.epoch, worker.sent, tuple(assignments))))


def assignment_of(task: Task, attempt: Attempt) -> Assignment:
    """All that a worker needs to run this attempt: the template rendered with the task's parameters (without the grant)."""
    template = task.template
    params = texts_of(template, task.row)
    inputs = inputs_of(task)
    outputs = []
    for out in template.outputs:
        path = render(out.path, params)
        outputs.append(Output(path, path if out.to is None else render(out.to, params), out.optional))
    signed = template.signed
    return Assignment(
        attempt.id,
        task.job.name,
        task.name,
        tuple(render(command, params) for command in template.commands),
        inputs,
        tuple(outputs),
        {name: render(value, params) for name, value in template.env},
        dict(template.needs),
        template.timeout,
        "",
        template.init,
        _least(task, [item.source for item in inputs if not item.digest]),
        *((signed.document, signed.entry, task.row) if signed is not None else ()),
    )


def inputs_of(task: Task) -> tuple[Input, ...]:
    """What to fetch for a task."""
    params = texts_of(task.template, task.row)
    return tuple(item for spec in task.template.inputs for item in _inputs(task, spec, params))


def _inputs(task: Task, spec: InputSpec, params: dict[str, str | int | float | bool]) -> tuple[Input, ...]:
    """What to fetch for one input: pushed files by digest, and what other tasks yielded by its place in the job's folder."""
    source = render(spec.source, params)
    to = "" if spec.to is None else render(spec.to, params)  # the same path need not be said twice: a task may read thousands
    inputs, results = named(source, to, task.job.files)
    if results is not None and (not inputs or any(overlap(source, yielded) for yielded in _yields_of_dependencies(task))):
        inputs.append(results)
    return tuple(inputs)


def _least(task: Task, sources: list[str]) -> dict[str, float]:
    """Of each folder or glob, how many files the task's dependencies have surely yielded below it: fewer than that were lost."""
    several = [source for source in sources if not is_outside(source) and (is_pattern(source) or is_folder(source))]
    if not several:
        return {}
    sure = [path for path in _yields_of_dependencies(task, sure=True) if not is_pattern(path) and not is_folder(path)]
    counts = {source: sum(matches(source, path) for path in sure) for source in several}
    return {source: count for source, count in counts.items() if count}


def _yields_of_dependencies(task: Task, sure: bool = False) -> Iterator[str]:
    """What the task's dependencies yield; ``sure``: without what is optional."""
    for index in task.dependencies:
        other = task.job.tasks[index]
        params = texts_of(other.template, other.row)
        for out in other.template.outputs:
            if not (sure and out.optional):
                yield render(out.path if out.to is None else out.to, params)
