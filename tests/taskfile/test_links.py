"""Who waits for whom: ids, files, folders, globs; and what cannot be had."""

from typing import Any

import pytest

from boss.taskfile import links
from tests.taskfile.push import edges, push, refusal, tasks


@pytest.mark.parametrize(
    ("yielded", "wanted"),
    [
        ("a.txt", "a.txt"),
        ("d/", "d/x"),
        ("d/", "d/deep/x"),
        ("d/", "d/"),
        ("d/", "d/deep/"),
        ("d/deep/", "d/"),
        ("d/x", "d/"),
        ("d/", "d/*.txt"),
        ("d/*.txt", "d/a.txt"),
        ("d/*.txt", "d/"),
        ("d/*.txt", "d/a*"),
        ("d/a.txt", "d/*.txt"),
        ("d/a.txt", "*/a.txt"),
        ("d/deep/a.txt", "**/a.txt"),
        ("part-?.dat", "part-1.dat"),
        ("part-[0-9].dat", "part-*.dat"),
    ],
)
def test_an_input_that_another_task_yields_is_a_dependency(yielded: str, wanted: str) -> None:
    document = tasks({"id": "user", "inputs": [wanted]}, {"id": "maker", "outputs": [yielded]})
    assert edges(push(document)) == {"user": {"maker"}, "maker": set()}


@pytest.mark.parametrize(
    ("yielded", "wanted", "sentence"),
    [
        ("d/", "e/x", "no task yields 'e/x', and no such file is pushed: add it to \"files\""),
        ("d/x", "d/y", "no task yields 'd/y', and no such file is pushed: add it to \"files\" (did you mean 'd/x'?)"),
        ("d/x", "d", "'d' is a folder: write \"d/\""),
        ("d/deep/", "d/deep", "'d/deep' is a folder: write \"d/deep/\""),
        (
            "d/deep/a.txt",
            "d/*.txt",
            "nothing matches 'd/*.txt': no other task yields such files, and none are pushed (add them to \"files\")",
        ),
        ("d/deep/a.txt", "*/a.txt", "nothing matches '*/a.txt'"),
        ("x", "../x", "'../x' leaves the job's folder ('..')"),
        ("x", "/x", "'/x' is absolute; write it relative to the job's folder"),
        ("x", "[z-a]", "'[z-a]' has a character set that cannot be read"),
        ("x", "legacy:x", "'legacy:x' begins with 'legacy:', a word that ecloud keeps for itself"),
    ],
)
def test_an_input_that_nobody_has_is_told_with_the_remedy(yielded: str, wanted: str, sentence: str) -> None:
    [told] = refusal(tasks({"id": "user", "inputs": [wanted]}, {"id": "maker", "outputs": [yielded]}))
    assert told.startswith(f"tasks[0] 'user': inputs[0]: {sentence}"), told


def test_a_pushed_file_is_an_input_and_no_dependency() -> None:
    document = tasks({"id": "a", "inputs": ["x.py", "lib/", "data/*.csv"]}, {"id": "b", "outputs": ["y"]})
    expansion = push(document, files=["x.py", "lib/deep/l.py", "data/1.csv", "data/unread.txt"])
    assert edges(expansion) == {"a": set(), "b": set()}
    assert expansion.unread_files == ["data/unread.txt"]


def test_a_pushed_folder_without_its_slash_is_told() -> None:
    [told] = refusal(tasks({"id": "a", "inputs": ["lib"]}), files=["lib/l.py"])
    assert told == "tasks[0] 'a': inputs[0]: 'lib' is a folder: write \"lib/\""


def test_what_only_the_task_itself_yields_cannot_be_its_input() -> None:
    told = refusal(tasks({"id": "a", "inputs": ["x", "*.log"], "outputs": ["x", "y.log"]}))
    assert (
        told[0]
        == "tasks[0] 'a': inputs[0]: 'x' is yielded by this task only, so it cannot be there before: leave it out, or yield it elsewhere"
    )
    assert told[1].startswith("tasks[0] 'a': inputs[1]: nothing matches '*.log'")


def test_a_glob_leaves_the_task_itself_out() -> None:
    document = tasks(
        {"id": "a", "outputs": ["a.dat"]}, {"id": "b", "inputs": ["*.dat"], "outputs": ["b.dat"]}, {"id": "z", "after": ["*"]}
    )
    assert edges(push(document)) == {"a": set(), "b": {"a"}, "z": {"a", "b"}}


def test_after_takes_ids_and_globs_over_ids() -> None:
    document = tasks(
        {"id": "s-{n}", "foreach": {"n": {"range": [12]}}},
        {"id": "x/y"},
        {"id": "[odd]"},
        {"id": "all", "after": ["s-*"]},
        {"id": "few", "after": ["s-1", "s-1?"]},
        {"id": "deep", "after": ["x/*", "[odd]"]},
        {"id": "t-{n}", "foreach": {"n": {"range": [2]}}, "after": ["s-{n}"]},
    )
    found = edges(push(document))
    assert found["all"] == {f"s-{n}" for n in range(12)}
    assert found["few"] == {"s-1", "s-10", "s-11"}
    assert found["deep"] == {"x/y", "[odd]"}
    assert found["t-1"] == {"s-1"}


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ("sim-3", "there is no task 'sim-3' (did you mean 'sim-2'?)"),
        ("b*", "no other task's id matches 'b*'"),
        ("a", "names the task itself"),
        ("a*", "no other task's id matches 'a*'"),
        ("*/*", "no other task's id matches '*/*'"),
        ("[z-a]", "'[z-a]' has a character set that cannot be read, such as [z-a]"),
    ],
)
def test_an_unknown_task_is_told_with_the_nearest_name(after: str, sentence: str) -> None:
    document = tasks({"id": "a", "after": [after]}, {"id": "sim-2"})
    assert refusal(document) == [f"tasks[0] 'a': after[0]: {sentence}"]


def test_a_constant_glob_over_a_grids_own_rows_makes_each_wait_for_the_others() -> None:
    document = tasks({"id": "s-{n}", "foreach": {"n": {"range": [2]}}, "after": ["s-*"]})
    assert refusal(document) == ["tasks[0] 's-0': is in a circle of tasks that each wait for the next: 's-0' -> 's-1' -> 's-0'"]


def test_rows_wait_for_the_rows_that_yield_their_inputs() -> None:
    grid = {"T": {"linspace": [1, 2, 3]}, "s": {"range": [2]}}
    document = tasks(
        {"id": "r-{T}-{s}", "foreach": grid, "outputs": ["o/{T}/{s}"]},
        {"id": "m-{T}", "foreach": {"T": grid["T"]}, "inputs": ["o/{T}/*"], "outputs": ["m/{T}"]},
        {"id": "end", "inputs": ["m/"]},
    )
    expansion = push(document)
    found = edges(expansion)
    assert found["m-1.5"] == {"r-1.5-0", "r-1.5-1"}
    assert found["end"] == {"m-1", "m-1.5", "m-2"}
    assert [spec.rank for spec in expansion.specs()] == [2] * 6 + [1] * 3 + [0]


# ---- outputs that cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("d/", "d/x"),
        ("d/", "d/deep/"),
        ("d/", "d/"),
        ("*.log", "a.log"),
        ("d/*.log", "d/a*"),
        ("d/*.log", "d/"),
        ("a", "a/b"),
        ("a", "a/"),
        ("a", "a/*.x"),
        ("**/x", "d/x"),
        ("a*", "a*"),
    ],
)
def test_outputs_that_cover_each_other_are_told(one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        told = refusal(tasks({"id": "a", "outputs": [first]}, {"id": "b", "outputs": [second]}))
        sentence = f"tasks[1] 'b': outputs: '{second}' and '{first}' of tasks[0] 'a' may be one file"
        assert told == [sentence + ": give each task a file or folder of its own"]


def test_one_file_of_two_tasks_is_told() -> None:
    told = refusal(tasks({"id": "a", "outputs": ["x"]}, {"id": "b", "outputs": ["y", "x"]}))
    assert told == ["tasks[1] 'b': outputs[1]: 'x' is yielded by tasks[0] 'a' already"]


@pytest.mark.parametrize(
    "outputs",
    [
        ["a.log", "b.log"],
        ["d/a", "d/b"],
        ["a-*.log", "b-*.log"],
        ["*-1.log", "*-11.log"],
        ["d/", "d2/"],
        ["d/*", "d/e/*"],
        ["a", "ab/c"],
    ],
)
def test_outputs_that_do_not_meet_are_allowed(outputs: list[str]) -> None:
    assert push(tasks(*({"id": f"t{number}", "outputs": [path]} for number, path in enumerate(outputs)))).tasks == 2


def test_one_task_may_name_a_folder_and_a_file_in_it() -> None:
    assert push(tasks({"id": "a", "outputs": ["d/", "d/must-be-there"]})).tasks == 1


@pytest.mark.parametrize("output", ["x.dat", "*.dat", "d/"])
def test_a_pushed_file_that_is_also_yielded_is_told(output: str) -> None:
    pushed = "d/x" if output == "d/" else "x.dat"
    told = refusal(tasks({"id": "a", "outputs": [output]}), files=[pushed])
    assert told == [f"files: '{pushed}' is pushed, and tasks[0] 'a' yields it too: rename one of them"]


# ---- circles -------------------------------------------------------------------------------------------------------


def test_a_circle_is_told_with_its_tasks_in_order() -> None:
    document = tasks(
        {"id": "before", "outputs": ["x"]},
        {"id": "a", "inputs": ["x", "c.out"], "outputs": ["a.out"]},
        {"id": "b", "inputs": ["a.out"]},
        {"id": "c", "after": ["b"], "outputs": ["c.out"]},
        {"id": "after", "inputs": ["c.out"]},
    )
    assert refusal(document) == ["tasks[1] 'a': is in a circle of tasks that each wait for the next: 'a' -> 'c' -> 'b' -> 'a'"]


def test_each_circle_is_told() -> None:
    document = tasks(*({"id": f"{pair}{n}", "after": [f"{pair}{1 - n}"]} for pair in "ab" for n in (0, 1)))
    assert [line.partition(":")[0] for line in refusal(document)] == ["tasks[0] 'a0'", "tasks[2] 'b0'"]


def test_a_long_circle_is_cut() -> None:
    count = 1000
    document = tasks(*({"id": f"t{n}", "after": [f"t{(n + 1) % count}"]} for n in range(count)))
    [told] = refusal(document)
    assert told.endswith("-> 't11' -> (988 more) -> 't0'")


def test_more_edges_than_a_boss_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_EDGES", 99)
    document: dict[str, Any] = tasks(
        {"id": "a{n}", "foreach": {"n": {"range": [10]}}}, {"id": "b{n}", "foreach": {"n": {"range": [10]}}, "after": ["a*"]}
    )
    told = refusal(document)
    remedy = "let one task wait for the many, and the others for that one (`after`)"
    assert told == [f"tasks[1] 'b9': the tasks wait for each other in more than 99 ways: {remedy}"]


# ---- what is not known is not told ---------------------------------------------------------------------------------


def test_after_an_entry_that_cannot_be_read_unknown_names_and_files_are_not_told() -> None:
    document = tasks({"id": "x{n}", "foreach": 3, "outputs": ["x{n}"]}, {"id": "b", "after": ["x1"], "inputs": ["x1"]})
    blocks = '{"seed": {"range": [0, 4]}}, {"csv": "params.csv"} or {"zip": {...}}'
    assert refusal(document) == [f"tasks[0] 'x{{n}}': foreach: must be an object such as {blocks}, not 3"]
    document["tasks"][0]["foreach"] = {"n": {"range": []}}
    document["tasks"][0]["command"] = "echo {m}"
    assert [line.partition(" [")[0] for line in refusal(document)] == [
        "tasks[0] 'x{n}': foreach.n: range takes",
        "tasks[0] 'x{n}': command: {m} has no value: this task's foreach has no such parameter; write {{m}} for the text {m}",
    ]


def test_after_an_output_that_cannot_be_read_missing_files_are_not_told() -> None:
    document = tasks({"id": "a", "outputs": [3]}, {"id": "b", "inputs": ["x"], "after": ["c"]})
    assert refusal(document) == [
        "tasks[0] 'a': outputs[0]: must be a text in double quotes, not 3",
        "tasks[1] 'b': after[0]: there is no task 'c'",
    ]


def test_a_task_with_wrong_fields_still_has_its_links_looked_at() -> None:
    assert refusal([{"key": "a", "cmd": "true", "prio": 1, "depends-on": ["x"]}]) == [
        "[0] 'a': prio: is not a known field",
        "[0] 'a': depends-on[0]: there is no task 'x'",
    ]
    entry = {"id": "a", "command": "true", "prio": 1, "outputs": ["o", 3], "inputs": ["o"], "after": ["x"]}
    told = refusal({"tasks": [entry]})
    assert [line.split(": ")[1] for line in told] == ["prio", "outputs[1]", "after[0]", "inputs[0]"]
    assert "is yielded by this task only" in told[-1]


def test_what_lies_elsewhere_is_told_how_it_comes_along_or_where_it_is_written() -> None:
    def told(**fields: object) -> str:
        [sentence] = refusal(tasks({"id": "a", **fields}))
        return sentence

    assert '"files": [{"from": "../up.txt", "to": "up.txt"}], and read "up.txt"' in told(inputs=["../up.txt"])
    assert '"files": [{"from": "/data/set/", "to": "set/"}], and read "set/"' in told(inputs=["/data/set/"])
    assert '"files": [{"from": "../../*.csv", "to": "data/"}], and read "data/*.csv"' in told(inputs=["../../*.csv"])
    assert "write it below its working folder" in told(outputs=["../out.txt"])
    assert "fetch JOB --to DIR" in told(outputs=["/scratch/out.txt"])
