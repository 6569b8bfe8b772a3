"""What is learned of run and boot times, and what is supposed of what nobody has seen."""

import pytest

from boss.core.guess import Guess, alike
from boss.core.learned import PROGRAMS, UNKNOWN, Learned, program_of
from boss.core.model import Template, Vm
from boss.core.picture import state_of
from tests.core.scene import Scene, bag
from worker.texts import Field


def program(command: object) -> str:
    return program_of(Template(0, "t", (command,)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/blastall -i 3", "blastall"),
        ("python3 sim/run.py --seed 7", "python# run.py"),
        ("SEED=3 OMP=1 ./model-12 x", "model-#"),
        (("bash -e step.sh ", Field("n")), "bash step.sh"),
        ("", ""),
    ],
)
def test_a_program_is_known_whatever_its_folder_numbers_and_options(command: object, name: str) -> None:
    assert program(command) == name


def test_a_hint_is_believed_until_tasks_of_the_template_have_ended() -> None:
    scene = Scene()
    job = scene.push(bag(2, runtime=600.0))
    task = job.tasks[0]
    assert Guess(scene.state.learned).of(task) == alike(600.0)


def test_of_the_same_program_it_is_known_in_another_job_and_in_another_life() -> None:
    scene = Scene()
    first = scene.push(bag(1), "one")
    for _ in range(20):
        scene.state.learned.ran(first.tasks[0], 50.0)
    second = scene.push(bag(1), "two")
    assert Guess(scene.state.learned).of(second.tasks[0])[0] == pytest.approx(50.0, rel=0.05)
    again = Learned.of(scene.state.learned.facts_in_full())
    assert Guess(again).of(second.tasks[0])[0] == pytest.approx(50.0, rel=0.05)


def test_what_nobody_has_seen_may_be_short_or_long_and_is_longer_the_longer_it_runs() -> None:
    scene = Scene()
    task = scene.push(bag(2)).tasks[0]
    fresh = Guess(scene.state.learned)
    short, usual, long = sorted(fresh.of(task))
    assert short < UNKNOWN / 5
    assert usual == pytest.approx(UNKNOWN)
    assert long > UNKNOWN * 5
    assert fresh.is_unsure(task)
    guess = Guess(scene.state.learned, [(task, 300.0)])
    assert min(guess.of(task)) > 300
    assert min(guess.left(task, 300.0)) > 0
    assert max(guess.of(task)) > max(fresh.of(task))
    assert min(Guess(scene.state.learned, [(task, 1e9)]).left(task, 1e9)) > 0  # beyond all that is likely


def test_many_that_run_at_once_say_no_more_than_the_one_that_has_run_longest() -> None:
    scene = Scene()
    tasks = scene.push(bag(30)).tasks
    alone = Guess(scene.state.learned, [(tasks[0], 50.0)])
    together = Guess(scene.state.learned, [(task, 50.0) for task in tasks[:20]])
    assert together.of(tasks[0]) == alone.of(tasks[0])


def test_when_one_has_ended_all_ways_are_alike_and_those_that_run_longer_raise_it() -> None:
    scene = Scene()
    tasks = scene.push(bag(30)).tasks
    scene.state.learned.ran(tasks[0], 40.0)
    guess = Guess(scene.state.learned)
    assert guess.of(tasks[1]) == alike(guess.of(tasks[1])[0])
    assert guess.of(tasks[1])[0] == pytest.approx(40.0, rel=0.1)
    assert guess.sure
    assert Guess(scene.state.learned, [(task, 200.0) for task in tasks[1:10]]).of(tasks[20])[0] > 200.0


def test_boot_times_are_learned_by_flavor_and_told_from_pool_to_flavor() -> None:
    learned = Learned()
    assert learned.boot("p", "a", "openstack") == 90.0
    assert learned.boot("p", "a", "local") < 1
    learned.booted(Vm("p-1", "p", "a", 0.0), 40.0)
    assert learned.boot("p", "a", "openstack") == learned.boot("p", "b", "openstack") == 40.0


def test_what_was_learned_and_used_comes_back_after_a_restart() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.wait(2)
    again = state_of(scene.state.policy, 2, scene.state.context, (), (), ())
    assert again.learned.programs["true"].seconds == pytest.approx(1.0)
    assert again.used == {"u1": pytest.approx(1.0)}


def test_only_so_many_programs_are_remembered_and_damaged_facts_are_nothing() -> None:
    scene = Scene()
    learned = scene.state.learned
    for letter in range(PROGRAMS + 50):
        uid = scene.push(bag(1, env=()), f"j{letter}").tasks[0]
        learned.names[uid.job.uid, 0] = f"p{letter}"
        learned.ran(uid, 1.0)
    assert len(learned.programs) == PROGRAMS
    assert Learned.of({"learned_boots": "{no", "learned_programs": "[1]"}).programs == {}
