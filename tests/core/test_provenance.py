"""What an attempt is made of is on record when it is dealt, and stays true whatever is pushed later."""

from array import array

from boss.core import reactor
from boss.core.changes import Changes
from boss.core.events import Event
from boss.core.model import FileRef, InputSpec, TaskSpec, Template
from boss.core.requests import JobExtended, TasksRedone
from tests.core.scene import Scene, chain

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
FILES = {"a.py": FileRef(A, 1), "d/1": FileRef(B, 1, 0o755), "other": FileRef(C, 1)}


class Recorded(Scene):
    """A scene that keeps the changes of its last turn."""

    changes = Changes()

    def turn(self, *events: Event) -> list[object]:  # type: ignore[override]
        """One turn."""
        effects: list[object] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.changes = self.state.take_changes()
        self.state.check()
        self.said += effects  # type: ignore[arg-type]
        return effects


def reading(*sources: str) -> dict[str, object]:
    return {"inputs": tuple(InputSpec(source) for source in sources)}


def test_an_attempt_is_recorded_with_the_files_that_it_is_given() -> None:
    scene = Recorded()
    job = scene.push(chain("a", **reading("d/*", "a.py", "a.py")), files=FILES)
    scene.join("local-1")
    assert scene.changes.new_input_sets == [("u1", 1, (("a.py", A, 0o644), ("d/1", B, 0o755)))]
    assert (job.tasks[0].input_set, scene.changes.new_attempts["u1.0.1"].input_set) == (1, 1)


def test_attempts_with_the_same_files_share_a_set_and_one_without_files_has_none() -> None:
    scene = Recorded()
    templates = (Template(0, "t", ("true",), **reading("a.py")), Template(1, "u", ("true",)))  # type: ignore[arg-type]
    job = scene.push((templates, (*(TaskSpec(n, f"t{n}", 0) for n in range(5)), TaskSpec(5, "u", 1))), files=FILES)
    scene.join("local-1")
    for index in range(6):
        scene.finish("local-1", f"u1.{index}.1")
    assert [task.input_set for task in job.tasks] == [1, 1, 1, 1, 1, 0]
    assert len(job.input_sets) == 1


def test_a_later_push_of_the_file_leaves_the_record_of_the_result_as_it_was() -> None:
    scene = Recorded()
    job = scene.push(chain("a", "b", **reading("a.py")), files=FILES)
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.turn(JobExtended("u1", 2, (), (), {"a.py": FileRef(C, 1)}, "s9"))
    assert (job.files["a.py"].digest, job.tasks[0].input_set) == (C, 1)
    scene.finish("local-1", "u1.1.1")  # dealt before the push
    assert job.tasks[1].input_set == 1
    scene.turn(TasksRedone("job", "b"))
    assert job.tasks[1].input_set == 2
    assert scene.changes.new_input_sets == [("u1", 2, (("a.py", C, 0o644),))]


def test_an_attempt_is_recorded_with_the_attempts_whose_results_it_reads() -> None:
    scene = Recorded()
    specs = (TaskSpec(0, "a", 0, rank=1), TaskSpec(1, "b", 0, done=True), TaskSpec(2, "c", 0, 0, (0, 1)))
    scene.push(((Template(0, "t", ("true",), retries=1),), specs))
    scene.join("local-1")
    assert scene.changes.read_results == {}
    scene.finish("local-1", "u1.0.1", "failed", phase="run")
    scene.wait(3)
    scene.finish("local-1", "u1.0.2")
    assert scene.changes.read_results == {"u1.2.1": array("I", [0, 2, 1, 0])}


def test_init_attempts_are_recorded_too() -> None:
    scene = Recorded()
    templates = (Template(0, "env", ("true",), init=True, **reading("a.py")), Template(1, "t", ("true",)))  # type: ignore[arg-type]
    job = scene.push((templates, (TaskSpec(0, "env", 0), TaskSpec(1, "t", 1))), files=FILES)
    scene.join("local-1")
    assert job.tasks[0].input_set == 1
