"""Whose the database is: one boss at a time, for as long as it is heard, by the database's own clock. On SQLite and on MariaDB."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pymysql
import pytest

from boss.adapters.database import Database
from boss.adapters.database_url import locate
from boss.adapters.lease import NOBODY, Holder, Keeper, Lease, holder_of
from boss.adapters.store import Store
from boss.ports import LeaseHeld, StoreError, Superseded
from boss.standby import NoStandby, open_in_turn
from tests import builders
from tests.mariadb import MariaDb
from tests.servers import eventually

ADA, BOB = Holder("ada:1", "the boss on ada", "keys"), Holder("bob:1", "the boss on bob", "keys")
LONG, KEPT, SHORT = 600.0, 4.0, 0.3


@pytest.fixture
def stores() -> Iterator[list[Store]]:
    """Stores that are closed at the end."""
    made: list[Store] = []
    yield made
    for store in made:
        store.close()


def opened(stores: list[Store], url: str, length: float, holder: Holder) -> Store:
    stores.append(Store(url, "c0ffee00", length, holder))
    stores[-1].open()
    return stores[-1]


def left(url: str) -> float:
    db = Database(url)
    [(seconds,)] = db.select(f"SELECT expires - {Lease(db, 1, NOBODY)._now} FROM boss")
    db.close()
    return float(seconds)


def test_nobody_opens_a_database_while_anothers_lease_runs_and_nothing_changes(url: str, stores: list[Store]) -> None:
    first = opened(stores, url, LONG, ADA)
    for other in (BOB, NOBODY):
        with pytest.raises(LeaseHeld, match=r"the boss on ada holds the database .*, for (600|599) s more at least") as refused:
            opened(stores, url, LONG, other)
        assert refused.value.place == ADA.place and 590 < refused.value.left <= 600
        assert refused.value.same_keys == (other is BOB)
    first.commit(builders.pushed(builders.bag("u1", 1)))
    assert [job.uid for job in first.load().jobs] == ["u1"]


def test_the_same_boss_after_a_crash_need_not_wait(url: str, stores: list[Store]) -> None:
    opened(stores, url, LONG, ADA)
    again = Store(url, "c0ffee00", LONG, ADA)
    stores.append(again)
    assert again.open() == 2


def test_a_boss_that_ends_gives_the_database_away_and_a_superseded_one_cannot(url: str, stores: list[Store]) -> None:
    first = opened(stores, url, LONG, ADA)
    first.close()
    second = opened(stores, url, LONG, BOB)
    first.close()
    with pytest.raises(LeaseHeld):
        opened(stores, url, LONG, ADA)
    assert second.load().context["epoch"] == "2"


@pytest.mark.long
def test_a_lease_that_is_kept_never_ends_and_one_that_is_not_is_taken(url: str, stores: list[Store]) -> None:
    lost: list[str] = []
    first = opened(stores, url, KEPT, ADA)
    first.keep(lost.append)
    db = Database(url)
    turn = "SELECT turn FROM boss"
    [(begun,)] = db.select(turn)
    while db.select(turn)[0][0] < begun + 6:  # one and a half leases long
        with pytest.raises(LeaseHeld):
            Store(url, "", KEPT, BOB).open()
    db.close()
    first.assure()
    assert first._keeper is not None
    first._keeper.stop()
    first._keeper = None
    second = Store(url, "", KEPT, BOB)
    stores.append(second)
    assert eventually(lambda: _try(second)) == 2 and lost == []
    with pytest.raises(Superseded, match=r"at epoch 2, this boss is of epoch 1: another boss has taken over \(the boss on bob\)"):
        first.assure()


def _try(store: Store) -> int | None:
    try:
        return store.open()
    except LeaseHeld:
        return None


def test_a_keeper_that_finds_another_boss_says_so_once(url: str, stores: list[Store]) -> None:
    lost: list[str] = []
    told = threading.Event()
    first = opened(stores, url, SHORT, ADA)
    first.keep(lambda reason: (lost.append(reason), told.set())[0])
    second = opened(stores, url, SHORT, ADA)  # the same holder: it need not wait
    assert told.wait(15) and len(lost) == 1 and "another boss has taken over" in lost[0]
    second.assure()


class Silent(Lease):
    """A lease in a database that takes the question and does not answer."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, SHORT, ADA)
        self.asked, self.answers = threading.Event(), threading.Event()

    def renew(self) -> None:
        self.asked.set()
        self.answers.wait()


def test_a_boss_ends_although_its_database_does_not_answer(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'ecloud.db'}")
    silent = Silent(db)
    keeper = Keeper(silent, db, SHORT, lambda reason: None)
    keeper.start()
    assert silent.asked.wait(10.0)
    assert not keeper.stop(patience=0.05)
    silent.answers.set()
    assert keeper.stop()


def test_a_boss_of_which_the_clock_says_that_its_lease_is_over_asks_before_it_acts(url: str) -> None:
    now = [1000.0]
    db = Database(url)
    store = Store(url, "c0ffee00", LONG, ADA)
    store.open()
    lease = Lease(db, LONG, ADA, lambda: now[0])
    with db.transaction():
        lease.take(2)
    assert lease.held()
    now[0] += LONG - 1
    assert lease.held()
    now[0] += 1
    assert not lease.held()
    lease.renew()
    assert lease.held() and left(url) > LONG - 5
    store._lease.release()  # of epoch 1: it is not its own any more
    assert left(url) > LONG - 5
    lease.release()
    assert not lease.held() and left(url) <= 0
    db.close()
    store.close()


def test_without_a_length_the_next_boss_takes_over_at_once(url: str, stores: list[Store]) -> None:
    first = opened(stores, url, 0.0, ADA)
    first.keep(pytest.fail)
    first.assure()
    opened(stores, url, 0.0, BOB)
    with pytest.raises(Superseded):
        first.commit(builders.pushed(builders.bag("u1", 1)))


def test_a_boss_that_stands_still_in_a_transaction_does_not_keep_its_successor_out(mariadb_url: str, stores: list[Store]) -> None:
    first = opened(stores, mariadb_url, LONG, ADA)
    where = locate(mariadb_url)
    with pymysql.connect(
        database=where.database, **where.options
    ) as stuck:  # as it would be: with the rows locked, and nothing more said
        cursor = stuck.cursor()
        cursor.execute("UPDATE boss SET turn = turn + 1, expires = expires WHERE id = 1")
        second = Store(mariadb_url, "", LONG, ADA)
        stores.append(second)
        assert second.open() == 2
    with pytest.raises(StoreError):
        first.commit(builders.pushed(builders.bag("u1", 1)))


def test_a_boss_waits_for_a_lease_to_end_and_for_one_that_is_renewed_it_does_not(url: str, stores: list[Store]) -> None:
    first = opened(stores, url, SHORT, ADA)
    said: list[str] = []
    second = Store(url, "", SHORT, BOB)
    stores.append(second)
    assert open_in_turn(second, False, said.append) == 2
    assert len(said) == 1 and said[0].startswith("waiting: the boss on ada holds the database")
    second._lease.renew()
    first = Store(url, "", SHORT, ADA)
    stores.append(first)
    with pytest.raises(StoreError, match=r"the boss on bob .*; end that boss first, or start this one with --standby"):
        open_in_turn(first, False, said.append, lambda _seconds: second._lease.renew())


def test_a_standby_waits_as_long_as_it_takes_also_for_the_database(url: str, stores: list[Store]) -> None:
    first = opened(stores, url, LONG, ADA)
    second = Store(url, "", LONG, BOB)
    stores.append(second)
    said: list[str] = []
    looks = 0

    def look(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 20:
            first.close()

    assert open_in_turn(second, True, said.append, look) == 2
    assert looks == 20 and len(said) == 1 and said[0].startswith("standby: the boss on ada holds")
    stranger = Store(url, "", LONG, Holder("eve:1", "", "other keys"))
    stores.append(stranger)
    with pytest.raises(NoStandby, match="the boss on bob has other keys: copy the folder `pki`"):
        open_in_turn(stranger, True, said.append)


def test_a_standby_outlives_the_database(mariadb: MariaDb, mariadb_url: str, stores: list[Store]) -> None:
    opened(stores, mariadb_url, SHORT, ADA)
    second = Store(mariadb_url, "", SHORT, BOB)
    stores.append(second)
    mariadb.kill()
    looks: list[float] = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            mariadb.start()

    assert open_in_turn(second, True, lambda _said: None, look) == 2 and len(looks) >= 3


def test_a_standby_says_once_that_the_database_is_away_and_again_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    away, held = StoreError("it is away"), LeaseHeld("ada holds it", "ada", 5.0, same_keys=True)
    answers = iter([held, *[away] * 50, held, held])
    said: list[str] = []

    class Answering:
        def open(self) -> int:
            answer = next(answers, None)
            if answer is not None:
                raise answer
            return 7

    assert open_in_turn(cast("Store", Answering()), True, said.append, lambda _seconds: None) == 7
    assert len([record for record in caplog.records if "it is away" in record.getMessage()]) == 1
    assert said == ["standby: ada holds it"] * 2


def test_a_copy_of_the_state_folder_is_another_holder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = holder_of(tmp_path / "one", "k"), holder_of(tmp_path / "two", "k")
    assert one.name != two.name and one.name == holder_of(tmp_path / "one", "k").name
    assert str(tmp_path / "one") in one.place and one.keys == "k"
