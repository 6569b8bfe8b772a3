"""Folders of attempts: made, reused only when as good as new, and removed whatever a task did to them."""

import os
from pathlib import Path

import pytest

from worker.folders import Folders
from worker.protocol import Assignment


def assignment(name: str, init: bool = False) -> Assignment:
    return Assignment(f"{name}.1.1", "j", "t", ("true",), init=init)


def used(folders: Folders, name: str) -> Path:
    """The folder of an attempt after a task without traces."""
    folder = Path(folders.make(assignment(name)))
    (folder / "stdout").write_text("said")
    (folder / "stderr").write_text("")
    return folder


def test_an_untouched_folder_serves_the_next_attempt_as_if_new(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path))
    first = used(folders, "a")
    inode = first.stat().st_ino
    assert folders.reuse("a.1.1")
    second = Path(folders.make(assignment("b")))
    assert not first.exists() and second.stat().st_ino == inode
    assert sorted(path.name for path in second.rglob("*")) == ["stderr", "stdout", "temp", "work"]
    assert (second / "stdout").read_text() == ""


@pytest.mark.parametrize(
    "trace",
    [
        lambda folder: (folder / "work" / "file").write_text(""),
        lambda folder: (folder / "temp" / "file").write_text(""),
        lambda folder: (folder / "work").chmod(0o755),
        lambda folder: (folder / "stdout").unlink(),
        lambda folder: os.link(folder / "stdout", folder.parent / "another-name"),
        lambda folder: ((folder / "stderr").unlink(), (folder / "stderr").symlink_to("/etc/passwd")),
        lambda folder: ((folder / "work").rmdir(), (folder / "work").symlink_to("/tmp")),
    ],
)  # fmt: skip
def test_a_folder_with_any_trace_of_a_task_is_not_used_again(tmp_path: Path, trace: object) -> None:
    folders = Folders(str(tmp_path))
    folder = used(folders, "a")
    trace(folder)  # type: ignore[operator]
    assert not folders.reuse("a.1.1")
    folders.remove("a.1.1")
    assert not folder.exists()
    assert Path("/etc/passwd").stat().st_size


def test_a_closed_folder_is_removed_all_the_same(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path))
    folder = used(folders, "a")
    inner = folder / "work" / "x" / "y"
    inner.mkdir(parents=True)
    (inner / "file").write_text("")
    (folder / "work" / "link").symlink_to("/usr")
    inner.chmod(0)
    inner.parent.chmod(0)
    folders.remove("a.1.1")
    assert not folder.exists()
    folders.remove("a.1.1")


def test_a_restart_sweeps_attempts_but_keeps_what_inits_prepared(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path))
    used(folders, "a")
    folders.make(assignment("job", init=True))
    Path(folders.work(assignment("job", init=True)), "prepared").write_text("")
    again = Folders(str(tmp_path))
    again.sweep()
    assert os.listdir(tmp_path / "attempts") == []
    assert os.listdir(again.init("job.7.1")) == ["prepared"]
    assert again.init("other.7.1") == ""


def test_an_attempt_is_never_a_way_out_of_the_folder(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path / "w"))
    assert folders.path("../../etc.1.1") == str(tmp_path / "w/attempts/..%2F..%2Fetc.1.1")
    with pytest.raises(ValueError, match="cannot be the name"):
        folders.path("..")
