"""Tokens: made once, kept as digests, refused from the moment they end."""

import json
import sqlite3
import threading
from pathlib import Path

import httpx
import pytest

from boss.adapters.intake import Intake
from boss.api.accounts import UNKNOWN, Accounts, digest_of
from boss.api.answers import Refusal
from boss.core.events import Event
from boss.core.tokens import Role, Token
from tests.api.rig import Rig
from tests.servers import eventually


def make(rig: Rig, role: str = "researcher", name: str = "ada", **more: object) -> dict[str, object]:
    """A new token, as the API answers it."""
    made: dict[str, object] = rig.post("/tokens", {"role": role, "name": name, **more})
    return made


def listed(rig: Rig) -> dict[str, dict[str, object]]:
    """Tokens by id."""
    return {token["id"]: token for token in rig.get("/tokens")}


# ---- making ------------------------------------------------------------------------------------------------------------


def test_a_token_says_who_it_is_and_owns_what_it_pushes(rig: Rig) -> None:
    made = make(rig)
    ada = rig.client(str(made["token"]))
    assert ada.get("/me").json() == {"name": "ada", "role": "researcher", "token": made["id"], "expires": None}
    assert rig.get("/me")["token"] == "local"


def test_the_text_of_a_token_is_nowhere_but_in_the_answer(rig: Rig, tmp_path: Path) -> None:
    text = str(make(rig)["token"])
    assert len(text) >= 43
    assert text not in json.dumps(rig.get("/tokens"))
    with sqlite3.connect(tmp_path / "boss.db") as database:
        rows = database.execute("SELECT name, role, digest FROM tokens").fetchall()
    assert rows == [("ada", "researcher", digest_of(text))]
    assert not any(text.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_two_tokens_are_never_alike(rig: Rig) -> None:
    one, two = make(rig), make(rig)
    assert one["token"] != two["token"] and one["id"] != two["id"]
    assert [token["name"] for token in rig.get("/tokens")][-2:] == ["ada", "ada"]


def test_a_name_has_one_role(rig: Rig) -> None:
    made = make(rig, "viewer", "zoe")
    sentence = rig.post("/tokens", {"role": "admin", "name": "zoe"}, 409)["error"]
    assert sentence == f"zoe is a viewer (token {made['id']}) already; revoke_token zoe first, or choose another name"
    rig.http.delete("/tokens/zoe")
    make(rig, "admin", "zoe")


def test_the_boss_own_user_is_an_admin_and_nothing_else(rig: Rig) -> None:
    assert "root is an admin already" in rig.post("/tokens", {"role": "viewer", "name": "root"}, 409)["error"]
    make(rig, "admin", "root")


def test_a_name_that_nobody_can_have_is_refused_with_the_rule(rig: Rig) -> None:
    for name in (" ", "a b", "a:b", "local", "$(reboot)", "../x"):
        assert "no name of an owner" in rig.post("/tokens", {"role": "viewer", "name": name}, 422)["error"]


def test_a_wrong_wish_is_named_by_its_field(rig: Rig) -> None:
    wrong: list[tuple[str, dict[str, object]]] = [
        ("role", {"role": "boss"}),
        ("role", {"role": None}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 10_000}),
        ("lifetime", {"lifetime": 0}),
        ("lifetime", {"lifetime": -5}),
        ("lifetime", {"lifetime": 1e12}),
        ("lifetime", {"lifetime": "soon"}),
        ("expires", {"expires": 5}),
    ]
    for field, change in wrong:
        problems = rig.post("/tokens", {"role": "viewer", "name": "x", **change}, 422)["problems"]
        assert [problem["field"] for problem in problems] == [f"body.{field}"]
    assert [token["id"] for token in rig.get("/tokens")] == ["local", "local"]


# ---- ending ------------------------------------------------------------------------------------------------------------


def test_a_revoked_token_is_refused_at_once_and_its_job_goes_on(rig: Rig) -> None:
    ada = rig.client(str(make(rig, name="eve")["token"]))
    rig.push_by(ada, {"a": "hold"})
    rig.until(lambda rig: rig.get("/status")["jobs"])
    gone = rig.http.delete("/tokens/eve").json()
    assert ([token["name"] for token in gone["revoked"]], gone["jobs"]) == (["eve"], ["job"])
    answer = ada.get("/jobs")
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert "revoked" in answer.json()["error"]
    assert ada.post("/cancel", json={"targets": ["job"]}).status_code == 401
    assert rig.get("/jobs/job")["state"] == "running"


def test_one_token_of_a_name_is_revoked_by_its_id_and_the_others_stay(rig: Rig) -> None:
    one, two = make(rig, name="eve"), make(rig, name="eve")
    assert rig.http.delete(f"/tokens/{one['id']}").json()["jobs"] == []
    assert rig.client(str(one["token"])).get("/me").status_code == 401
    assert rig.client(str(two["token"])).get("/me").status_code == 200


def test_an_unknown_name_is_answered_with_the_nearest(rig: Rig) -> None:
    make(rig, name="eve")
    answer = rig.http.delete("/tokens/evee")
    assert (answer.status_code, answer.json()["nearest"]) == (404, ["eve"])
    assert rig.http.delete("/tokens/%2e%2e%2fjobs").status_code == 404


@pytest.mark.parametrize("which", ["local", "root"])
def test_the_token_of_the_boss_machine_is_not_revoked(rig: Rig, which: str) -> None:
    answer = rig.http.delete(f"/tokens/{which}")
    assert answer.status_code == 409 and "api.json" in answer.json()["error"]
    assert rig.get("/me")["token"] == "local"


def test_an_admin_does_not_lock_himself_out_by_his_name(rig: Rig) -> None:
    made = make(rig, "admin", "prof")
    prof = rig.client(str(made["token"]))
    assert str(made["id"]) in prof.delete("/tokens/prof").json()["error"]
    assert prof.delete(f"/tokens/{made['id']}").status_code == 200
    assert prof.get("/me").status_code == 401


def test_tokens_survive_the_boss_and_so_does_their_revocation(tmp_path: Path, intake: Intake) -> None:
    with Rig(tmp_path, intake) as rig:
        kept, gone = make(rig, name="eve"), make(rig, name="mal")
        rig.http.delete("/tokens/mal")
    with Rig(tmp_path, intake) as rig:
        rig.until(lambda rig: rig.client(str(kept["token"])).get("/me").status_code == 200)
        assert rig.client(str(gone["token"])).get("/me").status_code == 401


# ---- streams -----------------------------------------------------------------------------------------------------------


def _listening(client: httpx.Client, path: str, heard: list[str]) -> threading.Thread:
    """Read a stream to its end on a thread."""

    def read() -> None:
        with client.stream("GET", path) as response:
            for text in response.iter_lines():
                heard.append(text)
        heard.append("the end")

    thread = threading.Thread(target=read)
    thread.start()
    return thread


@pytest.mark.parametrize("path", ["/events", "/logs/follow?target=job:a"])
def test_an_open_stream_ends_with_its_token_and_its_last_line_says_why(rig: Rig, path: str) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "running"})
    heard: list[str] = []
    thread = _listening(rig.client(str(make(rig, "viewer", "eve")["token"])), path, heard)
    eventually(lambda: heard if path == "/events" else rig.workers.followed)
    rig.http.delete("/tokens/eve")
    rig.workers.end_all()  # what happens from now on is not for eve's eyes
    thread.join(20)
    assert not thread.is_alive()
    assert [text for text in heard if text] == [json.dumps({"refused": UNKNOWN}, ensure_ascii=False), "the end"]


def test_an_open_stream_ends_when_its_token_expires(rig: Rig) -> None:
    heard: list[str] = []
    thread = _listening(rig.client(str(make(rig, "viewer", "eve", lifetime=1.5)["token"])), "/events", heard)
    thread.join(20)
    assert not thread.is_alive()
    assert "expired on" in [text for text in heard if text][-2]


def test_a_wait_for_a_jobs_end_ends_with_its_token(rig: Rig) -> None:
    rig.push({"a": "hold"})
    eve = rig.client(str(make(rig, "viewer", "eve")["token"]))
    answers: list[httpx.Response] = []
    waiting = rig.asked.get("/jobs/job", 0)
    thread = threading.Thread(target=lambda: answers.append(eve.get("/jobs/job", params={"wait": 60})))
    thread.start()
    eventually(lambda: rig.asked.get("/jobs/job", 0) > waiting)
    rig.http.delete("/tokens/eve")
    thread.join(20)
    assert [answer.status_code for answer in answers] == [401]


def test_a_stream_of_a_token_that_holds_goes_on(rig: Rig) -> None:
    heard: list[str] = []
    make(rig, "viewer", "mal")
    thread = _listening(rig.client(str(make(rig, "viewer", "eve")["token"])), "/events?topic=job", heard)
    eventually(lambda: heard)
    rig.http.delete("/tokens/mal")
    rig.push({"a": "true"})
    eventually(lambda: any("succeeded" in text for text in heard))
    rig.http.delete("/tokens/eve")
    thread.join(20)


# ---- when a token was used ---------------------------------------------------------------------------------------------


def test_the_last_use_of_a_token_is_shown_and_survives(tmp_path: Path, intake: Intake) -> None:
    with Rig(tmp_path, intake) as rig:
        made = make(rig, "viewer", "eve")
        assert listed(rig)[str(made["id"])]["used"] is None
        rig.client(str(made["token"])).get("/me")
        seen = listed(rig)[str(made["id"])]["used"]
        assert isinstance(seen, float) and abs(seen - float(str(made["created"]))) < 60
        rig.until(lambda rig: sqlite3.connect(tmp_path / "boss.db").execute("SELECT used FROM tokens").fetchone()[0])
    with Rig(tmp_path, intake) as rig:
        rig.until(lambda rig: str(made["id"]) in listed(rig))
        assert listed(rig)[str(made["id"])]["used"] == pytest.approx(seen, abs=1)


# ---- the door's own memory ---------------------------------------------------------------------------------------------


class Loaded:
    """What the door asks of the desk. ``known`` is None before the store was loaded."""

    def __init__(self, known: dict[str, Token] | None) -> None:
        self.known = known
        self.heard: list[Event] = []

    def tokens(self) -> dict[str, Token] | None:
        """The tokens by their digests."""
        return self.known

    def put(self, event: Event) -> bool:
        """Keep what was put."""
        self.heard.append(event)
        return True


def door(known: dict[str, Token] | None, now: list[float]) -> tuple[Accounts, Loaded]:
    """The accounts of a desk, on a clock that the test moves."""
    desk = Loaded(known)
    return Accounts(desk, {"own": "root"}, lambda: now[0]), desk  # type: ignore[arg-type]


def eve(expires: float | None = None) -> dict[str, Token]:
    """One token, whose text is ``x``."""
    return {digest_of("x"): Token("tok-1", "eve", Role.VIEWER, digest_of("x"), 0.0, expires)}


def test_before_the_tokens_are_loaded_only_the_own_one_is_known_and_others_ask_again() -> None:
    accounts, _ = door(None, [10.0])
    assert accounts.admit("Bearer own").role is Role.ADMIN
    with pytest.raises(Refusal, match="is starting") as refused:
        accounts.admit("Bearer x")
    assert refused.value.status == 503


def test_a_token_holds_until_its_second_and_not_longer() -> None:
    now = [99.9]
    accounts, _ = door(eve(100.0), now)
    caller = accounts.admit("Bearer x")
    assert accounts.holds(caller)
    now[0] = 100.0
    assert not accounts.holds(caller)
    with pytest.raises(Refusal, match="expired on"):
        accounts.admit("Bearer x")


def test_use_is_noted_once_a_minute_and_known_to_the_second() -> None:
    now = [1000.0]
    known = eve()
    accounts, desk = door(known, now)
    for _ in range(100):
        accounts.admit("Bearer x")
        now[0] += 1.0
    assert len(desk.heard) == 2
    assert accounts.used(known[digest_of("x")]) == 1099.0


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic own", "own", "Bearer own x", "bearer\town"])
def test_what_is_no_bearer_token_opens_nothing(header: str) -> None:
    accounts, _ = door({}, [0.0])
    with pytest.raises(Refusal) as refused:
        accounts.admit(header)
    assert refused.value.status == 401
