"""After a restore nothing is named twice and nothing is overwritten, as far as the core decides it."""

from boss.core import reactor, restored
from boss.core.effects import AcceptResult, RejectResult
from boss.core.events import WorkerSaid
from boss.core.model import OutputSpec
from tests.core.scene import Scene, bag
from worker.protocol import Result, Results

FILES = (("out.txt", 3, "ab" * 32),)
OUTPUT = {"outputs": (OutputSpec("out.txt"),)}


def restored_scene(floor: int = 5000) -> Scene:
    """A scene with one task, dealt as attempt 1, whose database is then said to come from a back-up."""
    scene = Scene()
    scene.push(bag(1, retries=5, **OUTPUT))
    scene.join("local-1")
    scene.state.set_context(restored.UNTIL, repr(scene.now))
    scene.state.set_context(restored.FLOOR, str(floor))
    return scene


def test_attempts_of_a_job_that_came_with_the_back_up_are_numbered_above_all_that_was_forgotten() -> None:
    scene = restored_scene()
    for attempt in ("u1.0.1", "u1.0.5001", "u1.0.5002"):
        assert [assignment.attempt for assignment in scene.dealt()][-1] == attempt
        scene.finish("local-1", attempt, "failed", phase="upload")
        for _second in range(30):
            scene.wait(1)
            scene.beat("local-1")


def test_a_job_that_was_pushed_after_the_restore_counts_from_1() -> None:
    scene = restored_scene()
    scene.wait(5)
    scene.push(bag(1), "new")
    scene.finish("local-1", "u1.0.1", files=FILES)
    scene.wait(5)
    assert "u2.0.1" in [assignment.attempt for assignment in scene.dealt()]


def test_results_of_such_a_job_are_accepted_with_what_they_would_replace_put_aside() -> None:
    scene = restored_scene()
    scene.finish("local-1", "u1.0.1", files=FILES)
    accept = AcceptResult("u1.0.1", "job", FILES, keep=True)
    assert [effect for effect in scene.hush() if isinstance(effect, AcceptResult)] == [accept]
    assert [effect for effect in reactor.resume(scene.state, scene.now) if isinstance(effect, AcceptResult)] == [accept]


def test_a_result_of_the_forgotten_life_goes_to_the_trash_and_never_counts() -> None:
    scene = restored_scene()
    forgotten = Result("u1.0.2", "succeeded", exit_code=0, files=FILES)  # dealt after the back-up: this database knows attempt 1
    scene.turn(WorkerSaid("local-1", Results("s1", (forgotten,))))
    assert scene.states() == {"t0": "assigned"}
    said = scene.hush()
    assert RejectResult("u1.0.2") in said
    assert not [effect for effect in said if isinstance(effect, AcceptResult)]


def test_the_marks_are_above_everything_that_the_back_up_names_and_grow_with_time() -> None:
    now = 1_800_000_000.0
    first = restored.marks({"epoch": "5", "vm_number": "9"}, 3, now - 10, now)
    assert (int(first["epoch"]), int(first[restored.FLOOR]) > 1003, float(first[restored.UNTIL])) == (int(now), True, now)
    again = restored.marks({"epoch": "5", "vm_number": "9"}, 3, now - 10, now + 1)
    assert int(again[restored.FLOOR]) > int(first[restored.FLOOR]) and int(again["epoch"]) > int(first["epoch"])
    chained = restored.marks(first, int(first[restored.FLOOR]) + 7, now - 10, now + 1)
    assert int(chained[restored.FLOOR]) > int(first[restored.FLOOR]) + 7


def test_a_clock_that_is_behind_does_not_make_numbers_or_jobs_new() -> None:
    marks = restored.marks({"epoch": "2000000000", "vm_number": "9999999"}, 88_000_000, 1_900_000_000.0, 1_800_000_000.0)
    assert int(marks["epoch"]) > 2_000_000_000
    assert int(marks["vm_number"]) > 9_999_999
    assert int(marks[restored.FLOOR]) > 88_000_000
    assert float(marks[restored.UNTIL]) == 1_900_000_000.0


def test_a_life_that_made_many_vms_gives_none_of_their_names_to_the_next() -> None:
    now = 1_800_000_000.0
    first = restored.marks({"vm_number": "9"}, 3, now - 10, now)
    again = restored.marks({"vm_number": "9"}, 3, now - 10, now + 600)  # the same back-up, ten minutes later
    assert int(again["vm_number"]) > int(first["vm_number"]) + 500
