"""Domain objects as rows, and rows as domain objects. Pure: no SQL runs here.

Rules:
- A row's values are in the order of the columns named beside the function that makes it.
- What a task is (name, template, row of the grid, dependencies, rank) is apart from how it stands: only the latter is updated.
- Jobs are referred to by number: small keys keep a million tasks compact. ``Job.uid`` stays the name for everything outside.
- Not stored, because derived at a load: a job's counts, a task's ``missing`` and ``dependents``, an attempt's ``seq`` and ``needs``,
  a worker's ``held``, ``used`` and ``sent``.
- Dependencies are packed as unsigned 32-bit little-endian numbers; NULL when there are none.
- Free text that UTF-8 cannot hold (lone surrogates) gets a question mark; NUL survives.
"""

import json
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Final

from boss.core.deeds import Asker, Entry
from boss.core.model import (
    Attempt,
    FileRef,
    InputSet,
    Job,
    JobState,
    Task,
    TaskState,
    Template,
    Vm,
    VmState,
    Wanted,
    Worker,
    WorkerState,
)
from boss.core.tokens import Role, Token

Row = tuple[Any, ...]

JOB_KEY: Final = ("number",)
JOB_NEW: Final = ("uid", "name", "owner", "created")
JOB_STANDING: Final = ("state", "wanted", "reason", "priority", "submission", "finished", "stale")
JOB_COLUMNS: Final = (*JOB_KEY, *JOB_NEW, *JOB_STANDING)

TASK_KEY: Final = ("job", "task_index")
TASK_NATURE: Final = ("name", "template", "grid_row", "dependencies", "chain")
TASK_STANDING: Final = (
    "state",
    "number",
    "failures",
    "losses",
    "not_before",
    "exit_code",
    "phase",
    "reason",
    "worker",
    "started",
    "finished",
    "input_set",
    "result",
    "stale",
)

ATTEMPT_KEY: Final = ("job", "task_index", "number")
ATTEMPT_NATURE: Final = ("worker", "assigned", "init", "input_set")
ATTEMPT_STANDING: Final = (
    "state",
    "phase",
    "exit_code",
    "signal_number",
    "reason",
    "started",
    "finished",
    "resources_used",
    "stdout",
    "stderr",
    "stdout_size",
    "stderr_size",
    "stored_logs",
    "files",
)

WORKER_COLUMNS: Final = (
    "id",
    "pool",
    "state",
    "draining",
    "keep_until",
    "resources",
    "address",
    "session",
    "last_seen",
    "idle_since",
    "failures_in_a_row",
    "barred",
    "prepared",
)

VM_COLUMNS: Final = (
    "id",
    "pool",
    "flavor",
    "created",
    "state",
    "server",
    "address",
    "deadline",
    "reason",
    "keep_until",
    "since",
    "claim_group",
    "worker_key",
)

ENTRY_COLUMNS: Final = ("at", "who", "role", "token", "address", "verb", "job", "target", "code", "said")

TOKEN_COLUMNS: Final = ("id", "name", "role", "digest", "created", "expires", "used")


def storable(text: str) -> str:
    """The text with lone surrogates replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


_JSON = json.JSONEncoder(separators=(",", ":"))  # made once: json.dumps makes one for each call


def compact(data: Any) -> str:
    """Plain data as ASCII JSON."""
    return _JSON.encode(data)


def pack(indices: Sequence[int]) -> bytes | None:
    """Dependencies as the column holds them."""
    if not indices:
        return None
    return _little_endian(indices if isinstance(indices, array) else array("I", indices)).tobytes()


def unpack(packed: bytes | None) -> Sequence[int]:
    """Dependencies as a task holds them."""
    return _little_endian(array("I", packed)) if packed else ()


def _little_endian(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers


# ---- jobs --------------------------------------------------------------------------------------------------------


def job_nature(job: Job) -> Row:
    """JOB_NEW."""
    return (job.uid, job.name, storable(job.owner), job.created)


def job_standing(job: Job) -> Row:
    """JOB_STANDING."""
    return (job.state.value, job.wanted.value, storable(job.reason), job.priority, job.submission, job.finished, job.stale)


def job_from(row: Row) -> Job:
    """A job without files, templates, tasks and counts, from JOB_COLUMNS."""
    _, uid, name, owner, created, state, wanted, reason, priority, submission, finished, stale = row
    return Job(
        uid,
        name,
        owner,
        created,
        JobState(state),
        Wanted(wanted),
        reason,
        priority,
        submission,
        finished=finished,
        loaded=False,
        stale=stale,
    )


def files_text(files: dict[str, FileRef]) -> str:
    """A job's pushed files as JSON: path -> [sha256, size, mode]."""
    return compact({path: [ref.digest, ref.size, ref.mode] for path, ref in files.items()})


def files_from(text: str) -> dict[str, FileRef]:
    """A job's pushed files."""
    return {path: FileRef(*parts) for path, parts in json.loads(text).items()}


def input_set_text(files: InputSet) -> str:
    """An input set as JSON: [path, sha256, mode] of each file."""
    return compact(files)


def input_set_from(text: str) -> InputSet:
    """An input set."""
    return tuple((path, digest, mode) for path, digest, mode in json.loads(text))


# ---- tasks -------------------------------------------------------------------------------------------------------


def task_nature(task: Task) -> Row:
    """TASK_NATURE."""
    return (task.name, task.template.number, task.row, pack(task.dependencies), task.rank)


def task_standing(task: Task) -> Row:
    """TASK_STANDING."""
    return (
        task.state.value,
        task.number,
        task.failures,
        task.losses,
        task.not_before,
        task.exit_code,
        storable(task.phase),
        storable(task.reason),
        task.worker,
        task.started,
        task.finished,
        task.input_set,
        task.result,
        task.stale,
    )


#: Faster than TaskState(text) where there are a million.
TASK_STATES: Final[dict[str, TaskState]] = {state.value: state for state in TaskState}


def task_from(job: Job, templates: Sequence[Template], row: Row) -> Task:
    """A task to which nothing has happened yet, not linked to others, from its index, TASK_NATURE and its state."""
    index, name, template, grid_row, packed, rank, state = row
    return Task(job, index, name, templates[template], grid_row, unpack(packed), [], rank, TASK_STATES[state])


def set_standing(task: Task, row: Sequence[Any]) -> None:
    """What has happened to a task, from TASK_STANDING without the state."""
    task.number, task.failures, task.losses, task.not_before, task.exit_code, *texts_and_times = row
    task.phase, task.reason, task.worker, task.started, task.finished, *numbers = texts_and_times
    task.input_set, task.result, task.stale = numbers


# ---- attempts ----------------------------------------------------------------------------------------------------


def attempt_nature(attempt: Attempt) -> Row:
    """ATTEMPT_NATURE."""
    return (attempt.worker, attempt.assigned, int(attempt.init), attempt.input_set)


def attempt_standing(attempt: Attempt) -> Row:
    """ATTEMPT_STANDING."""
    return (
        attempt.state,
        storable(attempt.phase),
        attempt.exit_code,
        attempt.signal,
        storable(attempt.reason),
        attempt.started,
        attempt.finished,
        compact(dict(attempt.usage)) if attempt.usage else "{}",
        storable(attempt.stdout),
        storable(attempt.stderr),
        attempt.stdout_size,
        attempt.stderr_size,
        int(attempt.stored_logs),
        None if attempt.files is None else compact(attempt.files) if attempt.files else "[]",
    )


def attempt_from(uid: str, row: Row) -> Attempt:
    """An attempt of the job ``uid``, from the index, the number, ATTEMPT_NATURE and ATTEMPT_STANDING."""
    index, number, worker, assigned, init, input_set, state, phase, exit_code, signal, reason, started, finished, *rest = row
    used, stdout, stderr, stdout_size, stderr_size, stored_logs, files = rest
    return Attempt(
        job=uid,
        index=index,
        number=number,
        worker=worker,
        assigned=assigned,
        state=state,
        phase=phase,
        exit_code=exit_code,
        signal=signal,
        reason=reason,
        started=started,
        finished=finished,
        usage=json.loads(used),
        stdout=stdout,
        stderr=stderr,
        stdout_size=stdout_size,
        stderr_size=stderr_size,
        stored_logs=bool(stored_logs),
        files=None if files is None else tuple((path, size, digest) for path, size, digest in json.loads(files)),
        init=bool(init),
        input_set=input_set,
    )


# ---- workers and VMs ---------------------------------------------------------------------------------------------


def worker_row(worker: Worker) -> Row:
    """WORKER_COLUMNS."""
    return (
        worker.id,
        worker.pool,
        worker.state.value,
        int(worker.draining),
        worker.keep_until,
        compact(worker.resources),
        storable(worker.address),
        storable(worker.session),
        worker.last_seen,
        worker.idle_since,
        worker.failures_in_a_row,
        compact(sorted(worker.barred)),
        compact({uid: sorted(indices) for uid, indices in worker.prepared.items()}),
    )


def worker_from(row: Row) -> Worker:
    """A worker that holds nothing yet, from WORKER_COLUMNS."""
    name, pool, state, draining, keep_until, resources, address, session, last_seen, idle_since, failures, barred, prepared = row
    return Worker(
        id=name,
        pool=pool,
        state=WorkerState(state),
        draining=bool(draining),
        keep_until=keep_until,
        resources=json.loads(resources),
        address=address,
        session=session,
        last_seen=last_seen,
        idle_since=idle_since,
        failures_in_a_row=failures,
        barred=set(json.loads(barred)),
        prepared={uid: set(indices) for uid, indices in json.loads(prepared).items()},
    )


def vm_row(vm: Vm) -> Row:
    """VM_COLUMNS."""
    return (
        vm.id,
        vm.pool,
        vm.flavor,
        vm.created,
        vm.state.value,
        storable(vm.server),
        storable(vm.address),
        vm.deadline,
        storable(vm.reason),
        vm.keep_until,
        vm.since,
        vm.group,
        vm.key,
    )


def vm_from(row: Row) -> Vm:
    """A claim, from VM_COLUMNS."""
    name, pool, flavor, created, state, *rest = row
    return Vm(name, pool, flavor, created, VmState(state), *rest)


def token_row(token: Token) -> Row:
    """TOKEN_COLUMNS."""
    return (token.id, token.name, token.role.value, token.digest, token.created, token.expires, token.used)


def token_from(row: Row) -> Token:
    """A token, from TOKEN_COLUMNS."""
    name, owner, role, digest, created, expires, used = row
    return Token(name, owner, Role(role), digest, created, expires, used)


# ---- the audit -----------------------------------------------------------------------------------------------------


def entry_row(entry: Entry) -> Row:
    """ENTRY_COLUMNS."""
    asker = tuple(storable(text) for text in (entry.asker.who, entry.asker.role, entry.asker.token, entry.asker.address))
    return (entry.at, *asker, entry.verb, storable(entry.job), storable(entry.target), entry.code, storable(entry.said))


def entry_from(row: Row) -> Entry:
    """An entry of the audit, from ENTRY_COLUMNS."""
    at, who, role, token, address, verb, job, target, code, said = row
    return Entry(at, Asker(who, role, token, address), verb, job, target, code, said)
