"""Pushes that extend a job: what keeps its index, what is left alone, what new tasks may use."""

from dataclasses import replace

import pytest

from boss.core.model import OutputSpec, TaskState, Template
from boss.taskfile.context import Existing, Merge
from tests.taskfile.existing import finished
from tests.taskfile.push import push, refusal, tasks
from worker.grid import Axis
from worker.texts import Field

S = TaskState
N = Field("n")
EXISTING = Existing(
    name="old",
    names=("s-0", "s-1", "s-2", "sum", "prepare"),
    succeeded=(True, False, True, False, True),
    template=(0, 0, 0, 1, 2),
    rows=(0, 1, 2, 0, 0),
    dependencies=((), (), (), (0, 1, 2), ()),
    templates=(
        Template(0, ("s-", N), ("x",), outputs=(OutputSpec(("out/", N, ".dat")),), grid=(Axis("n", (0, 1, 2)),)),
        Template(1, "sum", ("x",), outputs=(OutputSpec("sum/"),)),
        Template(2, "prepare", ("x",), init=True),
    ),
    files=frozenset({"old.py"}),
    states=(S.SUCCEEDED, S.FAILED, S.SUCCEEDED, S.WAITING, S.SUCCEEDED),
    digests={"old.py": ("aa" * 32, 0o644)},
    input_set=(0, 0, 0, -1, 0),
    stale=(-1,) * 5,
)
CHOICES = (
    "--merge ignore (leave them alone), --merge keep-succeeded (run again those that have not succeeded), "
    "--merge changed (those that would come out differently) or --merge replace (all of them)"
)
AGAIN = {"id": "s-{n}", "foreach": {"n": {"range": [4]}}, "command": "better", "outputs": ["out/{n}.dat"]}


def test_new_tasks_continue_the_count_and_may_use_all_that_is_there() -> None:
    document = tasks(
        {
            "id": "plot",
            "inputs": ["out/*.dat", "sum/total", "old.py", "by-hand.txt"],
            "after": ["s-1", "prepare"],
            "outputs": ["plot.png"],
        },
        {"id": "last", "inputs": ["plot.png"]},
    )
    expansion = push(document, job="old", existing=EXISTING, results=["by-hand.txt"])
    assert (expansion.job_name, expansion.extends, expansion.new_tasks, expansion.replaced, expansion.kept) == (
        "old",
        True,
        2,
        0,
        0,
    )
    assert [(spec.index, spec.template, spec.dependencies) for spec in expansion.specs()] == [(5, 3, (0, 1, 2, 3)), (6, 4, (5,))]


@pytest.mark.parametrize(
    ("merge", "indices", "kept"),
    [(Merge.IGNORE, [5], 3), (Merge.KEEP_SUCCEEDED, [1, 5], 2), (Merge.REPLACE, [0, 1, 2, 5], 0)],
)
def test_merging_says_what_happens_to_tasks_that_are_there(merge: Merge, indices: list[int], kept: int) -> None:
    expansion = push(tasks(AGAIN, job="old"), merge=merge, existing=EXISTING)
    assert [spec.index for spec in expansion.specs()] == indices
    assert [spec.row for spec in expansion.specs()] == [3 if index == 5 else index for index in indices]
    assert (expansion.kept, expansion.new_tasks, expansion.replaced) == (kept, 1, len(indices) - 1)
    assert [template.number for template in expansion.templates] == [3]


def test_a_merge_that_brings_nothing_is_no_error() -> None:
    document = tasks({**AGAIN, "foreach": {"n": {"range": [3]}}})
    expansion = push(document, job="old", merge=Merge.IGNORE, existing=EXISTING)
    assert (expansion.tasks, expansion.kept, expansion.templates, list(expansion.specs())) == (0, 3, [], [])


def test_without_a_merge_a_task_that_is_there_is_an_error_that_names_the_choices() -> None:
    told = refusal(tasks({"id": "sum"}), job="old", existing=EXISTING)
    assert told == [f"tasks[0] 'sum': id: the job has a task of this name already: say what to do with it: {CHOICES}"]


def test_many_tasks_that_are_there_are_one_error_with_their_count() -> None:
    many = {"id": "s-{n}", "foreach": {"n": {"range": [5000]}}, "command": "x", "outputs": ["out/{n}.dat"]}
    existing = finished(tasks(many))
    told = refusal(
        tasks({**many, "foreach": {"n": {"range": [6000]}}}, {"id": "b", "after": ["nobody"]}), job="old", existing=existing
    )
    assert told == [
        f"the job has 5,000 of these tasks already (s-0, s-1, s-2 and 4,997 more): say what to do with them: {CHOICES}",
        "tasks[1] 'b': after[0]: there is no task 'nobody'",
    ]


def test_a_replaced_task_yields_what_it_says_now() -> None:
    document = tasks({"id": "sum", "outputs": ["total.txt"]}, {"id": "other", "outputs": ["sum/x"]})
    assert push(document, job="old", merge=Merge.REPLACE, existing=EXISTING).tasks == 2
    told = refusal(tasks({"id": "other", "outputs": ["sum/x"]}), job="old", existing=EXISTING)
    assert told == [
        "tasks[0] 'other': outputs: 'sum/x' and 'sum/' of task 'sum' may be one file: give each task a file or folder of its own"
    ]


def test_a_file_of_an_existing_task_is_not_yielded_again() -> None:
    told = refusal(tasks({"id": "other", "outputs": ["out/1.dat"]}), job="old", existing=EXISTING)
    assert told == ["tasks[0] 'other': outputs[0]: 'out/1.dat' is yielded by task 's-1' already"]


def test_a_circle_through_existing_tasks_is_found() -> None:
    told = refusal(tasks({"id": "s-1", "after": ["sum"]}), job="old", merge=Merge.REPLACE, existing=EXISTING)
    assert told == ["task 's-1': is in a circle of tasks that each wait for the next: 's-1' -> 'sum' -> 's-1'"]


def test_a_task_named_twice_in_the_file_is_told_though_the_job_has_it() -> None:
    told = refusal(tasks({"id": "sum"}, {"id": "sum"}), job="old", merge=Merge.REPLACE, existing=EXISTING)
    assert told == ["tasks[1] 'sum': id: is there twice: an entry before has the same id"]


def test_an_input_of_an_existing_job_that_is_nowhere_is_told() -> None:
    [told] = refusal(tasks({"id": "x", "inputs": ["by-hand.txt"]}), job="old", existing=EXISTING)
    assert told.startswith("tasks[0] 'x': inputs[0]: no task yields 'by-hand.txt'")


def test_the_job_must_exist_and_be_named() -> None:
    document = tasks({"id": "x"})
    assert refusal(document, job="nope") == ["there is no job 'nope' to add to"]
    assert refusal({**document, "job": "nope"}, merge=Merge.IGNORE) == ["job: there is no job 'nope' to add to"]
    assert refusal(document, merge=Merge.IGNORE) == ["job: is missing: --merge needs the job's name, here or with --job"]
    told = refusal(document, name="new", job="old", existing=EXISTING)
    assert told == ["a new name and an existing job were asked for: use --name or --job, not both"]


def test_without_job_and_merge_an_existing_job_of_that_name_is_nobodys_business() -> None:
    expansion = push(tasks(AGAIN, job="old"), existing=EXISTING)
    assert (expansion.extends, expansion.new_tasks) == (False, 4)


def test_the_limit_of_tasks_counts_those_that_are_there() -> None:
    told = refusal(tasks(AGAIN), job="old", existing=EXISTING, max_tasks=8)
    assert told == ["tasks: makes 4 tasks beside the 5 of the job, more than the 8 that one job may have"]


def test_a_replaced_init_task_may_become_an_ordinary_one() -> None:
    document = tasks({"id": "prepare"}, {"id": "x", "after": ["prepare"]})
    expansion = push(document, job="old", merge=Merge.REPLACE, existing=EXISTING)
    assert [(spec.index, spec.dependencies) for spec in expansion.specs()] == [(4, ()), (5, (4,))]


def test_skip_existing_counts_tasks_as_done_whose_results_exist() -> None:
    document = tasks(
        AGAIN,
        {"id": "opt", "outputs": ["must", {"path": "may", "optional": True}]},
        {"id": "only-opt", "outputs": [{"path": "other", "optional": True}]},
        {"id": "glob", "outputs": ["g/*.dat"]},
        {"id": "nothing"},
    )
    there = ["out/1.dat", "must", "g/a.dat"]
    expansion = push(document, skip_existing=True, results=there)
    assert {spec.name for spec in expansion.specs() if spec.done} == {"s-1", "opt", "glob"}
    assert expansion.done == 3
    assert push(document, results=there).done == 0


def test_existing_jobs_from_the_dialects_may_send_results_elsewhere() -> None:
    template = Template(0, "a", ("x",), outputs=(OutputSpec("o/", "kept/"),))
    existing = replace(
        EXISTING, names=("a",), succeeded=(True,), template=(0,), rows=(0,), dependencies=((),), templates=(template,)
    )
    expansion = push(tasks({"id": "b", "inputs": ["kept/x"]}), job="old", existing=existing)
    assert [spec.dependencies for spec in expansion.specs()] == [(0,)]
