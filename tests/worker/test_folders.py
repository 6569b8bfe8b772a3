"""Folders of attempts: made, reused only when as good as new, and removed whatever a task did to them."""

import os
import subprocess
import sys
import time
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
    assert second.stat().st_ino == inode and folders.path("a.1.1") != folders.path("b.1.1") == str(second)
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


def test_a_folder_of_an_ordinary_worker_is_removed_however_deep_it_is_nested_and_a_file_elsewhere_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    folders = Folders(str(tmp_path / "worker"))
    folder = used(folders, "a")
    own = tmp_path / "own"
    own.write_text("")
    own.chmod(0o400)
    os.link(own, folder / "work" / "name")
    deep = "import os\nfor _ in range(3000):\n  os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", deep], cwd=folder / "work", check=True)
    folders.remove("a.1.1")
    assert not folder.exists() and own.stat().st_mode & 0o777 == 0o400


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


def test_a_trace_is_found_in_a_folder_that_is_not_read_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Folders(str(tmp_path))
    folder = used(folders, "a")
    while time.time_ns() < (folder / "temp").stat().st_ctime_ns + 25_000_000:
        pass  # until the time of its last change tells it apart from the next one
    assert folders.reuse("a.1.1")
    assert used(folders, "b") == folder
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda _path: pytest.fail("an unchanged folder was read"))
        assert folders.reuse("b.1.1")
    assert used(folders, "c") == folder
    (folder / "work" / "left").write_text("")
    os.utime(folder / "work", (1, 1))  # what a task can set is not what is looked at
    assert not folders.reuse("c.1.1")


def test_what_was_never_made_is_neither_found_nor_removed(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path / "w"))
    assert not Path(folders.path("a.1.1")).exists()
    assert not folders.reuse("a.1.1")
    folders.remove("a.1.1")


def test_an_attempt_is_never_a_way_out_of_the_folder(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path / "w"))
    assert Path(folders.make(assignment("../../etc"))).parent == tmp_path / "w" / "attempts"
    assert folders.work(assignment("../../etc", init=True)) == str(tmp_path / "w/inits/..%2F..%2Fetc")
    with pytest.raises(ValueError, match="cannot be the name"):
        folders.init("..")
