"""Promise 1 in the hostile world: no finished result is lost, counted twice or overwritten by a late attempt."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from boss.core.changes import Changes
from boss.ports import Picture
from simulator.hostile.boss import Boss
from simulator.hostile.datastore import Stored
from simulator.hostile.promises import Ledger, broken, promise
from simulator.hostile.store import JobRows, Row
from simulator.hostile.workers import Process, Run
from worker.protocol import Acknowledge, Result, Results, ToBoss, ToWorker

if TYPE_CHECKING:
    from simulator.hostile.world import World

_FINAL = frozenset({"succeeded", "failed", "skipped", "cancelled"})
_OPEN_ATTEMPT = frozenset({"assigned", "running", "promoting", "lost", "recalled"})
#: Failures that do not use up a user's retries.
_LOSSES = frozenset({"infrastructure", "promote"})


def key_of(attempt: str) -> tuple[str, int]:
    """The task of an attempt."""
    uid, index, _ = attempt.split(".")
    return uid, int(index)


@promise("accepted")
def only_the_current_attempt_is_accepted(world: "World", ledger: Ledger, attempt: str, job: str) -> None:
    """Nothing is accepted but the upload of the attempt that the database has as current and promoting: its manifest is committed."""
    found = world.disk.tables.task(attempt)
    if found is None:
        broken(f"{attempt} is accepted, and the database does not know its task")
    _, standing, number = found
    if standing[1] != number:
        broken(f"{attempt} is accepted although attempt {standing[1]} is current")
    if standing[0] != "promoting":
        broken(f"{attempt} is accepted although its task is {standing[0]} in the database")


@promise("accepted")
def no_attempt_is_accepted_twice(world: "World", ledger: Ledger, attempt: str, job: str) -> None:
    """An attempt is accepted once: when it is sent and asked for again because an answer was lost, it is the same to the last byte."""
    files = world.gate.incoming[attempt].record.files
    if ledger.files.setdefault(attempt, files) != files:
        broken(f"{attempt} was accepted before, with other files")


@promise("accepted")
def nothing_rejected_is_accepted(world: "World", ledger: Ledger, attempt: str, job: str) -> None:
    """What was rejected before it was accepted never is, unless it was sent again for a task that still waited for it."""
    found = world.disk.tables.attempt(attempt)
    if attempt in world.gate.trash and (found is None or found[0] != "promoting"):
        broken(f"{attempt} was rejected before")


@promise("accepted")
def one_result_for_each_opening(world: "World", ledger: Ledger, attempt: str, job: str) -> None:
    """Of each task one attempt is accepted, until somebody asks that it is run again."""
    uid, index = key_of(attempt)
    opening = ledger.openings.get((uid, index), 0)
    other = ledger.accepted.setdefault((uid, index, opening), attempt)
    ledger.accepted_in[attempt] = opening
    if other != attempt and not ledger.restored:
        broken(f"{attempt} is accepted, and {other} was before, for one and the same wish")


@promise("placed")
def nothing_newer_is_overwritten(world: "World", ledger: Ledger, attempt: str, job: str, path: str, there: Stored | None) -> None:
    """No file in a job's folder is replaced by that of an older attempt, or by one of a life that does not know of it."""
    if there is None:
        return
    if key_of(there.attempt) == key_of(attempt) and int(there.attempt.split(".")[2]) > int(attempt.split(".")[2]):
        broken(f"{path} of {there.attempt} is overwritten by the older {attempt}")
    digest = next((digest for name, _, digest in world.gate.accepted[attempt].record.files or () if name == path), "")
    if digest != there.digest and world.disk.tables.attempt(there.attempt) is None:
        broken(f"{path} of {there.attempt}, of which this database knows nothing, is overwritten by {attempt}")


@promise("commits")
def remember_what_was(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """(What a commit is about to change is remembered for the looks after it.)"""
    jobs = world.disk.tables.jobs
    tasks = {key: jobs[key[0]].tasks.get(key[1]) for key in changes.tasks if key[0] in jobs}
    attempts = {
        name: jobs[attempt.job].attempts.get((attempt.index, attempt.number))
        for name, attempt in changes.attempts.items()
        if attempt.job in jobs
    }
    ledger.before = (tasks, attempts)
    ledger.leaving = {name for name, row in world.disk.tables.workers.items() if row[3]}


@promise("committed")
def what_has_ended_is_not_run_again_unasked(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """A task that has ended, in the database, stays as it is until somebody asks that it is run again."""
    tables = world.disk.tables
    ledger.turned.clear()
    for (uid, index), old in ledger.before[0].items():
        if old is None or uid not in tables.jobs:
            continue
        nature, new = tables.jobs[uid].tasks[index]
        if old[1][0] not in _FINAL and _ended_between(tables.jobs[uid], index, old[1], new):
            ledger.openings[uid, index] = ledger.openings.get((uid, index), 0) + 1
            ledger.turned.add((uid, index))
            if tables.jobs[uid].name not in ledger.reopened and not tables.jobs[uid].templates[nature[1]].init:
                broken(f"task {index} of {uid} has ended and is {new[0]} within one turn, and nobody has asked for it")
        if old[1][0] not in _FINAL:
            continue
        if new[0] == old[1][0] and new[1] == old[1][1]:
            continue
        ledger.openings[uid, index] = ledger.openings.get((uid, index), 0) + 1
        if tables.jobs[uid].name not in ledger.reopened and not tables.jobs[uid].templates[nature[1]].init:
            broken(f"task {index} of {uid} was {old[1][0]} and is {new[0]}, and nobody has asked for it")


def _ended_between(job: JobRows, index: int, old: Row, new: Row) -> bool:
    """Whether a task has ended and was opened again within one commit."""
    found = job.attempts.get((index, old[1]))
    if found is None or new[0] in _FINAL:
        return False
    reset = new[2] == 0 and new[3] == 0 and found[1][1] not in _LOSSES
    return found[1][0] == "succeeded" or (found[1][0] == "failed" and old[0] not in ("delayed", "ready") and reset)


@promise("committed")
def a_success_has_its_files(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """A task with outputs is succeeded, in the database, only when its files lie in the job's folder."""
    tables = world.disk.tables
    for (uid, index), old in ledger.before[0].items():
        if old is None or uid not in tables.jobs:
            continue
        nature, new = tables.jobs[uid].tasks[index]
        if new[0] != "succeeded" or old[1][0] == "succeeded":
            continue
        template = tables.jobs[uid].templates[nature[1]]
        found = tables.jobs[uid].attempts.get((index, new[1]))
        if template.init or not template.outputs or found is None:
            continue
        folder = world.gate.jobs.get(tables.jobs[uid].name, {})
        for out in template.outputs:
            if out.path not in folder:
                broken(f"task {index} of {uid} succeeded without its file {out.path}")


@promise("committed")
def attempts_end_as_they_ended(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """No attempt counts as succeeded that did not end so on a worker, and none as failed by its command whose command did not fail."""
    tables = world.disk.tables
    for name, old in ledger.before[1].items():
        new = tables.attempt(name)
        if new is None or (old is not None and old[1][0] == new[0]):
            continue
        seen = ledger.ended.get(name, set())
        if new[0] in ("succeeded", "promoting") and "succeeded" not in seen:
            broken(f"{name} counts as {new[0]}, but its worker saw {sorted(seen) or 'no end of it'}")
        if new[0] == "failed" and new[1] == "run" and "failed" not in seen:
            broken(f"{name} counts as failed, but its worker saw {sorted(seen) or 'no end of it'}")


@promise("committed")
def tries_are_neither_more_nor_fewer(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """A task is tried again after its own failures as often as its retries say: not once more, and not once less."""
    tables = world.disk.tables
    for uid, index in changes.redefined_tasks:
        if (uid, index) in ledger.before[0]:
            ledger.failures[uid, index, ledger.openings.get((uid, index), 0)] = -(10**6)
    for name in ledger.before[1]:
        new = tables.attempt(name)
        if new is None or new[0] != "failed" or new[1] in _LOSSES or name in ledger.counted:
            continue
        ledger.counted.add(name)
        uid, index = key_of(name)
        if (uid, index) in ledger.turned:
            continue
        template = tables.jobs[uid].templates[tables.jobs[uid].tasks[index][0][1]]
        count = (uid, index, ledger.openings.get((uid, index), 0))
        ledger.failures[count] = ledger.failures.get(count, 0) + 1
        if not template.init and ledger.failures[count] > template.retries + 1:
            broken(f"task {index} of {uid} has failed {ledger.failures[count]} times with {template.retries} retries")
    for (uid, index), old in ledger.before[0].items():
        if old is None or uid not in tables.jobs:
            continue
        nature, new = tables.jobs[uid].tasks[index]
        template = tables.jobs[uid].templates[nature[1]]
        if new[0] != "failed" or old[1][0] == "failed" or new[6] in _LOSSES or template.init or ledger.restored:
            continue
        failures = ledger.failures.get((uid, index, ledger.openings.get((uid, index), 0)), 0)
        if 0 <= failures < template.retries + 1:
            broken(f"task {index} of {uid} is given up after {failures} failures with {template.retries} retries")


@promise("sent")
def acknowledged_only_after_the_commit(world: "World", ledger: Ledger, boss: Boss, worker: str, message: ToWorker) -> None:
    """A worker is told to forget a result only when the database has its outcome: with outputs, when they are accepted."""
    if not isinstance(message, Acknowledge) or boss is not world.boss:
        return
    for attempt in message.attempts:
        found, row = world.disk.tables.task(attempt), world.disk.tables.attempt(attempt)
        if found is None or row is None or ledger.unsafe:
            continue
        job, standing, number = found
        template = job.templates[job.tasks[int(attempt.split(".")[1])][0][1]]
        if standing[1] != number and not template.init:
            continue
        if template.init:
            if row[0] in ("assigned", "running") and standing[0] not in _FINAL:
                broken(f"the end of the init attempt {attempt} is acknowledged, and the database has it as {row[0]}")
            continue
        if standing[0] in ("assigned", "running", "promoting") or (standing[0] == "ready" and row[0] in _OPEN_ATTEMPT):
            broken(f"the result of {attempt} is acknowledged while its task is {standing[0]} and it is {row[0]} in the database")


@promise("said")
def results_are_on_disk_before_they_are_said(world: "World", ledger: Ledger, process: Process, message: ToBoss) -> None:
    """A worker says a result only when it is in its spool."""
    if isinstance(message, Results):
        for result in message.results:
            if result.attempt not in process.machine.spool:
                broken(f"{process.name} says the result of {result.attempt}, which is not in its spool")


@promise("heard")
def note_acknowledgements(world: "World", ledger: Ledger, process: Process, message: ToWorker) -> None:
    """(What a worker was allowed to forget.)"""
    if isinstance(message, Acknowledge) and message.epoch >= process.epoch:
        process.acknowledged.update(message.attempts)


@promise("forgot")
def workers_forget_only_what_was_acknowledged(world: "World", ledger: Ledger, process: Process, attempts: Sequence[str]) -> None:
    """A worker removes a result from its spool only when the boss has acknowledged it, and never what runs."""
    for attempt in attempts:
        if attempt in process.running:
            broken(f"{process.name} forgets {attempt}, which runs")
        if attempt in process.machine.spool and attempt not in process.acknowledged:
            broken(f"{process.name} forgets the result of {attempt}, which nobody has acknowledged")


@promise("ended")
def note_ends(world: "World", ledger: Ledger, process: Process, run: Run, result: Result) -> None:
    """(How processes really ended.)"""
    ledger.ended.setdefault(run.assignment.attempt, set()).add(result.outcome)


@promise("announced")
def a_success_is_announced_once(
    world: "World", ledger: Ledger, boss: Boss, kind: str, facts: Sequence[Mapping[str, object]]
) -> None:
    """The success of an attempt is told once: nothing is counted twice."""
    if kind != "task":
        return
    for fact in facts:
        if fact.get("state") != "succeeded" or "attempt" not in fact:
            continue
        said = (str(fact["job"]), str(fact["id"]), int(str(fact["attempt"])))
        if said in ledger.announced and not ledger.restored and said[0] not in ledger.reopened:
            broken(f"the success of {said[0]}:{said[1]}, attempt {said[2]}, is told twice")
        ledger.announced.add(said)


@promise("turned")
def the_picture_agrees_with_the_database(world: "World", ledger: Ledger, boss: Boss) -> None:
    """What people are shown of a job's tasks is what the database has; a job is finished exactly when all of them have ended."""
    jobs, picture = world.disk.tables.jobs, boss.loop.view()
    if not boss.loop.fresh:
        return
    for view in picture.jobs:
        kept = jobs.get(view.uid)
        if kept is None:
            broken(f"job {view.name} is shown, and the database does not have it")
        counts: dict[str, int] = {}
        for _, standing in kept.tasks.values():
            counts[standing[0]] = counts.get(standing[0], 0) + 1
        if dict(view.tasks) != counts:
            broken(f"job {view.name} is shown as {dict(view.tasks)}, the database has {counts}")
        if kept.state == "open" and (kept.standing[5] is not None) != all(name in _FINAL for name in counts):
            broken(f"job {view.name} is finished: {kept.standing[5]}, and its tasks are {counts}")


@promise("pushed", "over")
def what_was_taken_stays(world: "World", ledger: Ledger, *_facts: object) -> None:
    """A push that was answered as done is in the database for good, with all its tasks."""
    if ledger.restored:
        return
    for name, uid in world.people.pushed.items():
        kept = world.disk.tables.jobs.get(uid)
        if kept is None or kept.state != "open":
            broken(f"the push of {name} was answered as done, and job {uid} is {kept.state if kept else 'not there'}")


@promise("over")
def no_accepted_result_is_lost(world: "World", ledger: Ledger) -> None:
    """In the end each accepted result is what its task has, in the database and in the job's folder, or a newer one was asked for."""
    newest: dict[tuple[str, int], str] = {}
    for attempt in world.gate.accepts:
        newest[key_of(attempt)] = attempt
    for attempt in world.gate.accepts:
        found = world.disk.tables.task(attempt)
        if found is None or ledger.restored:
            continue
        job, standing, number = found
        uid, index = key_of(attempt)
        asked = ledger.openings.get((uid, index), 0) != ledger.accepted_in[attempt]
        if standing[1] == number and standing[0] != "succeeded" and not asked:
            broken(f"{attempt} was accepted, and its task is {standing[0]}")
        if standing[1] > number and not asked:
            broken(f"{attempt} was accepted, and its task ran again as attempt {standing[1]} though nobody has asked")
        if newest[uid, index] != attempt:
            continue
        for path, there in world.gate.jobs[job.name].items():
            if key_of(there.attempt) == (uid, index) and there.attempt != attempt and path in _paths(world, attempt):
                broken(f"{path} is of {there.attempt}, and {attempt} was accepted last")


def _paths(world: "World", attempt: str) -> set[str]:
    row = world.disk.tables.attempt(attempt)
    return set() if row is None or row[13] in (None, "[]") else {part.split('"')[1] for part in row[13].split("[") if '"' in part}


@promise("restored")
def note_restores(world: "World", ledger: Ledger, safely: bool) -> None:
    """(Since then the database knows less than has happened.)"""
    ledger.restored, ledger.unsafe = True, not safely
    ledger.openings.clear()
    ledger.accepted.clear()
    ledger.failures.clear()


@promise("reopens")
def note_reopens(world: "World", ledger: Ledger, job: str) -> None:
    """(Somebody asked that something of this job is run again.)"""
    ledger.reopened.add(job)


@promise("loaded")
def note_loads(world: "World", ledger: Ledger, boss: Boss, picture: Picture) -> None:
    """(What was about to be committed is forgotten.)"""
    ledger.before = None
