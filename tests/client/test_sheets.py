"""client.sheets: which CSV files a task file names, and why one cannot be sent."""

import os
import threading
from pathlib import Path

import pytest

from client.sheets import read_sheets, sheets_named

TOO_LARGE = (
    "is too large (0.0 MiB): a task file and its CSV files have together at most what the boss's setting max_task_file says; "
    "put the large columns into files that the tasks read"
)


def test_each_file_is_named_once_wherever_it_stands() -> None:
    document = {
        "tasks": [
            {"foreach": {"csv": "a.csv"}},
            {"foreach": [{"x": {"range": [2]}}, {"csv": "sub/b.csv"}, {"csv": "a.csv"}]},
            {"foreach": {"csv": {"values": [1]}}},  # a parameter that is called csv
            {"foreach": {"csv": " "}},
            {"foreach": [3, {"csv": 3}]},
            {"foreach": None},
            {},
            7,
        ]
    }
    assert sheets_named(document) == ["a.csv", "sub/b.csv"]


@pytest.mark.parametrize(
    "document", [None, 3, [], {}, {"tasks": 3}, {"tasks": {"foreach": {"csv": "a.csv"}}}, [{"key": 0, "cmd": "x"}]]
)
def test_what_is_no_native_task_file_names_none(document: object) -> None:
    assert sheets_named(document) == []


def test_paths_are_relative_to_the_task_file_absolute_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, home = tmp_path / "work", tmp_path / "home"
    for path in (folder / "sub", home):
        path.mkdir(parents=True)
    (folder / "sub" / "a.csv").write_bytes(b"a")
    (tmp_path / "b.csv").write_bytes(b"b")
    (home / "c.csv").write_bytes(b"c")
    monkeypatch.setenv("HOME", str(home))
    names = ["sub/a.csv", str(tmp_path / "b.csv"), "../b.csv", "~/c.csv"]
    read = read_sheets(folder, names, 100)
    assert read.files == dict(zip(names, [b"a", b"b", b"b", b"c"], strict=True))
    assert read.unread == {}


def test_each_way_in_which_a_file_cannot_be_read_has_its_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "params.csv").write_bytes(b"x" * 101)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    names = [
        "parms.csv",
        "nowhere/x.csv",
        "/nowhere.csv",
        "folder.csv",
        "params.csv",
        "pipe.csv",
        "loop.csv",
        "/dev/zero",
        "a\0b",
    ]
    read = read_sheets(tmp_path, names, 100)
    assert read.files == {}
    assert read.unread == {
        "parms.csv": f"was not found: there is none beside the task file, in {tmp_path} (did you mean 'params.csv'?)",
        "nowhere/x.csv": f"was not found: there is none beside the task file, in {tmp_path}",
        "/nowhere.csv": "was not found: there is no /nowhere.csv",
        "folder.csv": "is a folder, no CSV file",
        "params.csv": TOO_LARGE,
        "pipe.csv": "is no regular file",
        "loop.csv": "cannot be read: Too many levels of symbolic links",
        "/dev/zero": "is no regular file",
        "a\0b": "is no path of a file: it contains a NUL character",
    }


def test_files_that_are_too_large_together_are_told(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x" * 50)
    read = read_sheets(tmp_path, ["a", "b", "c"], 100)
    assert (list(read.files), list(read.unread)) == (["a", "b"], ["c"])


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("T\n1\n")
    monkeypatch.setattr(os, "open", _refuse)
    assert read_sheets(tmp_path, ["a.csv"], 100).unread == {"a.csv": "cannot be read: Permission denied"}


def _refuse(*_: object) -> int:
    raise PermissionError(13, "Permission denied")


def test_nothing_waits_for_the_other_end_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    done = threading.Event()
    threading.Thread(target=lambda: (read_sheets(tmp_path, ["p"], 10), done.set()), daemon=True).start()
    assert done.wait(10)


def test_only_tables_are_taken_for_what_was_meant_never_the_task_file(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text("{}")
    none = f"was not found: there is none beside the task file, in {tmp_path}"
    assert read_sheets(tmp_path, ["params.csv"], 100).unread == {"params.csv": none}
    (tmp_path / "params-2.tsv").write_text("T\n1\n")
    assert read_sheets(tmp_path, ["params.tsv"], 100).unread == {"params.tsv": f"{none} (did you mean 'params-2.tsv'?)"}
