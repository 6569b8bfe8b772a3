"""The fleet is shut down and opened again; what lies in a cloud without an owner is found and removed."""

from boss.ports import CloudDown, Thing
from tests.api.rig import Rig


def lost(name: str = "ecloud-c-local-99", status: str = "ACTIVE") -> Thing:
    """A server that no claim knows."""
    return Thing("local", "server", f"id-of-{name}", name, "local-99", status)


def test_a_closed_fleet_goes_away_and_comes_back_when_it_is_opened(rig: Rig) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "running"})
    assert rig.post("/fleet/close", {"now": True})["workers"] == ["local-1"]
    rig.until(lambda rig: not rig.get("/vms"))
    assert any("admin.py open" in note for note in rig.get("/status")["notes"])
    assert rig.post("/workers", {"count": 1}, 409)["error"].startswith("the fleet is shut down")
    rig.post("/fleet/open", {})
    rig.until(lambda rig: [vm["id"] for vm in rig.get("/vms")] == ["local-2"])


def test_a_server_is_owned_by_its_claim_and_what_nobody_owns_is_removed(rig: Rig) -> None:
    rig.post("/workers", {"count": 1})
    rig.cloud.lost.append(lost())
    owners = {thing["name"]: thing["owner"] for thing in rig.get("/fleet/leaks")["things"]}
    assert owners == {"local-1": "local-1", "ecloud-c-local-99": ""}
    removed = {thing["name"]: thing["removed"] for thing in rig.http.delete("/fleet/leaks").json()["things"]}
    assert removed == {"local-1": False, "ecloud-c-local-99": True}
    assert [thing["name"] for thing in rig.get("/fleet/leaks")["things"]] == ["local-1"]


def test_what_goes_with_a_server_that_is_removed_is_not_asked_for_itself(rig: Rig) -> None:
    server = lost()
    volume = Thing(
        "local", "volume", "v1", "its disk", "local-99", "stuck", uses=server.id
    )  # in use: its deletion would be refused
    rig.cloud.lost += [server, volume]
    told = {thing["name"]: (thing["removed"], thing["error"]) for thing in rig.http.delete("/fleet/leaks").json()["things"]}
    assert told == {server.name: (True, ""), "its disk": (True, "")}


def test_what_cannot_be_removed_says_why(rig: Rig) -> None:
    rig.cloud.lost.append(lost(status="stuck"))
    [thing] = rig.http.delete("/fleet/leaks").json()["things"]
    assert (thing["removed"], thing["error"]) == (False, "ecloud-c-local-99 cannot be removed")


def test_a_cloud_that_does_not_answer_is_named_and_not_taken_for_an_empty_one(rig: Rig) -> None:
    def silent() -> list[Thing]:
        raise CloudDown("connection refused")

    rig.cloud.inventory = silent  # type: ignore[method-assign]
    assert rig.get("/fleet/leaks") == {"things": [], "silent": {"local": "connection refused"}}


def test_a_vm_that_is_gone_tells_what_became_of_it_and_what_its_console_said(rig: Rig) -> None:
    rig.post("/workers", {"count": 1})
    rig.post("/workers/terminate", {"workers": ["local-1"], "now": True})
    rig.until(lambda rig: not rig.get("/vms"))
    object.__setattr__(rig.facts, "console", lambda vm: "no route to the boss" if vm == "local-1" else "")
    told = rig.get("/why", target="local-1")
    assert told["state"] == "gone" and "`admin.py console local-1`" in told["why"][-1]
    assert rig.get("/vms/local-1/console")["text"] == "no route to the boss"
    assert "never joined" in rig.http.get("/vms/local-2/console").json()["error"]


def test_pools_without_vms_cannot_be_tried_and_nothing_was_tried_yet(rig: Rig) -> None:
    assert rig.post("/trials", {}, 404)["error"] == "no pool of the settings has VMs; there are: none"
    assert rig.post("/trials", {"pool": "local"}, 404)["error"] == "there is no pool of VMs named 'local'; there are: none"
    assert rig.get("/trials") == []
    assert "no trial of pool 'local' goes on" in rig.http.delete("/trials/local").json()["error"]
