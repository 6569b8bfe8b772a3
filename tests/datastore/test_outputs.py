"""Which files of an attempt's folder are its outputs."""

import os
from pathlib import Path

import pytest

from worker.outputs import OutputRefused, expand, open_inside
from worker.protocol import Output


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def names(folder: Path, *outputs: Output) -> dict[str, str]:
    return {found.path: os.path.relpath(found.local, folder) for found in expand(str(folder), outputs)}


def test_files_folders_and_globs_are_found(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "x/1.dat", "x/y/2.dat", "x/y/3.txt")
    assert names(tmp_path, Output("a.txt", "a.txt")) == {"a.txt": "a.txt"}
    assert sorted(names(tmp_path, Output("x/", "x/"))) == ["x/1.dat", "x/y/2.dat", "x/y/3.txt"]
    assert sorted(names(tmp_path, Output("x/*.dat", "x/*.dat"))) == ["x/1.dat"]
    assert sorted(names(tmp_path, Output("**/*.dat", "**/*.dat"))) == ["x/1.dat", "x/y/2.dat"]


def test_they_go_where_they_are_asked_to(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "x/1.dat", "x/y/2.dat")
    assert names(tmp_path, Output("x/", "kept/"), Output("a.txt", "kept/")) == {
        "kept/1.dat": "x/1.dat",
        "kept/y/2.dat": "x/y/2.dat",
        "kept/a.txt": "a.txt",
    }


def test_a_file_that_two_outputs_name_is_kept_once(tmp_path: Path) -> None:
    make(tmp_path, "x/1.dat")
    assert names(tmp_path, Output("x/", "x/"), Output("x/*.dat", "x/*.dat")) == {"x/1.dat": "x/1.dat"}


def test_two_files_with_one_destination_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "x/1.dat", "y/1.dat")
    with pytest.raises(OutputRefused, match=r"would both become out/1\.dat"):
        names(tmp_path, Output("x/", "out/"), Output("y/", "out/"))


@pytest.mark.parametrize("path", ["none", "none/", "*.none", "x/"])
def test_what_names_nothing_is_refused_unless_it_is_optional(tmp_path: Path, path: str) -> None:
    (tmp_path / "x").mkdir()
    assert names(tmp_path, Output(path, path, optional=True)) == {}
    with pytest.raises(OutputRefused, match="was not made"):
        names(tmp_path, Output(path, path))


def test_a_folder_that_was_named_as_a_file_is_explained(tmp_path: Path) -> None:
    make(tmp_path, "x/1.dat")
    with pytest.raises(OutputRefused, match="write x/ to keep all that is in it"):
        names(tmp_path, Output("x", "x"))


def test_links_inside_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "real/1.dat")
    (tmp_path / "link").symlink_to("real/1.dat")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real/loop").symlink_to("..")
    assert sorted(names(tmp_path, Output("link", "link"), Output("folder/", "folder/"))) == [
        "folder/1.dat",
        "folder/loop/link",
        "link",
    ]


@pytest.mark.parametrize("path", ["link", "*", "./".strip("./") + "sub/", "sub/link", "way/secret"])
def test_links_that_leave_are_refused(tmp_path: Path, path: str) -> None:
    work = tmp_path / "work"
    make(tmp_path, "secret")
    make(work, "sub/ok")
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "sub/link").symlink_to("../../secret")
    (work / "way").symlink_to("..")
    with pytest.raises(OutputRefused, match="leaves the attempt's folder"):
        names(work, Output(path, path))


def test_a_broken_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("none")
    with pytest.raises(OutputRefused, match="cannot be read"):
        names(tmp_path, Output("link", "link"))


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputRefused, match="not a plain file"):
        names(tmp_path, Output("pipe", "pipe"))


def test_a_name_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / os.fsdecode(b"caf\xe9")).write_text("latin-1")
    with pytest.raises(OutputRefused, match="not valid Unicode"):
        names(tmp_path, Output("x/", "x/"))
    make(tmp_path, "SHA256SUMS")
    with pytest.raises(OutputRefused, match="job's manifest"):
        names(tmp_path, Output("*", "*"))


def test_a_file_that_became_a_link_since_is_not_read(tmp_path: Path) -> None:
    work = tmp_path / "work"
    make(tmp_path, "secret")
    make(work, "a")
    (found,) = expand(str(work), [Output("a", "a")])
    (work / "a").unlink()
    (work / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(OutputRefused, match="not a plain file of the attempt's folder"):
        open_inside(str(work), found.local)
    (work / "a").unlink()
    os.mkfifo(work / "a")
    with pytest.raises(OutputRefused):
        open_inside(str(work), found.local)
