"""Workers and their VMs: what they say, what the cloud says of them, what becomes of their attempts. Part of the reactor.

Rules:
- A worker that is heard is online. Its will, or silence, makes it offline: nothing new for it, its attempts stay its own.
- What a worker says that it holds is compared with what we say that it holds, at every hello and heartbeat; a message that it cannot
  have handled yet (a higher seq, another epoch) never makes an attempt count as missing.
- A new session is a new process: what it does not hold any more is lost; what it was never sent is dealt again as a new attempt.
- Every claim is committed before the cloud is asked, gets one create call, and has a deadline while it is under way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from boss.core import backlog, credible, health, leavings, outcomes, overdue, rhythm, sizes, usage
from boss.core.deals import assignment_of, send_assignments
from boss.core.effects import Announce, CreateVms, DeleteVm, ListServers, ReadConsole, Send
from boss.core.events import Server, ServersListed, VmCreated, VmCreateFailed
from boss.core.lifecycle import TaskCause, VmCause, WorkerCause, advance_vm, advance_worker
from boss.core.model import Attempt, Refusal, TaskState, Vm, VmState, Worker, WorkerState
from boss.core.state import LIVE_VMS, State
from worker.protocol import Drain, Goodbye, Heartbeat, Hello, Recall, Renew, Resync

#: Nova's words for servers that run nothing (any more) and never will.
BROKEN = frozenset({"ERROR", "SHUTOFF", "DELETED", "SOFT_DELETED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED"})
#: Seconds that a VM which never joined may wait for its console to be read before it is deleted.
CONSOLE_WAIT = 20.0
#: A VM that vanishes within so many seconds after it joined counts as one that failed to come up.
EARLY_DEATH = 2.0
#: Seconds that an attempt may wait unstarted on a worker before it is asked back; one whose inputs are on their way stays.
QUEUED_TOO_LONG = 2.0


# ---- what workers say ----------------------------------------------------------------------------------------------


def heard(state: State, worker: Worker, now: float) -> None:
    """Any message of a worker: it lives, and its VM has joined."""
    worker.last_seen = now
    state.roster.said(worker.id)
    if worker.state not in (WorkerState.ONLINE, WorkerState.GONE):
        advance_worker(worker, WorkerCause.HEARD)
        state.touch_worker(worker)
        announce_worker(state, worker)
    vm = state.vms.get(worker.id)
    if vm is not None and vm.state in (VmState.CREATING, VmState.BOOTING):
        _step(state, vm, VmCause.HEARD, now)
        vm.deadline = None
        state.learned.booted(vm, state.wall(now) - vm.created)


def on_hello(state: State, worker: Worker, message: Hello, now: float) -> None:
    """A worker has connected, or was asked to tell all that it holds."""
    if len(message.session) > credible.WORD:
        state.stale += 1  # no worker calls itself that
        return
    fresh = message.session != worker.session
    if fresh:
        worker.session = message.session
        worker.prepared.clear()
        backlog.forget(worker)
        worker.cached = {}
        worker.idle_since = now
    vm = state.vms.get(worker.id)
    believed = credible.resources(message.resources, {} if vm is None else sizes.promised(state, vm))
    worker.resources = sizes.for_trial(believed) if worker.id in state.trials else believed
    worker.confinement = {name[:40]: how[:300] for name, how in sorted(message.confinement.items())[:8]}
    if vm is not None:
        sizes.learn(state, vm, believed)
    worker.address = message.address[: credible.WORD] or worker.address
    state.touch_worker(worker)
    send_renewal(state, worker, first=True)
    _compare_held(state, worker, message.held, now)
    leavings.forget(state, worker, message.held)
    resend = []
    for name, attempt in list(worker.held.items()):
        if name in message.held:
            continue
        sent_later = message.epoch != state.epoch or attempt.seq == 0 or attempt.seq > message.seq
        if fresh or not sent_later:
            outcomes.lose(state, worker, attempt, f"worker {worker.id} was restarted" if fresh else "the worker lost it", now)
        else:
            resend.append(attempt)
    _send_again(state, worker, resend)
    if worker.draining or message.draining:
        drain(state, worker, "its machine asked it to go" if message.draining else "drained", now)


def on_heartbeat(state: State, worker: Worker, message: Heartbeat, now: float) -> None:
    """A worker lives and says what it holds."""
    rhythm.on_heartbeat(state, worker, message)
    send_renewal(state, worker)
    if message.session == worker.session:
        if message.undelivered or worker.undelivered:
            backlog.on_heartbeat(worker, message)
            state.roster.changed(worker.id)
        worker.cached = dict(message.cached)
    else:
        send(state, worker, Resync(state.epoch, next_seq(worker)))
        return
    _compare_held(state, worker, message.held, now)
    if message.draining and not worker.draining:
        drain(state, worker, "its machine asked it to go", now)
    if message.epoch != state.epoch:
        return
    recalled, unsent = [], []
    for name, attempt in list(worker.held.items()):
        what = message.held.get(name)
        if what is None and attempt.seq == 0:  # dealt in an earlier life of the boss
            unsent.append(attempt)
        elif what is None and attempt.seq <= message.seq:
            outcomes.lose(state, worker, attempt, "the worker lost it", now)
        elif what == "queued" and not attempt.init and state.wall(now) - attempt.assigned > QUEUED_TOO_LONG:
            recalled.append(name)
    _send_again(state, worker, unsent)
    if recalled:
        send(state, worker, Recall(state.epoch, next_seq(worker), tuple(recalled)))


def _send_again(state: State, worker: Worker, attempts: Sequence[Attempt]) -> None:
    """Assign attempts once more, as the messages of this life; a worker that was given them before never starts them twice."""
    found = [(state.find(attempt.id), attempt) for attempt in attempts]
    assignments = [assignment_of(task[0], attempt) for task, attempt in found if task is not None]
    if assignments:
        send_assignments(state, worker, assignments)


def _compare_held(state: State, worker: Worker, held: Mapping[str, str], now: float) -> None:
    """Believe what the worker says about current attempts, adopt what was given up too early, cancel the rest."""
    cancelled = []
    for name, what in held.items():
        attempt = worker.held.get(name)
        task = state.current(name)
        if attempt is None and what != "finished" and not _adopt(state, worker, name, what):
            cancelled.append(name)
        elif attempt is not None and attempt.state == "cancelled" and what != "finished":
            cancelled.append(name)  # the first message may be lost
        elif attempt is not None and what == "running" and task is not None and task.state is TaskState.ASSIGNED:
            outcomes.started(state, task, state.wall(now))
    if cancelled:
        outcomes.send_cancel(state, worker.id, cancelled, "not current any more")


def _adopt(state: State, worker: Worker, name: str, what: str) -> bool:
    """Take an attempt back that was given up while its worker was silent, if no newer one was dealt."""
    found = state.find(name)
    if found is None:
        return False
    task, number = found
    if task.template.init:
        if number > task.number or state.is_held(name):
            return False
        attempt = Attempt(task.job.uid, task.index, number, worker.id, state.last_turn, state="running", init=True)
        state.hold(worker, attempt, task)
        return True
    attempt_now = task.attempt
    if attempt_now is None or attempt_now.id != name or attempt_now.worker != worker.id:
        return False
    if task.state is not TaskState.READY or attempt_now.state != "lost":
        return False
    state.move(task, TaskCause.STARTED if what == "running" else TaskCause.ADOPTED)
    attempt_now.state = "running" if what == "running" else "assigned"
    attempt_now.reason = attempt_now.phase = ""
    task.reason = ""
    task.losses -= 1
    state.touch_attempt(attempt_now)
    state.hold(worker, attempt_now, task)
    return True


def on_goodbye(state: State, worker: Worker, message: Goodbye, now: float) -> None:
    """A worker exits with nothing held (a repeat of what an earlier process of it said says nothing about this one)."""
    if message.session != worker.session:
        return
    vm = state.vms.get(worker.id)
    if vm is not None and vm.state in LIVE_VMS:
        condemn(state, vm, message.reason or "its worker has ended", now)
    end_worker(state, worker, message.reason or "it said goodbye", now)


def on_status(state: State, name: str, online: bool, now: float) -> None:
    """The broker's word about a worker: a hint."""
    worker = state.workers.get(name)
    if worker is None or worker.state is WorkerState.GONE:
        return
    if not online and worker.state is WorkerState.ONLINE:
        advance_worker(worker, WorkerCause.LEFT)
        state.touch_worker(worker)
        announce_worker(state, worker)
    elif online and worker.state is not WorkerState.ONLINE:
        send(state, worker, Resync(state.epoch, next_seq(worker)))


def lose_worker(state: State, worker: Worker, reason: str, now: float) -> None:
    """A worker's lease has run out: its attempts run elsewhere, unless it comes back before they are dealt again."""
    advance_worker(worker, WorkerCause.LEASE_ENDED)
    state.touch_worker(worker)
    announce_worker(state, worker)
    for attempt in list(worker.held.values()):
        outcomes.lose(state, worker, attempt, reason, now)


def end_worker(state: State, worker: Worker, reason: str, now: float) -> None:
    """A worker will never be heard again."""
    if worker.state is WorkerState.GONE:
        return
    backlog.forget(worker)
    for attempt in list(worker.held.values()):
        outcomes.lose(state, worker, attempt, f"worker {worker.id} ended: {reason}", now)
    advance_worker(worker, WorkerCause.ENDED)
    state.touch_worker(worker)
    announce_worker(state, worker)


# ---- what is said to workers ---------------------------------------------------------------------------------------


def next_seq(worker: Worker) -> int:
    """The number of the next message to this worker."""
    worker.sent += 1
    return worker.sent


def send(state: State, worker: Worker, message: Renew | Resync | Recall | Drain) -> None:
    """Send one message (its seq was taken with ``next_seq``)."""
    state.out.append(Send(worker.id, message))


def send_renewal(state: State, worker: Worker, first: bool = False) -> None:
    """The answer to a sign of life; ``first``: to a hello."""
    seq = next_seq(worker)
    send(state, worker, Renew(state.epoch, seq, rhythm.tell(state, worker, seq, first), state.policy.worker_lease))


def send_drain(state: State, worker: Worker) -> None:
    """Nothing new for this worker; it leaves when it is empty."""
    send(state, worker, Drain(state.epoch, next_seq(worker)))


def drain(state: State, worker: Worker, reason: str, now: float) -> None:
    """Let a worker finish what it has, then let its VM go."""
    if not worker.draining:
        worker.draining = True
        state.touch_worker(worker)
        announce_worker(state, worker)
    vm = state.vms.get(worker.id)
    if vm is not None and vm.state is VmState.JOINED:
        vm.reason = reason
        vm.deadline = now + state.policy.drain_timeout
        _step(state, vm, VmCause.DRAINED, now)
    elif vm is not None and vm.state in (VmState.CLAIMED, VmState.CREATING, VmState.BOOTING):
        condemn(state, vm, reason, now)
        return
    send_drain(state, worker)


# ---- claims and servers --------------------------------------------------------------------------------------------


def claim(state: State, pool: str, flavor: str, count: int, keep: float, reason: str, now: float) -> list[Vm]:
    """Record a group of claims and wish for their servers by one call; ``keep`` seconds without scale-down from now."""
    made = [_claim(state, pool, flavor, keep, reason, now) for _ in range(count)]
    for vm in made:
        vm.group = made[0].id
    state.out.append(CreateVms(tuple(vm.id for vm in made), pool, flavor))
    return made


def _claim(state: State, pool: str, flavor: str, keep: float, reason: str, now: float) -> Vm:
    number = int(state.context.get("vm_number", "0")) + 1
    state.set_context("vm_number", str(number))
    vm = Vm(f"{pool}-{number}", pool, flavor, state.wall(now), keep_until=now + keep if keep else 0.0, since=now, reason=reason)
    state.vms[vm.id] = vm
    state.changes.new_vms[vm.id] = vm
    worker = Worker(vm.id, pool, keep_until=vm.keep_until, last_seen=now, idle_since=now)
    state.workers[vm.id] = worker
    state.changes.new_workers[vm.id] = worker
    _step(state, vm, VmCause.ASKED, now)
    vm.deadline = now + state.policy.create_timeout
    return vm


def give_up(state: State, vm: Vm, reason: str, now: float) -> None:
    """A VM that never became a worker is deleted, once the end of its console was read: it may say why."""
    if vm.id in state.last_words or not vm.server:
        state.last_words.pop(vm.id, None)
        condemn(state, vm, reason, now)
        return
    state.last_words[vm.id] = reason
    vm.deadline = now + CONSOLE_WAIT
    state.touch_vm(vm)
    state.out.append(ReadConsole(vm.id, vm.pool, vm.server))


def condemn(state: State, vm: Vm, reason: str, now: float) -> None:
    """Have a server deleted; its worker's attempts are given up."""
    worker = state.workers.get(vm.id)
    if worker is not None:
        end_worker(state, worker, reason, now)
    vm.reason = reason
    state.ended.pop(vm.id, None)
    if _step(state, vm, VmCause.CONDEMNED, now) is VmState.DELETING:
        vm.deadline = now + state.policy.delete_timeout
        state.out.append(DeleteVm(vm.id, vm.pool, vm.server))


def on_created(state: State, event: VmCreated, now: float) -> None:
    """The cloud gave a server."""
    vm = state.vms.get(event.vm)
    if vm is None:
        return
    vm.server, vm.address = event.server, event.address
    before = vm.state
    if before is VmState.GONE:
        return
    after = _step(state, vm, VmCause.CREATED, now)
    state.touch_vm(vm)
    if after is VmState.BOOTING:
        pool = state.pool(vm.pool)
        vm.deadline = now + (pool.boot_timeout if pool else state.policy.create_timeout)
    elif after is VmState.DELETING:
        state.out.append(DeleteVm(vm.id, vm.pool, vm.server))


def on_create_failed(state: State, event: VmCreateFailed, now: float) -> None:
    """The create call was refused (or nobody knows: then the claim waits for the server list or its deadline)."""
    vm = state.vms.get(event.vm)
    if vm is None:
        return
    if not event.final:
        if vm.state is VmState.CREATING:
            state.doubts[vm.id] = event.reason
            state.roster.said(vm.id)
    elif vm.state in (VmState.CLAIMED, VmState.CREATING, VmState.DELETING):
        _fail(state, vm, VmCause.REFUSED, event.reason, now, event.kind, event.retry_after)


def on_deleted(state: State, name: str, now: float) -> None:
    """The cloud has no such server any more. Of a claim that is not to be deleted it was another one of the same name."""
    vm = state.vms.get(name)
    if vm is not None and vm.state is VmState.DELETING:
        _vanish(state, vm, "deleted", now)


def on_delete_failed(state: State, name: str, reason: str) -> None:
    """A server that is to be deleted is there still."""
    vm = state.vms.get(name)
    if vm is not None and vm.state is VmState.DELETING:
        state.doubts[vm.id] = reason
        state.roster.said(vm.id)


def on_listed(state: State, event: ServersListed, now: float) -> None:
    """Compare the cloud's servers with the claims, both ways."""
    overdue.answered(state, event.provider)
    latest = max((server.epoch for server in event.servers), default=0)
    if latest > state.epoch:
        state.fenced = (
            f"a server of this cluster was made in life {latest} of its boss, and this is life {state.epoch}: the database is older "
            "than what has happened. Nothing is created or deleted until `python -m boss adopt` was run with the boss stopped"
        )
        return
    state.fenced = ""
    servers = [_bound(state, server) for server in event.servers]
    listed = {server.vm: server for server in servers}
    state.listed[event.provider] = now
    state.cloud_trouble.pop(event.provider, None)
    overdue.seen(state, servers)
    pools = {pool.name for pool in state.policy.pools if pool.provider == event.provider}
    for vm in list(state.vms.values()):
        if vm.pool not in pools or vm.state in (VmState.CLAIMED, VmState.GONE, VmState.FAILED):
            continue
        server = listed.get(vm.id)
        if server is not None:
            _seen(state, vm, server, now)
        elif vm.since < event.asked and vm.state is not VmState.CREATING:
            _vanish(state, vm, "its server is gone", now)
    strays = {
        key: since for key, since in state.strays.items() if key[0] != event.provider
    }  # another cloud's list says nothing of them
    for server in servers:
        known = state.vms.get(server.vm)
        claimed = known is not None and known.state not in (VmState.GONE, VmState.FAILED)
        if known is not None and claimed and known.server in ("", server.server):
            continue
        key = (event.provider, server.server)
        strays[key] = since = state.strays.get(key, now)
        if now - since >= state.policy.stray_grace:  # a claim that lives keeps what is its own: only this server is to go
            state.out.append(DeleteVm("" if claimed else server.vm, server.pool, server.server))
    state.strays = strays


def _bound(state: State, server: Server) -> Server:
    """A server of a group, of which the cloud cannot say whose it is, belongs to the claim that has it or to one that has none."""
    if server.vm or not server.group:
        return server
    rows = [vm for vm in state.vms.values() if vm.group == server.group]
    vm = next((row for row in rows if row.server == server.server), None)
    vm = vm or next((row for row in rows if not row.server and row.state is VmState.CREATING), None)
    if vm is None:
        return server
    vm.server = server.server
    state.roster.said(vm.id)
    return replace(server, vm=vm.id)


def _seen(state: State, vm: Vm, server: Server, now: float) -> None:
    """The list has this claim's server: is it what we think?"""
    if vm.state is VmState.CREATING and server.status not in BROKEN:
        on_created(state, VmCreated(vm.id, server.server, server.address), now)
    if vm.address != server.address and server.address:
        vm.address = server.address
        state.touch_vm(vm)
    if server.status in BROKEN and vm.state in LIVE_VMS:
        vm.server = vm.server or server.server
        state.roster.said(vm.id)
        reason = f"the cloud says {server.status}" + (f": {server.reason.rstrip('.')}" if server.reason else "")
        kind = _kind_of(server.reason)
        if vm.state in (VmState.CREATING, VmState.BOOTING):
            health.failed(state, vm.pool, vm.flavor, kind, f"{vm.id}: {reason}", now)
        if not leavings.awaited(state, vm, reason):
            condemn(state, vm, reason, now)
        elif (worker := state.workers[vm.id]).state is WorkerState.ONLINE:  # nothing is dealt to it meanwhile
            advance_worker(worker, WorkerCause.LEFT)
            state.touch_worker(worker)
            announce_worker(state, worker)


def on_record(state: State, attempt: str, now: float) -> None:
    """What the datastore has of an attempt was heard: a VM that waited for that alone goes."""
    for name, reason in leavings.answered(state, attempt):
        vm = state.vms.get(name)
        if vm is not None and vm.state in LIVE_VMS:
            condemn(state, vm, reason, now)


def _kind_of(fault: str) -> Refusal:
    """What a server in ERROR says: a quota that shows only while it is built (of volumes, of ports) is no fault of the pool."""
    said = fault.lower()
    if "no valid host" in said:
        return Refusal.NO_HOST
    return Refusal.QUOTA if "quota" in said or "limitexceeded" in said else Refusal.BROKEN


def _vanish(state: State, vm: Vm, reason: str, now: float) -> None:
    leavings.look(state, vm)
    worker = state.workers.get(vm.id)
    if worker is not None:
        end_worker(state, worker, reason, now)
    wanted = vm.state in (VmState.DELETING, VmState.DRAINING)
    vm.deadline = None
    if wanted or vm.state in (VmState.GONE, VmState.FAILED):
        _step(state, vm, VmCause.VANISHED, now)
        usage.vm_ended(state, vm, now)
        state.vms.pop(vm.id, None)
    else:
        _fail(state, vm, VmCause.VANISHED, reason, now)


def _fail(
    state: State,
    vm: Vm,
    cause: VmCause,
    reason: str,
    now: float,
    kind: Refusal = Refusal.BROKEN,
    retry_after: float = 0.0,
) -> None:
    """The claim did not become what it was meant for: keep the reason, and do not ask again at once if that happened early."""
    early = vm.state is not VmState.JOINED or now - vm.since < EARLY_DEATH
    vm.reason, vm.deadline = reason, None
    after = _step(state, vm, cause, now)
    worker = state.workers.get(vm.id)
    if worker is not None:
        end_worker(state, worker, reason, now)
    usage.vm_ended(state, vm, now)
    state.vms.pop(vm.id, None)
    if after is VmState.FAILED and early:
        health.failed(state, vm.pool, vm.flavor, kind, reason, now, retry_after)


def list_servers(state: State, now: float) -> None:
    """Ask every provider for its servers."""
    for provider in {pool.provider for pool in state.policy.pools}:
        state.out.append(ListServers(provider))
        overdue.asked(state, provider, now)


def _step(state: State, vm: Vm, cause: VmCause, now: float) -> VmState:
    before, after = vm.state, advance_vm(vm, cause, now)
    if after is not before:
        state.doubts.pop(vm.id, None)  # what held it up was of the state that it has left
    state.touch_vm(vm)
    facts = {"vm": vm.id, "state": after.value, "pool": vm.pool, "flavor": vm.flavor, "reason": vm.reason}
    state.out.append(Announce("vm", facts))
    return after


def announce_worker(state: State, worker: Worker) -> None:
    """Tell listeners how the worker stands."""
    facts = {"worker": worker.id, "state": worker.state.value, "draining": worker.draining}
    state.out.append(Announce("worker", facts))
