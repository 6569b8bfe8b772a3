"""The native format: what becomes of each field, and the sentence for each way to get it wrong."""

from typing import Any

import pytest

from boss.core.model import InputSpec, OutputSpec, Template
from tests.taskfile.push import push, refusal, tasks
from worker.grid import Axis
from worker.texts import Field


def template(task: dict[str, Any], **more: Any) -> Template:
    """The template of a single task."""
    return push(tasks({"id": "a", **task}, **more)).templates[0]


def test_a_task_that_says_nothing_gets_the_defaults_of_the_language() -> None:
    assert template({"command": "echo hi"}) == Template(0, "a", ("echo hi",), needs={"cpus": 1}, timeout=86400.0)


def test_every_field_of_a_task_arrives() -> None:
    document = tasks(
        {"id": "first", "outputs": ["in.txt"]},
        {
            "id": "a-{T}",
            "foreach": {"T": {"values": [1.5, "x"]}},
            "commands": ["cd sub", "run {T}"],
            "inputs": ["in.txt"],
            "outputs": ["out-{T}", {"path": "core.{T}.*", "optional": True}],
            "env": {"TEMP": "{T}", "N": 4, "EMPTY": ""},
            "cpus": 2,
            "memory": "1.5G",
            "gpus": 1,
            "disk": "500M",
            "timeout": "1.5h",
            "retries": 3,
            "priority": -2,
            "metrics": "out-{T}",
        },
    )
    field = Field("T")
    assert push(document).templates[1] == Template(
        1,
        ("a-", field),
        ("cd sub", ("run ", field)),
        (InputSpec("in.txt"),),
        (OutputSpec(("out-", field)), OutputSpec(("core.", field, ".*"), None, True)),
        (("TEMP", (field,)), ("N", "4"), ("EMPTY", "")),
        {"cpus": 2, "memory": 1610612736, "gpus": 1, "disk": 524288000},
        5400.0,
        3,
        -2,
        False,
        (Axis("T", (1.5, "x")),),
        ("out-", field),
    )


NEEDED = "`after` (ids of tasks that must have run) or `inputs` (files that it needs)"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("command", ["a", "b"], "command: is a list: several commands are written in `commands`"),
        ("command", "  ", "command: is empty"),
        ("command", 3, "command: must be a text in double quotes, not 3"),
        ("command", None, "command: must be a text in double quotes, not null"),
        ("command", "a\0b", "command: contains a NUL character"),
        ("command", "a\ud800b", "command: contains half of a surrogate pair, which is no character"),
        ("command", "echo {x}", "command: {x} has no value: this task has no foreach; write {{x}} for the text {x}"),
        ("id", 7, "id: must be a text in double quotes, not 7"),
        ("id", "", "id: is empty"),
        (
            "id",
            "a:b",
            "id: 'a:b' cannot be an id: it has 1 to 200 characters, no ':', no control characters and no blanks at its ends",
        ),
        ("id", " a", "id: ' a' cannot be an id: "),
        ("id", "a\n", "id: 'a\\n' cannot be an id: "),
        ("id", "x" * 201, "id: 'xxxxxxxxxx"),
        ("inputs", "x", 'inputs: must be a list of paths: write ["x"]'),
        ("inputs", {"x": 1}, "inputs: must be a list of paths, not an object"),
        ("inputs", [3], 'inputs[0]: must be a path or {"from": path or "shared:NAME", "to": path}, not 3'),
        ("inputs", [None], 'inputs[0]: must be a path or {"from": path or "shared:NAME", "to": path}, not null'),
        ("inputs", [{"to": "x"}], "inputs[0].from: is missing"),
        ("inputs", [{"form": "x", "from": "shared:x"}], "inputs[0].form: is not a known field (did you mean 'from'?)"),
        ("inputs", [{"from": 3}], "inputs[0].from: must be a text in double quotes, not 3"),
        ("inputs", [{"from": "shared:x", "to": 3}], "inputs[0].to: must be a text in double quotes, not 3"),
        ("outputs", "x", 'outputs: must be a list of paths: write ["x"]'),
        ("outputs", [["a", "b"]], "outputs[0]: must be a text in double quotes, not a list"),
        ("outputs", [{"path": "x", "optionl": True}], "outputs[0].optionl: is not a known field (did you mean 'optional'?)"),
        ("outputs", [{"path": "x", "optional": 1}], "outputs[0].optional: must be true or false, not 1"),
        ("outputs", [{"optional": True}], "outputs[0].path: is missing"),
        ("outputs", ["../x"], "outputs[0]: '../x' leaves the job's folder ('..')"),
        ("outputs", ["/x"], "outputs[0]: '/x' is absolute; write it relative to the job's folder"),
        ("outputs", ["a//b"], "outputs[0]: 'a//b' has an empty or '.' part"),
        ("outputs", ["SHA256SUMS"], "outputs[0]: 'SHA256SUMS' is the job's manifest"),
        ("outputs", ["[z-a]"], "outputs[0]: '[z-a]' has a character set that cannot be read"),
        (
            "outputs",
            ["shared:x"],
            "outputs[0]: 'shared:x' names shared data, which tasks read and `admin.py put LOCAL shared:NAME`",
        ),
        ("after", "b", 'after: must be a list of task ids: write ["b"]'),
        ("after", [1], "after[0]: must be a text in double quotes, not 1"),
        ("init", "yes", "init: must be true or false, not 'yes'"),
        ("cpus", True, "cpus: must be a number, not true"),
        ("cpus", "2", "cpus: must be a number, not '2'"),
        ("cpus", 0, "cpus: must be greater than 0 and at most 1,000,000, not 0"),
        ("cpus", 10**30, "cpus: must be a number, not so large a number"),
        ("gpus", -1, "gpus: must be at least 0 and at most 1,000,000, not -1"),
        ("memory", "2X", 'memory: must be bytes or a text such as "500M" or "2G" (= 2 GiB), not \'2X\''),
        ("memory", "lots", "memory: must be bytes or a text such as"),
        ("memory", 0, "memory: must be bytes or a text such as"),
        ("memory", -5, "memory: must be bytes or a text such as"),
        ("memory", True, "memory: must be bytes or a text such as"),
        ("memory", "9" * 400, "memory: must be bytes or a text such as"),
        ("disk", [], "disk: must be bytes or a text such as"),
        (
            "timeout",
            "soon",
            'timeout: must be seconds (greater than 0) or a text such as "90s", "5m", "6h" or "2d", not \'soon\'',
        ),
        ("timeout", 0, "timeout: must be seconds (greater than 0)"),
        ("timeout", 10**400, "timeout: must be seconds (greater than 0)"),
        ("retries", 1.5, "retries: must be a whole number, not 1.5"),
        ("retries", -1, "retries: must be between 0 and 1,000, not -1"),
        ("retries", False, "retries: must be a whole number, not false"),
        ("priority", "high", "priority: must be a whole number, not 'high'"),
        ("env", ["A=1"], 'env: must be an object such as {"SEED": "1"}, not a list'),
        ("env", {"A": True}, 'env.A: must be a text: write "true"'),
        ("env", {"A": ["x"]}, "env.A: must be a text in double quotes, not a list"),
        ("env", {"2A": "x"}, "env.'2A': is no name of a variable"),
        ("env", {"ECLOUD_TASK": "x"}, "env.ECLOUD_TASK: is set by ecloud itself"),
        ("env", {"A": "{y}"}, "env.A: {y} has no value"),
        ("container", "debian", "container: is planned, not in this version"),
        ("min_success", 3, "min_success: is planned, not in this version"),
        ("nodes", 3, "nodes: is planned, not in this version"),
        ("replicas", 3, "replicas: is planned, not in this version"),
        ("quorum", 3, "quorum: is planned, not in this version"),
        ("comand", "x", "comand: is not a known field (did you mean 'command'?)"),
        ("Output", [], "Output: is not a known field (did you mean 'outputs'?)"),
        ("zzz", 1, "zzz: is not a known field"),
        ("walltime", "2h", "walltime: is not a known field: here it is timeout"),
        ("time", "2h", "time: is not a known field: here it is timeout"),
        ("mem", "2G", "mem: is not a known field: here it is memory"),
        ("ncpus", 2, "ncpus: is not a known field: here it is cpus"),
        ("Threads", 2, "Threads: is not a known field: here it is cpus"),
        ("cores", 2, "cores: is not a known field: here it is cpus"),
        ("name", "a", "name: is not a known field: here it is id"),
        ("cmd", "x", "cmd: is not a known field: here it is command"),
        ("depends", ["b"], f"depends: is not a known field: here it is {NEEDED}"),
        ("depends-on", ["b"], f"'depends-on': is not a known field: here it is {NEEDED}"),
        ("dependencies", ["b"], f"dependencies: is not a known field: here it is {NEEDED}"),
        ("requires", ["b"], f"requires: is not a known field: here it is {NEEDED}"),
        (
            "timeout",
            "5 min",
            'timeout: must be seconds (greater than 0) or a text such as "90s", "5m", "6h" or "2d", not \'5 min\'',
        ),
    ],
)
def test_each_way_to_get_a_field_wrong_has_its_sentence(field: str, value: object, sentence: str) -> None:
    told = refusal(tasks({"id": "a", field: value}))
    assert len(told) == 1, told
    label, _, rest = told[0].partition(": ")
    assert label.startswith("tasks[0]")
    assert rest.startswith(sentence), rest


def test_a_task_needs_an_id_and_exactly_one_kind_of_command() -> None:
    document = {
        "tasks": [
            {"command": "x"},
            {"id": "b"},
            {"id": "c", "command": "x", "commands": ["y"]},
            {"id": "d", "commands": "x"},
            {"id": "e", "commands": []},
            {"id": "f", "commands": ["x", 3, ""]},
        ]
    }
    assert refusal(document) == [
        "tasks[0]: id: is missing",
        "tasks[1] 'b': command: is missing: the task has nothing to run",
        "tasks[2] 'c': commands: stands beside command: write one of them",
        "tasks[3] 'd': commands: is one text: one command is written in `command`",
        "tasks[4] 'e': commands: is an empty list: the task has nothing to run",
        "tasks[5] 'f': commands[1]: must be a text in double quotes, not 3",
        "tasks[5] 'f': commands[2]: is empty",
    ]


def test_all_errors_of_a_file_are_listed_at_once() -> None:
    document = {
        "job": "-bad-",
        "jobs": 1,
        "defaults": {"id": "x", "memory": "much", "nodes": 2},
        "tasks": [
            {"id": "a", "command": "true", "cpu": 1, "outputs": ["same"]},
            {"id": "a", "command": "{T}", "after": ["b", "missing"], "outputs": ["same"]},
            {"id": "b", "command": "true", "inputs": ["nowhere"], "after": ["a"], "timeout": "x"},
            {"id": "loop", "command": "true", "after": ["loop"]},
        ],
    }
    told = refusal(document)
    for sentence in (
        "jobs: is not a known field (did you mean 'job'?)",
        "defaults.id: cannot be a default: each task says it itself",
        "defaults.memory: must be bytes",
        "defaults.nodes: is planned",
        "tasks[0] 'a': cpu: is not a known field (did you mean 'cpus'?)",
        "tasks[1] 'a': command: {T} has no value",
        "tasks[2] 'b': timeout: must be seconds",
        "job: '-bad-' cannot be a name",
        "tasks[1] 'a': id: is there twice: tasks[0] has the same id",
        "tasks[1] 'a': outputs[0]: 'same' is yielded by tasks[0] 'a' already",
        "tasks[1] 'a': after[1]: there is no task 'missing'",
        "tasks[2] 'b': inputs[0]: no task yields 'nowhere'",
        "tasks[3] 'loop': after[0]: names the task itself",
    ):
        assert any(line.startswith(sentence) for line in told), (sentence, told)
    assert len(told) == 13, told


def test_of_very_many_errors_a_hundred_are_told_and_the_rest_counted() -> None:
    told = refusal(tasks(*({"id": f"t{number}", "cpus": "many"} for number in range(1234))))
    assert len(told) == 101
    assert told[-1] == "and 1,134 more problems"


def test_a_task_field_beside_tasks_is_told_where_it_belongs() -> None:
    assert refusal(tasks({"id": "a"}, timeout="1h")) == ['timeout: is a field of a task: move it into "tasks"']


# ---- defaults ------------------------------------------------------------------------------------------------------


def test_own_fields_win_and_lists_and_env_are_added_to_the_defaults() -> None:
    document = {
        "files": ["lib.py", "a.py"],
        "defaults": {
            "command": "common",
            "inputs": ["lib.py"],
            "outputs": [{"path": "log-{n}/", "optional": True}],
            "env": {"A": "1", "B": "1"},
            "cpus": 2,
            "timeout": "1h",
            "retries": 1,
            "priority": 5,
        },
        "tasks": [
            {
                "id": "a{n}",
                "foreach": {"n": {"range": [2]}},
                "inputs": ["a.py", "lib.py"],
                "outputs": ["o{n}"],
                "env": {"B": "{n}"},
                "retries": 0,
            }
        ],
    }
    made = push(document, files=["lib.py", "a.py"]).templates[0]
    assert made.commands == ("common",)
    assert [spec.source for spec in made.inputs] == ["lib.py", "a.py"]
    assert made.outputs == (OutputSpec(("log-", Field("n"), "/"), None, True), OutputSpec(("o", Field("n"))))
    assert dict(made.env) == {"A": "1", "B": (Field("n"),)}
    assert (made.needs, made.timeout, made.retries, made.priority) == ({"cpus": 2}, 3600.0, 0, 5)


def test_a_default_never_makes_a_task_wait_for_itself() -> None:
    document = tasks({"id": "mesh", "outputs": ["mesh.dat"]}, {"id": "use"}, defaults={"inputs": ["mesh.dat"], "after": ["mesh"]})
    expansion = push(document)
    assert [spec.dependencies for spec in expansion.specs()] == [(), (0,)]
    assert expansion.templates[0].inputs == ()


def test_what_is_wrong_in_the_defaults_is_told_once_where_it_stands() -> None:
    document = tasks({"id": "a"}, {"id": "b"}, defaults={"memory": "x", "env": 3, "foreach": {}, "comand": "x"})
    told = refusal(document)
    assert [line.partition(":")[0] for line in told] == ["defaults.foreach", "defaults.comand", "defaults.env", "defaults.memory"]


def test_a_field_in_a_default_text_is_looked_at_task_by_task() -> None:
    document = tasks({"id": "a"}, {"id": "b{n}", "foreach": {"n": {"range": [1]}}}, defaults={"env": {"N": "{n}"}})
    assert refusal(document) == [
        "tasks[0] 'a': defaults.env.N: {n} has no value: this task has no foreach; write {{n}} for the text {n}"
    ]


# ---- init ----------------------------------------------------------------------------------------------------------


def test_init_tasks_take_env_and_inputs_of_the_defaults_but_no_outputs_and_no_after() -> None:
    document = tasks(
        {"id": "prepare", "init": True},
        {"id": "a"},
        {"id": "b", "outputs": []},
        files=["lib.py"],
        defaults={"inputs": ["lib.py"], "env": {"A": "1"}, "after": ["a"]},
    )
    expansion = push(document, files=["lib.py"])
    assert expansion.templates[0].init
    assert expansion.templates[0].inputs == (InputSpec("lib.py"),)
    assert [spec.dependencies for spec in expansion.specs()] == [(), (), (1,)]


def test_waiting_for_an_init_task_is_understood_and_makes_no_edge() -> None:
    document = tasks(
        {"id": "one", "init": True}, {"id": "two", "init": True, "after": ["one"]}, {"id": "a", "after": ["one", "t*"]}
    )
    assert [(spec.dependencies, spec.rank) for spec in push(document).specs()] == [((), 0), ((), 0), ((), 0)]


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ({"outputs": ["x"]}, "outputs: an init task runs on every worker and cannot yield files"),
        ({"foreach": {"n": {"range": [2]}}}, "foreach: an init task runs on every worker and cannot be a grid"),
        ({"after": ["a"]}, "an init task runs before the job's other tasks; it cannot wait for tasks[1] 'a'"),
        ({"inputs": ["a.txt"]}, "an init task runs before the job's other tasks; it cannot wait for tasks[1] 'a'"),
        ({"after": ["later"]}, "init tasks run in the order of the file: move tasks[2] 'later' before this one"),
    ],
)
def test_an_init_task_can_neither_yield_nor_wait(task: dict[str, Any], sentence: str) -> None:
    document = tasks({"id": "prepare", "init": True, **task}, {"id": "a", "outputs": ["a.txt"]}, {"id": "later", "init": True})
    assert refusal(document) == [f"tasks[0] 'prepare': {sentence}"]


# ---- names of jobs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ({}, "sweep"),
        ({"job": "inner"}, "inner"),
        ({"name": "outer", "job": "inner"}, "outer"),
    ],
)
def test_the_name_asked_for_goes_before_the_files_own_before_its_stem(context: dict[str, str], name: str) -> None:
    document = tasks({"id": "a"}, **({"job": context["job"]} if "job" in context else {}))
    expansion = push(document, file_name="some/where/sweep.json", name=context.get("name"))
    assert (expansion.job_name, expansion.extends) == (name, False)


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("a.b.json", "a.b"),
        ("my tasks (2).json", "my-tasks-2"),
        ("modèle.json", "modele"),
        (".hidden.json", "hidden"),
        ("日本.json", "job"),
        ("noextension", "noextension"),
        (r"C:\data\x.json", "x"),
        ("x" * 300 + ".json", "x" * 90),
        ("", "job"),
    ],
)
def test_a_files_stem_is_made_into_a_name(file_name: str, name: str) -> None:
    assert push(tasks({"id": "a"}), file_name=file_name).job_name == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a:b", "x" * 101, "ä"])
def test_a_name_that_no_job_can_have_is_refused(name: str) -> None:
    assert any("cannot be a name: a job's name has" in line for line in refusal(tasks({"id": "a"}), name=name))
