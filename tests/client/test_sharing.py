"""What is put as shared data: found, named and measured before anything is sent."""

import hashlib
import os
from pathlib import Path

import pytest

from client.errors import InvalidRequest
from client.sharing import measured, name_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of references, and what is beside it."""
    place = tmp_path / "refs"
    (place / "deep").mkdir(parents=True)
    (place / "a").write_bytes(b"1")
    (place / "deep" / ".hidden").write_bytes(b"22")
    (place / "run.sh").write_bytes(b"333")
    (place / "run.sh").chmod(0o700)
    return place


def test_a_folder_brings_everything_below_it(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    found = {file.path: file for file in measured(folder, lambda done, total: told.append((done, total)))}
    assert sorted(found) == ["a", "deep/.hidden", "run.sh"]
    assert (found["a"].size, found["a"].digest) == (1, hashlib.sha256(b"1").hexdigest())
    assert [found[path].executable for path in sorted(found)] == [False, False, True]
    assert told[-1] == (6, 6)


def test_a_file_is_the_name_itself_and_a_link_to_one_is_the_file(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder / "a")
    for local in (folder / "a", folder.parent / "link"):
        (file,) = measured(local)
        assert (file.path, file.size) == ("", 1)


@pytest.mark.parametrize(
    ("local", "name", "called"),
    [
        ("refs/a", "shared:x", "x"),
        ("refs/a", "shared:genomes/x.fa", "genomes/x.fa"),
        ("refs/a", "shared:genomes/", "genomes/a"),
        ("refs", "shared:refs", "refs"),
        ("refs", "shared:refs/", "refs"),
    ],
)
def test_a_name_may_have_parts_and_a_file_keeps_its_own_in_a_folder(folder: Path, local: str, name: str, called: str) -> None:
    assert name_for(folder.parent / local, name) == called


@pytest.mark.parametrize(
    ("local", "name", "sentence"),
    [
        ("refs/a", "x", "'x' is no name of shared data; write it like shared:x"),
        ("refs/a", "", "'' is no name of shared data; write it like shared:a"),
        ("refs", "shared:", "names no shared data"),
        ("refs/a", "shared:../x", "leaves shared/"),
        ("refs/a", "shared:a?", "has wildcards"),
        ("refs/b", "shared:x", "there is no file or folder"),
    ],
)
def test_what_cannot_be_put_is_told_before_anything_is_read(folder: Path, local: str, name: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        name_for(folder.parent / local, name)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


def test_folders_that_lead_elsewhere_pipes_and_emptiness_are_refused(folder: Path) -> None:
    (folder / "deep" / "up").symlink_to("..")
    with pytest.raises(InvalidRequest, match="is a symbolic link to a folder"):
        measured(folder)
    (folder / "deep" / "up").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidRequest, match="is no regular file"):
        measured(folder)
    (folder.parent / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="is an empty folder"):
        measured(folder.parent / "empty")
    (folder / "pipe").unlink()
    (folder / "dangling").symlink_to("nowhere")
    with pytest.raises(InvalidRequest, match="No such file"):
        measured(folder)
