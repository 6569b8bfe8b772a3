"""The one task that a dry run shows of a sweep."""

from boss.taskfile.example import COMMANDS, OUTPUTS, first_of_a_sweep
from tests.taskfile.push import push, tasks


def example(*entries: dict[str, object]) -> str:
    expansion = push(tasks(*entries))
    templates = {template.number: template for template in expansion.templates}
    return first_of_a_sweep(((name, number, row) for _, name, number, row, *_ in expansion.rows()), templates)


def test_the_first_task_of_the_first_sweep_is_shown_with_its_values() -> None:
    sweep = {
        "id": "s-{T:.1f}",
        "foreach": {"T": {"values": [1.5, 2]}},
        "commands": ["cd x", "run {T:.3f}"],
        "outputs": ["{T}.txt"],
    }
    assert example({"id": "a"}, sweep) == "s-1.5: cd x; run 1.500 -> 1.5.txt"
    assert example({"id": "a"}) == ""


def test_long_commands_and_many_outputs_are_shortened() -> None:
    said = example(
        {"id": "s-{n}", "foreach": {"n": {"range": [2]}}, "command": "x" * 1000, "outputs": [f"{{n}}-{i}" for i in range(9)]}
    )
    assert len(said) < COMMANDS + 100
    assert said.endswith(f"... -> 0-0, 0-1, 0-2, 0-3, 0-4 and {9 - OUTPUTS} more")
