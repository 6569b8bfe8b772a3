"""62 hours without a boss, with the leases that it has without settings: nothing finished is lost or repeated, no machine outlives it."""

import pytest

from boss.core.model import FINAL_STATES, TaskState
from simulator.weekend import HOUR, MARGIN, Weekend, limits_held
from worker.core import PATIENCE

#: From Friday at six to Monday at eight.
OFF = 62 * HOUR
#: Run times that end while the boss is off, and before its machines do.
WORK = {f"t{number}": hours * HOUR for number, hours in enumerate((0.3, 0.6, 1, 2, 5, 9, 17, 26, 38, 45))}


def friday(seed: int = 1, outputs: bool = True, **more: float) -> tuple[Weekend, float]:
    """All of this runs, half an hour before the boss goes; when it went."""
    world = Weekend(seed)
    world.push({**WORK, **more}, outputs)
    world.run(600)
    assert set(world.states().values()) == {TaskState.RUNNING}
    world.switch_off()
    return world, world.now


def monday(world: Weekend) -> None:
    """The boss is back; until all is done, and everything of it is gone."""
    world.switch_on()
    for _ in range(100):
        world.run(HOUR if not world.done() else 600)
        if world.done() and not world.machines:
            break
    assert world.done() and set(world.states().values()) == {TaskState.SUCCEEDED}
    assert not world.machines and not world.state.vms, "machines are left"
    assert not world.incoming, "records are left at the datastore"
    assert len(world.accepts) == len(set(world.accepts))


@pytest.mark.parametrize("outputs", [True, False])
def test_what_was_finished_is_accepted_and_nothing_is_repeated(outputs: bool) -> None:
    world, gone = friday(outputs=outputs)
    world.run(OFF)
    assert not [machine for machine in world.machines.values() if machine.on], "62 hours are more than 48"
    limits_held(world, gone)
    monday(world)
    assert set(world.numbers().values()) == {1}


def test_what_was_not_finished_in_time_is_run_again_and_nothing_else() -> None:
    world, gone = friday(long=70 * HOUR)
    world.run(OFF)
    limits_held(world, gone)
    longest = max(machine.ended for machine in world.machines.values())
    assert PATIENCE - 60 < longest - gone < PATIENCE + MARGIN + 10
    world.seconds["long"] = HOUR  # somebody has seen to it
    monday(world)
    assert {name for name, number in world.numbers().items() if number > 1} == {"long"}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_workers_that_are_killed_or_hang_meanwhile_end_their_machines_in_time_too(seed: int) -> None:
    world, gone = friday(seed, outputs=bool(seed % 2))
    while world.now < gone + OFF:
        world.run(world.chance.uniform(0.05, 4) * HOUR)
        for name in list(world.processes):
            chance = world.chance.random()
            if chance < 0.15:
                world.kill(name)
            elif chance < 0.18:
                world.hanging.add(name)
    assert not [machine for machine in world.machines.values() if machine.on]
    limits_held(world, gone)
    world.hanging.clear()
    world.seconds = dict.fromkeys(world.seconds, HOUR)
    monday(world)


@pytest.mark.long
def test_with_the_datastore_gone_too_results_are_kept_on_the_machines_until_their_limit() -> None:
    world, gone = friday()
    world.datastore_up = False
    world.run(40 * HOUR)
    there = [machine for machine in world.machines.values() if machine.on]
    assert len(there) == len(WORK), "each holds a result, or works"
    world.datastore_up = True
    monday(world)
    assert set(world.numbers().values()) == {1}, "the boss came back in time"
    world, gone = friday()
    world.datastore_up = False
    world.run(OFF)
    limits_held(world, gone)
    world.datastore_up = True
    world.seconds = dict.fromkeys(world.seconds, HOUR)
    monday(world)
    assert set(world.numbers().values()) == {2}, "it came too late: what only the machines had is run again"


def test_machines_that_idle_or_boot_when_the_boss_goes_do_not_wait_for_it() -> None:
    world = Weekend(3)
    world.push({"a": 60.0, "b": 60.0}, outputs=True)
    world.run(1)
    assert world.machines and not world.processes
    world.switch_off()
    gone = world.now
    world.run(3 * HOUR)
    limits_held(world, gone)
    assert not [machine for machine in world.machines.values() if machine.on]
    monday(world)


@pytest.mark.long
def test_a_boss_that_is_back_before_its_machines_end_goes_on_with_them() -> None:
    world, _ = friday()
    before = set(world.machines)
    world.run(10 * HOUR)
    world.switch_on()
    world.run(120)
    running = [name for name, state in world.states().items() if state not in FINAL_STATES]
    assert sorted(running) == sorted(name for name, seconds in WORK.items() if seconds > 10.1 * HOUR)
    assert set(world.machines) <= before
    world.switch_off()
    world.run(30 * HOUR)
    monday(world)
    assert set(world.numbers().values()) == {1}
