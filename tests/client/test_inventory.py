"""What a push brings along: the entries of ``files``, found, hashed and placed."""

import hashlib
import os
from pathlib import Path

import pytest

from client.inventory import Entry, Inventory, entries_of, given_entries, take_inventory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task file's folder with some files in it, and others beside it."""
    place = tmp_path / "project"
    for path in ("run.py", "data/a.csv", "data/b.csv", "data/deep/c.csv", "data/notes.txt", "other/z.csv"):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mesh.h5").write_text("mesh")
    (place / "run.py").chmod(0o700)
    return place


def _take(folder: Path, *items: object) -> Inventory:
    return take_inventory(folder, entries_of({"files": list(items)}))


def _problems(found: Inventory) -> list[str]:
    return [str(problem) for problem in found.problems]


def test_a_file_keeps_its_relative_path_and_is_measured(folder: Path) -> None:
    found = _take(folder, "data/a.csv", "run.py")
    assert sorted(found.files) == ["data/a.csv", "run.py"]
    digest = hashlib.sha256(b"data/a.csv").hexdigest()
    assert found.described()["data/a.csv"] == {"digest": digest, "size": 10, "mode": 0o644}
    assert found.described()["run.py"]["mode"] == 0o755
    assert found.paths()[digest] == str(folder / "data/a.csv")


@pytest.mark.parametrize("entry", ["data/", "data"])
def test_a_folder_is_everything_below_it(folder: Path, entry: str) -> None:
    assert sorted(_take(folder, entry).files) == ["data/a.csv", "data/b.csv", "data/deep/c.csv", "data/notes.txt"]


def test_a_glob_does_not_cross_folders_unless_it_says_so(folder: Path) -> None:
    assert sorted(_take(folder, "data/*.csv").files) == ["data/a.csv", "data/b.csv"]
    assert sorted(_take(folder, "**/*.csv").files) == ["data/a.csv", "data/b.csv", "data/deep/c.csv", "other/z.csv"]


def test_a_glob_finds_hidden_files_as_the_boss_would(folder: Path) -> None:
    (folder / "data" / ".hidden.csv").write_text("h")
    assert "data/.hidden.csv" in _take(folder, "data/*.csv").files


def test_files_from_elsewhere_get_the_place_that_is_asked_for(folder: Path) -> None:
    outside = str(folder.parent / "elsewhere" / "mesh.h5")
    assert list(_take(folder, {"from": outside, "to": "mesh.h5"}).files) == ["mesh.h5"]
    assert list(_take(folder, {"from": outside, "to": "in/"}).files) == ["in/mesh.h5"]
    assert list(_take(folder, {"from": "../elsewhere/", "to": "in"}).files) == ["in/mesh.h5"]
    assert sorted(_take(folder, {"from": "data/*.csv", "to": "in"}).files) == ["in/a.csv", "in/b.csv"]


def test_everything_missing_is_named_with_its_entry(folder: Path) -> None:
    found = _take(folder, "nothing.txt", "run.py", "none/*.txt", "gone/", {"from": "/no/such/file", "to": "x"})
    said = _problems(found)
    assert [text.split(":")[0] for text in said] == ["files[0]", "files[2]", "files[3]", "files[4]"]
    assert "nothing.txt" in said[0] and "matches no file" in said[1] and "no folder" in said[2]
    assert list(found.files) == ["run.py"]


def test_an_empty_folder_is_a_problem(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert "empty folder" in _problems(_take(folder, "empty/"))[0]


def test_a_link_that_stays_inside_is_followed(folder: Path) -> None:
    (folder / "link.csv").symlink_to("data/a.csv")
    found = _take(folder, "link.csv")
    assert found.files["link.csv"].size == 10


def test_a_link_that_leads_out_is_refused(folder: Path) -> None:
    (folder / "data" / "mesh.h5").symlink_to(folder.parent / "elsewhere" / "mesh.h5")
    (folder / "linked").symlink_to(folder.parent / "elsewhere")
    for entry in ("data/mesh.h5", "data/", "linked/", "linked/mesh.h5", "linked/*"):
        assert "leads out of the task file's folder" in _problems(_take(folder, entry))[0], entry


def test_a_link_to_a_folder_inside_a_folder_is_refused(folder: Path) -> None:
    (folder / "data" / "loop").symlink_to(folder / "data")
    assert "symbolic link to a folder" in _problems(_take(folder, "data/"))[0]


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "no regular file" in _problems(_take(folder, "pipe"))[0]


def test_two_contents_for_one_place_are_refused(folder: Path) -> None:
    found = _take(folder, "data/a.csv", {"from": "data/b.csv", "to": "data/a.csv"})
    assert "would both become 'data/a.csv'" in _problems(found)[0]
    assert _problems(_take(folder, "data/a.csv", "data/*.csv")) == []


def test_entries_that_only_the_boss_can_judge_are_left_to_it(folder: Path) -> None:
    found = _take(folder, "../elsewhere/mesh.h5", "/etc/passwd", 3, {"from": "x"}, {"from": "run.py", "to": "../run.py"}, "")
    assert (found.files, found.problems) == ({}, [])


def test_documents_without_files_have_no_entries() -> None:
    for document in (None, [], {"files": None}, {"files": "x"}, {}):
        assert entries_of(document) == []
    assert entries_of({"files": ["a"]}) == [Entry("files[0]", "a", "a", elsewhere=False)]


def test_entries_from_elsewhere_than_the_text_are_judged_here(folder: Path) -> None:
    entries = given_entries(["run.py", "../elsewhere/mesh.h5", "/etc/passwd", "gone.py", ""], "--files {item}")
    found = take_inventory(folder, entries)
    assert list(found.files) == ["run.py"]
    told = [str(problem) for problem in found.problems]
    assert told == [
        "--files ../elsewhere/mesh.h5: '../elsewhere/mesh.h5' leaves the job's folder ('..')",
        "--files /etc/passwd: '/etc/passwd' is absolute; write it relative to the job's folder",
        f"--files gone.py: there is no file 'gone.py': paths are relative to the task file's folder, {folder}",
        "--files : is empty",
    ]


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("rum.py", "'run.py'"),
        ("dtaa/", "'data/'"),
        ("dtaa", "'data/'"),
        ("nothing-like-it", None),
        ({"from": "../elsewhere/mehs.h5", "to": "m.h5"}, "'../elsewhere/mesh.h5'"),
    ],
)
def test_a_misspelt_file_is_told_with_the_nearest_that_is_there(folder: Path, entry: object, meant: str | None) -> None:
    [problem] = take_inventory(folder, entries_of({"files": [entry]})).problems or [None]
    assert problem is not None
    assert (f"(did you mean {meant}?)" in problem.message) if meant else ("did you mean" not in problem.message)
    assert str(folder) in problem.message
