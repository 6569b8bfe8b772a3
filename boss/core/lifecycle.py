"""How tasks, workers and VMs may change state. Nothing else in the boss assigns one of these states.

Rules:
- One table per noun: state -> cause -> next state; a comment says why where it is not plain.
- A pair that is not in the table raises ``IllegalTransition`` and changes nothing.
- A job's counts of tasks by state are kept here, so that they cannot drift.
"""

from enum import StrEnum

from boss.core.model import Task, TaskState, Vm, VmState, Worker, WorkerState

S = TaskState
W = WorkerState
V = VmState


class IllegalTransition(Exception):
    """A cause that the state does not know; the message names both and the thing."""


class TaskCause(StrEnum):
    """Why a task changes state."""

    DEPENDENCIES_DONE = "dependencies done"  #: the last missing dependency succeeded
    DEPENDENCY_ENDED = "dependency ended"  #: a dependency failed for good, was skipped or cancelled
    DEPENDENCY_REOPENED = "dependency reopened"  #: a dependency that had succeeded is run again
    FOUND_DONE = "found done"  #: its results lay there already when it was pushed
    DEALT = "dealt"  #: sent to a worker as a new attempt
    STARTED = "started"  #: the worker says that it runs
    GIVEN_BACK = "given back"  #: recalled before it was started
    WORKER_LOST = "worker lost"  #: its worker will not finish it, as far as anyone knows
    ADOPTED = "adopted"  #: the lost worker came back and still holds it, not started
    FINISHED = "finished"  #: exit 0, outputs wait for acceptance
    COMPLETED = "completed"  #: exit 0 and nothing to accept, or accepted
    FAILED_AGAIN = "failed, to be tried again"
    FAILED_FOR_GOOD = "failed for good"
    TIME_CAME = "time came"  #: the delay before a retry is over
    CANCELLED = "cancelled"
    REOPENED = "reopened"  #: redo, retry or replacement of a finished task whose dependencies are done
    REOPENED_WAITING = "reopened, waiting"  #: the same, with a dependency still missing


C = TaskCause

TASK_TRANSITIONS: dict[TaskState, dict[TaskCause, TaskState]] = {
    S.WAITING: {
        C.DEPENDENCIES_DONE: S.READY,
        C.DEPENDENCY_ENDED: S.SKIPPED,
        C.FOUND_DONE: S.SUCCEEDED,
        C.CANCELLED: S.CANCELLED,
        C.COMPLETED: S.SUCCEEDED,  # an init task: done once it has succeeded on one worker
    },
    S.READY: {
        C.DEALT: S.ASSIGNED,
        C.DEPENDENCY_REOPENED: S.WAITING,
        C.FOUND_DONE: S.SUCCEEDED,
        C.CANCELLED: S.CANCELLED,
        # The last attempt's worker was given up and came back before a new attempt was dealt:
        C.ADOPTED: S.ASSIGNED,
        C.STARTED: S.RUNNING,
        C.FINISHED: S.PROMOTING,
        C.COMPLETED: S.SUCCEEDED,
        C.FAILED_AGAIN: S.DELAYED,
        C.FAILED_FOR_GOOD: S.FAILED,
    },
    S.ASSIGNED: {
        C.STARTED: S.RUNNING,
        C.GIVEN_BACK: S.READY,
        C.WORKER_LOST: S.READY,
        C.FINISHED: S.PROMOTING,  # the "started" message may be lost or late
        C.COMPLETED: S.SUCCEEDED,
        C.FAILED_AGAIN: S.DELAYED,
        C.FAILED_FOR_GOOD: S.FAILED,
        C.CANCELLED: S.CANCELLED,
    },
    S.RUNNING: {
        C.WORKER_LOST: S.READY,
        C.FINISHED: S.PROMOTING,
        C.COMPLETED: S.SUCCEEDED,
        C.FAILED_AGAIN: S.DELAYED,
        C.FAILED_FOR_GOOD: S.FAILED,
        C.CANCELLED: S.CANCELLED,
    },
    S.PROMOTING: {  # from acceptance on there is no way back: a cancel comes too late here
        C.COMPLETED: S.SUCCEEDED,
        C.FAILED_AGAIN: S.DELAYED,  # the gate refused it before acceptance
        C.FAILED_FOR_GOOD: S.FAILED,
    },
    S.DELAYED: {
        C.TIME_CAME: S.READY,
        C.DEPENDENCY_REOPENED: S.WAITING,
        C.CANCELLED: S.CANCELLED,
    },
    S.SUCCEEDED: {C.REOPENED: S.READY, C.REOPENED_WAITING: S.WAITING},
    S.FAILED: {C.REOPENED: S.READY, C.REOPENED_WAITING: S.WAITING},
    S.SKIPPED: {C.REOPENED: S.READY, C.REOPENED_WAITING: S.WAITING},
    S.CANCELLED: {C.REOPENED: S.READY, C.REOPENED_WAITING: S.WAITING},
}


class WorkerCause(StrEnum):
    """Why a worker changes state."""

    HEARD = "heard"  #: any message of its own
    LEFT = "left"  #: last will, or silence for a while
    LEASE_ENDED = "lease ended"
    ENDED = "ended"  #: goodbye, or its VM is no more


WORKER_TRANSITIONS: dict[WorkerState, dict[WorkerCause, WorkerState]] = {
    W.EXPECTED: {WorkerCause.HEARD: W.ONLINE, WorkerCause.ENDED: W.GONE, WorkerCause.LEASE_ENDED: W.LOST},
    W.ONLINE: {
        WorkerCause.HEARD: W.ONLINE,
        WorkerCause.LEFT: W.OFFLINE,
        WorkerCause.LEASE_ENDED: W.LOST,
        WorkerCause.ENDED: W.GONE,
    },
    W.OFFLINE: {
        WorkerCause.HEARD: W.ONLINE,
        WorkerCause.LEFT: W.OFFLINE,
        WorkerCause.LEASE_ENDED: W.LOST,
        WorkerCause.ENDED: W.GONE,
    },
    W.LOST: {WorkerCause.HEARD: W.ONLINE, WorkerCause.LEFT: W.LOST, WorkerCause.ENDED: W.GONE},
    W.GONE: {},  # a worker that comes back after its VM was given up is told to cancel what it has
}


class VmCause(StrEnum):
    """Why a claim changes state."""

    ASKED = "asked"  #: the create call is about to be made
    CREATED = "created"  #: the cloud gave a server
    HEARD = "heard"  #: its worker spoke
    DRAINED = "drained"  #: nothing new for it, by scale-down or by a person
    CONDEMNED = "condemned"  #: empty, past a deadline, or a person said now: delete it
    VANISHED = "vanished"  #: the cloud has no such server (any more)
    REFUSED = "refused"  #: the create call failed


VM_TRANSITIONS: dict[VmState, dict[VmCause, VmState]] = {
    V.CLAIMED: {VmCause.ASKED: V.CREATING, VmCause.CONDEMNED: V.GONE, VmCause.REFUSED: V.FAILED},
    V.CREATING: {
        VmCause.CREATED: V.BOOTING,
        VmCause.HEARD: V.JOINED,  # its worker may be faster than the cloud's answer
        VmCause.REFUSED: V.FAILED,
        VmCause.CONDEMNED: V.DELETING,
        VmCause.VANISHED: V.FAILED,
    },
    V.BOOTING: {VmCause.HEARD: V.JOINED, VmCause.CONDEMNED: V.DELETING, VmCause.VANISHED: V.FAILED, VmCause.CREATED: V.BOOTING},
    V.JOINED: {
        VmCause.HEARD: V.JOINED,
        VmCause.CREATED: V.JOINED,
        VmCause.DRAINED: V.DRAINING,
        VmCause.CONDEMNED: V.DELETING,
        VmCause.VANISHED: V.FAILED,
    },
    V.DRAINING: {
        VmCause.HEARD: V.DRAINING,
        VmCause.CREATED: V.DRAINING,
        VmCause.DRAINED: V.DRAINING,
        VmCause.CONDEMNED: V.DELETING,
        VmCause.VANISHED: V.GONE,
    },
    V.DELETING: {
        VmCause.HEARD: V.DELETING,
        VmCause.CREATED: V.DELETING,
        VmCause.DRAINED: V.DELETING,
        VmCause.CONDEMNED: V.DELETING,
        VmCause.VANISHED: V.GONE,
        VmCause.REFUSED: V.GONE,
    },
    V.GONE: {VmCause.VANISHED: V.GONE},
    V.FAILED: {VmCause.VANISHED: V.FAILED, VmCause.CREATED: V.DELETING, VmCause.CONDEMNED: V.DELETING},
}


def advance(task: Task, cause: TaskCause) -> TaskState:
    """Move a task along its table and return the new state. Raises IllegalTransition."""
    old = task.state
    new = TASK_TRANSITIONS[old].get(cause)
    if new is None:
        raise IllegalTransition(f"task {task.job.name}:{task.name} is {old}: {cause} cannot happen to it")
    counts = task.job.counts
    counts[old] -= 1
    counts[new] = counts.get(new, 0) + 1
    task.state = new
    return new


def advance_worker(worker: Worker, cause: WorkerCause) -> WorkerState:
    """Move a worker along its table and return the new state. Raises IllegalTransition."""
    new = WORKER_TRANSITIONS[worker.state].get(cause)
    if new is None:
        raise IllegalTransition(f"worker {worker.id} is {worker.state}: {cause} cannot happen to it")
    worker.state = new
    return new


def advance_vm(vm: Vm, cause: VmCause, now: float) -> VmState:
    """Move a claim along its table and return the new state; ``since`` is when. Raises IllegalTransition."""
    new = VM_TRANSITIONS[vm.state].get(cause)
    if new is None:
        raise IllegalTransition(f"VM {vm.id} is {vm.state}: {cause} cannot happen to it")
    if new is not vm.state:
        vm.since = now
        vm.state = new
    return new
