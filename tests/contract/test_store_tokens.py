"""Tokens in the database: one suite, run on SQLite and on MariaDB."""

import pytest

from boss.adapters.store import Store
from boss.core.changes import Changes
from boss.core.tokens import Role, Token
from boss.ports import StoreError
from tests import builders
from tests.builders import NOON
from tests.contract.test_store import statement


def token(number: int = 1, **fields: object) -> Token:
    """A researcher's token."""
    values: dict[str, object] = {"name": "ada", "role": Role.RESEARCHER, "digest": f"{number:064x}", "created": NOON + number}
    return Token(f"tok-{number}", **{**values, **fields})  # type: ignore[arg-type]


def kept(*tokens: Token) -> Changes:
    """The changes that keep these tokens as they are."""
    changes = Changes()
    changes.tokens.update({one.id: one for one in tokens})
    return changes


def gone(*names: str) -> Changes:
    """The changes that forget the tokens of these ids."""
    changes = Changes()
    changes.tokens.update(dict.fromkeys(names))
    return changes


def test_a_token_comes_back_as_it_was_stored(store: Store) -> None:
    whole = token(1, role=Role.ADMIN, expires=NOON + 60.25, used=NOON + 1.5)
    bare = token(2, name="ada.L-2_x@example.org", role=Role.VIEWER)
    store.commit(kept(whole, bare))
    assert [builders.known(one) for one in store.load().tokens] == [builders.known(whole), builders.known(bare)]


def test_the_use_of_a_token_is_updated_and_nothing_else(store: Store) -> None:
    one, two = token(1), token(2)
    store.commit(kept(one, two))
    one.used = NOON + 7
    store.commit(kept(one))
    assert [found.used for found in store.load().tokens] == [NOON + 7, None]


def test_a_revoked_token_is_gone_also_after_the_next_opening(url: str, store: Store) -> None:
    store.commit(kept(token(1), token(2), token(3)))
    store.commit(gone("tok-1", "tok-3", "tok-9"))
    assert [one.id for one in store.load().tokens] == ["tok-2"]
    second = Store(url)
    second.open()
    assert [one.id for one in second.load().tokens] == ["tok-2"]
    second.close()


def test_tokens_made_and_revoked_in_one_turn_leave_nothing(store: Store) -> None:
    store.commit(gone("tok-1"))
    assert store.load().tokens == []


def test_tokens_are_committed_with_the_turn_or_not_at_all(store: Store) -> None:
    store.commit(builders.pushed(builders.bag("u1", 1)))
    changes = kept(token(1))
    changes.tasks["u1", 5] = builders.bag("u1", 6).tasks[5]  # there is no such row
    with pytest.raises(StoreError):
        store.commit(changes)
    assert store.load().tokens == []


def test_a_database_of_before_the_tokens_gets_their_table(url: str) -> None:
    old = Store(url)
    old.open()
    old.load()
    old.commit(builders.pushed(builders.bag("u1", 2)))
    old.close()
    statement(url, "DROP TABLE tokens")
    statement(url, "DELETE FROM schema_version WHERE version >= 2")
    new = Store(url)
    new.open()
    picture = new.load()
    assert (picture.tokens, [job.uid for job in picture.jobs]) == ([], ["u1"])
    new.commit(kept(token(1)))
    assert [one.name for one in new.load().tokens] == ["ada"]
    new.close()


def test_names_that_differ_in_case_are_different_people(store: Store) -> None:
    store.commit(kept(token(1, name="ada"), token(2, name="Ada", role=Role.VIEWER)))
    assert {one.name: one.role for one in store.load().tokens} == {"ada": Role.RESEARCHER, "Ada": Role.VIEWER}
