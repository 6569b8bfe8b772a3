"""What runs in the hostile world: in the right order, once, on whom it was given to, within what is there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from boss.core.changes import Changes
from simulator.hostile.boss import Boss
from simulator.hostile.promises import Ledger, broken, promise
from simulator.hostile.workers import Process, Run
from worker import events as ev
from worker.protocol import Assign, Assignment, Cancel, Recalled, Renew, ToBoss, ToWorker

if TYPE_CHECKING:
    from simulator.hostile.world import World


@promise("committed")
def no_attempt_is_numbered_twice(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """A number of an attempt is given once, for ever: also by a boss on a database that was put back."""
    for name in changes.new_attempts:
        if name in ledger.dealt and not ledger.unsafe:
            broken(f"{name} was dealt before")
        ledger.dealt.add(name)


@promise("committed")
def dependencies_first(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """No task is dealt out before all that it depends on has succeeded, in the database."""
    for attempt in changes.new_attempts.values():
        job = world.disk.tables.jobs[attempt.job]
        for above in _dependencies(job.tasks[attempt.index][0]):
            if job.tasks[above][1][0] != "succeeded":
                broken(f"{attempt.id} is dealt while task {above}, which it depends on, is {job.tasks[above][1][0]}")


@promise("lacked")
def inputs_are_there(world: "World", ledger: Ledger, process: Process, assignment: Assignment, lacking: Sequence[str]) -> None:
    """What a task reads of others lies in the job's folder when it is dealt out."""
    found = world.disk.tables.task(assignment.attempt)
    if found is not None and found[1][1] == found[2] and found[1][0] in ("assigned", "running") and not ledger.restored:
        broken(f"{assignment.attempt} finds no {', '.join(lacking)}")


@promise("committed")
def only_what_may_run_is_dealt(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """Nothing is dealt of a job that is paused or not open, nor to a worker that is not online or is to go."""
    tables = world.disk.tables
    for attempt in changes.new_attempts.values():
        job, worker = tables.jobs[attempt.job], tables.workers[attempt.worker]
        if job.wanted != "run" or job.state != "open":
            broken(f"{attempt.id} is dealt while its job is {job.state} and {job.wanted} is wanted")
        if worker[2] != "online" or attempt.worker in ledger.leaving:
            broken(f"{attempt.id} is dealt to {attempt.worker}, which is {worker[2]}{' and draining' if worker[3] else ''}")
        if attempt.job in worker[11]:
            broken(f"{attempt.id} is dealt to {attempt.worker}, which is barred from its job")


@promise("committed")
def a_task_is_on_one_worker(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """A task that is assigned or running, in the database, has one current attempt there, on a worker that is not gone."""
    tables = world.disk.tables
    for uid, index in changes.tasks:
        job = tables.jobs.get(uid)
        if job is None or job.tasks[index][1][0] not in ("assigned", "running", "promoting"):
            continue
        found = job.attempts.get((index, job.tasks[index][1][1]))
        if found is None:
            broken(f"task {index} of {uid} is {job.tasks[index][1][0]} without an attempt on record")
        row = tables.workers.get(found[0][0])
        if job.tasks[index][1][0] != "promoting" and (row is None or row[2] == "gone"):
            broken(f"task {index} of {uid} is {job.tasks[index][1][0]} on {found[0][0]}, which is gone")


@promise("assigned")
def assigned_only_what_is_on_record(world: "World", ledger: Ledger, boss: Boss, worker: str, message: Assign) -> None:
    """A worker is given an attempt only when the database has it, on that worker."""
    if boss is not world.boss:
        return
    for assignment in message.attempts:
        uid, index, number = assignment.attempt.split(".")
        job = world.disk.tables.jobs.get(uid)
        found = job.attempts.get((int(index), int(number))) if job is not None else None
        if found is None:
            broken(f"{assignment.attempt} is sent to {worker}, and the database does not have it")
        if found[0][0] != worker:
            broken(f"{assignment.attempt} is sent to {worker}, and the database has it on {found[0][0]}")


@promise("started")
def never_started_twice(world: "World", ledger: Ledger, process: Process, run: Run) -> None:
    """A worker starts an attempt once, whatever arrives twice or late."""
    if run.assignment.attempt in process.ran:
        broken(f"{process.name} starts {run.assignment.attempt} a second time")
    if run.assignment.attempt in process.returned:
        broken(f"{process.name} starts {run.assignment.attempt}, which it gave back")
    if run.assignment.attempt in process.machine.spool:
        broken(f"{process.name} starts {run.assignment.attempt}, whose result is in its spool")


@promise("started")
def room_is_never_exceeded(world: "World", ledger: Ledger, process: Process, run: Run) -> None:
    """What runs on a worker at a time never needs more than the worker has."""
    for name, total in process.resources.items():
        used = sum(other.needs.get(name, 0.0) for other in process.running.values()) + run.needs.get(name, 0.0)
        if used > total + 1e-9:
            broken(f"{process.name} runs what needs {used:g} {name}, and has {total:g}")


@promise("started")
def prepared_first(world: "World", ledger: Ledger, process: Process, run: Run) -> None:
    """A task of a job with init tasks starts on a worker only when all of these have succeeded on its machine."""
    uid = run.assignment.attempt.split(".")[0]
    job = world.disk.tables.jobs.get(uid)
    if job is None or run.assignment.init or ledger.restored:
        return
    for index, (nature, _) in job.tasks.items():
        if job.templates[nature[1]].init and f"{uid}.{index}" not in process.machine.prepared and nature[1] == index:
            broken(f"{run.assignment.attempt} starts on {process.name}, where init task {index} has not succeeded")


@promise("started")
def what_is_killed_stays_dead(world: "World", ledger: Ledger, process: Process, run: Run) -> None:
    """A worker that was told to cancel an attempt does not start it afterwards."""
    if run.assignment.attempt in process.cancelled:
        broken(f"{process.name} starts {run.assignment.attempt}, which was cancelled there")


@promise("heard")
def note_orders(world: "World", ledger: Ledger, process: Process, message: ToWorker) -> None:
    """(What a worker was told.)"""
    if message.epoch < process.epoch:
        return
    if isinstance(message, Cancel):
        process.cancelled.update(message.attempts)
    elif isinstance(message, Renew):
        process.answered = world.clock.now


@promise("said")
def note_returns(world: "World", ledger: Ledger, process: Process, message: ToBoss) -> None:
    """(What a worker gave back.)"""
    if isinstance(message, Recalled):
        process.returned.update(message.attempts)


@promise("obeyed")
def a_replaced_boss_is_not_obeyed(world: "World", ledger: Ledger, process: Process, effects: Sequence[ev.Effect]) -> None:
    """A worker that has heard a newer boss does nothing that an older one says."""
    broken(f"{process.name} answers a replaced boss with {effects}")


@promise("committed")
def skipped_for_a_cause(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """A task is skipped only when something that it depends on has ended badly."""
    tables = world.disk.tables
    for (uid, index), old in ledger.before[0].items():
        job = tables.jobs.get(uid)
        if job is None or job.tasks[index][1][0] != "skipped" or (old is not None and old[1][0] == "skipped"):
            continue
        above = [job.tasks[other][1][0] for other in _dependencies(job.tasks[index][0])]
        if not any(state in ("failed", "skipped", "cancelled") for state in above):
            broken(f"task {index} of {uid} is skipped, and what it depends on is {above}")


def _dependencies(nature: tuple[object, ...]) -> list[int]:
    packed = nature[3]
    assert packed is None or isinstance(packed, bytes)
    return [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)] if packed else []
