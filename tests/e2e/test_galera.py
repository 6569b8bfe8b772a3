"""A Galera cluster of three nodes as the database: any one may die, and a boss superseded on another node cannot commit."""

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from boss.adapters.database import Database
from boss.adapters.store import Store
from boss.ports import StoreError, Superseded
from chaos.galera import Galera
from tests import builders
from tests.e2e.deployment import deployed, until
from tests.e2e.test_kills import check, job_of, some_done

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

TASKS = 200


@pytest.fixture(scope="module")
def galera() -> Iterator[Galera]:
    """The cluster, in a folder that its user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="ecloud-galera-"))
    folder.chmod(0o755)
    cluster = Galera(folder / "nodes")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)


@pytest.fixture
def name(galera: Galera, request: pytest.FixtureRequest) -> str:
    """A database of this test alone, on all nodes; those that an earlier test has killed are back."""
    for node in galera.nodes:
        if not node.pid:
            galera.come_back(node)
    galera.wait_for_size(3)
    made = f"t{abs(hash(request.node.name))}"
    galera.nodes[0].execute(f"CREATE DATABASE {made}")
    return made


def taken_over(galera: Galera, number: int, name: str) -> Store:
    """A boss's store on one node alone. A node that is behind refuses to be opened, and is asked again."""
    store = Store(galera.nodes[number].url(name), "c0ffee00")

    def opened() -> bool | None:
        try:
            store.open()
        except StoreError as error:
            assert not isinstance(error, Superseded)
            return None
        return True

    until(opened, 30, f"node {number} to take a boss")
    return store


def only_second(url: str) -> bool | None:
    """Whether a node has the second job, and no other."""
    db = Database(url, readonly=True)
    try:
        return db.select("SELECT uid FROM jobs") == [("u2",)] or None
    finally:
        db.close()


def test_a_load_sees_at_once_what_was_committed_on_another_node(galera: Galera, name: str) -> None:
    for turn in range(24):
        store = taken_over(galera, turn % 3, name)
        assert [job.uid for job in store.load().jobs] == [f"u{before}" for before in range(turn)]
        store.commit(builders.pushed(builders.bag(f"u{turn}", 100)))
        store.close()


def test_a_boss_that_was_superseded_on_another_node_cannot_commit(galera: Galera, name: str) -> None:
    first = taken_over(galera, 0, name)
    first.load()
    second = taken_over(galera, 1, name)
    with pytest.raises(StoreError):  # by the guard, or by the comparison of what both have written
        first.commit(builders.pushed(builders.bag("u1", 1)))
    with pytest.raises(Superseded, match="another boss has taken over"):
        first.load()
    assert second.load().jobs == []
    for store in (first, second):
        store.close()


def test_a_boss_that_is_superseded_in_the_middle_of_a_commit_loses_all_of_it(galera: Galera, name: str) -> None:
    class Overtaken(set[str]):
        """Lets another boss take over on another node when the worker's row is made: guard and tasks are written by then."""

        def __iter__(self) -> Iterator[str]:
            stores.append(taken_over(galera, 2, name))
            return iter(())

    first = taken_over(galera, 0, name)
    first.load()
    stores = [first]
    changes = builders.pushed(builders.bag("u1", 500))
    worker = builders.worker(barred=Overtaken())
    changes.new_workers[worker.id] = worker
    with pytest.raises(StoreError):
        first.commit(changes)
    assert len(stores) == 2 and stores[1].load().jobs == []
    stores[1].commit(builders.pushed(builders.bag("u2", 1)))
    for node in galera.nodes:
        until(partial(only_second, node.url(name)), 30, "the nodes to hold the same")
    for store in stores:
        store.close()


def test_nodes_are_killed_one_after_the_other_and_nothing_is_lost(tmp_path: Path, galera: Galera, name: str) -> None:
    with deployed(tmp_path, ECLOUD_DATABASE_URL=galera.url(name)) as ecloud:
        ecloud.push(job_of(TASKS, tmp_path / "journal"), name="kills")
        some_done(ecloud, 10)
        first, second, _third = galera.nodes
        first.kill()
        some_done(ecloud, TASKS * 4 // 10)
        galera.come_back(first)
        galera.wait_for_size(3)
        second.kill()  # the one that the boss has gone on with
        some_done(ecloud, TASKS * 7 // 10)
        ecloud.kill()
        ecloud.start()
        check(ecloud, TASKS, tmp_path / "journal")
        assert all(task["attempt"] == 1 for task in ecloud.look("show_tasks", "--job", "kills")), (
            "a node's death made a task run again"
        )
