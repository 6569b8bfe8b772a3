"""A boss notices a database that is older than what has happened in its state folder."""

from pathlib import Path

import pytest

from boss.adapters.lives import Lives, Outdated


def test_a_first_start_and_every_next_one_are_let_in(tmp_path: Path) -> None:
    Lives(tmp_path).check({})
    for epoch in (1, 2, 3):
        lives = Lives(tmp_path)
        lives.check({"cluster": "c1", "epoch": str(epoch - 1)} if epoch > 1 else {})
        lives.enter("c1", epoch)
    Lives(tmp_path).check({"cluster": "c1", "epoch": "900"})  # restored or adopted: far above


def test_a_database_of_an_earlier_life_is_refused_with_the_remedy(tmp_path: Path) -> None:
    Lives(tmp_path).enter("c1", 7)
    with pytest.raises(Outdated, match=r"at epoch 6, but its boss has been at 7 here: it is older; .*`python -m boss adopt`"):
        Lives(tmp_path).check({"cluster": "c1", "epoch": "6"})


def test_an_empty_database_beside_a_state_folder_that_has_worked_is_refused(tmp_path: Path) -> None:
    Lives(tmp_path).enter("c1", 7)
    with pytest.raises(Outdated, match=r"empty, but a boss of cluster c1 has worked in .*`python -m boss restore`.*ECLOUD_STATE"):
        Lives(tmp_path).check({})


def test_another_clusters_database_is_not_compared(tmp_path: Path) -> None:
    Lives(tmp_path).enter("c1", 7)
    Lives(tmp_path).check({"cluster": "c2", "epoch": "1"})


def test_what_the_datastore_said_holds_for_the_next_start_too(tmp_path: Path) -> None:
    Lives(tmp_path).end("the datastore has seen epoch 9")
    with pytest.raises(Outdated, match="has seen epoch 9; if it was put back from a copy"):
        Lives(tmp_path).check({"cluster": "c1", "epoch": "900"})


@pytest.mark.parametrize("note", ["", "7", "{}", '{"cluster": "c1", "epoch": "x"}', "\0"])
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, note: str) -> None:
    (tmp_path / "epoch").write_text(note)
    Lives(tmp_path).check({})
