"""Fetching into a folder that is not empty: what is fetch's own is renewed, what is the user's is left alone, all else comes."""

import json
import subprocess
from pathlib import Path

import pytest

from datastore.channel import Endpoint
from datastore.fetched import Record
from datastore.transfer import Damaged, Fetched, WouldOverwrite, fetch_results
from tests.datastore.host import Datastore, Sshd, sha256

OLD, NEW, MINE = b"old result\n", b"new result\n", b"my own words\n"


@pytest.fixture
def ada(sshd: Sshd, datastore: Datastore) -> Endpoint:
    """A person's log-in."""
    return sshd.certificate("researcher:ada", datastore.root)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where results are fetched to."""
    return tmp_path / "here"


def accept(store: Datastore, files: dict[str, bytes], attempt: str = "u.0.1") -> None:
    assert store.accept(store.upload(files, attempt), attempt)[1] == "accepted"


def differing(ada: Endpoint, folder: Path, force: bool = False) -> Fetched:
    """What a fetch did that has left something alone."""
    with pytest.raises(WouldOverwrite) as caught:
        fetch_results(ada, "j", target=str(folder), force=force)
    return caught.value.done


def verified(folder: Path) -> str:
    """What ``sha256sum -c`` says of a folder that is all right."""
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return done.stdout


def test_what_is_new_comes_although_a_file_differs_which_stays_as_it_is(ada: Endpoint, datastore: Datastore, here: Path) -> None:
    accept(datastore, {"a.txt": NEW, "b.txt": NEW, "deep/c.txt": NEW})
    here.mkdir()
    (here / "a.txt").write_bytes(MINE)
    with pytest.raises(WouldOverwrite, match=r"^1 file here differs and was left alone: a\.txt$") as caught:
        fetch_results(ada, "j", target=str(here))
    assert caught.value.done == Fetched(("b.txt", "deep/c.txt"), (), (), ("a.txt",))
    assert ((here / "a.txt").read_bytes(), (here / "b.txt").read_bytes()) == (MINE, NEW)
    assert fetch_results(ada, "j", target=str(here), force=True).replaced == ("a.txt",)
    assert (here / "a.txt").read_bytes() == NEW


def test_what_an_earlier_fetch_has_brought_is_renewed_and_what_was_edited_since_is_not(
    ada: Endpoint, datastore: Datastore, here: Path
) -> None:
    accept(datastore, {"a.txt": OLD, "b.txt": OLD, "same.txt": OLD})
    fetch_results(ada, "j", target=str(here))
    (here / "b.txt").write_bytes(MINE)
    accept(datastore, {"a.txt": NEW, "b.txt": NEW, "more.txt": NEW}, "u.0.2")
    assert differing(ada, here) == Fetched(("a.txt", "more.txt"), ("same.txt",), ("a.txt",), ("b.txt",))
    assert ((here / "a.txt").read_bytes(), (here / "b.txt").read_bytes()) == (NEW, MINE)
    assert differing(ada, here).fetched == (), "and it is left alone the next time, too"
    (here / "b.txt").write_bytes(OLD)
    assert fetch_results(ada, "j", target=str(here)).replaced == ("b.txt",), "the edit was taken back"


def test_files_that_were_here_already_and_files_that_were_forced_are_renewed_later(
    ada: Endpoint, datastore: Datastore, here: Path
) -> None:
    accept(datastore, {"a.txt": OLD, "b.txt": OLD})
    here.mkdir()
    (here / "a.txt").write_bytes(OLD)
    (here / "b.txt").write_bytes(MINE)
    fetch_results(ada, "j", target=str(here), force=True)
    accept(datastore, {"a.txt": NEW, "b.txt": NEW}, "u.0.2")
    assert fetch_results(ada, "j", target=str(here)).replaced == ("a.txt", "b.txt")


def test_what_was_brought_of_another_job_or_cluster_is_left_alone(ada: Endpoint, datastore: Datastore, here: Path) -> None:
    accept(datastore, {"a.txt": OLD})
    fetch_results(ada, "j", target=str(here), origin="c1:j")
    accept(datastore, {"a.txt": NEW}, "u.0.2")
    with pytest.raises(WouldOverwrite):
        fetch_results(ada, "j", target=str(here), origin="c2:j")
    assert (here / "a.txt").read_bytes() == OLD
    assert fetch_results(ada, "j", target=str(here), origin="c1:j").replaced == ("a.txt",)


def test_a_link_of_the_users_is_not_replaced(ada: Endpoint, datastore: Datastore, here: Path, tmp_path: Path) -> None:
    accept(datastore, {"a.txt": OLD})
    fetch_results(ada, "j", target=str(here))
    (here / "a.txt").rename(tmp_path / "kept.txt")
    (here / "a.txt").symlink_to(tmp_path / "kept.txt")
    accept(datastore, {"a.txt": NEW}, "u.0.2")
    assert differing(ada, here).differing == ("a.txt",)
    assert (tmp_path / "kept.txt").read_bytes() == OLD


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_in_the_place_of_a_file_and_the_reverse_keep_nothing_else_from_coming(
    ada: Endpoint, datastore: Datastore, here: Path, force: bool
) -> None:
    accept(datastore, {"a": NEW, "deep/down/b": NEW, "c": NEW})
    (here / "a").mkdir(parents=True)
    (here / "deep").write_bytes(MINE)
    assert differing(ada, here, force) == Fetched(("c",), (), (), ("a", "deep/down/b"))
    assert (here / "deep").read_bytes() == MINE


def test_the_fetched_folder_is_checked_by_sha256sum(ada: Endpoint, datastore: Datastore, here: Path) -> None:
    accept(datastore, {"a.txt": OLD, "deep/b \\.txt": OLD, "deep/SHA256SUMS": MINE})
    fetch_results(ada, "j", ["deep/*"], str(here))
    assert verified(here).count(": OK") == 2
    fetch_results(ada, "j", target=str(here))
    assert verified(here).count(": OK") == 3
    assert (here / "deep/SHA256SUMS").read_bytes() == MINE, "a result of that name is a result"
    accept(datastore, {"a.txt": NEW}, "u.0.2")
    (here / "deep/SHA256SUMS").unlink()
    fetch_results(ada, "j", ["a.txt"], str(here))
    assert verified(here).count(": OK") == 2, "what is not here any more is not listed"


def test_a_sums_file_of_the_users_is_left_alone(ada: Endpoint, datastore: Datastore, here: Path) -> None:
    accept(datastore, {"a.txt": OLD})
    here.mkdir()
    (here / "SHA256SUMS").write_bytes(MINE)
    fetch_results(ada, "j", target=str(here))
    assert (here / "SHA256SUMS").read_bytes() == MINE
    (here / "SHA256SUMS").unlink()
    fetch_results(ada, "j", target=str(here))
    assert "a.txt: OK" in verified(here)
    with (here / "SHA256SUMS").open("ab") as file:
        file.write(b"# a remark\n")
    fetch_results(ada, "j", target=str(here))
    assert (here / "SHA256SUMS").read_bytes().endswith(b"# a remark\n")


@pytest.mark.parametrize(
    "record",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"sums": "", "origins": {"j": {"a.txt": 1}}}', b'{"origins": [1]}', b"[" * 100_000],
)
def test_a_damaged_record_makes_everything_the_users(ada: Endpoint, datastore: Datastore, here: Path, record: bytes) -> None:
    accept(datastore, {"a.txt": OLD})
    fetch_results(ada, "j", target=str(here))
    (here / ".ecloud-fetched").write_bytes(record)
    accept(datastore, {"a.txt": NEW}, "u.0.2")
    assert differing(ada, here).differing == ("a.txt",)


def test_no_result_can_forge_the_record(ada: Endpoint, datastore: Datastore, here: Path) -> None:
    accept(datastore, {"a.txt": OLD})
    forged = {"sums": "", "origins": {"j": {"a.txt": [len(MINE), sha256(MINE)], "../b": [1, "x"]}}}
    (datastore.root / "jobs/j/.ecloud-fetched").write_text(json.dumps(forged))
    here.mkdir()
    (here / "a.txt").write_bytes(MINE)
    assert differing(ada, here) == Fetched((), (), (), ("a.txt",))
    assert not (here / ".ecloud-fetched").exists()


def test_what_came_before_a_damaged_file_is_remembered(ada: Endpoint, datastore: Datastore, here: Path) -> None:
    accept(datastore, {"a.txt": OLD, "b.txt": OLD})
    (datastore.root / "jobs/j/b.txt").write_bytes(b"other text\n")
    with pytest.raises(Damaged, match=r"b\.txt"):
        fetch_results(ada, "j", target=str(here))
    assert Record(str(here), "j").untouched("a.txt")
    assert not Record(str(here), "j").untouched("b.txt")


def test_two_fetches_at_once_keep_each_others_notes(here: Path) -> None:
    here.mkdir()
    first, second = Record(str(here), "j"), Record(str(here), "j")
    for record, name in ((first, "a"), (second, "b")):
        (here / name).write_bytes(OLD)
        record.note(name, len(OLD), sha256(OLD), written=True)
        record.save()
    assert Record(str(here), "j").untouched("a") and Record(str(here), "j").untouched("b")
