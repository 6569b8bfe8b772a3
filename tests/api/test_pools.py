"""Pools over HTTP: an admin changes them while the boss runs, others look."""

import pytest

from tests.api.rig import Rig


def test_an_admin_changes_a_pool_and_the_audit_says_so(rig: Rig) -> None:
    said = rig.http.put("/pools/local", json={"minimum": 1, "maximum": 3}).json()
    assert (said["name"], said["minimum"], said["maximum"], said["paused"]) == ("local", 1, 3, False)
    rig.until(lambda rig: len(rig.get("/vms")) == 1)  # the minimum is kept
    rig.until(lambda rig: rig.get("/pools")[0]["maximum"] == 3)
    (entry,) = [one for one in rig.get("/audit") if one["verb"] == "set_pool"]
    assert (entry["who"], entry["target"], entry["code"]) == ("root", "local maximum=3 minimum=1", 200)


def test_a_paused_pool_lets_no_vm_come_until_it_goes_on(rig: Rig) -> None:
    assert rig.http.put("/pools/local", json={"paused": True}).status_code == 200
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "ready"})
    why = " ".join(rig.get("/why", target="job:a")["why"])
    assert "paused by an admin" in why
    assert rig.get("/vms") == []
    rig.http.put("/pools/local", json={"paused": False})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})


def test_a_pool_goes_back_to_the_settings(rig: Rig) -> None:
    rig.until(lambda rig: rig.get("/pools"))
    before = rig.get("/pools")
    rig.http.put("/pools/local", json={"maximum": 1})
    assert rig.http.delete("/pools/local").json() == before[0]
    rig.until(lambda rig: rig.get("/pools") == before)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"maximum": "3"},
        {"maximum": 1.5},
        {"maximum": True},
        {"minimum": -1},
        {"maximum": 10**9},
        {"paused": 1},
        {"max": 3},
        [],
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(rig: Rig, body: object) -> None:
    rig.until(lambda rig: rig.get("/pools"))
    before = rig.get("/pools")
    assert rig.http.put("/pools/local", json=body).status_code == 422
    assert rig.get("/pools") == before


def test_a_minimum_above_the_maximum_and_an_unknown_pool_are_refused(rig: Rig) -> None:
    assert "minimum not above the maximum" in rig.http.put("/pools/local", json={"minimum": 9000}).json()["error"]
    answer = rig.http.put("/pools/lcoal", json={"maximum": 1})
    assert answer.status_code == 404
    assert "there is no pool named 'lcoal'; there are: local" in answer.json()["error"]
