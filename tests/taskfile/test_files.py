"""files: what an entry may be, and what must have been sent for it."""

import pytest

from tests.taskfile.push import push, refusal, tasks


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        ("a.py", ["a.py"]),
        ("lib/", ["lib/x"]),
        ("lib", ["lib/deep/x"]),
        ("data/*.csv", ["data/1.csv"]),
        ("**/*.csv", ["1.csv"]),
        ({"from": "/data/mesh.h5", "to": "mesh.h5"}, ["mesh.h5"]),
        ({"from": "../other/", "to": "other/"}, ["other/deep/x"]),
        ({"from": "../*.csv", "to": "tables"}, ["tables/x.csv"]),
        ({"from": "../a.py", "to": "scripts/"}, ["scripts/a.py"]),
    ],
)
def test_an_entry_is_covered_by_what_was_sent(entry: object, sent: list[str]) -> None:
    assert push(tasks({"id": "a"}, files=[entry]), files=sent).unread_files == sent


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("a.py", "files[0]: 'a.py' was not found beside the task file, so nothing was sent for it"),
        ("lib/", "files[0]: 'lib/' was not found beside the task file"),
        ("*.csv", "files[0]: '*.csv' matches no file beside the task file, so nothing was sent for it"),
        (
            "../a.py",
            "files[0]: '../a.py' leaves the job's folder ('..') (a file from elsewhere is {\"from\": path, \"to\": path",
        ),
        ("/a.py", "files[0]: '/a.py' is absolute; write it relative to the job's folder (a file from elsewhere"),
        ("./a.py", "files[0]: './a.py' has an empty or '.' part"),
        ("SHA256SUMS", "files[0]: 'SHA256SUMS' is the job's manifest, which ecloud writes itself"),
        (3, 'files[0]: must be a path or {"from": path, "to": path}, not 3'),
        ({"from": "x"}, "files[0].to: is missing"),
        ({"from": "x", "to": 3}, "files[0].to: must be a text in double quotes, not 3"),
        ({"from": "x", "to": "y", "too": 1}, "files[0].too: is not a known field (did you mean 'to'?)"),
        ({"from": "x", "to": "../y"}, "files[0].to: '../y' leaves the job's folder ('..')"),
        ({"from": "x", "to": "y*"}, "files[0].to: 'y*' has wildcards; it must be one path"),
        ({"from": "/data/x", "to": "x"}, "files[0]: '/data/x' was not found beside the task file"),
    ],
)
def test_each_way_to_get_an_entry_wrong_has_its_sentence(entry: object, sentence: str) -> None:
    told = refusal(tasks({"id": "a"}, files=[entry]), files=["y"] if "too" in str(entry) else [])
    assert len(told) == 1, told
    assert told[0].startswith(sentence), told


def test_files_is_a_list() -> None:
    assert refusal(tasks({"id": "a"}, files="a.py")) == ['files: must be a list of paths: write ["a.py"]']


def test_more_may_be_sent_than_the_entries_say() -> None:
    assert push(tasks({"id": "a", "inputs": ["x"]}), files=["x", "y"]).unread_files == ["y"]


@pytest.mark.parametrize("path", ["../x", "/x", "a/", "a*", "SHA256SUMS", "a//b"])
def test_what_is_sent_goes_to_paths_of_its_own_in_the_jobs_folder(path: str) -> None:
    [told] = refusal(tasks({"id": "a"}), files=[path])
    assert told.startswith(f"files: '{path}' ")


def test_inputs_through_globs_and_folders_count_as_read() -> None:
    document = tasks({"id": "a", "inputs": ["lib/", "*.csv"]}, {"id": "b", "inputs": ["lib/", "x.py"]})
    assert push(document, files=["lib/a", "lib/b", "1.csv", "x.py", "z"]).unread_files == ["z"]


def test_lists_of_the_original_may_bring_files_too() -> None:
    expansion = push([{"key": "a", "cmd": "x", "requires": ["a.py", "elsewhere"]}], files=["a.py", "b.py"])
    assert expansion.unread_files == ["b.py"]
