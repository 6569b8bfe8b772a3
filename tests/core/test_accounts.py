"""Tokens in the core: events in, changes out; and who may be called what."""

import pytest

from boss.core import reactor
from boss.core.effects import Reply
from boss.core.events import Event
from boss.core.requests import Answer, TokenMade, TokensRevoked, TokensUsed
from boss.core.state import State
from boss.core.tokens import Role, Token, check_name
from tests.core.scene import Scene


def made(scene: Scene, number: int, name: str, role: Role = Role.RESEARCHER, lifetime: float | None = None) -> Answer:
    """Ask for a token."""
    return scene.answer(TokenMade(f"tok-{number}", name, role, f"digest-{number}", lifetime, 1))


def changes_of(state: State, event: Event) -> dict[str, Token | None]:
    """What an event would have stored of tokens."""
    reactor.handle(state, event, 1000.0)
    return state.take_changes().tokens


def test_a_token_is_kept_with_its_end() -> None:
    scene = Scene()
    answer = made(scene, 1, "ada", lifetime=60.0)
    assert (answer.code, answer.detail) == (200, {"created": scene.now, "expires": scene.now + 60})
    token = scene.state.tokens["tok-1"]
    assert (token.name, token.role, token.digest) == ("ada", Role.RESEARCHER, "digest-1")
    assert not token.expired(scene.now + 59.9)
    assert token.expired(scene.now + 60)


def test_a_name_may_have_several_tokens_of_one_role() -> None:
    scene = Scene()
    assert [made(scene, number, "ada").code for number in (1, 2)] == [200, 200]
    refused = made(scene, 3, "ada", Role.ADMIN)
    assert (refused.code, refused.detail["error"]) == (
        409,
        "ada is a researcher (token tok-1) already; revoke_token ada first, or choose another name",
    )
    assert set(scene.state.tokens) == {"tok-1", "tok-2"}


def test_an_expired_token_does_not_hold_its_name_to_a_role() -> None:
    scene = Scene()
    made(scene, 1, "ada", Role.VIEWER, lifetime=5.0)
    scene.wait(6)
    assert made(scene, 2, "ada", Role.ADMIN).code == 200


def test_an_id_is_never_given_twice() -> None:
    scene = Scene()
    made(scene, 1, "ada")
    assert made(scene, 1, "bob").code == 409
    assert scene.state.tokens["tok-1"].name == "ada"


def test_a_name_is_revoked_with_all_its_tokens_and_an_id_alone() -> None:
    scene = Scene()
    for number, name in enumerate(("ada", "ada", "bob", "bob")):
        made(scene, number, name)
    assert scene.answer(TokensRevoked("ada", 1)).detail == {"revoked": ["tok-0", "tok-1"]}
    assert scene.answer(TokensRevoked("tok-3", 1)).detail == {"revoked": ["tok-3"]}
    assert set(scene.state.tokens) == {"tok-2"}
    assert scene.answer(TokensRevoked("ada", 1)).code == 404


def test_what_changes_is_stored_and_nothing_else() -> None:
    state = Scene().state
    token = changes_of(state, TokenMade("tok-1", "ada", Role.VIEWER, "d"))["tok-1"]
    assert token is state.tokens["tok-1"]
    assert changes_of(state, TokensUsed({"tok-1": 5.0, "tok-9": 5.0})) == {"tok-1": token}
    assert changes_of(state, TokensUsed({"tok-1": 4.0})) == {}  # late news
    assert token is not None and token.used == 5.0
    assert changes_of(state, TokensRevoked("ada")) == {"tok-1": None}
    assert changes_of(state, TokensRevoked("ada")) == {}


def test_nobody_waits_for_the_note_of_a_use() -> None:
    scene = Scene()
    assert not [effect for effect in scene.turn(TokensUsed({"tok-1": 5.0})) if isinstance(effect, Reply)]


def test_a_role_covers_itself_and_what_is_below() -> None:
    covered = {(one, other) for one in Role for other in Role if one.covers(other)}
    assert {other for one, other in covered if one is Role.VIEWER} == {Role.VIEWER}
    assert {other for one, other in covered if one is Role.RESEARCHER} == {Role.VIEWER, Role.RESEARCHER}
    assert {other for one, other in covered if one is Role.ADMIN} == set(Role)


@pytest.mark.parametrize("name", ["ada", "a", "Ada.L-2_x", "ada@example.org", "7", "x" * 64, "viewer", "tok-1"])
def test_an_owner_may_be_called(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "-o",
        ".a",
        "@a",
        "a/b",
        "../x",
        "a:b",
        "ада",
        "x" * 65,
        "a\n",
        "\n",
        "$(reboot)",
        "a'b",
        '"',
        "local",
        "tok-0a1b2c3d",
    ],
)
def test_an_owner_may_not_be_called(name: str) -> None:
    with pytest.raises(ValueError, match="no name of an owner"):
        check_name(name)
