"""What users of tasks leave where all users may write."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.leftovers import Leftovers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")

ONE, TWO = 2_000_499_001, 2_000_499_002


def left(place: Path, name: str, uid: int) -> Path:
    """A file of this user; the place looks as if it had not changed for long."""
    path = place / name
    path.write_text("private")
    os.chown(path, uid, uid)
    os.utime(place, (1, 1))
    return path


def test_what_a_user_has_left_goes_and_nothing_of_others(tmp_path: Path) -> None:
    mine, others = left(tmp_path, "mine", ONE), left(tmp_path, "others", TWO)
    Leftovers([str(tmp_path)]).sweep({ONE})
    assert not mine.exists() and others.exists()


def test_it_goes_too_when_the_place_was_read_for_another_user_since_it_was_left(tmp_path: Path) -> None:
    leftovers = Leftovers([str(tmp_path)])
    path = left(tmp_path, "two", TWO)
    leftovers.sweep({ONE})
    leftovers.sweep({TWO})
    assert not path.exists()


def test_a_place_that_a_task_has_put_there_leads_to_no_other_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = left(elsewhere, "output", ONE)
    os.symlink(elsewhere, tmp_path / "place")
    os.lchown(tmp_path / "place", TWO, TWO)
    Leftovers([str(tmp_path / "place")]).sweep({ONE})
    assert path.exists()


def test_a_place_that_has_not_changed_and_has_nothing_of_theirs_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftovers = Leftovers([str(tmp_path)])
    left(tmp_path, "two", TWO)
    leftovers.sweep({ONE})
    monkeypatch.setattr(os, "listdir", lambda _path: pytest.fail("it was read"))
    leftovers.sweep({ONE})


def test_folders_go_however_deep_they_are_nested_and_links_are_not_followed(tmp_path: Path) -> None:
    place, kept = tmp_path / "public", left(tmp_path, "kept", ONE)
    (place / "folder").mkdir(parents=True)
    os.symlink(tmp_path, place / "folder" / "link")
    os.symlink(tmp_path, place / "link")
    os.lchown(place / "link", ONE, ONE)
    deep = "import os\nfor _ in range(3000):\n  os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", deep], cwd=place / "folder", check=True)
    os.chown(place / "folder", ONE, ONE)
    Leftovers([str(place)]).sweep({ONE})
    assert not list(place.iterdir()) and kept.exists()
