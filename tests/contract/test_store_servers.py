"""Where the database is: how its address is written, and a server that is away, refuses or dies."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters import database
from boss.adapters.database_url import locate
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.model import TaskState
from boss.ports import StoreError
from tests import builders
from tests.contract.test_store import only_job
from tests.mariadb import PASSWORD, MariaDb

S = TaskState


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("postgres://host/db", "unknown scheme 'postgres'"),
        ("sqlite:///:memory:", "names no file"),
        ("my-secret@host:3306/db", "unknown scheme; write"),
        ("mysql://user:secret@/db", "no host or no database"),
        ("mysql://user:secret@host/", "no host or no database"),
        ("mysql://user:secret@host:many/db", "port that is no number"),
        ("mysql://user:secret@host/db?sll_ca=x", "unknown option 'sll_ca'"),
        ("mysql://user:33/my?secret=1@host/db", "unknown option; known: ssl_ca"),
        ("mysql://host://user:secret@host/db", "a / : @ # where none can be"),
        ("mysql://user:33/secret@host/db", "in a user or a password write %2F"),
        ("mysql://user:33#secret@host/db", "no host or no database"),
        ("mysql://user:33/db#secret@host/db", "a / : @ # where none can be"),
        ("mysql://user:secret@host,/db", "no host or no database"),
        ("mysql://user:secret@host,other:many/db", "port that is no number"),
    ],
)
def test_a_wrong_url_is_refused_with_the_right_form(wrong: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as refused:
        Store(wrong)
    assert "secret" not in str(refused.value)


def test_tls_options_reach_the_driver() -> None:
    where = locate("mysql://u:p@host/db?ssl_ca=/etc/ca.pem&ssl_cert=c.pem&ssl_key=k.pem&unix_socket=/run/s")
    assert where.options["ssl"] == {"ca": "/etc/ca.pem", "cert": "c.pem", "key": "k.pem"}
    assert where.options["unix_socket"] == "/run/s"
    assert where.shown == "mysql://u@host:3306/db"


def test_the_nodes_of_a_cluster_are_asked_in_their_order(mariadb_url: str) -> None:
    where = locate("mysql://u:p%2C@a,b:3307,[::1]:3308/db")
    assert (where.options["host"], where.options["port"], where.options["password"]) == ("a", 3306, "p,")
    assert where.others == (("b", 3307), ("::1", 3308)) and where.shown == "mysql://u@a:3306,b:3307,[::1]:3308/db"
    login, _, rest = mariadb_url.rpartition("@")
    store = Store(f"{login}@127.0.0.1:1,{rest}", "c0ffee00")
    assert store.open() == 1 and store.load().context["cluster"] == "c0ffee00"
    store.close()
    dead = Store(f"{login}@127.0.0.1:1,127.0.0.1:2/test")
    with pytest.raises(
        StoreError, match=r"in the database mysql://ecloud@127\.0\.0\.1:1,127\.0\.0\.1:2/test: .*check that the server runs"
    ):
        dead.open()


# ---- the server's troubles ---------------------------------------------------------------------------------------


def test_a_node_that_takes_connections_and_says_nothing_keeps_nobody_from_asking_the_next(
    mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "GREETING_TIMEOUT", 1)
    login, _, rest = mariadb_url.rpartition("@")
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # as a process that was stopped: its kernel goes on to accept
        store = Store(f"{login}@127.0.0.1:{frozen.getsockname()[1]},{rest}", "c0ffee00")
        assert store.open() == 1 and store.load().context["cluster"] == "c0ffee00"
        store.close()


def test_an_answer_may_take_longer_than_a_greeting(mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "GREETING_TIMEOUT", 1)
    db = database.Database(mariadb_url)
    assert db.select("SELECT SLEEP(1.5)") == [(0,)]
    db.close()


def test_after_a_restart_of_the_server_the_next_load_works(mariadb: MariaDb, mariadb_url: str) -> None:
    store, reader = Store(mariadb_url), Reader(mariadb_url)
    store.open()
    store.load()
    store.commit(builders.pushed(builders.bag("u1", 2)))
    assert len(reader.tasks()) == 2
    mariadb.kill()
    with pytest.raises(StoreError, match="check that the server runs") as failed:
        store.commit(builders.pushed(builders.bag("u2", 2)))
    with pytest.raises(StoreError, match="check that the server runs"):
        store.load()
    assert PASSWORD not in str(failed.value)
    mariadb.start()
    assert [len(job.tasks) for job in store.load().jobs] == [2]
    assert len(reader.tasks()) == 2
    store.commit(builders.pushed(builders.bag("u2", 2)))
    assert len(reader.tasks()) == 4
    store.close()
    reader.close()


def test_a_server_that_dies_within_a_commit_leaves_nothing_of_it(mariadb: MariaDb, mariadb_url: str) -> None:
    class Fatal(set[str]):
        """Ends the server when the worker's row is made: the tasks are written by then."""

        def __iter__(self) -> Iterator[str]:
            mariadb.kill()
            return iter(())

    store = Store(mariadb_url)
    store.open()
    store.load()
    changes = builders.pushed(builders.bag("u1", 2000))
    worker = builders.worker(barred=Fatal())
    changes.new_workers[worker.id] = worker
    with pytest.raises(StoreError, match="check that the server runs"):
        store.commit(changes)
    mariadb.start()
    assert store.load().jobs == []
    store.commit(builders.pushed(builders.bag("u1", 2)))
    assert len(only_job(store).tasks) == 2
    store.close()


def test_a_refused_log_in_names_the_remedy_and_never_the_password(mariadb: MariaDb) -> None:
    for user in ("ecloud", "nobody"):
        store = Store(f"mysql://{user}:hunter2@127.0.0.1:{mariadb.port}/test")
        with pytest.raises(StoreError, match="check user and password") as refused:
            store.open()
        assert "hunter2" not in str(refused.value)


def test_an_unknown_database_is_answered_with_how_to_make_it(mariadb: MariaDb, mariadb_url: str) -> None:
    store = Store(mariadb_url.rpartition("/")[0] + "/nowhere")
    with pytest.raises(StoreError, match="CREATE DATABASE"):
        store.open()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("this is a letter, not a database. " * 100)
    with pytest.raises(StoreError, match="restore a back-up"):
        Store(f"sqlite:///{tmp_path / 'state.db'}").open()


def test_a_database_in_a_file_is_read_by_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(f"sqlite:///{path}")
    store.open()
    assert {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.glob("state.db*")} == dict.fromkeys(
        ("state.db", "state.db-wal", "state.db-shm"), 0o600
    )
    store.close()
    path.chmod(0o644)
    store = Store(f"sqlite:///{path}")
    store.open()
    assert not stat.S_IMODE(path.stat().st_mode) & 0o007
    store.close()
