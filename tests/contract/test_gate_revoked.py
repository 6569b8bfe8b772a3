"""Access to the datastore ends with the token that it was given for: at the gate, by the boss's lasting channel, after restarts."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.results import DatastoreGate
from boss.core.requests import TokenMade, TokensRevoked
from boss.core.tokens import ACCESS, Role, still_revoked, with_revoked
from datastore import layout, revoked
from datastore.channel import Channel
from datastore.frames import GateError, GateRefused
from tests.boss.test_loop import Boss
from tests.datastore.host import CLUSTER, SECRET, Datastore, Sshd
from tests.servers import eventually

LATER = time.time() + 3600.0


def entered(datastore: Datastore, token: str = "", caller: str = "researcher:ada") -> Channel:
    """A session of a caller with a token."""
    return datastore.gate(caller, *(["--token", token] if token else []))


def may(channel: Channel) -> bool:
    try:
        channel.ask({"op": "have", "digests": []})
    except GateRefused as error:
        assert "token" in str(error) and "revoked" in str(error)
        return False
    return True


def shut_out(datastore: Datastore, *rows: object) -> None:
    datastore.boss.ask({"op": "revoke", "tokens": list(rows)})


def test_a_session_that_is_open_ends_with_its_next_request_and_no_new_one_begins(datastore: Datastore) -> None:
    thief, other, owner = entered(datastore, "tok-1"), entered(datastore, "tok-2"), entered(datastore)
    assert may(thief) and may(other) and may(owner)
    shut_out(datastore, ["tok-1", LATER])
    assert not may(thief) and may(other) and may(owner)
    with pytest.raises(GateRefused, match="revoked"):
        entered(datastore, "tok-1")
    assert may(entered(datastore, "tok-2")) and may(entered(datastore))  # the name is the same: only the token counts
    for channel in (thief, other, owner):
        channel.close()


def test_a_revoked_token_brings_nothing_in_and_takes_nothing_out(datastore: Datastore) -> None:
    thief = entered(datastore, "tok-1")
    before = datastore.inventory()
    shut_out(datastore, ["tok-1", LATER])
    for request in ({"op": "put"}, {"op": "get", "job": "j", "files": ["a"]}, {"op": "list", "job": "j"}, {"op": "share"}):
        with pytest.raises(GateError, match="revoked"):
            thief.ask(request, give=(lambda wire: {"end": True}) if request["op"] == "put" else None)
    after = datastore.inventory()
    after.pop(layout.REVOKED)
    assert after == before
    thief.close()


def test_an_entry_is_dropped_when_no_access_can_hold_any_more(datastore: Datastore) -> None:
    shut_out(datastore, ["tok-1", time.time() - 1.0], ["tok-2", LATER])
    assert json.loads((datastore.root / layout.REVOKED).read_text()) == {"tok-2": LATER}
    shut_out(datastore)
    assert may(entered(datastore, "tok-2"))


@pytest.mark.parametrize("caller", ["worker:w1", "viewer:ada", "researcher:ada", "admin:ada"])
def test_only_the_boss_writes_the_list(datastore: Datastore, caller: str) -> None:
    with pytest.raises(GateRefused, match="may not"):
        entered(datastore, caller=caller).ask({"op": "revoke", "tokens": []})


@pytest.mark.parametrize("rows", [None, {}, [1], [["tok-1"]], [["tok-1", "x"]], [[1, 2.0]], [["tok-1", True]], [["tok-1", None]]])
def test_a_list_that_is_none_changes_nothing(datastore: Datastore, rows: object) -> None:
    shut_out(datastore, ["tok-1", LATER])
    with pytest.raises(GateRefused):
        datastore.boss.ask({"op": "revoke", "tokens": rows})
    with pytest.raises(GateRefused, match="revoked"):
        entered(datastore, "tok-1")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tok-1": "x"}', "\udcff"])
def test_a_list_that_cannot_be_read_keeps_people_out_and_not_the_boss(datastore: Datastore, text: str) -> None:
    (datastore.root / layout.REVOKED).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(GateRefused, match="list of revoked tokens cannot be read"):
        entered(datastore, "tok-9")
    shut_out(datastore)
    assert may(entered(datastore, "tok-9"))


def test_a_symbolic_link_in_the_lists_place_is_not_followed(datastore: Datastore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("{}")
    (datastore.root / layout.REVOKED).symlink_to(elsewhere)
    shut_out(datastore, ["tok-1", LATER])
    assert elsewhere.read_text() == "{}" and not (datastore.root / layout.REVOKED).is_symlink()
    assert revoked.Revoked(datastore.tree).check("tok-2") is None


# ---- the boss's side -----------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(sshd: Sshd, datastore: Datastore) -> Iterator[DatastoreGate]:
    made = DatastoreGate(sshd.certificate("boss", datastore.root), CLUSTER, SECRET)
    made.start(lambda event: True)
    yield made
    made.stop()


@pytest.mark.long
def test_the_boss_tells_the_gate_at_once_and_again_at_each_connection(
    gate: DatastoreGate, sshd: Sshd, datastore: Datastore
) -> None:
    thief = entered(datastore, "tok-1")
    assert may(thief)
    gate.shut_out({"tok-1": LATER})
    eventually(lambda: not may(thief))
    (datastore.root / layout.REVOKED).unlink()  # another folder was put in its place
    gate._link.close()
    eventually((datastore.root / layout.REVOKED).exists)
    assert not may(thief)
    thief.close()


def test_a_datastore_that_is_away_hears_of_it_when_it_is_back(sshd: Sshd, datastore: Datastore) -> None:
    made = DatastoreGate(sshd.certificate("boss", datastore.root), CLUSTER, SECRET)
    made.shut_out({"tok-1": LATER})
    assert may(entered(datastore, "tok-1"))
    made.start(lambda event: True)
    try:
        eventually((datastore.root / layout.REVOKED).exists)
        with pytest.raises(GateRefused):
            entered(datastore, "tok-1")
    finally:
        made.stop()


def test_revoking_is_remembered_with_the_commit_and_said_again_after_a_restart(tmp_path: Path) -> None:
    boss = Boss(tmp_path)
    for number in (1, 2):
        boss.ask(TokenMade(f"tok-{number}", "ada", Role.RESEARCHER, f"{number:064x}"))
    boss.outsider.said.clear()
    boss.ask(TokensRevoked("tok-1"))
    assert ("shut out", ("tok-1",)) in boss.outsider.said
    boss.outsider.said.clear()
    boss.loop._load()
    assert ("shut out", ("tok-1",)) in boss.outsider.said
    boss.wall += ACCESS * 2
    boss.loop._clock.now += ACCESS * 2
    boss.outsider.said.clear()
    boss.loop._load()
    assert not [one for one in boss.outsider.said if one[0] == "shut out"]


def test_the_fact_keeps_what_can_hold_and_drops_the_rest() -> None:
    fact = with_revoked(None, ["tok-1"], 1000.0)
    assert still_revoked(fact, 1000.0) == {"tok-1": 1000.0 + ACCESS + 300.0}
    fact = with_revoked(fact, ["tok-2"], 1000.0 + ACCESS + 301.0)
    assert list(still_revoked(fact, 1000.0 + ACCESS + 301.0)) == ["tok-2"]
