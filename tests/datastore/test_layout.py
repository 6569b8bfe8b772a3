"""Paths, globs and destinations of the datastore."""

import pytest

from datastore import layout
from datastore.layout import PathRefused, check_path, destination, fixed_folder, matches, odd_class, overlap


@pytest.mark.parametrize("path", ["a", "a/b.txt", "folder/", ".hidden", "a b", "größe", "*.dat", "x" * 255, "..a", "a..b/c"])
def test_paths_inside_the_folder_are_taken_as_they_are(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("/", "is absolute"),
        ("/etc/passwd", "is absolute"),
        ("..", "leaves"),
        ("a/../../b", "leaves"),
        ("../", "leaves"),
        ("a//b", "empty"),
        ("./a", r"'\.' part"),
        ("a/.", r"'\.' part"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("\x7f", "control"),
        ("x" * 256, "255 bytes"),
        ("ü" * 128, "255 bytes"),
        ("a/" * 600, "1024 bytes"),
        ("\udce9", "Unicode"),
        ("SHA256SUMS", "manifest"),
        ("SHA256SUMS/", "manifest"),
        (".ecloud-fetched", "record of `admin.py fetch`"),
    ],
)
def test_other_paths_are_refused_with_the_reason(path: str, reason: str) -> None:
    with pytest.raises(PathRefused, match=reason):
        check_path(path)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("a.txt", "a.txt", True),
        ("a.txt", "aXtxt", False),
        ("*.txt", "a.txt", True),
        ("*.txt", "x/a.txt", False),
        ("x/*", "x/y/z", False),
        ("x/", "x/y/z", True),
        ("x/", "xy", False),
        ("x/", "x", False),
        ("x*/", "x1/a", True),
        ("**", "a/b/c", True),
        ("**/c", "c", True),
        ("**/c", "a/b/c", True),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("a/**/c", "ab/c", False),
        ("?.dat", "1.dat", True),
        ("?.dat", "/.dat", False),
        ("[ab].dat", "b.dat", True),
        ("[!ab].dat", "b.dat", False),
        ("[a-c].dat", "b.dat", True),
        ("[", "[", True),
        ("a+b(c)", "a+b(c)", True),
    ],
)
def test_globs_do_not_cross_slashes(pattern: str, path: str, fits: bool) -> None:
    assert matches(pattern, path) is fits


@pytest.mark.parametrize(
    ("path", "folder"), [("a", ""), ("a/b", "a/"), ("a/", "a/"), ("a/b*/c", "a/"), ("*", ""), ("a/b/[x]", "a/b/"), ("**/a", "")]
)
def test_the_fixed_folder_holds_everything_that_is_named(path: str, folder: str) -> None:
    assert fixed_folder(path) == folder


@pytest.mark.parametrize(
    ("source", "to", "path", "place"),
    [
        ("a.txt", "", "a.txt", "a.txt"),
        ("a.txt", "b.txt", "a.txt", "b.txt"),
        ("x/a.txt", "kept/", "x/a.txt", "kept/a.txt"),
        ("x/", "", "x/y/a", "x/y/a"),
        ("x/", "kept", "x/y/a", "kept/y/a"),
        ("x/*.dat", "", "x/1.dat", "x/1.dat"),
        ("x/*.dat", "kept/", "x/1.dat", "kept/1.dat"),
        ("x/*/a", "kept", "x/1/a", "kept/1/a"),
    ],
)
def test_files_go_where_they_are_asked_to(source: str, to: str, path: str, place: str) -> None:
    assert destination(source, to, path) == place


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a/b", True),
        ("x/", "x/a", True),
        ("x/", "y/a", False),
        ("*.dat", "a.dat", True),
        ("*.dat", "a.txt", False),
        ("*.dat", "*.txt", False),
        ("a*", "*b", True),
        ("x/", "x/y/", True),
        ("x/*.dat", "y/*.dat", False),
    ],
)
def test_outputs_that_may_name_one_file_overlap_either_way_round(one: str, other: str, same: bool) -> None:
    assert overlap(one, other) is same
    assert overlap(other, one) is same


def test_log_folders_stay_apart_and_are_names() -> None:
    tasks = ["sim-1", "sim/1", "../evil", ".", "..", ".hidden", "a" * 300, "a" * 299 + "b", "größe", "\ud800", "%2E", "a b"]
    folders = [layout.log_folder("j", task, 1) for task in tasks]
    assert len(set(folders)) == len(tasks)
    for folder in folders:
        check_path(folder)
        assert folder.startswith("logs/j/")
        assert folder.count("/") == 3


def test_an_attempts_number_is_its_last_part() -> None:
    assert layout.attempt_number("uid.12.3") == 3
    for wrong in ("uid.12.", "uid.12.x", "uid.12.-1", ""):
        with pytest.raises(PathRefused):
            layout.attempt_number(wrong)


def test_a_part_folder_is_no_attempts_folder() -> None:
    part = layout.part_folder("u.0.1", "7-ab")
    with pytest.raises(PathRefused):
        layout.incoming_folder(part.removeprefix("incoming/"))


def test_a_grant_depends_on_all_that_it_says() -> None:
    def proof(
        secret: bytes = b"secret", worker: str = "w1", attempt: str = "u.0.1", job: str = "j", task: str = "t", mode: int = 0o644
    ) -> str:
        return layout.grant(secret, worker, attempt, job, task, [("a", "b", "", mode)])

    proofs = {
        proof(),
        proof(secret=b"other"),
        proof(worker="w2"),
        proof(attempt="u.0.2"),
        proof(job="k"),
        proof(task="s"),
        proof(mode=0o755),
    }
    assert len(proofs) == 7
    assert proof() == layout.grant(b"secret", "w1", "u.0.1", "j", "t", [["a", "b", "", 0o644]])


def test_no_pattern_takes_long_whatever_the_path() -> None:
    assert not matches("*a" * 100 + "*b", "a" * 250)
    assert not matches("**/a/" * 100 + "b", "a/" * 400 + "c")
    assert matches("**/*a*/**/b*", "x/yaz/1/2/3/bc")
    assert not matches("**/b/**/c", "a/b/x/cc")


def test_brackets_that_no_letter_can_be_in_fit_nothing_and_are_known() -> None:
    assert odd_class("x[z-a]*") and not odd_class("x[a-z]*")
    assert not matches("x[z-a]", "xb")
    assert not overlap("[z-a]/*", "b/c")
