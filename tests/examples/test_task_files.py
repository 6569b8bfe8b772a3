"""The examples' and the benchmark's task files are valid, and make the tasks that are spoken of."""

import json
from pathlib import Path

import pytest

from benchmarks.loads import FAN_IN, LAYERS, LOADS, SHORT, SLOTS, WIDTH, Load
from boss.taskfile.context import Context
from boss.taskfile.expansion import Expansion, expand

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def expanded(document: object) -> Expansion:
    """The tasks of a document whose ``files`` are all there."""
    files = document.get("files", []) if isinstance(document, dict) else []
    return expand(json.dumps(document).encode(), Context(files=frozenset(files)))


@pytest.mark.parametrize(("name", "tasks"), [("hello", 6), ("ising/ising", 101), ("legacy/gen1", 5), ("legacy/gen2", 5)])
def test_example_makes_its_tasks_and_reads_all_its_files(name: str, tasks: int) -> None:
    found = expanded(json.loads((EXAMPLES / f"{name}.json").read_text()))
    assert (found.tasks, found.unread_files) == (tasks, [])


def test_the_examples_workflow_is_replayed_as_it_says() -> None:
    data = (EXAMPLES / "workflow" / "survey.json").read_bytes()
    found = expand(data, Context(file_name="survey.json", replay=0.1))
    assert (found.job_name, found.tasks, len(found.notes)) == ("survey", 6, 1)
    assert found.makes == {"sky.fits": 4_800_000, "survey.cfg": 80}
    assert [len(spec.dependencies) for spec in found.specs()] == [0, 1, 1, 1, 3, 1]


def test_files_of_the_ising_example_exist() -> None:
    files = json.loads((EXAMPLES / "ising" / "ising.json").read_text())["files"]
    assert [file for file in files if not (EXAMPLES / "ising" / file).is_file()] == []


def test_ising_report_waits_for_every_temperature_and_each_for_its_seeds() -> None:
    needed = {
        spec.name: len(spec.dependencies) for spec in expanded(json.loads((EXAMPLES / "ising/ising.json").read_text())).specs()
    }
    assert needed["report"] == 20
    assert {count for name, count in needed.items() if name.startswith("combine")} == {4}
    assert {count for name, count in needed.items() if name.startswith("simulate")} == {0}


@pytest.mark.parametrize("load", [*LOADS.values(), *SHORT.values()], ids=lambda load: f"{load.name}-{load.tasks}")
def test_load_has_as_many_tasks_as_it_says(load: Load) -> None:
    assert expanded(load.document).tasks == load.tasks
    assert load.parallel <= SLOTS


@pytest.mark.parametrize("load", LOADS.values(), ids=lambda load: load.name)
def test_what_waits_for_whom_is_the_same_for_ecloud_as_for_the_others(load: Load) -> None:
    needed = [list(spec.dependencies) for spec in expanded(load.document).specs()]
    assert needed == [list(numbers) for numbers in load.after or ((),) * load.tasks]


def test_a_load_has_ended_when_the_tasks_have_that_no_other_waits_for() -> None:
    assert LOADS["chain"].ends == [LOADS["chain"].tasks - 1]
    assert LOADS["layers"].ends[-WIDTH:] == list(range((LAYERS - 1) * WIDTH, LAYERS * WIDTH))
    assert LOADS["true"].ends == list(range(LOADS["true"].tasks))


def test_each_task_of_a_lower_layer_waits_for_three_others() -> None:
    needed = [len(spec.dependencies) for spec in expanded(LOADS["layers"].document).specs()]
    assert set(needed[:WIDTH]) == {0}
    assert set(needed[WIDTH:]) == {FAN_IN}
