"""Traces become jobs: the same tasks, files and dependencies, whatever is odd about them; what cannot be is told."""

import json
import subprocess
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wfcommons.wfchef import recipes

from boss.core.model import Template
from boss.taskfile.expansion import Expansion
from tests.generating import generated
from tests.taskfile.push import edges, push, refusal, tasks
from tests.taskfile.test_anything import ANYTHING, outcome
from tests.workflows import Trace, graph_of, sizes_of, task, trace_of

RECIPES = [
    recipes.BlastRecipe,
    recipes.BwaRecipe,
    recipes.CyclesRecipe,
    recipes.EpigenomicsRecipe,
    recipes.GenomeRecipe,
    recipes.MontageRecipe,
    recipes.RnaseqRecipe,
    recipes.SeismologyRecipe,
    recipes.SoykbRecipe,
    recipes.SrasearchRecipe,
]


def replay(trace: object, scale: float = 0.5, **context: Any) -> Expansion:
    """The expansion of a trace."""
    return push(trace, replay=scale, **context)


def told(trace: object, scale: float = 0.5) -> list[str]:
    """What is wrong with a trace."""
    return refusal(trace, replay=scale)


def made(expansion: Expansion) -> dict[str, Template]:
    """The templates by their tasks' names."""
    templates = {template.number: template for template in expansion.templates}
    return {spec.name: templates[spec.template] for spec in expansion.specs()}


def files(expansion: Expansion) -> dict[str, tuple[list[str], list[str]]]:
    """What each task reads and writes."""
    found = {}
    for name, template in made(expansion).items():
        found[name] = [str(item.source) for item in template.inputs], [str(item.path) for item in template.outputs]
    return found


def check(trace: Trace, expansion: Expansion) -> None:
    """Nodes, edges and files are those of the trace."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, needed in edges(expansion).items():
        graph.add_node(name)
        graph.add_edges_from((other, name) for other in needed)
    wanted = graph_of(trace)
    assert set(graph) == set(wanted)
    assert set(graph.edges) == set(wanted.edges)
    found = files(expansion)
    for one in trace["workflow"]["specification"]["tasks"]:
        assert found[one["id"]] == (one["inputFiles"], one["outputFiles"])


# ---- traces as they should be --------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)
def test_a_generated_workflow_keeps_its_tasks_edges_and_files(recipe: Any) -> None:
    trace = generated(recipe, 150)
    expansion = replay(trace, 0.01)
    check(trace, expansion)
    yielded = {name for _, outputs in files(expansion).values() for name in outputs}
    sizes = sizes_of(trace)
    read = {name for inputs, _ in files(expansion).values() for name in inputs}
    assert expansion.makes == {name: round(sizes[name] * 0.01) for name in read - yielded}


@pytest.mark.long
def test_a_workflow_of_ten_thousand_tasks_is_read() -> None:
    trace = generated(recipes.MontageRecipe, 10_000)
    expansion = replay(trace, 1e-6)
    assert expansion.tasks == len(trace["workflow"]["specification"]["tasks"]) > 9000
    check(trace, expansion)


def test_the_job_takes_the_files_name_and_the_notes_say_what_is_replayed() -> None:
    expansion = replay(trace_of(task("a", "in", "out")), file_name="run-7.json")
    assert expansion.job_name == "run-7"
    assert expansion.notes == [
        "replays a workflow (WfFormat 1.5) at 0.5: 1 file with 500 bytes made here, 1 file with 500 bytes written by the tasks"
    ]


def test_durations_and_sizes_are_scaled_and_rounded() -> None:
    trace = trace_of(task("a", "in", "x/out"), sizes=7, runtime=3.0)
    expansion = replay(trace, 0.25)
    commands = made(expansion)["a"].commands
    assert commands[0] == "sleep 0.75 &"
    assert "fill 2 x/out" in commands
    assert expansion.makes == {"in": 2}


def test_a_task_takes_one_cpu_and_no_particular_memory_and_has_time_enough() -> None:
    trace = trace_of(task("a"), runtime=200_000.0)
    trace["workflow"]["execution"]["tasks"][0] |= {"coreCount": 48, "memoryInBytes": 2**40, "priority": 20, "machines": ["big"]}
    template = made(replay(trace, 1.0))["a"]
    assert template.needs == {"cpus": 1}
    assert template.timeout > 200_000
    assert template.commands == ("sleep 200000",)


def test_tasks_without_time_or_files_do_nothing() -> None:
    assert made(replay(trace_of(task("a"), runtime=0)))["a"].commands == ("true",)


def test_parents_and_children_hold_whichever_says_it() -> None:
    trace = trace_of(task("a", children="b"), task("b"), task("c", parents="a b"))
    assert edges(replay(trace)) == {"a": set(), "b": {"a"}, "c": {"a", "b"}}


def test_who_reads_what_another_yields_waits_for_it() -> None:
    assert edges(replay(trace_of(task("b", "x"), task("a", "", "x")))) == {"b": {"a"}, "a": set()}


def test_fields_that_a_trace_may_leave_out_are_not_missed() -> None:
    trace = trace_of(task("a"), task("b", parents="a"))
    for one in trace["workflow"]["specification"]["tasks"]:
        del one["inputFiles"], one["name"]
        one["outputFiles"] = None
    del trace["workflow"]["specification"]["files"], trace["workflow"]["execution"], trace["name"]
    expansion = replay(trace)
    assert edges(expansion) == {"a": set(), "b": {"a"}}
    assert expansion.notes[1:] == ["2 tasks, such as 'a', have no runtimeInSeconds in workflow.execution.tasks: 0 seconds"]


def test_what_the_trace_does_not_tell_is_said() -> None:
    trace = trace_of(task("a", "in", "out"))
    trace["workflow"]["specification"]["files"] = [{"id": "in"}]
    trace["workflow"]["execution"]["tasks"] = [{"id": "zz", "runtimeInSeconds": 3}]
    expansion = replay(trace)
    assert expansion.makes == {"in": 0}
    notes = " ".join(expansion.notes)
    assert "the task 'a' has no runtimeInSeconds" in notes
    assert "2 files, such as 'in', have no sizeInBytes" in notes
    assert "the execution record 'zz' has no task" in notes


@pytest.mark.parametrize("version", ["1.4", "1.6", "2.0", None, 3])
def test_other_versions_of_the_same_shape_are_read(version: object) -> None:
    expansion = replay(trace_of(task("a"), schemaVersion=version))
    assert expansion.tasks == 1
    assert any("not known here" in note for note in expansion.notes) == (version != "1.6")


# ---- names ---------------------------------------------------------------------------------------------------------


def test_ids_are_kept_with_their_colons_and_wildcards() -> None:
    names = ["NF:A:B__x__#task/1", "b*", "c[1]", "{d}", "$(e)", "f g"]
    trace = trace_of(*(task(name) for name in names), {**task("last"), "parents": names})
    assert edges(replay(trace))["last"] == set(names)


def test_ids_that_no_task_can_have_are_changed_and_said() -> None:
    long = "x" * 300
    trace = trace_of({**task("a"), "id": " a\n"}, {**task("b"), "id": long, "parents": [" a\n"]})
    expansion = replay(trace)
    first, second = edges(expansion)
    assert first == "a_"
    assert len(second) <= 200
    assert edges(expansion)[second] == {first}
    assert any("2 tasks have names that cannot be an id" in note for note in expansion.notes)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("/abs/x", "abs/x"),
        ("../../etc/passwd", "etc/passwd"),
        ("s3://bucket//x", "s3:/bucket/x"),
        ("./x/./y/", "x/y"),
        ("a*b?[c]", "a%2Ab%3F%5Bc]"),
        ("line\nbreak", "line%0Abreak"),
        ("shared:x", "shared%3Ax"),
        ("SHA256SUMS", "SHA256SUMS~"),
        ("#task/1/a.gz", "#task/1/a.gz"),
        ("-rf", "-rf"),
        ("$(touch x);'\"", "$(touch x);'\""),
        ("é/ü.txt", "é/ü.txt"),
    ],
)
def test_names_of_files_become_paths_inside_the_jobs_folder(name: str, place: str) -> None:
    expansion = replay(trace_of({**task("a"), "outputFiles": [name]}, {**task("b"), "inputFiles": [name]}))
    assert files(expansion) == {"a": ([], [place]), "b": ([place], [])}
    assert edges(expansion)["b"] == {"a"}
    assert any("cannot be a path" in note for note in expansion.notes) == (name != place)


@pytest.mark.parametrize("name", ["/", "..", "x" * 3000, "/".join("y" * 400 for _ in range(9)), "ß" * 200])
def test_names_that_are_no_paths_at_all_get_one(name: str) -> None:
    expansion = replay(trace_of({**task("a"), "outputFiles": [name]}, {**task("b"), "inputFiles": [name]}))
    assert edges(expansion)["b"] == {"a"}


def test_no_two_files_lie_in_one_place() -> None:
    names = ["a/b", "/a/b", "a", "a~", "a//b", "../a", "a/b/c", "x" * 250, "x" * 251, "a/b~"]
    expansion = replay(trace_of({**task("one"), "outputFiles": names}, *({**task(n), "inputFiles": [n]} for n in names[:6])))
    places = files(expansion)["one"][1]
    assert len(set(places)) == len(names)
    assert not any(other.startswith(place + "/") for place in places for other in places)
    assert all(edges(expansion)[name] == {"one"} for name in names[:6])


# ---- graphs that contradict themselves -----------------------------------------------------------------------------


def test_a_file_that_several_tasks_yield_is_read_of_the_parent() -> None:
    trace = trace_of(
        task("a", "", "log"), task("b", "", "log"), task("c", "log", parents="a"), task("d", "log", parents="b"), task("e", "log")
    )
    expansion = replay(trace)
    assert edges(expansion) == {"a": set(), "b": set(), "c": {"a"}, "d": {"b"}, "e": {"a", "b"}}
    assert files(expansion) == {
        "a": ([], ["log"]),
        "b": ([], ["log~2"]),
        "c": (["log"], []),
        "d": (["log~2"], []),
        "e": (["log~2"], []),
    }
    assert any("written more than once" in note for note in expansion.notes)


def test_a_file_that_a_task_changes_in_place_is_there_before_and_after() -> None:
    trace = trace_of(task("a", "db", "db"), task("b", "db", "db", parents="a"), task("c", "db", parents="b"))
    expansion = replay(trace)
    assert edges(expansion) == {"a": set(), "b": {"a"}, "c": {"b"}}
    assert files(expansion) == {"a": (["db"], ["db~2"]), "b": (["db~2"], ["db~3"]), "c": (["db~3"], [])}


def test_a_file_that_a_task_reads_and_writes_itself_comes_from_outside() -> None:
    expansion = replay(trace_of(task("a", "db", "db"), task("b", "db")))
    assert expansion.makes == {"db": 500}
    assert files(expansion) == {"a": (["db"], ["db~2"]), "b": (["db~2"], [])}
    assert edges(expansion)["b"] == {"a"}


def test_a_circle_is_named() -> None:
    (sentence,) = told(trace_of(task("a", "y", "x"), task("b", "x", "y")))
    assert "is in a circle of tasks" in sentence and "'a'" in sentence and "'b'" in sentence


# ---- what is wrong -------------------------------------------------------------------------------------------------


def _changed(*path: str | int, to: object) -> Trace:
    trace = trace_of(task("a", "in", "out"), task("b", "out", parents="a"))
    inner: Any = trace
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return trace


_TASKS = ("workflow", "specification", "tasks")
_RUNS = ("workflow", "execution", "tasks")
_FILES = ("workflow", "specification", "files")


@pytest.mark.parametrize(
    ("trace", "sentence"),
    [
        (_changed(*_TASKS, 1, "parents", to=["c"]), "workflow.specification.tasks[1] 'b': parents[0]: there is no task 'c'"),
        (_changed(*_TASKS, 0, "children", to=["bb"]), "workflow.specification.tasks[0] 'a': children[0]: there is no task 'bb'"),
        (_changed(*_TASKS, 1, "parents", to=["b"]), "workflow.specification.tasks[1] 'b': parents[0]: names the task itself"),
        (_changed(*_TASKS, 1, "parents", to="a"), "workflow.specification.tasks[1] 'b': parents: must be a list of task ids: write"),
        (_changed(*_TASKS, 1, "id", to="a"), "workflow.specification.tasks[1] 'a': id: is there twice: workflow.specification.tasks[0]"),
        (_changed(*_TASKS, 1, "id", to=7), "workflow.specification.tasks[1]: id: must be a text in double quotes, not 7"),
        (_changed(*_TASKS, 1, to="b"), "workflow.specification.tasks[1]: must be an object, not 'b'"),
        (_changed(*_TASKS, to=[]), "workflow.specification.tasks: must be a list of tasks, and at least one, not an empty list"),
        (_changed(*_TASKS, to=None), "workflow.specification.tasks: must be a list of tasks, and at least one, not null"),
        (_changed(*_TASKS, 0, "outputFiles", to=[None]), "workflow.specification.tasks[0] 'a': outputFiles[0]: must be a text"),
        (_changed(*_TASKS, 0, "outputFiles", to=["\ud800"]), "workflow.specification.tasks[0] 'a': outputFiles[0]: contains half of"),
        (_changed(*_FILES, 0, "sizeInBytes", to=-1), "workflow.specification.files[0] 'in': sizeInBytes: must be a number of bytes"),
        (_changed(*_FILES, 0, "sizeInBytes", to="1"), "workflow.specification.files[0] 'in': sizeInBytes: must be a number of bytes"),
        (_changed(*_FILES, 0, "sizeInBytes", to=2**50), "workflow.specification.files 'in': sizeInBytes: at --replay 0.5 it has 512 TiB"),
        (_changed(*_FILES, 1, "id", to="in"), None),
        (_changed(*_FILES, 1, to={"id": "in", "sizeInBytes": 3}), "workflow.specification.files[1] 'in': sizeInBytes: is 3, but files[0]"),
        (_changed(*_RUNS, 0, "runtimeInSeconds", to=-2), "workflow.execution.tasks[0] 'a': runtimeInSeconds: must be a number of seconds"),
        (_changed(*_RUNS, 0, "runtimeInSeconds", to=True), "workflow.execution.tasks[0] 'a': runtimeInSeconds: must be a number"),
        (_changed(*_RUNS, 0, "runtimeInSeconds", to=1e12), "workflow.specification.tasks[0] 'a': runtimeInSeconds: at --replay 0.5"),
        (_changed(*_RUNS, 1, "id", to="a"), "workflow.execution.tasks[1] 'a': id: is there twice"),
        (_changed("workflow", "execution", to=[]), "workflow.execution: must be an object, not a list"),
        (_changed("workflow", to=3), "workflow: must be an object, not 3; known are WfFormat 1.5 and 1.6"),
        ({"schemaVersion": "1.4", "workflow": {"tasks": []}}, "workflow: this WfFormat 1.4 file has its tasks in workflow.tasks; known"),
        ({"schemaVersion": "1.0", "workflow": {"jobs": []}}, "workflow: this WfFormat 1.0 file has its tasks in workflow.jobs; known"),
        ({"workflow": {}}, "workflow: this WfFormat of no stated version file has no tasks; known are WfFormat 1.5 and 1.6"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_task_and_field(trace: Trace, sentence: str | None) -> None:
    if sentence is None:
        replay(trace)
    else:
        assert told(trace)[0].startswith(sentence)


def test_a_trace_without_a_scale_is_refused_with_the_option() -> None:
    (sentence,) = refusal(trace_of(task("a")))
    assert "--replay SCALE" in sentence and "1 task" in sentence


@pytest.mark.parametrize("document", [tasks({"id": "a"}), [{"key": "a", "cmd": "true"}], "3"])
def test_only_a_trace_is_replayed(document: object) -> None:
    (sentence,) = told(document)
    assert sentence.startswith("--replay is for workflow traces in WfFormat")


def test_more_outputs_than_a_command_can_name_are_told() -> None:
    names = [f"a/file/with/a/rather/long/name/{number:06}" for number in range(4000)]
    assert told(trace_of({**task("a"), "outputFiles": names}))[0].startswith(
        "workflow.specification.tasks[0] 'a': outputFiles: the names of its 4,000 files are longer than the 120 KiB"
    )


# ---- what a task executes ------------------------------------------------------------------------------------------


def run(template: Template, folder: Path) -> None:
    """Run a task's commands as a worker does."""
    script = "\n".join(str(command) for command in template.commands)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_task_writes_files_of_the_right_sizes_no_two_alike(tmp_path: Path) -> None:
    trace = trace_of(task("a", "", "x y/z/w y/z/v big bigger none one"))
    wanted = {"x": 10, "y/z/w": 65536, "y/z/v": 65536, "big": 65537, "bigger": 3_000_001, "none": 0, "one": 1}
    for file in trace["workflow"]["specification"]["files"]:
        file["sizeInBytes"] = wanted[file["id"]]
    run(_hasty(made(replay(trace, 1.0))["a"]), tmp_path)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name: len(data) for name, data in found.items()} == wanted
    assert len(set(found.values())) == len(found)
    assert found["big"].startswith(b"big\nbig\n")


def test_names_with_meaning_for_a_shell_are_only_names(tmp_path: Path) -> None:
    names = [
        "$(touch pwned)",
        "`touch pwned`",
        "-n",
        "--help",
        "a b",
        "'q'",
        '"',
        ";touch pwned",
        "-",
        "~",
        "é",
        "!!",
        "{a,b}",
        "a\\b",
    ]
    trace = trace_of({**task("a"), "outputFiles": names}, {**task("b"), "inputFiles": names})
    for file in trace["workflow"]["specification"]["files"]:
        file["sizeInBytes"] = 200_000 if file["id"] in ("-n", "a b", "$(touch pwned)") else 9
    expansion = made(replay(trace, 1.0))
    run(_hasty(expansion["a"]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    run(_hasty(expansion["b"]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_task_reads_every_input_wherever_it_lies(tmp_path: Path) -> None:
    expansion = made(replay(trace_of(task("a", ".hidden x/y.txt -z"))))
    (tmp_path / "x").mkdir()
    for name in (".hidden", "x/y.txt", "-z"):
        (tmp_path / name).write_text(name)
    script = "\n".join(str(command) for command in _hasty(expansion["a"]).commands).replace("> /dev/null", "")
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "-z.hiddenx/y.txt"


def test_a_task_that_cannot_write_fails(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a file where a folder is needed")
    expansion = made(replay(trace_of(task("a", "", "x/y"))))
    script = "\n".join(str(command) for command in _hasty(expansion["a"]).commands)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0


def _hasty(template: Template) -> Template:
    """The task without its wait."""
    commands = tuple(command for command in template.commands if not str(command).startswith("sleep "))
    return Template(template.number, template.name, commands)


# ---- anything ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "d", "a/b", "/a", "../b", "a*", "x:y", " ", "", "s3://a", "e\n", "SHA256SUMS", "a~2"])
LISTS = st.lists(NAMES, max_size=3)
NUMBERS = st.sampled_from([0, 1, 2.5, 1e3, 1e15, -1, 1e300, 10**30, None, "1", True])
TASK = st.fixed_dictionaries(
    {"id": NAMES},
    optional=dict.fromkeys(("parents", "children", "inputFiles", "outputFiles"), LISTS | ANYTHING),
)
TRACE = st.fixed_dictionaries(
    {
        "workflow": st.fixed_dictionaries(
            {
                "specification": st.fixed_dictionaries(
                    {"tasks": st.lists(TASK, max_size=5) | ANYTHING},
                    optional={
                        "files": st.lists(st.fixed_dictionaries({"id": NAMES, "sizeInBytes": NUMBERS}), max_size=4) | ANYTHING
                    },
                )
            },
            optional={
                "execution": st.fixed_dictionaries(
                    {"tasks": st.lists(st.fixed_dictionaries({"id": NAMES, "runtimeInSeconds": NUMBERS}), max_size=4)}
                )
                | ANYTHING
            },
        )
        | ANYTHING
    },
    optional={"schemaVersion": ANYTHING},
)


IDS = ["x:y", "b*", "c/1", "d e"]
FILES = st.sampled_from(["a", "a/b", "/a", "../b", "a*", "s3://a", "e\n", "SHA256SUMS", "a~2", "a~", "f" * 300])


@st.composite
def likely(draw: st.DrawFn) -> Trace:
    """A trace whose tasks wait for tasks before them; they read and write any files."""
    sets = st.lists(FILES, max_size=3)
    rows = []
    for number, name in enumerate(IDS[: draw(st.integers(1, 4))]):
        parents = draw(st.lists(st.sampled_from(IDS[:number]), max_size=2)) if number else []
        rows.append({**task(name), "parents": parents, "inputFiles": draw(sets), "outputFiles": draw(sets)})
    return trace_of(*rows, sizes=draw(st.integers(0, 9)))


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(TRACE | likely(), st.sampled_from([1e-9, 0.3, 1.0, 1e9]))
def test_any_trace_gives_a_sound_job_or_problems(trace: dict[str, Any], scale: float) -> None:
    expansion = outcome(json.dumps(trace).encode(), replay=scale)
    if isinstance(expansion, list):
        return
    written = [path for _, outputs in files(expansion).values() for path in outputs]
    assert len(set(written)) == len(written)
    assert set(written).isdisjoint(expansion.makes)
    there = {*written, *expansion.makes}
    assert all(path in there for inputs, _ in files(expansion).values() for path in inputs)
    assert len(edges(expansion)) == len(trace["workflow"]["specification"]["tasks"])
    graph = edges(expansion)
    for one in trace["workflow"]["specification"]["tasks"]:
        if one["id"] in graph:
            assert {name for name in one.get("parents") or () if name in graph} <= graph[one["id"]]
