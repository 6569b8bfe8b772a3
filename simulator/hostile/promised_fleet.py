"""Promises 2 and 3 in the hostile world: no server outlives its use, none is bought twice, and nobody who works is deleted."""

from typing import TYPE_CHECKING

from boss.core.changes import Changes
from boss.core.model import VmState, WorkerState
from simulator.hostile.boss import Boss
from simulator.hostile.cloud import Machine, Sky
from simulator.hostile.promises import Ledger, broken, promise
from simulator.hostile.workers import Process

if TYPE_CHECKING:
    from simulator.hostile.world import World

#: What the loop's clock may gain at each time that the boss was stopped, and the seconds that messages take.
SLACK = 4.0
#: Seconds after a person's word in which its consequences are no surprise.
WISH = 12.0
#: Reasons to drain that are no scale-down for want of work.
_OTHER_REASONS = ("by hand", "drained", "makes room", "machine asked", "failed again", "the boss stops", "host was removed")
_LIVE = frozenset({"claimed", "creating", "booting", "joined", "draining", "deleting"})


@promise("asked for")
def claims_are_on_record_before_the_cloud_is_asked(world: "World", ledger: Ledger, boss: Boss, vms: tuple[str, ...]) -> None:
    """A cloud is asked for servers only when the database has their claims; a boss that was replaced asks for none."""
    for vm in vms:
        row = world.disk.tables.vms.get(vm)
        if row is None or row[4] not in _LIVE:
            broken(f"a server is asked for {vm}, which the database has as {row[4] if row else 'nothing'}")
    if boss is not world.boss:
        broken(f"a boss that was replaced asks for {', '.join(vms)}")


@promise("bought")
def no_claim_buys_twice(world: "World", ledger: Ledger, sky: Sky, vm: str) -> None:
    """A claim gets one create call, whatever is answered or lost."""
    if sky.bought[vm] > 1 and not ledger.unsafe:
        broken(f"{vm} is asked for a second time")


@promise("condemned")
def a_replaced_boss_deletes_nothing(world: "World", ledger: Ledger, boss: Boss, vm: str, server: str, sky: Sky) -> None:
    """A boss that was replaced, or that knows less than has happened, has no server deleted."""
    if boss is not world.boss:
        broken(f"a boss that was replaced has {vm or server} deleted")
    machine = sky.machines.get(server)
    if machine is not None and machine.epoch > boss.epoch:
        broken(f"{server}, made in life {machine.epoch}, is deleted by a boss of life {boss.epoch}")


@promise("commits")
def nobody_who_works_is_deleted(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """Who runs a current attempt is deleted only when somebody says so, it was silent too long, its server broke or its time is over."""
    for name, vm in changes.vms.items():
        old = world.disk.tables.vms.get(name)
        if vm.state is not VmState.DELETING or old is None or old[4] == "deleting":
            continue
        busy = _work_of(world, name)
        if not busy or _may_go(world, ledger, boss, name, old):
            continue
        broken(f"{name} is deleted ({vm.reason}) while it runs {', '.join(busy)}")


@promise("commits")
def scale_down_takes_the_idle(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """Scale-down tells only workers to go that have nothing to do."""
    for name, vm in changes.vms.items():
        old = world.disk.tables.vms.get(name)
        if vm.state is not VmState.DRAINING or old is None or old[4] == "draining":
            continue
        busy = _work_of(world, name)
        if busy and not any(reason in vm.reason for reason in _OTHER_REASONS) and not _may_go(world, ledger, boss, name, old):
            broken(f"{name} is told to go ({vm.reason}) while it runs {', '.join(busy)}")


def _work_of(world: "World", name: str) -> list[str]:
    """The current attempts, by the database, that really run (or wait to be delivered) on a worker."""
    busy = []
    for process in world.processes():
        if process.name == name:
            for attempt in [*process.running, *process.moving]:
                found = world.disk.tables.task(attempt)
                if found is not None and found[1][1] == found[2] and found[1][0] in ("assigned", "running"):
                    busy.append(attempt)
    return busy


def _may_go(world: "World", ledger: Ledger, boss: Boss, name: str, old: tuple[object, ...]) -> bool:
    """Whether there is a reason beside scale-down."""
    now = world.clock.now
    silence = boss.awake() - boss.heard.get(name, 0.0)
    machine = next((one for one in world.machines() if one.worker == name), None)
    drained = old[4] == "draining" and now - float(str(old[10])) >= world.policy.drain_timeout - SLACK
    return (
        ledger.terminating > 0
        or now - ledger.terminated < WISH
        or boss.outdated
        or silence >= world.policy.lease - SLACK
        or machine is None
        or machine.status != "ACTIVE"
        or drained
        or ledger.restored
        or name in world.exiting
    )


@promise("commits")
def nobody_is_given_up_who_could_be_heard(world: "World", ledger: Ledger, boss: Boss, changes: Changes) -> None:
    """A worker is given up only when the boss, awake, has had nothing of it in its inbox for a lease."""
    for name, worker in changes.workers.items():
        old = world.disk.tables.workers.get(name)
        if worker.state is not WorkerState.LOST or old is None or old[2] == "lost":
            continue
        silence = boss.awake() - boss.heard.get(name, 0.0)
        if silence < world.policy.lease - SLACK:
            broken(f"{name} is given up, and was heard {silence:.1f} s ago")


@promise("turned")
def strays_are_found(world: "World", ledger: Ledger, boss: Boss) -> None:
    """When all is calm no server is there without a claim for longer than the grace, two lists and a deletion."""
    if not world.chance.calm or world.incidents.open:
        return
    policy, vms = world.policy, world.disk.tables.vms
    grace = policy.stray_grace + 4 * policy.list_interval + policy.delete_timeout + 15.0
    for machine in world.machines():
        rows = [vms.get(machine.claim)] if machine.claim else [row for row in vms.values() if row[11] == machine.group]
        rows += [row for row in vms.values() if row[5] == machine.id]
        if any(row is not None and row[4] in _LIVE for row in rows):
            machine.orphaned = None
        elif machine.orphaned is None:
            machine.orphaned = boss.awake()
            machine.orphaned_in = boss.epoch
        elif machine.orphaned_in == boss.epoch and boss.awake() - machine.orphaned > grace:
            broken(f"server {machine.id} has had no claim for {boss.awake() - machine.orphaned:.0f} s")


@promise("turned")
def workers_leave_without_a_boss(world: "World", ledger: Ledger, boss: Boss) -> None:
    """A worker that has had no answer of its boss for its longest lease is gone, even if it holds work."""
    longest = max(world.plan.longest_lease, world.policy.worker_lease)
    for process in world.processes():
        if not process.frozen and world.clock.now - process.answered > longest + 35.0:
            broken(f"{process.name} lives {world.clock.now - process.answered:.0f} s after the last answer of its boss")


@promise("joined")
def one_key_one_claim(world: "World", ledger: Ledger, machine: Machine, worker: str) -> None:
    """A server is told the same name each time that it asks, and no two servers that live are told the same."""
    before = ledger.keys.setdefault(machine.id, worker)
    if before != worker:
        broken(f"server {machine.id} was told that it is {before}, and now {worker}")
    for other in world.machines():
        if other is not machine and ledger.keys.get(other.id) == worker and other.status == "ACTIVE" and not ledger.unsafe:
            broken(f"servers {other.id} and {machine.id} are both told that they are {worker}")


@promise("exited")
def workers_leave_with_nothing_unsaid(world: "World", ledger: Ledger, process: Process, reason: str) -> None:
    """A worker that its boss has drained leaves only when all that it was given has ended and was acknowledged."""
    world.exiting.add(process.name)
    if process.running:
        broken(f"{process.name} leaves ({reason}) while it runs {', '.join(process.running)}")
    if reason == "drained by the boss" and process.machine.spool:
        broken(f"{process.name} leaves ({reason}) with the results of {', '.join(process.machine.spool)}")


@promise("terminates")
def note_terminations(world: "World", ledger: Ledger, answered: bool) -> None:
    """(Somebody wants workers to go at once, and asks until there is an answer.)"""
    ledger.terminating += -1 if answered else 1
    ledger.terminated = world.clock.now
