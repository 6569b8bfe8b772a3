"""Large files go through: the shapes in which comparing everything with everything would never end."""

import pytest

from tests.taskfile.push import push, refusal, tasks

ROWS = 100_000


@pytest.mark.long
def test_a_hundred_thousand_rows_with_files_of_their_own() -> None:
    grid = {"n": {"range": [ROWS]}}
    document = tasks(
        {"id": "make-{n}", "foreach": grid, "outputs": ["out/{n}.dat"]},
        {"id": "use-{n}", "foreach": grid, "inputs": ["out/{n}.dat"], "outputs": ["used/{n}/"]},
        {"id": "end", "after": ["use-*"]},
    )
    expansion = push(document)
    specs = list(expansion.specs())
    assert expansion.tasks == 2 * ROWS + 1
    assert (specs[ROWS + 7].dependencies, specs[7].rank, len(specs[-1].dependencies)) == ((7,), 2, ROWS)


@pytest.mark.long
def test_a_hundred_thousand_entries_in_a_chain() -> None:
    entries = [{"id": f"t{n}", "outputs": [f"o/{n}"], "inputs": [f"o/{n - 1}"] if n else []} for n in range(ROWS)]
    expansion = push(tasks(*reversed(entries)))
    assert next(expansion.specs()).rank == 0
    assert max(spec.rank for spec in expansion.specs()) == ROWS - 1


def test_thousands_of_globs_over_thousands_of_files_and_globs() -> None:
    grid = {"n": {"range": [8_000]}}
    document = tasks(
        {"id": "tail-{n}", "foreach": grid, "outputs": ["out/x-{n}-end.dat"]},
        {"id": "glob-{n}", "foreach": grid, "outputs": ["logs/*-{n}.log", "runs/{n}-*.log"]},
        {"id": "middle-{n}", "foreach": grid, "inputs": ["out/*-{n}-*.dat", "logs/a-{n}.log", "runs/{n}-*"]},
    )
    specs = list(push(document).specs())
    assert specs[16_000 + 123].dependencies == (123, 8_123)


def test_a_hundred_thousand_tasks_that_yield_one_another_s_file_are_told_in_a_hundred_sentences() -> None:
    entries = [{"id": f"t{n}", "outputs": ["same"], "after": ["missing"]} for n in range(20_000)]
    assert refusal(tasks(*entries))[-1] == "and 39,899 more problems"


def test_a_large_circle_is_named() -> None:
    grid = {"n": {"range": [50_000]}}
    document = tasks(
        {"id": "a-{n}", "foreach": grid, "inputs": ["b/{n}"], "outputs": ["a/{n}"]},
        {"id": "b-{n}", "foreach": grid, "outputs": ["b/{n}"], "after": ["c"]},
        {"id": "c", "after": ["a-77"]},
    )
    assert refusal(document) == [
        "tasks[0] 'a-77': is in a circle of tasks that each wait for the next: 'a-77' -> 'b-77' -> 'c' -> 'a-77'"
    ]
