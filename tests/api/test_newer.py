"""After a restore: files of a later life beside a database that does not know them are told, and nothing else is."""

import time

from boss.adapters import dump
from boss.core import restored
from tests.api.rig import Rig

LATER = "cd" * 32


def came_back(rig: Rig) -> None:
    """The database came from a back-up, this very moment."""
    with dump.opened(f"sqlite:///{rig.folder / 'boss.db'}") as db, db.transaction():
        db.insert("context", ("name", "value"), [(restored.UNTIL, repr(time.time()))])


def two_steps(rig: Rig) -> None:
    rig.push(
        [
            {"id": "a", "command": "true", "outputs": ["a.txt"]},
            {"id": "b", "command": "true", "inputs": ["a.txt"], "outputs": ["b.txt"]},
        ]
    )
    rig.until(lambda rig: rig.states() == {"a": "succeeded", "b": "succeeded"})


def test_a_result_that_is_newer_than_the_database_is_named_with_what_was_made_of_it(rig: Rig) -> None:
    two_steps(rig)
    came_back(rig)
    assert rig.get("/jobs/job/newer") == []
    rig.shelf.results["job"]["a.txt"] = (7, LATER)
    rig.shelf.results["job"]["unknown.txt"] = (7, LATER)
    assert rig.get("/jobs/job/newer") == ["a.txt"]
    assert rig.get("/task", target="job:a")["newer"] == ["a.txt"]
    assert rig.get("/task", target="job:b")["newer"] == ["a.txt"]
    rig.post("/redo", {"targets": ["job:a"]})
    rig.until(lambda rig: rig.get("/jobs/job/newer") == [])


def test_jobs_that_came_with_no_back_up_are_not_compared(rig: Rig) -> None:
    two_steps(rig)
    rig.shelf.results["job"]["a.txt"] = (7, LATER)
    assert rig.get("/jobs/job/newer") == []
    assert rig.get("/task", target="job:a")["newer"] == []


def test_a_task_is_shown_while_the_datastore_does_not_answer(rig: Rig) -> None:
    two_steps(rig)
    came_back(rig)
    rig.shelf.down = "store refused the connection"
    assert rig.get("/task", target="job:a")["newer"] == []
    assert "refused" in rig.get("/jobs/job/newer", 503)["error"]
