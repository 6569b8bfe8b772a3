"""Results that were made from older ones: who becomes stale, by what, and when it is over."""

import random

import pytest

from boss.core import explain, reactor
from boss.core.effects import Announce, Effect
from boss.core.events import Event, ResultAccepted
from boss.core.model import OutputSpec, Task, TaskSpec, Template
from boss.core.picture import publish
from boss.core.requests import FailedRetried, JobExtended, TasksRedone
from tests.core.scene import Scene, bag, chain

OLD, NEW = "aa" * 32, "bb" * 32
OUT = (OutputSpec("out"),)


class Study(Scene):
    """A scene in which attempts end with a file of a given digest, accepted at once."""

    def yield_(self, attempt: str, digest: str = OLD, path: str = "out") -> None:
        """The attempt succeeds with one file."""
        self.finish("local-1", attempt, files=((path, 3, digest),))
        self.turn(ResultAccepted(attempt))

    def yield_all(self, digest: str = OLD) -> None:
        """Whatever the worker is given succeeds, one after the other."""
        while held := list(self.state.workers["local-1"].held):
            self.yield_(held[0], digest)

    def stale(self, job: str = "job") -> dict[str, str]:
        """Names of stale tasks, each with the task whose newer result it was not made from."""
        found = self.state.job_named(job)
        assert found is not None
        causes = {task.name: abs(task.stale) - 1 for task in found.tasks if task.stale}
        assert found.stale == len(causes)
        return {name: found.tasks[index].name for name, index in causes.items()}


def finished(*names: str) -> Study:
    """A chain whose tasks have all succeeded."""
    scene = Study()
    scene.push(chain(*names, outputs=OUT))
    scene.join("local-1")
    for index in range(len(names)):
        scene.yield_(f"u1.{index}.1")
    return scene


def redo(
    scene: Scene, pattern: str, descendants: bool = False, others: tuple[str, ...] = (), stale: bool = False
) -> dict[str, object]:
    answer = scene.answer(TasksRedone("job", pattern, 1, descendants, others, stale))
    assert answer.code == 200
    return dict(answer.detail)


def counts(detail: dict[str, object]) -> dict[str, object]:
    """How many tasks a redo has touched, and how."""
    return {name: detail[name] for name in ("redone", "each", "descendants", "kept")}


def test_a_newer_result_that_differs_makes_all_below_stale_once_it_is_accepted() -> None:
    scene = finished("a", "b", "c")
    redo(scene, "a")
    scene.finish("local-1", "u1.0.2", files=(("out", 3, NEW),))
    assert scene.stale() == {}
    scene.turn(ResultAccepted("u1.0.2"))
    assert scene.stale() == {"b": "a", "c": "a"}
    assert scene.states() == dict.fromkeys("abc", "succeeded")


def test_the_same_result_again_makes_nothing_stale() -> None:
    scene = finished("a", "b")
    redo(scene, "a")
    scene.yield_("u1.0.2", OLD)
    assert scene.stale() == {}


def test_a_result_without_files_cannot_be_compared_and_counts_as_different() -> None:
    scene = Study()
    scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-1", "u1.1.1")
    redo(scene, "a")
    scene.finish("local-1", "u1.0.2")
    assert scene.stale() == {"b": "a"}


def test_a_first_result_makes_nothing_stale() -> None:
    scene = finished("a", "b")
    assert scene.stale() == {}


def test_a_redo_that_fails_makes_nothing_stale_and_the_retry_compares_with_what_was_there() -> None:
    scene = finished("a", "b")
    redo(scene, "a")
    scene.finish("local-1", "u1.0.2", "failed", phase="run")
    assert scene.stale() == {}
    scene.turn(FailedRetried("job"))
    scene.yield_("u1.0.3", NEW)
    assert scene.stale() == {"b": "a"}


def test_running_a_stale_task_again_ends_it_and_what_is_below_is_stale_by_it() -> None:
    scene = finished("a", "b", "c")
    redo(scene, "a")
    scene.yield_("u1.0.2", NEW)
    redo(scene, "b")
    assert scene.stale() == {"c": "a"}
    scene.yield_("u1.1.2", NEW)
    assert scene.stale() == {"c": "b"}
    redo(scene, "c")
    scene.yield_("u1.2.2")
    assert scene.stale() == {}


def test_what_was_stale_only_by_way_of_a_task_whose_new_result_is_the_same_is_not_stale_any_more() -> None:
    scene = finished("a", "b", "c", "d")
    redo(scene, "a")
    scene.yield_("u1.0.2", NEW)
    assert scene.stale() == {"b": "a", "c": "a", "d": "a"}
    redo(scene, "b")
    scene.yield_("u1.1.2", OLD)
    assert scene.stale() == {}


def diamond() -> Study:
    """a -> b, c -> d; d waits for a too when ``direct``."""
    scene = Study()
    template = (Template(0, "t", ("true",), outputs=OUT),)
    specs = (
        TaskSpec(0, "a", 0, rank=2),
        TaskSpec(1, "b", 0, 0, (0,), 1),
        TaskSpec(2, "c", 0, 0, (0,), 1),
        TaskSpec(3, "d", 0, 0, (1, 2)),
    )
    scene.push((template, specs))
    scene.join("local-1")
    for index in range(4):
        scene.yield_(f"u1.{index}.1")
    return scene


def test_what_has_another_stale_source_stays_stale() -> None:
    scene = diamond()
    redo(scene, "a")
    scene.yield_("u1.0.2", NEW)
    redo(scene, "b")
    scene.yield_("u1.1.2", OLD)
    assert scene.stale() == {"c": "a", "d": "a"}
    redo(scene, "c")
    scene.yield_("u1.2.2", OLD)
    assert scene.stale() == {}


def test_what_itself_waits_for_the_newer_result_stays_stale_though_all_else_is_the_same() -> None:
    scene = Study()
    template = (Template(0, "t", ("true",), outputs=OUT),)
    scene.push((template, (TaskSpec(0, "a", 0, rank=2), TaskSpec(1, "b", 0, 0, (0,), 1), TaskSpec(2, "c", 0, 0, (0, 1)))))
    scene.join("local-1")
    for index in range(3):
        scene.yield_(f"u1.{index}.1")
    redo(scene, "a")
    scene.yield_("u1.0.2", NEW)
    redo(scene, "b")
    scene.yield_("u1.1.2", OLD)
    assert scene.stale() == {"c": "a"}


def test_from_a_stale_result_only_a_stale_one_is_made() -> None:
    scene = finished("a", "b", "c")
    redo(scene, "a")
    scene.yield_("u1.0.2", NEW)
    redo(scene, "c")
    scene.yield_("u1.2.2", NEW)
    assert scene.stale() == {"b": "a", "c": "a"}


def test_results_that_existed_already_count_as_older_than_what_is_made_here() -> None:
    scene = Study()
    template = (Template(0, "t", ("true",), outputs=OUT),)
    scene.push((template, (TaskSpec(0, "a", 0, done=True), TaskSpec(1, "b", 0, 0, (0,), done=True), TaskSpec(2, "c", 0))))
    scene.join("local-1")
    scene.yield_("u1.2.1")
    redo(scene, "a")
    scene.yield_("u1.0.1")
    assert scene.stale() == {"b": "a"}


def test_everybody_is_told() -> None:
    scene = finished("a", "b", "c")
    redo(scene, "a")
    scene.said.clear()
    scene.yield_("u1.0.2", NEW)
    told = [effect.facts for effect in scene.said if isinstance(effect, Announce) and "stale" in effect.facts]
    reason = "made from an older result of a"
    assert [(facts["id"], facts["stale"]) for facts in told] == [("b", reason), ("c", reason)]
    assert publish(scene.state, scene.now, 0.0).jobs[0].stale == 2
    for name in ("b", "c"):
        _, cause, remedy = explain.why(scene.state, scene.task(name), scene.now)
        assert cause == f"Its result is stale: {reason}."
        assert remedy == f"`admin.py redo_task job:{name} --stale` makes it anew, with all stale results that it is made from."


# ---- redo with descendants -------------------------------------------------------------------------------------------


def test_descendants_run_again_in_order() -> None:
    scene = finished("a", "b", "c")
    assert counts(redo(scene, "a", descendants=True)) == {"redone": 1, "each": [1], "descendants": 2, "kept": 0}
    assert scene.states() == {"a": "assigned", "b": "waiting", "c": "waiting"}
    for index in range(3):
        scene.yield_(f"u1.{index}.2", NEW)
    assert scene.states() == dict.fromkeys("abc", "succeeded")
    assert scene.stale() == {}


def pipeline(count: int = 50) -> Study:
    """train -> sim-0 ... -> agg -> plot, all finished, then another result of train."""
    scene = Study()
    sims = tuple(TaskSpec(n + 1, f"sim-{n}", 0, 0, (0,), 2) for n in range(count))
    agg, plot = TaskSpec(count + 1, "agg", 0, 0, tuple(range(1, count + 1)), 1), TaskSpec(count + 2, "plot", 0, 0, (count + 1,))
    scene.push(((Template(0, "t", ("true",), outputs=OUT),), (TaskSpec(0, "train", 0, rank=3), *sims, agg, plot)))
    scene.join("local-1")
    scene.yield_all()
    redo(scene, "train")
    scene.yield_all(NEW)
    assert len(scene.stale()) == count + 2
    return scene


def test_the_remedy_for_one_stale_result_of_a_pipeline_cures_all_of_it_and_leaves_its_cause_alone() -> None:
    scene = pipeline()
    done = redo(scene, "plot", stale=True)
    assert (done["redone"], done["each"], done["descendants"]) == (52, [52], 0)
    assert scene.stale() == {}
    scene.yield_all(NEW)
    assert scene.stale() == {}
    assert set(scene.states().values()) == {"succeeded"}
    assert scene.task("train").number == 2
    assert scene.task("plot").number == 2


def test_redoing_what_is_stale_of_some_tasks_runs_what_is_below_them_too_and_nothing_beside() -> None:
    scene = pipeline(3)
    done = redo(scene, "sim-[01]", stale=True)
    assert (done["redone"], done["descendants"], done["kept"]) == (2, 2, 0)
    scene.yield_all(NEW)
    assert scene.stale() == {"sim-2": "train", "agg": "train", "plot": "train"}
    assert redo(scene, "*", stale=True)["redone"] == 3
    scene.yield_all(NEW)
    assert scene.stale() == {}
    assert redo(scene, "*", stale=True)["redone"] == 0


def test_redoing_what_is_stale_of_a_task_that_is_not_is_refused_and_changes_nothing() -> None:
    scene = pipeline(3)
    answer = scene.answer(TasksRedone("job", "train", 1, stale=True))
    assert (answer.code, answer.detail["error"]) == (409, "job:train is succeeded; no result of it is stale")
    assert len(scene.stale()) == 5


def test_without_descendants_it_is_said_how_many_are_left_alone() -> None:
    scene = finished("a", "b", "c")
    assert counts(redo(scene, "a")) == {"redone": 1, "each": [1], "descendants": 0, "kept": 2}


def test_descendants_run_again_whatever_became_of_them() -> None:
    scene = Study()
    scene.push(chain("a", "b", "c", outputs=OUT))
    scene.join("local-1")
    scene.yield_("u1.0.1")
    scene.finish("local-1", "u1.1.1", "failed", phase="run")
    redo(scene, "a", descendants=True)
    assert scene.states() == {"a": "assigned", "b": "waiting", "c": "waiting"}


def test_several_targets_are_run_again_as_one_and_each_task_counts_once() -> None:
    scene = Study()
    scene.push(bag(3, outputs=OUT))
    scene.join("local-1")
    for index in range(3):
        scene.yield_(f"u1.{index}.1")
    assert redo(scene, "t[01]", others=("t1", "t2"))["each"] == [2, 0, 1]


def test_one_wrong_target_of_several_changes_nothing() -> None:
    scene = finished("a", "b")
    assert scene.answer(TasksRedone("job", "a", 1, True, ("nobody",))).code == 404
    assert scene.states() == {"a": "succeeded", "b": "succeeded"}


def test_while_something_below_is_active_nothing_is_run_again() -> None:
    scene = finished("a", "b", "c")
    redo(scene, "c")
    answer = scene.answer(TasksRedone("job", "a", 1, True))
    assert answer.code == 409
    assert answer.detail["error"] == "c depends on a and is assigned; cancel it or wait, then redo"
    assert scene.states() == {"a": "succeeded", "b": "succeeded", "c": "assigned"}


# ---- pushes ----------------------------------------------------------------------------------------------------------


def extend(scene: Scene, *specs: TaskSpec, number: int = 1) -> JobExtended:
    job = scene.state.jobs["u1"]
    return JobExtended("u1", len(job.tasks), (Template(number, "t", ("echo new",), outputs=OUT),), specs, {}, "s9", 1)


def test_a_replaced_task_makes_stale_what_the_push_left_alone() -> None:
    scene = finished("a", "b", "c")
    assert scene.answer(extend(scene, TaskSpec(0, "a", 1), TaskSpec(1, "b", 1, 0, (0,)))).code == 200
    scene.yield_("u1.0.2", NEW)
    scene.yield_("u1.1.2", NEW)
    assert scene.stale() == {"c": "b"}


def test_a_stale_task_that_is_replaced_is_not_stale_any_more() -> None:
    scene = finished("a", "b")
    redo(scene, "a")
    scene.yield_("u1.0.2", NEW)
    scene.answer(extend(scene, TaskSpec(1, "b", 1, 0, (0,))))
    assert scene.stale() == {}


def test_a_push_whose_templates_were_numbered_before_another_push_is_refused() -> None:
    scene = finished("a", "b")
    first, second = extend(scene, TaskSpec(1, "b", 1, 0, (0,))), extend(scene, TaskSpec(0, "a", 1))
    assert scene.answer(first).code == 200
    scene.yield_("u1.1.2")
    answer = scene.answer(JobExtended(*(getattr(second, name) for name in second.__slots__[:5]), submission="s10", reply=1))
    assert answer.code == 409
    assert "was changed by another push meanwhile" in str(answer.detail["error"])


class Counted(list[Task]):
    """A job's tasks that count how often one was looked up."""

    looks = 0

    def __getitem__(self, index: int) -> Task:  # type: ignore[override]
        self.looks += 1
        return super().__getitem__(index)


class Unchecked(Study):
    """Without looking for what is wrong after each turn, which looks at everything."""

    def turn(self, *events: Event) -> list[Effect]:
        """One turn."""
        effects = [effect for event in events for effect in reactor.handle(self.state, event, self.now)]
        effects += reactor.settle(self.state, self.now)
        self.state.take_changes()
        self.said += effects
        return effects


def test_a_task_with_many_sources_is_not_looked_through_for_each_of_them() -> None:
    count = 300
    scene = Unchecked()
    template = (Template(0, "t", ("true",), outputs=OUT),)
    sources = (TaskSpec(n, f"t{n}", 0, 0, (count,) if n == 0 else (), 1) for n in range(count))
    job = scene.push(
        (template, (*sources, TaskSpec(count, "root", 0, rank=2), TaskSpec(count + 1, "sum", 0, 0, tuple(range(count)))))
    )
    scene.join("local-1")
    scene.yield_all()
    redo(scene, "root")
    scene.yield_(f"u1.{count}.2", NEW)
    assert scene.stale() == {"t0": "root", "sum": "root"}
    redo(scene, "t*")
    job.tasks = tasks = Counted(job.tasks)
    scene.yield_all()
    assert tasks.looks < 30 * count
    assert scene.stale() == {}
    scene.state.check()


class Oracle:
    """Who is stale, told from what each result was really made from: versions that count only results which differ."""

    def __init__(self, dependencies: dict[int, tuple[int, ...]]) -> None:
        self.dependencies = dependencies
        self.content: dict[int, str] = {}
        self.version = dict.fromkeys(dependencies, 0)
        self.used: dict[int, dict[int, int]] = {}
        self.made_stale: set[int] = set()

    def made(self, index: int, content: str) -> None:
        """A task has a new result."""
        self.used[index] = {other: self.version[other] for other in self.dependencies[index]}
        if self.content.get(index) != content:
            self.content[index] = content
            self.version[index] += 1

    def stale(self) -> set[int]:
        """Tasks made from an older result, or from what was."""
        found: set[int] = set()
        for index in self.dependencies:  # each after what it waits for
            outdated = any(self.version[other] != version for other, version in self.used[index].items())
            if outdated or any(other in found for other in self.dependencies[index]):
                found.add(index)
        return found


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_run_again_in_whatever_order_exactly_what_is_made_from_older_results_is_stale(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randint(3, 9)
    above = {n: tuple(m for m in range(n) if chance.random() < 0.4) for n in range(count)}
    scene = Study()
    job = scene.push(
        (
            (Template(0, "t", ("true",), outputs=OUT),),
            tuple(TaskSpec(n, f"t{n}", 0, 0, above[n], count - n) for n in range(count)),
        )
    )
    scene.join("local-1")
    oracle = Oracle(above)

    def run() -> None:
        while held := list(scene.state.workers["local-1"].held):
            attempt = chance.choice(held)
            content = chance.choice([OLD, NEW])
            oracle.made(int(attempt.split(".")[1]), content)
            scene.yield_(attempt, content)

    run()
    for _ in range(12):
        chosen = chance.sample(range(count), chance.randint(1, 2))
        first, *others = (f"t{n}" for n in chosen)
        redo(scene, first, chance.random() < 0.3, tuple(others))
        run()
        assert {task.index for task in job.tasks if task.stale} == oracle.stale()
