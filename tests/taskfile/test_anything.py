"""Whatever is pushed, an expansion or a list of problems comes out, and the published schema agrees with the reader."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boss.core.templates import params_of, rows
from boss.taskfile.context import Context
from boss.taskfile.expansion import Expansion, expand
from boss.taskfile.fields import RESERVED
from boss.taskfile.grid import _WAYS
from boss.taskfile.native import FILE_FIELDS, TASK_FIELDS
from boss.taskfile.problems import LIMIT, Refused
from boss.taskfile.written import SHARED_FIELDS
from tests.taskfile.push import push, refusal

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "task-file.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EXAMPLES = re.findall(r"```json\n(.*?)```", (DOCS / "task-file.md").read_text("utf-8"), re.DOTALL)
[TABLE] = re.findall(r"```csv\n(.*?)```", (DOCS / "task-file.md").read_text("utf-8"), re.DOTALL)

TEXT = st.sampled_from(
    ["a", "b", "a-{x}", "{x}/{y:.2f}", "{{x}}", "x/", "*.dat", "a.dat", "../a", "d/a.dat", "**", "[z-a]", "2G", "6h", ""]
) | st.text(max_size=4)
SCALAR = TEXT | st.integers() | st.floats() | st.booleans() | st.none()
ANYTHING = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
TEXTS = st.lists(TEXT | st.just("a"), max_size=3)
WAYS = st.dictionaries(
    st.sampled_from(["x", "y"]),
    st.dictionaries(st.sampled_from([*_WAYS]), st.lists(st.integers(-3, 3) | TEXT, max_size=3), max_size=1),
    max_size=2,
)
BLOCK = WAYS | st.fixed_dictionaries({"zip": WAYS}) | st.fixed_dictionaries({"csv": st.sampled_from(["p.csv", "q.csv", "r.csv"])})
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "id": TEXT,
    "key": TEXT | st.integers(0, 3),
    "command": TEXT,
    "commands": TEXTS,
    "cmd": TEXTS | TEXT,
    "inputs": TEXTS,
    "outputs": TEXTS,
    "after": TEXTS,
    "depends-on": TEXTS,
    "dependencies": TEXTS,
    "requires": TEXTS | st.lists(TEXTS),
    "requirements": TEXTS | st.lists(TEXTS),
    "results": TEXTS | st.lists(TEXTS),
    "foreach": BLOCK | st.lists(BLOCK, max_size=3),
    "init": st.booleans(),
    "env": st.dictionaries(st.sampled_from(["A", "B"]), TEXT),
}
FIELDS = st.sampled_from(sorted({*TASK_FIELDS, *RESERVED, *LIKELY, "overwrite_result"}))
TASK = st.lists(FIELDS, max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({name: (LIKELY.get(name, ANYTHING) | ANYTHING) for name in [*names, "id"]})
)
FILE = st.fixed_dictionaries(
    {"tasks": st.lists(TASK, max_size=4)},
    optional={"defaults": TASK | ANYTHING, "files": st.lists(TEXT | ANYTHING, max_size=2), "job": TEXT | ANYTHING},
)


def outcome(data: bytes, **context: Any) -> Expansion | list[str]:
    """What comes out; anything else goes up and fails the test."""
    try:
        expansion = expand(data, Context(**context))
    except Refused as refused:
        assert 0 < len(refused.problems) <= LIMIT + 1
        return [str(problem) for problem in refused.problems]
    specs = list(expansion.specs())
    assert [spec.index for spec in specs] == list(range(len(specs)))
    assert all(spec.index not in spec.dependencies for spec in specs)
    assert all(specs[needed].rank > spec.rank for spec in specs for needed in spec.dependencies)
    return expansion


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(FILE | st.lists(TASK, max_size=4) | ANYTHING, st.frozensets(st.sampled_from(["a.dat", "d/a.dat", "x/1"])), st.booleans())
def test_any_json_gives_an_expansion_or_problems(document: object, files: frozenset[str], skip: bool) -> None:
    tables = {"p.csv": b"x,y\n1,a\n2,b\n", "q.csv": b"x\n"}
    result = outcome(json.dumps(document).encode(), files=files, skip_existing=skip, results=files, tables=tables)
    if isinstance(result, Expansion) and isinstance(document, dict):
        VALIDATOR.validate(document)  # what the reader takes, the schema takes


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ \n0e-tasksid', max_size=60).map(str.encode))
def test_any_bytes_give_an_expansion_or_problems(data: bytes) -> None:
    outcome(data)


# ---- the schema ----------------------------------------------------------------------------------------------------


def test_the_schema_is_a_schema() -> None:
    VALIDATOR.check_schema(SCHEMA)


def test_the_schema_has_the_fields_that_the_reader_knows() -> None:
    assert set(SCHEMA["properties"]) == set(FILE_FIELDS)
    assert set(SCHEMA["$defs"]["task"]["properties"]) == set(TASK_FIELDS)
    assert set(SCHEMA["properties"]["defaults"]["properties"]) == set(SHARED_FIELDS)
    assert set(SCHEMA["$defs"]["way"]["properties"]) == set(_WAYS)


@pytest.mark.parametrize(
    "task",
    [
        {"id": "a"},
        {"command": "x"},
        {"id": "a", "command": ["x"]},
        {"id": "a", "command": "x", "commands": ["x"]},
        {"id": "a", "command": "x", "container": "y"},
        {"id": "a:b", "command": "x"},
        {"id": " a", "command": "x"},
        {"id": "a ", "command": "x"},
        {"id": "a{row:03d}:", "command": "x", "foreach": {"y": {"range": [1]}}},
        {"id": "a", "command": "x", "inputs": "y"},
        {"id": "a", "command": "x", "inputs": ["/y"]},
        {"id": "a", "command": "x", "outputs": [{"optional": True}]},
        {"id": "a", "command": "x", "cpus": True},
        {"id": "a", "command": "x", "memory": "2X"},
        {"id": "a", "command": "x", "timeout": "soon"},
        {"id": "a", "command": "x", "retries": 1.5},
        {"id": "a", "command": "x", "env": {"A": True}},
        {"id": "a", "command": "x", "foreach": {"y": [1]}},
        {"id": "a", "command": "x", "foreach": {"y": {"linspace": [1, 2]}}},
        {"id": "a{row}", "command": "x", "foreach": []},
        {"id": "a{row}", "command": "x", "foreach": {"row": {"range": [1]}}},
        {"id": "a{row}", "command": "x", "foreach": [{"csv": ["p.csv"]}]},
        {"id": "a{row}", "command": "x", "foreach": {"csv": "p.csv", "y": {"range": [1]}}},
        {"id": "a{row}", "command": "x", "foreach": [{"zip": {"y": [1]}}]},
        {"id": "a{row}", "command": "x", "foreach": {"zip": {}}},
    ],
)
def test_what_the_schema_refuses_the_reader_refuses(task: dict[str, Any]) -> None:
    document = {"tasks": [task]}
    if task != {"id": "a"}:  # a default may bring the command
        assert not VALIDATOR.is_valid(document)
    assert refusal(document)


# ---- the documentation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_documentation_are_right(text: str) -> None:
    document = json.loads(text)
    files: set[str] = set()
    if isinstance(document, dict):
        VALIDATOR.validate(document)
        for entry in document.get("files", []):
            to = entry if isinstance(entry, str) else entry["to"]
            files.add(to + "go.py" if to.endswith("/") else to.replace("*", "1"))
    expansion = push(document, files=files, tables={"params.csv": TABLE.encode()})
    assert expansion.tasks >= 1
    assert expansion.unread_files == []


def test_the_table_of_the_documentation_prints_as_it_says() -> None:
    [text] = [text for text in EXAMPLES if '{"csv": "params.csv"},\n      "command"' in text]
    expansion = push(json.loads(text), files=["simulate.py"], tables={"params.csv": TABLE.encode()})
    template = expansion.templates[0]
    assert list(rows(template.commands[0], template.grid)) == [
        "python3 simulate.py --T 1.50 --seed 7 --start cold > sim-0.csv",
        "python3 simulate.py --T 2.25 --seed 8 --start hot > sim-1.csv",
        "python3 simulate.py --T 2.25 --seed 9 --start 'cold, slowly' > sim-2.csv",
    ]
    assert params_of(template, 0) == {"T": 1.5, "seed": "007", "start": "cold"}


def test_the_documentation_names_every_field() -> None:
    text = (DOCS / "task-file.md").read_text("utf-8")
    assert [
        field
        for field in (*FILE_FIELDS, *TASK_FIELDS, *RESERVED, *_WAYS)
        if f"`{field}`" not in text and f'"{field}"' not in text
    ] == []
