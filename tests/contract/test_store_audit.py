"""The audit in the database: one suite, run on SQLite and on MariaDB."""

import pytest

from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.changes import Changes
from boss.core.deeds import LONGEST, Asker, Entry
from boss.ports import StoreError
from tests.builders import NOON

ADA = Asker("ada", "researcher", "tok-1", "10.0.0.1")
BOB = Asker("bob", "admin", "tok-2", "2001:db8::2")


def noted(*entries: Entry, before: float = 0.0) -> Changes:
    """The changes that put these entries down."""
    changes = Changes()
    changes.audit += entries
    changes.audit_before = before
    return changes


def entry(number: int, asker: Asker = ADA, job: str = "sweep", **more: object) -> Entry:
    return Entry(NOON + number, asker, "cancel", job, f"t{number}", **more)  # type: ignore[arg-type]


def test_an_entry_comes_back_as_it_was_put_down(store: Store, reader: Reader) -> None:
    whole = entry(1, BOB, code=403, said="job 'sweep' belongs to zoë; \N{SNOWMAN}" + "x" * LONGEST)
    store.commit(noted(whole, entry(2, Asker("", "", "", "?"), "")))
    assert reader.audit() == [entry(2, Asker("", "", "", "?"), ""), whole]


def test_entries_are_found_by_job_name_and_time_newest_first(store: Store, reader: Reader) -> None:
    store.commit(noted(entry(1), entry(2, BOB), entry(3, BOB, "other")))
    store.commit(noted(entry(4)))
    targets = lambda **wanted: [one.target for one in reader.audit(**wanted)]  # noqa: E731
    assert targets() == ["t4", "t3", "t2", "t1"]
    assert targets(job="sweep") == ["t4", "t2", "t1"]
    assert targets(who="bob") == ["t3", "t2"]
    assert targets(who="bob", job="other") == ["t3"]
    assert targets(since=NOON + 3) == ["t4", "t3"]
    assert targets(limit=1) == ["t4"]
    assert targets(who="BOB' OR 1=1 --") == []


def test_what_is_older_than_the_retention_is_removed_and_numbers_go_on(store: Store, reader: Reader) -> None:
    store.commit(noted(entry(1), entry(2), entry(3)))
    store.commit(noted(entry(4), before=NOON + 3))
    assert [one.target for one in reader.audit()] == ["t4", "t3"]
    store.commit(noted(before=NOON + 100))
    assert reader.audit() == []
    store.commit(noted(entry(5)))
    assert [one.target for one in reader.audit()] == ["t5"]


def test_a_commit_that_fails_leaves_no_entry(url: str, store: Store, reader: Reader) -> None:
    second = Store(url)
    second.open()  # this one is superseded
    with pytest.raises(StoreError):
        store.commit(noted(entry(1)))
    assert reader.audit() == []
    second.close()


def test_hostile_text_is_only_text(store: Store, reader: Reader) -> None:
    hostile = Entry(NOON, Asker("a'; DROP TABLE audit; --", "", "\ud800", "\x00"), "GET /\n", "", "\u202e" * 9)
    store.commit(noted(hostile))
    (found,) = reader.audit()
    assert found.asker.who == hostile.asker.who and found.asker.token == "?" and found.verb == "GET /\n"
