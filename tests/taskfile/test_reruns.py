"""Merging what changed: exactly the tasks that would come out differently run again, with what is below them, and each says why."""

import random
from dataclasses import replace
from typing import Any

import pytest

from boss.core.deals import assignment_of
from boss.core.model import OTHER_DEFINITION, UNKNOWN_FILES, Attempt, FileRef, Job, Task, TaskState
from boss.taskfile.context import Digests, Existing, Merge
from boss.taskfile.expansion import Expansion
from boss.taskfile.reasons import ALL, FEW, GROUPS, in_order
from tests.taskfile.existing import digests, finished
from tests.taskfile.push import push, refusal, tasks

FILES = digests(sim__py="1", agg__py="1", plot__py="1")
SIM = {
    "id": "sim-{i}",
    "foreach": {"i": {"range": [4]}},
    "command": "python3 sim.py {i}",
    "inputs": ["sim.py"],
    "outputs": ["out/{i}.dat"],
}
AGG = {"id": "agg", "command": "python3 agg.py", "inputs": ["agg.py", "out/*.dat"], "outputs": ["t.csv"]}
PLOT = {"id": "plot", "command": "python3 plot.py", "inputs": ["plot.py", "t.csv"], "outputs": ["plot.png"]}
STUDY = tasks(SIM, AGG, PLOT)


def merge(document: dict[str, Any], existing: Existing, files: Digests = FILES, **more: Any) -> Expansion:
    """Push into the job that exists."""
    more.setdefault("merge", Merge.CHANGED)
    return push(document, job="old", existing=existing, files=files, digests=files, **more)


def told(expansion: Expansion) -> list[str]:
    """The reasons as people read them."""
    return [f"{name}: {why}" + (f" +{more}" if more else "") for name, why, more in in_order(expansion.reasons)]


def test_nothing_runs_when_nothing_changed() -> None:
    expansion = merge(STUDY, finished(STUDY, FILES))
    assert (expansion.tasks, expansion.kept, expansion.templates, told(expansion), expansion.notes) == (0, 6, [], [], [])


def test_a_changed_script_runs_its_task_and_what_is_below() -> None:
    expansion = merge(STUDY, finished(STUDY, FILES), {**FILES, **digests(agg__py="2")})
    assert told(expansion) == ["agg: agg.py changed", "plot: input t.csv of agg will change"]
    assert [(spec.name, spec.index, spec.dependencies) for spec in expansion.specs()] == [
        ("agg", 4, (0, 1, 2, 3)),
        ("plot", 5, (4,)),
    ]
    assert (expansion.new_tasks, expansion.replaced, expansion.kept) == (0, 2, 4)


def test_what_a_push_leaves_out_stays_as_it_is() -> None:
    assert told(merge(STUDY, finished(STUDY, FILES), {})) == []


def test_permissions_of_a_script_count() -> None:
    runnable = {**FILES, "plot.py": (FILES["plot.py"][0], 0o755)}
    assert told(merge(STUDY, finished(STUDY, FILES), runnable)) == ["plot: plot.py changed its permissions"]


def test_a_file_that_changed_back_is_not_changed() -> None:
    existing = replace(finished(STUDY, FILES), digests={**FILES, **digests(agg__py="2")})
    assert told(merge(STUDY, existing, FILES)) == []


def test_a_file_counts_as_what_the_result_was_made_of_not_as_what_was_pushed_last() -> None:
    newer = {**FILES, **digests(agg__py="2")}
    assert told(merge(STUDY, replace(finished(STUDY, FILES), digests=newer), newer))[0] == "agg: agg.py changed"


def test_where_nobody_knows_what_made_a_result_the_jobs_files_of_before_are_taken() -> None:
    existing = replace(finished(STUDY, FILES), input_set=[UNKNOWN_FILES] * 6, input_sets=[])
    assert told(merge(STUDY, existing)) == []
    assert told(merge(STUDY, existing, {**FILES, **digests(plot__py="2")})) == ["plot: plot.py changed"]


def test_a_result_that_was_kept_though_its_task_was_redefined_is_made_anew() -> None:
    existing = finished(STUDY, FILES)
    numbers = [*existing.input_set[:5], OTHER_DEFINITION]
    assert told(merge(STUDY, replace(existing, input_set=numbers))) == ["plot: it is defined otherwise than what made its result"]


def test_another_file_that_fits_a_glob_changes_the_task() -> None:
    document = tasks({"id": "a", "inputs": ["data/*.csv"]}, {"id": "b", "inputs": ["data/1.csv"]})
    before = {"data/1.csv": ("1" * 64, 0o644)}
    after = {**before, "data/2.csv": ("2" * 64, 0o644)}
    assert told(merge(document, finished(document, before), after)) == ["a: data/2.csv is new"]


def test_many_changed_files_are_counted() -> None:
    document = tasks({"id": "a", "inputs": ["d/"]})
    before = {f"d/{n}": ("1" * 64, 0o644) for n in range(6)}
    after = dict.fromkeys(before, ("2" * 64, 420))
    assert told(merge(document, finished(document, before), after)) == [
        "a: d/0 changed, d/1 changed, d/2 changed, 3 more of its files changed"
    ]


@pytest.mark.parametrize(
    "more", [{"cpus": 2}, {"memory": "2G"}, {"timeout": "1h"}, {"retries": 3}, {"priority": 7}, {"disk": "1G"}]
)
def test_what_does_not_change_a_result_does_not_count(more: dict[str, Any]) -> None:
    assert told(merge(tasks({**SIM, **more}, AGG, {**PLOT, **more}), finished(STUDY, FILES))) == []


def test_order_of_inputs_outputs_and_variables_does_not_count() -> None:
    one = tasks({"id": "a", "inputs": ["x", "y"], "outputs": ["p", "q"], "env": {"A": "1", "B": "2"}})
    other = tasks({"id": "a", "inputs": ["y", "x"], "outputs": ["q", "p"], "env": {"B": "2", "A": "1"}})
    files = digests(x="x", y="y")
    assert told(merge(other, finished(one, files), files)) == []


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"command": "python3 -O plot.py"}, "its command changed"),
        ({"command": "python3 plot.py "}, "its command changed"),
        ({"inputs": ["plot.py"], "after": ["agg"]}, "its inputs changed"),
        ({"outputs": ["plot.pdf"]}, "its outputs changed"),
        ({"outputs": [{"path": "plot.png", "optional": True}]}, "its outputs changed"),
        ({"env": {"STYLE": "dark"}}, "its env changed"),
        ({"after": ["sim-0"]}, "it waits for sim-0 now"),
        ({"command": "x", "env": {"A": "1"}}, "its command changed, its env changed"),
    ],
)
def test_a_definition_that_changed_says_what_of_it(more: dict[str, Any], why: str) -> None:
    assert told(merge(tasks(SIM, AGG, {**PLOT, **more}), finished(STUDY, FILES))) == [f"plot: {why}"]


def test_a_task_that_waits_for_less_says_so() -> None:
    before = tasks(SIM, AGG, {**PLOT, "after": ["sim-*"]})
    why = "it does not wait for sim-0, sim-1, sim-2 and 1 more any more"
    assert told(merge(STUDY, finished(before, FILES))) == [f"plot: {why}"]


def test_the_same_tasks_written_otherwise_are_the_same() -> None:
    plain = [
        {"id": f"sim-{i}", "command": f"python3 sim.py {i}", "inputs": ["sim.py"], "outputs": [f"out/{i}.dat"]} for i in range(4)
    ]
    renamed = {
        **SIM,
        "foreach": {"n": {"values": [3, 0, 2, 1]}},
        "id": "sim-{n}",
        "command": "python3 sim.py {n}",
        "outputs": ["out/{n}.dat"],
    }
    for document in (tasks(*plain, AGG, PLOT), tasks(PLOT, AGG, renamed), tasks(SIM, AGG, PLOT, defaults={"env": {}})):
        assert told(merge(document, finished(STUDY, FILES))) == []
    assert told(merge(STUDY, finished(tasks(*plain, AGG, PLOT), FILES))) == []


def test_of_a_sweep_only_the_rows_that_differ_run() -> None:
    before = {**SIM, "foreach": {"i": {"values": [0, 1, 2, 30]}}, "command": "python3 sim.py {i:.1f}", "id": "sim-{i}"}
    after = {**before, "foreach": {"i": {"values": [0, 1, 2, 30]}}, "command": "python3 sim.py {i:03.1f}"}
    assert told(merge(tasks(after), finished(tasks(before), FILES))) == []
    wide = {**before, "command": "python3 sim.py {i:04.1f}"}
    assert told(merge(tasks(wide), finished(tasks(before), FILES))) == [f"sim-{i}: its command changed" for i in (0, 1, 2)]


def test_rows_of_a_table_that_differ_run_and_the_others_do_not() -> None:
    def sweep(*kinds: str) -> dict[str, Any]:
        zipped = {"zip": {"n": {"range": [len(kinds)]}, "kind": {"values": list(kinds)}}}
        return tasks({**SIM, "id": "sim-{row}", "foreach": [zipped], "command": "run {kind}", "outputs": ["out/{n}.dat"]}, AGG)

    existing = finished(sweep("a", "b", "c"), FILES)
    assert told(merge(sweep("a", "b", "c"), existing)) == []
    assert told(merge(sweep("a", "x", "c"), existing)) == [
        "sim-1: its command changed",
        "agg: input out/1.dat of sim-1 will change",
    ]
    assert told(merge(sweep("a", "b", "c", "d"), existing)) == ["sim-3: new", "agg: input out/3.dat of sim-3 is new"]
    assert merge(sweep("a", "b"), existing).notes == ["1 task of the job is not in the file and is left alone: sim-2"]


def test_a_sweep_that_grew_runs_its_new_rows_and_what_collects_them() -> None:
    document = tasks({**SIM, "foreach": {"i": {"range": [6]}}}, AGG, PLOT)
    expansion = merge(document, finished(STUDY, FILES))
    assert told(expansion) == [
        "sim-4: new",
        "sim-5: new",
        "agg: input out/4.dat of sim-4 is new",
        "plot: input t.csv of agg will change",
    ]
    assert (expansion.new_tasks, expansion.replaced, expansion.kept) == (2, 2, 4)
    assert [spec.index for spec in expansion.specs()] == [6, 7, 4, 5]


def test_what_ended_badly_runs_again() -> None:
    states = {"sim_1": "failed", "agg": "skipped", "plot": "cancelled"}
    assert told(merge(STUDY, finished(STUDY, FILES, **states))) == [
        "sim-1: failed before",
        "agg: was skipped before",
        "plot: was cancelled before",
    ]


def test_what_has_not_ended_is_left_alone_unless_it_differs() -> None:
    existing = finished(STUDY, FILES, sim_0="running", agg="waiting", plot="waiting")
    assert told(merge(STUDY, existing)) == []
    newer = {**FILES, **digests(plot__py="2")}
    assert told(merge(STUDY, existing, newer)) == ["plot: plot.py changed"]


def test_what_is_to_be_run_again_already_gets_the_newest_files_anyway() -> None:
    newer = {**FILES, **digests(plot__py="2")}
    existing = replace(finished(STUDY, FILES), digests=newer)
    again = replace(existing, states=[*existing.states[:5], TaskState.READY], succeeded=[*existing.succeeded[:5], False])
    assert told(merge(STUDY, again, newer)) == []
    assert told(merge(STUDY, existing, newer)) == ["plot: plot.py changed"]


def test_a_stale_task_runs_again() -> None:
    existing = replace(finished(STUDY, FILES), stale=[-1, -1, -1, -1, 2, -1])
    assert told(merge(STUDY, existing)) == ["agg: made from an older result of sim-2", "plot: input t.csv of agg will change"]


def test_what_runs_after_without_a_file_says_so() -> None:
    document = tasks({"id": "a", "inputs": ["x"]}, {"id": "b", "after": ["a"]})
    assert told(merge(document, finished(document, digests(x="1")), digests(x="2"))) == [
        "a: x changed",
        "b: it runs after a, which runs again",
    ]


def test_reasons_are_told_in_the_order_of_dependency_whatever_the_order_of_the_file() -> None:
    study = tasks(
        {"id": "plot", "command": "plot", "inputs": ["all.txt"], "outputs": ["p.png"]},
        {"id": "agg", "command": "agg", "inputs": ["sim-*.txt"], "outputs": ["all.txt"]},
        {"id": "sim-{i}", "foreach": {"i": {"range": [2]}}, "command": "sim", "inputs": ["mesh"], "outputs": ["sim-{i}.txt"]},
        {"id": "prep", "command": "prep", "inputs": ["sim.py"], "outputs": ["mesh"]},
    )
    said = told(merge(study, finished(study, FILES), {**FILES, **digests(sim__py="2")}))
    assert [line.partition(":")[0] for line in said] == ["prep", "sim-0", "sim-1", "agg", "plot"]


def test_tasks_that_the_file_does_not_have_are_named_and_left_alone_and_hand_nothing_down() -> None:
    existing = finished(STUDY, FILES)
    newer = {**FILES, **digests(sim__py="2")}
    expansion = merge(tasks(SIM, PLOT), existing, newer)
    assert [name for name, *_ in (line for group in expansion.reasons for line in group.lines())] == [
        f"sim-{i}" for i in range(4)
    ]
    assert expansion.notes == ["1 task of the job is not in the file and is left alone: agg"]
    assert merge(tasks(PLOT), existing).notes == [
        "5 tasks of the job are not in the file and are left alone: sim-0, sim-1, sim-2, sim-3, agg"
    ]


def test_an_init_task_that_changed_runs_everything_again() -> None:
    init = {"id": "env", "init": True, "command": "pip install scipy"}
    document = tasks(init, {"id": "a"}, {"id": "b", "after": ["a"]})
    newer = tasks({**init, "command": "pip install scipy==1.16"}, *document["tasks"][1:])
    why = "init task env changed"
    assert told(merge(newer, finished(document))) == ["env: its command changed", f"a: {why}", f"b: {why}"]
    fresh = tasks(*document["tasks"], {"id": "more", "init": True})
    assert told(merge(fresh, finished(document))) == ["more: new", "a: init task more is new", "b: init task more is new"]
    assert told(merge(document, finished(document, env="cancelled"))) == ["env: was cancelled before"]


def test_an_init_task_that_becomes_an_ordinary_one_is_changed() -> None:
    before, after = tasks({"id": "a", "init": True}), tasks({"id": "a"})
    assert told(merge(after, finished(before))) == ["a: its init changed"]


def test_a_large_sweep_is_told_by_its_first_rows() -> None:
    document = tasks({**SIM, "foreach": {"i": {"range": [500]}}}, AGG, PLOT)
    newer = {**FILES, **digests(sim__py="2")}
    assert told(merge(document, finished(document, FILES), newer)) == [
        "sim-0: sim.py changed",
        "sim-1: sim.py changed",
        "sim-2: sim.py changed +497",
        "agg: input out/0.dat of sim-0 will change",
        "plot: input t.csv of agg will change",
    ]
    plain = tasks(*({"id": f"t{n}"} for n in range(ALL + 1)))
    assert told(merge(plain, finished(tasks({"id": "x"})))) == ["t0: new", "t1: new", f"t2: new +{ALL + 1 - FEW}"]


def test_of_very_many_reasons_the_first_are_told_and_the_others_counted() -> None:
    files = {f"{n}.py": ("1" * 64, 0o644) for n in range(GROUPS + 50)}
    document = tasks(*({"id": f"t{n}", "inputs": [f"{n}.py"]} for n in range(GROUPS + 50)))
    expansion = merge(document, finished(document, files), dict.fromkeys(files, ("2" * 64, 420)))
    assert (len(told(expansion)), expansion.more_reasons, expansion.tasks) == (GROUPS, 50, GROUPS + 50)


def test_the_originals_task_files_merge_by_the_same_rules() -> None:
    before = [
        {"key": 0, "cmd": "python3 prepare.py", "requires": ["prepare.py"], "results": [["out/grid.dat", "grid.dat"]]},
        {"key": 1, "cmd": ["run"], "depends-on": [0], "requires": ["grid.dat"], "results": ["run.log"]},
    ]
    after = [{**before[0], "results": [["out/g.dat", "grid.dat"]]}, before[1]]
    assert told(merge(before, finished(before, FILES))) == []  # type: ignore[arg-type]
    assert told(merge(after, finished(before, FILES))) == ["0: its outputs changed", "1: input grid.dat of 0 will change"]  # type: ignore[arg-type]


def test_skip_existing_contradicts_changed() -> None:
    sentence = "--skip-existing keeps the results that --merge changed makes anew: use one of the two"
    assert refusal(STUDY, job="old", existing=finished(STUDY, FILES), files=FILES, merge=Merge.CHANGED, skip_existing=True) == [
        sentence
    ]


# ---- results that are kept ---------------------------------------------------------------------------------------------


def test_keep_succeeded_says_what_it_keeps_although_something_changed() -> None:
    document = tasks(SIM, AGG, {**PLOT, "command": "draw"})
    newer = {**FILES, **digests(agg__py="2", sim__py="2")}
    expansion = merge(document, finished(STUDY, FILES, sim_1="failed"), newer, merge=Merge.KEEP_SUCCEEDED)
    assert expansion.notes == [
        "kept although sim.py changed: sim-0, sim-2, sim-3",
        "kept although agg.py changed: agg",
        "kept although its command changed: plot",
    ]
    assert [spec.name for spec in expansion.specs()] == ["sim-1"]
    assert merge(STUDY, finished(STUDY, FILES), merge=Merge.KEEP_SUCCEEDED).notes == []


def test_other_merges_keep_nothing_that_needs_saying() -> None:
    newer = {**FILES, **digests(agg__py="2")}
    for way in (Merge.REPLACE, Merge.IGNORE):
        assert merge(STUDY, finished(STUDY, FILES), newer, merge=way).notes == []


def test_many_kept_results_are_counted() -> None:
    document = tasks(*({"id": f"t{n}", "inputs": [f"{n}.py"]} for n in range(30)))
    files = {f"{n}.py": ("1" * 64, 0o644) for n in range(30)}
    notes = merge(document, finished(document, files), dict.fromkeys(files, ("2" * 64, 420)), merge=Merge.KEEP_SUCCEEDED).notes
    assert len(notes) == 21
    assert notes[-1] == "kept although something changed: 10 more tasks"
    grown = tasks({**SIM, "foreach": {"i": {"range": [500]}}})
    notes = merge(grown, finished(grown, FILES), digests(sim__py="2"), merge=Merge.KEEP_SUCCEEDED).notes
    assert notes[0].endswith("sim-8, sim-9 and 490 more")


def test_skip_existing_says_what_it_keeps_although_something_changed_and_leaves_alone_what_is_defined_as_before() -> None:
    document = tasks(SIM, AGG, {**PLOT, "command": "draw"})
    newer = {**FILES, **digests(agg__py="2")}
    there = [f"out/{i}.dat" for i in range(4)] + ["t.csv", "plot.png"]
    expansion = merge(
        document, finished(STUDY, FILES, sim_1="failed"), newer, merge=Merge.REPLACE, skip_existing=True, results=there
    )
    assert expansion.notes == ["kept although agg.py changed: agg", "kept although its command changed: plot"]
    assert {spec.name: spec.done for spec in expansion.specs()} == {"sim-1": True, "plot": True}
    assert (expansion.done, expansion.replaced, expansion.kept) == (2, 2, 4)


# ---- against a plain rendering -----------------------------------------------------------------------------------------


def test_any_two_versions_of_a_job_differ_as_their_rendered_tasks_do() -> None:
    chance = random.Random(7)
    for _ in range(150):
        old, new = _document(chance), _document(chance)
        old_files, new_files = _files(chance), _files(chance)
        existing = finished(old, old_files)
        expansion = merge(new, existing, new_files)
        before = _rendered(push(old, files=old_files), old_files)
        after = _rendered(push(new, files=new_files), {**old_files, **new_files})
        changed = {name for name in after if after[name] != before.get(name)}
        assert {spec.name for spec in expansion.specs()} == changed
        assert expansion.kept == len(after) - len(changed)


def _document(chance: random.Random) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for letter in "abc"[: chance.randint(1, 3)]:
        values = chance.sample(range(5), chance.randint(1, 4))
        command = chance.choice(["run {n}", "run {n:02d}", "run 1", "run {n!q}"])
        given = chance.choice([["f"], ["g/"], ["g/{n}", "f"], ["f", "g/{n}"], []])
        env = chance.choice([{}, {"A": "{n}"}, {"A": "1", "B": "2"}, {"B": "2", "A": "1"}])
        timeout = chance.choice([1, 2])
        entry = {"command": command, "inputs": given, "env": env, "timeout": timeout, "foreach": {"n": {"values": values}}}
        entries.append({**entry, "id": letter + "{n}", "outputs": [letter + "/{n}"]})
        if chance.random() < 0.3:
            entries[-1:] = [_plain(entries[-1], n) for n in values]
    chance.shuffle(entries)
    return {"tasks": entries}


def _plain(entry: dict[str, Any], n: int) -> dict[str, Any]:
    def filled(text: str) -> str:
        return text.replace("{n}", str(n)).replace("{n:02d}", f"{n:02d}").replace("{n!q}", str(n))

    return {
        "id": filled(entry["id"]),
        "command": filled(entry["command"]),
        "inputs": [filled(path) for path in entry["inputs"]],
        "outputs": [filled(path) for path in entry["outputs"]],
        "env": {name: filled(value) for name, value in entry["env"].items()},
        "timeout": entry["timeout"],
    }


def _files(chance: random.Random) -> dict[str, tuple[str, int]]:
    paths = ["f", *(f"g/{n}" for n in range(5))]
    return {path: (chance.choice("123") * 64, chance.choice([0o644, 0o755])) for path in paths}


def _rendered(expansion: Expansion, files: Digests) -> dict[str, object]:
    """What a worker would be told of each task, in a form in which order does not count where it must not."""
    job = Job("u", "j", "ada", 0.0, files={path: FileRef(digest, 1, mode) for path, (digest, mode) in files.items()})
    found: dict[str, object] = {}
    for spec in expansion.specs():
        template = next(one for one in expansion.templates if one.number == spec.template)
        told = assignment_of(Task(job, spec.index, spec.name, template, spec.row), Attempt("u", spec.index, 1, "w", 0.0))
        found[spec.name] = told.commands, frozenset(told.inputs), frozenset(told.outputs), dict(told.env)
    return found


# ---- keep-succeeded ----------------------------------------------------------------------------------------------------


def test_keeping_what_succeeded_says_why_the_others_run() -> None:
    existing = finished(STUDY, FILES, sim_1="failed", agg="skipped", plot="cancelled")
    more = tasks(SIM, AGG, PLOT, {"id": "last"})
    expansion = merge(more, existing, merge=Merge.KEEP_SUCCEEDED)
    assert told(expansion) == ["sim-1: failed before", "agg: was skipped before", "plot: was cancelled before", "last: new"]
    assert told(merge(STUDY, finished(STUDY, FILES, plot="waiting"), merge=Merge.KEEP_SUCCEEDED)) == [
        "plot: has not finished yet"
    ]


def test_many_that_failed_are_one_group() -> None:
    many = tasks({**SIM, "foreach": {"i": {"range": [50]}}})
    states = {f"sim_{number}": "failed" for number in range(0, 50, 2)}
    expansion = merge(many, finished(many, FILES, **states), merge=Merge.KEEP_SUCCEEDED)
    assert told(expansion) == ["sim-0: failed before", "sim-2: failed before", "sim-4: failed before +22"]


def test_what_counts_as_done_does_not_run_and_needs_no_reason() -> None:
    expansion = merge(
        STUDY,
        finished(STUDY, FILES, agg="failed", plot="failed"),
        merge=Merge.KEEP_SUCCEEDED,
        skip_existing=True,
        results=["t.csv"],
    )
    assert told(expansion) == ["plot: failed before"]


@pytest.mark.parametrize("kind", [Merge.IGNORE, Merge.KEEP_SUCCEEDED, Merge.CHANGED])
def test_files_that_kept_tasks_read_are_not_told_as_unread(kind: Merge) -> None:
    files = {**FILES, **digests(spare__py="1")}
    assert merge(STUDY, finished(STUDY, FILES), files, merge=kind).unread_files == ["spare.py"]


def test_files_are_read_by_kept_tasks_that_the_file_has_no_more_but_not_by_those_that_it_replaces() -> None:
    many = tasks({**SIM, "inputs": ["{i}.csv", "lib/"]}, AGG, PLOT)
    given = {**FILES, **dict.fromkeys(("0.csv", "1.csv", "2.csv", "3.csv", "4.csv", "lib/a.py"), ("aa" * 32, 420))}
    job = finished(many, given)
    assert merge(tasks(PLOT), job, given, merge=Merge.REPLACE).unread_files == ["4.csv", "sim.py"]
    other = {"id": "sim-1", "command": "true", "outputs": ["out/1.dat"]}
    assert merge(tasks(other), job, given, merge=Merge.REPLACE).unread_files == ["1.csv", "4.csv", "sim.py"]
