"""Why a task waits, and what would help: sentences for people, from the state alone.

Rules: the first sentence is the cause, the last one the cheapest remedy; nothing is guessed.
"""

from math import inf

from boss.core import backlog, chains, health, inits, limits, overdue, quotas, remedies, sizes, stale, trust, usage
from boss.core.deals import is_prepared
from boss.core.limits import members
from boss.core.machines import SLOW, is_slow, told
from boss.core.model import Job, Phase, Pool, Task, TaskState, Wanted, WorkerState
from boss.core.placement import can_ever, fits, needs_on
from boss.core.ready import Shape, shape_of
from boss.core.retry import LOSSES
from boss.core.scaling import CLOSED
from boss.core.state import State
from worker.trust import VERIFIES, without_marks

S = TaskState
#: So many of a kind are told one by one.
FEW = 3
UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def why(state: State, task: Task, now: float) -> list[str]:
    """One to five sentences about where the task stands and what it waits for."""
    job = task.job
    match task.state:
        case S.SUCCEEDED:
            done = f"It succeeded (attempt {task.number})." if task.number else f"It counts as succeeded: {task.reason}."
            return [done, *_stale(task)]
        case S.FAILED if task.phase == Phase.VERIFY:
            return [_failed(task), *trust.refused(task, task.worker)]
        case S.FAILED:
            return [
                _failed(task),
                f"`admin.py logs {remedies.named([task])}` shows all that it wrote.",
                f"Mend the cause, then `{remedies.retry(task)}`: it runs again as it was pushed.",
                remedies.push_again(job.name),
            ]
        case S.SKIPPED:
            return [f"It was skipped because {task.reason}.", remedies.open_again(task)]
        case S.CANCELLED:
            return ["It was cancelled.", f"`{remedies.retry(task)}` runs it again."]
        case S.RUNNING if stuck := backlog.why(state, task):
            return stuck
        case S.RUNNING:
            return [f"It runs on {task.worker} since {told(state.wall(now) - (task.started or now))} (attempt {task.number})."]
        case S.ASSIGNED:
            return [f"It was sent to {task.worker} as attempt {task.number} and starts as soon as that has room."]
        case S.PROMOTING:
            return _promoting(state, task)
        case S.DELAYED:
            return _delayed(state, task, now)
        case S.WAITING:
            return _waiting(state, task, now)
        case _:
            return _ready(state, task, now)


def _stale(task: Task) -> list[str]:
    cause = stale.cause_of(task)
    if cause is None:
        return []
    return [
        f"Its result is stale: {stale.sentence(cause.name)}.",
        f"`admin.py redo_task {task.job.name}:{task.name} --stale` makes it anew, with all stale results that it is made from.",
    ]


def _failed(task: Task) -> str:
    reason = task.reason or "no reason was given"
    code = f", exit code {task.exit_code}" if task.exit_code is not None and not reason.startswith("exit code") else ""
    return f"Attempt {task.number} failed in phase {task.phase}{code}: {reason}."


def _delayed(state: State, task: Task, now: float) -> list[str]:
    wait = told(max(1.0, task.not_before - now))
    if task.phase in LOSSES:
        used = f"{task.losses} of {state.policy.infrastructure_budget} losses that are repeated without asking; its retries are not touched"
        return [f"{_failed(task)} It is tried again in about {wait} ({used})."]
    used = f"{task.failures} of {task.template.retries} retries used"
    return [
        f"{_failed(task)} It is tried again in about {wait} ({used}).",
        f"`admin.py logs {remedies.named([task])}` shows what it wrote.",
    ]


def _promoting(state: State, task: Task) -> list[str]:
    if not state.datastore_up:
        return [f"It has finished; its results wait because the datastore does not answer: {state.datastore_reason}."]
    return backlog.why(state, task) or ["It has finished; its results are being moved into the job's folder."]


def _waiting(state: State, task: Task, now: float) -> list[str]:
    if task.template.init and task.job.wanted is Wanted.PAUSE:
        return _paused(task.job)
    if task.template.init:
        what = "It is an init task: it runs on each worker before the first other task of the job there."
        return [what, *inits.sentences(state, task.job, inits.barred_from(state, task.job))]
    missing = [other for index in task.dependencies if (other := task.job.tasks[index]).state is not S.SUCCEEDED]
    shown = ", ".join(f"{other.name} ({other.state})" for other in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    said = [f"It waits for {len(missing)} of {len(task.dependencies)} dependencies: {shown}{more}."]
    if task.job.wanted is Wanted.PAUSE:
        return said + _paused(task.job)
    chain = chains.down(task)
    if not chain:
        return said
    said += [between for between in [chains.sentence(chain)] if between]
    root = chain[-1]
    cause, *helps = why(state, root, now)
    return [*said, f"{root.name} is {root.state}: {cause}", *helps]


def _ready(state: State, task: Task, now: float) -> list[str]:
    job = task.job
    if job.wanted is Wanted.PAUSE:
        return _paused(job)
    if state.stopping:
        return ["The boss is stopping."]
    if CLOSED in state.context and not any(worker.state is WorkerState.ONLINE for worker in state.workers.values()):
        return ["The fleet is shut down: no VM is created, whatever waits.", "`admin.py open` lets them come again."]
    if state.fenced:
        return [f"{state.fenced}."]
    if usage.is_spent(state, now):
        return [usage.spent_sentence(state, now)]
    if usage.is_spent_by(state, job, now):
        return [usage.job_sentence(state, job, now)]
    if not state.connected:
        return ["The boss has no connection to the broker; it keeps trying.", "`admin.py doctor` says what is wrong."]
    shape = shape_of(task.template)
    if trust.is_over(shape, state.wall(now)):
        return trust.over(task)
    for init in (job.tasks[index] for index in job.inits):
        if trust.is_over(shape_of(init.template), state.wall(now)):
            said = f"Its job's init task {init.name} is not started any more: the time of its signature is over."
            return [said, trust.push_signed(job.name)]
    if too_big := never_of(state, shape):
        if too_big == _for_want_of_a_signature(state, shape):
            return [too_big, trust.push_signed(job.name)]
        larger = "have the quota raised, " if _beyond(state, shape) else ""
        return [
            too_big,
            *_absent(state),
            f"Ask for less in the task file, {larger}or add a pool with larger VMs to the settings.",
        ]
    return _room(state, task, shape, now)


def never(state: State, task: Task) -> str:
    """Why the task can never run as things are: no VM that the pools could have and no worker that is there holds it; else empty."""
    return never_of(state, shape_of(task.template))


def never_of(state: State, shape: Shape) -> str:
    """The same for all tasks of this shape."""
    if any(can_ever(shape, flavor.resources) for pool in state.policy.pools for flavor in quotas.obtainable(state, pool)) or any(
        can_ever(shape, worker.resources) for worker in state.workers.values()
    ):
        return ""
    if any(sizes.unknown(state, pool) for pool in state.policy.pools):
        return ""  # one of those that the cloud has not described yet may hold it
    return _beyond(state, shape) or _for_want_of_a_signature(state, shape) or _too_big(state, shape)


def _beyond(state: State, shape: Shape) -> str:
    """Which VMs could hold it, and why none of them can ever be had; empty if there are none."""
    reasons = [
        f"{pool.name}: {quotas.beyond(state, pool, flavor)}"
        for pool in state.policy.pools
        for flavor in sizes.flavors(state, pool)
        if can_ever(shape, flavor.resources)
    ]
    if not reasons:
        return ""
    more = f", and {len(reasons) - FEW} more such flavor(s)" if len(reasons) > FEW else ""
    needs = ", ".join(amount(name, count) for name, count in shape if count)
    return f"No VM that can hold it ({needs}) can ever be had; pool {'; pool '.join(reasons[:FEW])}{more}."


def notes(state: State) -> list[str]:
    """Sentences for ``status``: ready tasks that can never run as things are, and pools of which no VM can be had."""
    found: dict[Shape, tuple[int, str]] = {}
    for bucket in state.ready.buckets.values():
        if bucket.job.wanted is Wanted.RUN and bucket.count:
            count, job = found.get(bucket.shape, (0, bucket.job.name))
            found[bucket.shape] = (count + bucket.count, job)
    said: list[str] = []
    for shape, (count, job) in found.items():
        if len(said) < FEW and (reason := never_of(state, shape)):
            said.append(f"{count:,} ready task(s) (of job {job} first) can never run as things are. {reason}")
    return (said or quotas.notes(state)) + _absent(state)


def _absent(state: State) -> list[str]:
    """On flavors that clouds do not have."""
    return [said for pool in state.policy.pools for said in sizes.absent(state, pool)][:FEW]


def _for_want_of_a_signature(state: State, shape: Shape) -> str:
    """That only machines which take signed work could hold it; empty if that is not what keeps it out."""
    pools = [(pool, sizes.flavors(state, pool)) for pool in state.policy.pools if pool.signers]
    holds = {pool.name: any(can_ever(shape, without_marks(one.resources)) for one in flavors) for pool, flavors in pools}
    there = any(VERIFIES in one.resources and can_ever(shape, without_marks(one.resources)) for one in state.workers.values())
    return trust.unsigned(shape, pools, holds) if there or any(holds.values()) else ""


def _paused(job: Job) -> list[str]:
    reason = f" ({job.reason})" if job.reason else ""
    failed = [task.name for task in inits.failing(job)]
    mend = "Mend that and push with `--merge changed`, which resumes the job; or else " if failed and reason else ""
    return [
        f"Job {job.name} is paused{reason}.",
        *(f"`admin.py logs {job.name}:{name}` shows what its init task wrote." for name in failed),
        f"{mend}`admin.py resume {job.name}` deals its tasks out again.",
    ]


def _too_big(state: State, shape: Shape) -> str:
    largest: dict[str, float] = {}
    for pool in state.policy.pools:
        for flavor in sizes.flavors(state, pool):
            for name, count in flavor.resources.items():
                largest[name] = max(largest.get(name, 0.0), count)
    if not largest:
        return "No VM of any pool can hold it: the clouds have none of the pools' flavors."
    lacking = [
        f"{amount(name, count)} (the largest VM has {amount(name, largest.get(name, 0.0))})"
        for name, count in shape
        if count > largest.get(name, 0.0)
    ]
    return f"No VM of any pool can hold it: it needs {', '.join(lacking) or 'more than any one VM has together'}."


def _room(state: State, task: Task, shape: Shape, now: float) -> list[str]:
    said = []
    online = [worker for worker in state.workers.values() if worker.state is WorkerState.ONLINE and not worker.draining]
    barred = [worker.id for worker in online if task.job.uid in worker.barred]
    said += inits.sentences(state, task.job, barred)
    able = [worker for worker in online if can_ever(shape, worker.resources) and worker.id not in barred]
    if barred and not able:
        return [*said, *_elsewhere(state, task.job, shape, now)]
    if task.job.inits and able and not any(is_prepared(worker, task.job) for worker in able):
        busy = state.roster.preparing().get(task.job.uid, set())
        said.append("The job's init tasks run first on each worker" + (f", now on {', '.join(sorted(busy))}." if busy else "."))
        able = [worker for worker in able if worker.id not in busy]
        if not able:
            return said
    free = [
        worker
        for worker in able
        if fits(
            needs_on(shape, worker.resources),
            {name: total - worker.used.get(name, 0.0) for name, total in worker.resources.items()},
            worker.resources,
        )
    ]
    own = task.job.priority + task.template.priority
    ahead = sum(bucket.count for bucket in state.ready.buckets.values() if bucket.priority >= own)
    first = [bucket for bucket in state.ready.buckets.values() if bucket.priority > own]
    if not able:
        said.append(f"No worker is there that can hold it; {ahead} task(s) are ready, this one among them.")
    elif not free:
        said.append(f"All {len(able)} worker(s) that can hold it are full; {ahead} task(s) are ready, this one among them.")
    else:
        said.append("A worker has room for it; it is dealt out now.")
    if first and not free:
        count, highest = sum(bucket.count for bucket in first), max(bucket.priority for bucket in first)
        said.append(f"{count:,} of them go first: their `priority` is up to {highest}, and that of this one is {own}.")
    if backlog.is_full(state):
        return [*said, f"No VM is added while {backlog.full(state)}."]
    for pool in state.policy.pools:
        said += _pool(state, pool.name, shape, now)
    return said


def _elsewhere(state: State, job: Job, shape: Shape, now: float) -> list[str]:
    """Whether there will be workers besides those that the job may not use."""
    said = [] if backlog.is_full(state) else [said for pool in state.policy.pools for said in _pool(state, pool.name, shape, now)]
    coming = [one for one in said if "maximum" not in one]
    return coming or [f"It goes on when another worker comes; `admin.py resume {job.name}` lets these try again now."]


def _pool(state: State, name: str, shape: Shape, now: float) -> list[str]:
    pool = state.pool(name)
    assert pool is not None
    unknown = sizes.unknown(state, pool)
    if unknown and pool.provider in state.cloud_trouble:
        return [f"Pool {name}: what {', '.join(unknown)} offers is not known yet: {state.cloud_trouble[pool.provider]}."]
    fitting = [flavor for flavor in quotas.obtainable(state, pool) if can_ever(shape, flavor.resources)]
    if not fitting:
        kept_out = pool.signers and any(can_ever(shape, without_marks(flavor.resources)) for flavor in sizes.flavors(state, pool))
        return [f"Pool {name} could hold it, and takes only jobs that are signed by a key that it trusts."] if kept_out else []
    said = _coming(state, pool, now)
    rest = health.resting(state, name, "", now)
    if rest is not None:
        return [*said, health.sentence(pool, rest, now)]
    rests = {one.name: rest for one in fitting if (rest := health.resting(state, name, one.name, now)) is not None}
    resting = [health.sentence(pool, rest, now, flavor) for flavor, rest in list(rests.items())[:FEW]]
    fitting = [flavor for flavor in fitting if flavor.name not in rests]
    coming = bool(said)
    said += resting
    if not fitting:
        return said
    rooms = [limits.room(state, pool, flavor, (), now) for flavor in fitting]
    if all(not room.count for room in rooms):
        return [*said, min(rooms, key=lambda room: len(room.cut)).cut]
    if not coming and not any(can_ever(shape, worker.resources) for worker in state.workers.values()):
        trouble = state.cloud_trouble.get(pool.provider)
        return [
            *said,
            f"Pool {name} is asked for a VM within seconds{f'; its cloud did not answer: {trouble}' if trouble else ''}.",
        ]
    if not coming and all(is_slow(state, pool, flavor.name) for flavor in fitting):
        boot = min(state.learned.boot(name, flavor.name, pool.provider) for flavor in fitting)
        ends = state.outlook.ends
        sooner = f"; as things stand, all work in sight ends in about {told(ends - now)}" if ends and now < ends < inf else ""
        said.append(
            f"Pool {name} adds no VM for it at this moment: one takes about {told(boot)} to come up, which costs more than it gains"
            f"{sooner}. A larger `haste` of the pool buys more."
        )
    return said


def _coming(state: State, pool: Pool, now: float) -> list[str]:
    """The pool's VMs that are under way, and which of them takes long."""
    coming = [vm for vm in members(state, pool.name) if vm.state in ("claimed", "creating", "booting")]
    if not coming:
        return []
    left = min(state.learned.boot(pool.name, vm.flavor, pool.provider) - (state.wall(now) - vm.created) for vm in coming)
    when = f", the first in about {told(max(1.0, left))}" if left > SLOW else ""
    late = [sentence for vm in coming if (sentence := overdue.coming(state, vm, now))]
    failed = state.health.get((pool.name, ""))
    tried = [health.trying(pool, failed)] if failed is not None and failed.bursts and now >= failed.resume_at else []
    return [f"{len(coming)} VM(s) of pool {pool.name} are coming up{'' if late else when}.", *late[:1], *tried]


def amount(name: str, count: float) -> str:
    """A count with its unit: ``memory`` and ``disk`` in bytes, everything else plain."""
    if name in ("memory", "disk"):
        for size, unit in UNITS:
            if count >= size:
                return f"{name} {count / size:.3g} {unit}"
    return f"{name} {count:g}"
