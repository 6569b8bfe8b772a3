"""Tasks that are too long for a message are refused at the push."""

import pytest

from boss.taskfile.sizes import LIMIT
from tests.taskfile.push import push, refusal, tasks
from worker.protocol import MAX_MESSAGE, Assign, Assignment, Input, encode

LONG = "echo " + "x" * MAX_MESSAGE


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (
            tasks({"id": "a", "command": LONG}),
            "tasks[0] 'a': command: takes 256 KiB of the task's 256 KiB, more than the 248 KiB",
        ),
        (tasks({"id": "a", "env": {f"X{n}": LONG[: LIMIT // 3] for n in range(3)}}), "tasks[0] 'a': env: "),
        (tasks({"id": "a", "command": "\x01" * (LIMIT // 5)}), "tasks[0] 'a': command: "),
        ([{"key": "a", "cmd": LONG}], "[0] 'a': cmd: "),
        ([{"id": "a", "commands": [LONG]}], "[0] 'a': commands: "),
        (tasks({"id": "a", "outputs": [f"out/{number}" for number in range(4000)]}), "tasks[0] 'a': outputs: "),
    ],
)
def test_what_does_not_fit_into_a_message_names_its_field_and_the_remedy(document: object, place: str) -> None:
    (told,) = refusal(document)
    assert told.startswith(place)
    assert "put long text into a file" in told


def test_a_variable_that_no_process_can_be_given_is_named() -> None:
    (told,) = refusal(tasks({"id": "a", "env": {"MESH": "x" * 131_072}}))
    assert told.startswith("tasks[0] 'a': env.MESH: takes 131,079 bytes, more than the 131,071 that one variable can hold: ")
    push(tasks({"id": "a", "env": {"MESH": "x" * 131_000}}))


def test_the_longest_value_of_a_parameter_counts() -> None:
    grid = {"p": {"values": ["x", "y" * (LIMIT // 2)]}, "n": {"range": [0, 3]}}
    (told,) = refusal(tasks({"id": "{n}-{p:.1}", "command": "echo {p} {p}", "foreach": grid}))
    assert told.startswith("tasks[0]: command: ")


def test_a_glob_counts_as_the_pushed_files_that_it_names() -> None:
    files = [f"data/{number:04}.csv" for number in range(2000)]
    (told,) = refusal(tasks({"id": "a", "inputs": ["data/*.csv"]}), files=files)
    assert told.startswith("tasks[0] 'a': inputs: ") and "fewer files" in told
    push(tasks({"id": "a", "inputs": ["data/*.csv"]}), files=files[:1000])


def test_a_glob_that_cannot_be_read_is_told_as_that_alone() -> None:
    (told,) = refusal(tasks({"id": "a", "inputs": ["[z-a]"]}), files=["a.dat"])
    assert "cannot be read" in told


def test_a_task_may_read_thousands_of_files_that_others_yield() -> None:
    names = [f"fits/{number:06}.of-a-long-name-as-in-real-life.txt" for number in range(3000)]
    yielding = [{"id": f"t{number}", "outputs": [name]} for number, name in enumerate(names)]
    push(tasks(*yielding, {"id": "sum", "inputs": names}))
    inputs = tuple(Input(name, "") for name in names)
    assignment = Assignment("f" * 32 + ".4999999.999", "j" * 100, "t" * 200, ("true",), inputs, grant="g" * 1024)
    assert len(encode(Assign(10**9, 10**9, (assignment,)))) == 1
    (told,) = refusal(tasks(*yielding, {"id": "sum", "inputs": names, "command": "cat " + " ".join(names)}))
    assert told.startswith("tasks[3000] 'sum': ")


def test_what_is_accepted_fits() -> None:
    command = "x" * (LIMIT - 300)
    push(tasks({"id": "a", "command": command}))
    names = [f"data/{number:04}.csv" for number in range(1200)]
    inputs = tuple(Input(name, name, "0" * 64, 0o755) for name in names)
    push(tasks({"id": "a", "inputs": ["data/"]}), files=names)
    for more in ({"commands": (command,)}, {"commands": ("true",), "inputs": inputs}):
        assignment = Assignment("f" * 32 + ".4999999.999", "j" * 100, "t" * 200, grant="g" * 1024, **more)  # type: ignore[arg-type]
        assert len(encode(Assign(10**9, 10**9, (assignment,)))) == 1
