"""The hostile world itself: the same each time, shortened to what matters, and honest about what a database keeps."""

from dataclasses import replace
from pathlib import Path

import pytest

from boss.adapters import rows
from boss.adapters.store import Store
from boss.core import reactor
from boss.core.changes import Changes
from boss.core.effects import Effect
from boss.core.events import Event
from boss.core.requests import JobOpened, JobStaged, TasksStaged
from boss.ports import Store as Port
from boss.ports import StoreError, Superseded
from simulator.__main__ import main
from simulator.hostile.faults import CHANCES, INCIDENTS
from simulator.hostile.plan import plan_of
from simulator.hostile.promises import sentences
from simulator.hostile.shrinking import plan_from, recipe, run, shrink
from simulator.hostile.store import Disk, MemoryStore
from tests.core.scene import Scene
from tests.simulation.mutants import MUTANTS, alive


def test_a_seed_has_the_same_history_each_time() -> None:
    for seed in (3, 12, 27):
        first, second = run(plan_of(seed), telling=True), run(plan_of(seed), telling=True)
        assert first.history == second.history
        assert first.faults == second.faults


def test_the_faults_of_a_run_make_the_same_run_without_its_dice() -> None:
    plan = plan_of(12)
    first = run(plan, telling=True)
    assert first.faults
    assert run(replace(plan, only=frozenset(first.faults)), telling=True).history == first.history


def test_seeds_differ() -> None:
    plans = [plan_of(seed) for seed in range(200)]
    assert {len(plan.jobs) for plan in plans} == {1, 2, 3}
    assert {tuple(pool.name for pool in plan.policy.pools) for plan in plans} == {("local",), ("sky",), ("local", "sky")}
    assert {incident.kind for plan in plans for incident in plan.incidents} == set(INCIDENTS)
    assert {kind for plan in plans for kind in plan.rates} == set(CHANCES)


def test_a_broken_promise_is_told_by_its_shortest_history_and_can_be_had_again() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "a create call whose answer was lost is made again")
    with alive(mutant):
        seed = next(seed for seed in range(200) if run(plan_of(seed)).broken is not None)
        plan, verdict = plan_of(seed), run(plan_of(seed))
        assert verdict.broken is not None
        shorter = shrink(plan, verdict, seconds=30.0)
        assert [kind for kind, _ in shorter.only or ()] == ["create unanswered"], "one lost answer is all that it takes"
        assert not shorter.incidents and not shorter.acts
        words = dict(word.lstrip("-").split("=") for word in recipe(shorter).split()[1:])
        again = run(plan_from(seed, {part: words.get(part) for part in ("jobs", "acts", "incidents")}, words["faults"]))
        assert again.broken is not None
        assert again.broken.promise == verdict.broken.promise
    assert run(shorter).broken is None, "the same run holds as soon as the guard is back"


def test_every_promise_has_a_sentence() -> None:
    told = sentences()
    assert len(told) > 35
    assert len({sentence.partition(":")[0] for sentence in told}) == len(told)
    assert all(sentence.endswith((".", ").")) and len(sentence.partition(": ")[2]) > 20 for sentence in told)


def test_what_cannot_be_replayed_or_hunted_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "3", "--jobs=7"]) == 2
    assert "there is no 7" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["hunt", "--seeds", "none"])
    assert "'none' is no number of seeds" in capsys.readouterr().err


def test_a_run_is_told_with_its_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "3"]) == 0
    assert "the boss starts, in epoch 1" in capsys.readouterr().out


# ---- the database --------------------------------------------------------------------------------------------------


class Stage(Scene):
    """A scene whose turns are committed to several databases."""

    def __init__(self, *stores: Port) -> None:
        self.stores = stores
        super().__init__()

    def turn(self, *events: Event) -> list[Effect]:
        """Handle, settle, commit."""
        effects = [effect for event in events for effect in reactor.handle(self.state, event, self.now)]
        effects += reactor.settle(self.state, self.now)
        changes = self.state.take_changes()
        for store in self.stores:
            store.commit(changes)
        self.said += effects
        return effects


def picture(store: Port) -> object:
    """All that a load brings, as rows."""
    found = store.load()
    return (
        {name: value for name, value in found.context.items() if name != "cluster"},
        [(rows.job_nature(job), rows.job_standing(job), job.templates, dict(job.counts)) for job in found.jobs],
        [(rows.task_nature(task), rows.task_standing(task), task.missing) for job in found.jobs for task in job.tasks],
        [rows.attempt_standing(task.attempt) for job in found.jobs for task in job.tasks if task.attempt is not None],
        [rows.worker_row(worker) for worker in found.workers],
        [rows.vm_row(vm) for vm in found.vms],
    )


def test_the_database_in_memory_keeps_what_the_real_one_keeps(tmp_path: Path) -> None:
    real, memory = Store(f"sqlite:///{tmp_path}/db.sqlite", "c1"), MemoryStore(Disk())
    assert real.open() == memory.open() == 1
    real.load()
    stage, job = Stage(real, memory), plan_of(5).jobs[0]
    stage.turn(JobStaged("u1", "job", "ada", "s1"))
    stage.turn(TasksStaged("u1", job.templates(), job.specs()))
    stage.turn(JobOpened("u1", {}))
    worker = stage.join(next(iter(stage.state.vms)))
    assert worker.held, "something is under way"
    assert picture(memory) == picture(real)
    for attempt in list(worker.held):
        stage.finish(worker.id, attempt, "failed", phase="run")
    assert picture(memory) == picture(real)
    real.close()


def test_the_database_in_memory_knows_one_boss_at_a_time_and_can_be_down() -> None:
    disk = Disk()
    first, second = MemoryStore(disk), MemoryStore(disk)
    first.open()
    second.open()
    for forbidden in (first.load, first.assure, lambda: first.commit(Changes())):
        with pytest.raises(Superseded):
            forbidden()
    disk.down = True
    with pytest.raises(StoreError, match="down"):
        second.load()
