"""What a list of the original requires and nobody has: no error, but a note that names the remedy."""

from typing import Any

from boss.taskfile.context import Merge
from tests.taskfile.existing import finished
from tests.taskfile.push import push

READ = "read as a list of the original ECLOUD's generation 1"
FAILS = "what is not there when the task runs makes it fail in phase fetch"
GONE = "is yielded by no task and is not in the job's folder"


def _notes(*required: object, beside: tuple[str, ...] = (), **context: Any) -> list[str]:
    document = [{"key": "a", "cmd": "x", "requires": list(required)}, {"key": "b", "cmd": "y", "results": ["made.txt"]}]
    first, *others = push(document, beside=frozenset(beside), **context).notes
    assert first == READ
    return others


def test_a_requirement_that_lies_beside_the_task_file_is_noted_with_the_option_that_pushes_it() -> None:
    assert _notes("prep.py", beside=("prep.py",)) == [
        f"[0] 'a': requires[0]: 'prep.py' {GONE}; it lies beside the task file: push it with --files prep.py"
    ]
    [note] = _notes(["my data/", "in/"], beside=("my data/",))
    assert note.endswith("push it with --files 'my data/'")


def test_one_that_is_nowhere_is_noted_with_what_will_happen() -> None:
    assert _notes("made.txt", "none.csv") == [
        f"[0] 'a': requires[1]: 'none.csv' {GONE}: {FAILS} (a local file is pushed with --files none.csv)"
    ]


def test_what_is_pushed_or_yielded_or_lies_in_the_job_already_is_not_noted() -> None:
    assert _notes("prep.py", "lib/", "*.csv", "made.txt", files=["prep.py", "lib/a.py", "1.csv"]) == []
    job = finished({"tasks": [{"id": "old", "command": "x", "inputs": ["prep.py"]}]}, {"prep.py": ("aa" * 32, 0o644)})
    assert _notes("prep.py", "by-hand.csv", job="old", existing=job, results=["by-hand.csv"]) == []


def test_what_a_task_yields_itself_and_nobody_else_does_is_noted() -> None:
    notes = push([{"key": "a", "cmd": "x", "requires": ["state"], "results": ["state"]}]).notes
    assert [note for note in notes if GONE in note]


def test_a_path_that_many_tasks_want_is_noted_once() -> None:
    document = [{"key": number, "cmd": "x", "requires": ["prep.py"]} for number in range(1000)]
    [_, note] = push(document, beside=frozenset({"prep.py"})).notes
    assert note.startswith(f"[0] '0': requires[0]: 'prep.py' {GONE} (999 more tasks read it too); it lies beside")


def test_of_very_many_paths_those_beside_the_task_file_are_told_first_and_the_others_counted() -> None:
    notes = _notes(*(f"{number}.csv" for number in range(1000)), beside=("999.csv",))
    assert len(notes) == 21
    assert notes[0].endswith("push it with --files 999.csv")
    assert notes[-1] == "980 more requirements are yielded by no task and are not in the job's folder"


def test_tasks_that_a_merge_keeps_are_not_noted() -> None:
    document = [{"key": "a", "cmd": "x", "requires": ["prep.py"]}]
    assert not [note for note in push(document, job="old", merge=Merge.IGNORE, existing=finished(document)).notes if GONE in note]
