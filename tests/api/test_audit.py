"""Every change has a line: who, when, from where, what, and what came of it. No line without a change, no change without a line."""

import dataclasses
import typing
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest

from boss.api.noting import VERBS, WAITING, Notes
from boss.api.roles import roles_of
from boss.core import audit, requests
from boss.core.deeds import Asker, Entry
from boss.core.requests import JobPaused, TasksCancelled
from boss.core.tokens import Role
from tests.api.rig import TOKEN, Rig, parts
from tests.boss.test_loop import Boss

#: Requests to the loop that change nothing that a person asked for: questions, parts of a push, and what machines say.
NO_DEEDS = {
    "JobStaged",
    "TasksStaged",
    "WhyAsked",
    "BasisAsked",
    "LogFollowed",
    "TokensUsed",
    "DeedsSeen",
    "JoinAsked",
    "StopWanted",
}


def lines(rig: Rig, **wanted: Any) -> list[tuple[str, str, str, str, int]]:
    """Who, verb, job, target and code of the entries, oldest first."""
    return [(one["who"], one["verb"], one["job"], one["target"], one["code"]) for one in rig.get("/audit", **wanted)]


def until_noted(rig: Rig, verb: str, **wanted: Any) -> dict[str, Any]:
    """The newest entry of a verb; waits for what the loop has still to write."""
    found: list[dict[str, Any]] = []

    def look(rig: Rig) -> bool:
        found[:] = [one for one in rig.get("/audit", **wanted) if one["verb"] == verb]
        return bool(found)

    rig.until(look)
    return found[-1]


def test_each_request_of_people_is_a_deed_or_was_decided_to_be_none() -> None:
    everything = {kind.__name__ for kind in typing.get_args(requests.Request)}
    deeds = {kind.__name__ for kind in audit.DEEDS}
    assert everything == deeds | NO_DEEDS and not deeds & NO_DEEDS


def test_each_route_that_changes_something_has_a_verb(rig: Rig) -> None:
    changing = {(method, path.removeprefix("/api/v1")) for method, path in roles_of(rig.app.routes) if method != "GET"}
    assert changing == {route for route in VERBS if route[0] != "GET"}


def test_who_did_what_when_and_from_where(rig: Rig) -> None:
    ada = rig.as_a("researcher", "ada")
    job = rig.push_by(ada, {"a": "hold", "b": "hold"})
    assert ada.post("/cancel", json={"targets": [f"{job}:a"]}).status_code == 200
    assert ada.post("/pause", json={"targets": [job]}).status_code == 200
    assert lines(rig) == [
        ("root", "create_token", "", lines(rig)[0][3], 200),
        ("ada", "push", job, "", 200),
        ("ada", "cancel", job, "a", 200),
        ("ada", "pause", job, "", 200),
    ]
    entry = rig.get("/audit", who="ada")[-1]
    token = next(one for one in rig.get("/tokens") if one["name"] == "ada")
    assert (entry["role"], entry["token"], entry["address"]) == ("researcher", token["id"], "127.0.0.1")
    assert entry["at"] == pytest.approx(rig.loop.view().taken, abs=60)
    assert lines(rig, job="none") == [] and len(lines(rig, job=job)) == 3
    assert lines(rig, since=entry["at"] + 1000) == []


def test_what_is_refused_is_there_with_the_reason(rig: Rig) -> None:
    job = rig.push({"a": "hold"})
    bob = rig.as_a("researcher", "bob")
    assert bob.post("/cancel", json={"targets": [job]}).status_code == 403
    entry = until_noted(rig, "cancel")
    assert (entry["who"], entry["job"], entry["code"]) == ("bob", job, 403) and "belongs to root" in entry["said"]
    assert bob.post("/tokens", json={"role": "admin", "name": "bob"}).status_code == 403
    assert until_noted(rig, "create_token", who="bob")["code"] == 403
    assert rig.http.post("/cancel", json={"targets": []}).status_code == 422
    assert "problem" in until_noted(rig, "cancel", who="root")["said"]
    assert rig.http.delete("/tokens/nobody").status_code == 404
    assert until_noted(rig, "revoke_token")["code"] == 404


def test_questions_and_dry_runs_leave_no_line(rig: Rig) -> None:
    rig.push({"a": "hold"})
    before = lines(rig)
    rig.get("/status"), rig.get("/why", target="job:a"), rig.get("/basis")
    rig.http.get("/jobs/none")
    rig.plan({"tasks": [{"id": "a", "command": "true"}]}, dry_run=True)
    rig.plan({"tasks": [{"id": "a", "command": "true"}]})
    rig.http.post("/pause", json={"targets": ["job"]})
    assert lines(rig) == [*before, ("root", "pause", "job", "", 200)]


def test_a_certificate_for_the_datastore_is_noted_without_the_key(rig: Rig) -> None:
    rig.post("/certificates", {"public_key": "ssh-ed25519 AAAA secret-comment"})
    entry = until_noted(rig, "certificate")
    assert entry["code"] == 200 and "AAAA" not in str(entry) and "comment" not in str(entry)


def test_only_an_admin_reads_it(rig: Rig) -> None:
    for role in ("viewer", "researcher"):
        assert rig.as_a(role, f"some-{role}").get("/audit").status_code == 403


def test_no_secret_is_ever_in_it(rig: Rig) -> None:
    made = rig.post("/tokens", {"role": "viewer", "name": "vic"})
    stranger = "ecloud_wrong-but-still-nobodys-business"
    rig.client(stranger).get("/status")
    rig.client(TOKEN + "x").post("/cancel", json={"targets": ["a"]})
    until_noted(rig, "log_in")
    text = str(rig.get("/audit"))
    data = (rig.folder / "boss.db").read_bytes() + (rig.folder / "boss.db-wal").read_bytes()
    for secret in (made["token"], stranger, TOKEN):
        assert secret not in text and secret.encode() not in data


def test_a_wrong_token_is_a_line_with_the_address(rig: Rig) -> None:
    assert rig.client("wrong").get("/status").status_code == 401
    entry = until_noted(rig, "log_in")
    assert (entry["who"], entry["address"], entry["code"]) == ("", "127.0.0.1", 401)
    for _ in range(40):
        rig.client("wrong").get("/status")
    rig.post("/fleet/open")
    assert len([line for line in lines(rig) if line[1] == "log_in"]) == 10


# ---- the transaction -----------------------------------------------------------------------------------------------------


ASKER = Asker("ada", "researcher", "tok-1", "10.0.0.1")


def asked(boss: Boss, event: Any) -> Any:
    """Ask as ada, and turn."""
    future = boss.loop.ask(lambda reply: dataclasses.replace(event, reply=reply), ASKER)
    boss.loop.turn()
    return future.result(timeout=0)


def audited(boss: Boss) -> list[tuple[str, str, int]]:
    return [(verb, job, code) for verb, job, code in boss.store._db.select("SELECT verb, job, code FROM audit ORDER BY number")]


def test_a_change_and_its_line_are_one_commit_or_none(tmp_path: Path) -> None:
    boss = Boss(tmp_path)
    boss.push()
    boss.store.fail_before = True
    assert asked(boss, JobPaused("job")).code == 503
    assert audited(boss) == [] and boss.loop._state.jobs["u1"].wanted == "run"
    boss.store.fail_after = True  # it happened, although nobody knows: then the line is there, too
    assert asked(boss, JobPaused("job")).code == 503
    assert audited(boss) == [("pause", "job", 200)] and boss.loop._state.jobs["u1"].wanted == "pause"
    assert asked(boss, TasksCancelled("none")).code == 404
    assert audited(boss)[-1] == ("cancel", "none", 404)


def test_old_lines_go_after_their_time_and_nothing_else_does(tmp_path: Path) -> None:
    boss = Boss(tmp_path)
    boss.push()
    asked(boss, JobPaused("job"))
    boss.loop._audit_keep = 86400.0
    for _ in range(2):
        boss.steady, boss.wall = boss.steady + 80_000, boss.wall + 80_000
        boss.loop._clock.now += 80_000
        boss.turn()
    assert audited(boss) == [] and boss.loop._state.jobs["u1"].name == "job"


# ---- the limits ----------------------------------------------------------------------------------------------------------


def test_a_viewer_may_not_push_and_the_try_is_noted(rig: Rig) -> None:
    viewer = rig.as_a("viewer", "vic")
    answer: httpx.Response = viewer.post("/pushes", files=parts({"tasks": [{"id": "a", "command": "true"}]}, {}))
    assert answer.status_code == 403
    assert until_noted(rig, "push")["who"] == "vic"


def test_the_role_is_decided(rig: Rig) -> None:
    assert roles_of(rig.app.routes)["GET", "/api/v1/audit"] is Role.ADMIN


def test_notes_that_the_loop_does_not_take_are_bounded() -> None:
    class Stuck:
        """A loop whose database does not answer."""

        def __init__(self) -> None:
            self.futures: list[Future[Any]] = []

        def ask(self, request: Any, asker: Any = None) -> "Future[Any]":
            self.futures.append(Future())
            return self.futures[-1]

    stuck = Stuck()
    notes = Notes(stuck)  # type: ignore[arg-type]
    for number in range(WAITING * 2):
        notes.put(Entry(0.0, ASKER, "cancel", "", str(number)))
    assert len(stuck.futures) == WAITING
    stuck.futures[0].set_result(None)
    notes.put(Entry(0.0, ASKER, "cancel"))
    assert len(stuck.futures) == WAITING + 1
