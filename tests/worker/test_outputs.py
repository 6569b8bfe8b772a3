"""Outputs are read by way of folders that are opened one inside the other: nothing in the way leads out."""

import os
import threading
from pathlib import Path

import pytest

from worker.outputs import OutputRefused, expand, open_inside
from worker.protocol import Output


def content(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


def test_a_file_a_link_to_it_and_a_file_behind_a_link_to_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("inside")
    (tmp_path / "link").symlink_to("d/f")
    (tmp_path / "folder").symlink_to("d")
    for name in ("d/f", "link", "folder/f"):
        assert content(open_inside(str(tmp_path), str(tmp_path / name))) == b"inside"


def test_a_hard_link_to_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "others").write_text("secret")
    work = tmp_path / "work"
    work.mkdir()
    os.link(tmp_path / "others", work / "out")
    theirs = range(os.getuid() + 1, os.getuid() + 2)
    with pytest.raises(OutputRefused, match="is not the task's own file"):
        open_inside(str(work), str(work / "out"), theirs)
    assert content(open_inside(str(work), str(work / "out"), range(os.getuid(), os.getuid() + 1))) == b"secret"


def test_a_folder_that_becomes_a_link_between_looking_and_opening_leads_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "f").write_text("secret")
    work = tmp_path / "work"
    (work / "d").mkdir(parents=True)
    (work / "d" / "f").write_text("inside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (work / "d").rename(work / "away")
            (work / "d").symlink_to(secret)
            (work / "d").unlink()
            (work / "away").rename(work / "d")

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        for _ in range(2000):
            try:
                assert content(open_inside(str(work), str(work / "d" / "f"))) == b"inside"
            except OutputRefused:
                continue
    finally:
        stop.set()
        attacker.join()


def test_folders_nested_too_deep_are_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for _ in range(250):
        folder.mkdir()
        folder = folder / "d"
    with pytest.raises(OutputRefused, match="nested deeper than 200"):
        expand(str(tmp_path), [Output("d/", "d/")])
