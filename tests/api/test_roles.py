"""Who may what: every route has a role, and a job is changed by its owner or an admin only."""

import json
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from boss.api.roles import Guarded, needs, roles_of
from boss.core.tokens import Role
from tests.api.rig import Rig, parts

#: The role of every route, decided one by one: a new route must be decided here too.
DECIDED: dict[str, Role | None] = {
    "GET /health": None,
    "GET /ca": None,
    "GET /metrics": Role.VIEWER,  # beside /api/v1
    "GET /status": Role.VIEWER,
    "GET /jobs": Role.VIEWER,
    "GET /jobs/{job}": Role.VIEWER,
    "GET /jobs/{job}/results": Role.VIEWER,
    "GET /jobs/{job}/graph": Role.VIEWER,
    "GET /jobs/{job}/newer": Role.VIEWER,
    "GET /jobs/{job}/history": Role.VIEWER,
    "GET /jobs/{job}/machines": Role.VIEWER,
    "GET /jobs/{job}/provenance": Role.VIEWER,
    "GET /tasks": Role.VIEWER,
    "GET /task": Role.VIEWER,
    "GET /why": Role.VIEWER,
    "GET /basis": Role.VIEWER,
    "GET /failures": Role.VIEWER,
    "GET /workers": Role.VIEWER,
    "GET /workers/{worker}/debug": Role.ADMIN,
    "GET /vms": Role.VIEWER,
    "GET /context": Role.VIEWER,
    "GET /shared": Role.VIEWER,
    "GET /logs": Role.VIEWER,
    "GET /logs/follow": Role.VIEWER,
    "GET /events": Role.VIEWER,
    "GET /me": Role.VIEWER,
    "POST /certificates": Role.VIEWER,
    "POST /cancel": Role.RESEARCHER,
    "POST /pause": Role.RESEARCHER,
    "POST /resume": Role.RESEARCHER,
    "POST /redo": Role.RESEARCHER,
    "POST /retry": Role.RESEARCHER,
    "POST /pushes": Role.VIEWER,  # a dry run; anything else takes a researcher
    "POST /pushes/{push}/open": Role.RESEARCHER,
    "DELETE /pushes/{push}": Role.RESEARCHER,
    "POST /workers": Role.ADMIN,
    "POST /workers/drain": Role.ADMIN,
    "POST /workers/terminate": Role.ADMIN,
    "POST /fleet/close": Role.ADMIN,
    "POST /fleet/open": Role.ADMIN,
    "POST /trials": Role.ADMIN,
    "GET /trials": Role.VIEWER,
    "DELETE /trials/{pool}": Role.ADMIN,
    "POST /hosts": Role.ADMIN,
    "DELETE /hosts/{login}": Role.ADMIN,
    "GET /vms/{vm}/console": Role.RESEARCHER,
    "GET /fleet/leaks": Role.ADMIN,
    "DELETE /fleet/leaks": Role.ADMIN,
    "DELETE /context": Role.ADMIN,
    "PUT /context/datastore": Role.ADMIN,
    "PUT /context/boss": Role.ADMIN,
    "GET /tokens": Role.ADMIN,
    "POST /tokens": Role.ADMIN,
    "DELETE /tokens/{which}": Role.ADMIN,
    "GET /audit": Role.ADMIN,
    "GET /listeners": Role.ADMIN,
    "POST /listeners": Role.ADMIN,
    "GET /pools": Role.VIEWER,
    "PUT /pools/{pool}": Role.ADMIN,
    "DELETE /pools/{pool}": Role.ADMIN,
    "POST /session": Role.VIEWER,
    "DELETE /session": Role.VIEWER,
    "DELETE /listeners/{name}": Role.ADMIN,
    "POST /notify/test": Role.ADMIN,
}
#: Every command about jobs, and a state of the job's tasks in which the owner may give it.
STEERING = ("/cancel", "/pause", "/resume", "/redo", "/retry")


def told(answer: httpx.Response, code: int = 403) -> str:
    """The one sentence of a refusal."""
    assert answer.status_code == code, answer.text
    sentence = str(answer.json()["error"])
    assert "\n" not in sentence
    return sentence


def snapshot(rig: Rig) -> Any:
    """Everything that a command could have changed."""
    kept = ("id", "state", "attempt", "reason")
    tasks = [[task[name] for name in kept] for task in rig.get("/tasks")["tasks"]]
    workers = [(worker["id"], worker["draining"]) for worker in rig.get("/workers")]
    return rig.get("/jobs"), tasks, workers, rig.get("/context"), [token["id"] for token in rig.get("/tokens")]


# ---- every route -------------------------------------------------------------------------------------------------------


def test_every_route_has_the_role_that_was_decided_for_it(rig: Rig) -> None:
    prefix = "/api/v1"
    found = {f"{method} {path.removeprefix(prefix)}": role for (method, path), role in roles_of(rig.app.routes).items()}
    assert found == DECIDED


def test_a_route_without_a_role_cannot_be_written_down() -> None:
    router = APIRouter(route_class=Guarded)
    with pytest.raises(TypeError, match="does not say whom it is for"):
        router.get("/forgotten")(lambda: None)


def test_an_app_with_a_route_that_nobody_guards_is_refused() -> None:
    router, app = APIRouter(), FastAPI()
    router.get("/open", openapi_extra=needs(Role.ADMIN))(lambda: None)
    app.include_router(router, prefix="/api/v1")
    with pytest.raises(TypeError, match="/api/v1/open has no guard"):
        roles_of(app.routes)


def test_a_role_below_the_decided_one_is_refused_before_the_request_is_read(rig: Rig) -> None:
    clients = {role: rig.as_a(role, f"some-{role}") for role in Role}
    for route, needed in DECIDED.items():
        method, path = route.split()
        for role, client in clients.items():
            if needed is None or role.covers(needed):
                continue
            sentence = told(client.request(method, path, content=b"\xff not even JSON"))
            assert f"some-{role}, a {role}" in sentence, route
            assert "admin" in sentence, route


def test_openapi_says_which_role_a_call_takes(rig: Rig) -> None:
    document = rig.client("").get(rig.url + "/openapi.json").json()
    assert document["paths"]["/api/v1/workers/drain"]["post"]["x-role"] == "admin"
    assert document["paths"]["/api/v1/jobs"]["get"]["x-role"] == "viewer"


# ---- viewers -----------------------------------------------------------------------------------------------------------


def test_a_viewer_sees_everything_and_changes_nothing(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "true", "outputs": ["a.txt"]}, {"id": "b", "command": "hold"}])
    rig.until(lambda rig: rig.states() == {"a": "succeeded", "b": "running"})
    viewer = rig.as_a("viewer", "vic")
    for path in (
        "/status",
        "/jobs",
        "/jobs/job",
        "/jobs/job/results",
        "/tasks",
        "/task?target=a",
        "/why?target=b",
        "/workers",
        "/vms",
    ):
        assert viewer.get(path).status_code == 200, path
    assert viewer.get("/logs?target=a").json()["stdout"] == "out of it\n"
    before = snapshot(rig)
    for path in STEERING:
        assert "viewers see everything and change nothing" in told(viewer.post(path, json={"targets": ["job"]}))
    told(viewer.post("/pushes", files=parts({"tasks": [{"id": "x", "command": "true"}]}, {})))
    before = snapshot(rig)
    for more in ({}, {"job": "job", "merge": "changed"}):
        tried = viewer.post("/pushes", files=parts({"tasks": [{"id": "x", "command": "true"}]}, {"dry_run": True, **more}))
        assert (tried.status_code, tried.json()["tasks"], tried.json()["push"]) == (200, 1, "")
    assert snapshot(rig) == before
    assert snapshot(rig) == before


def test_a_certificate_carries_the_callers_name_and_role(rig: Rig) -> None:
    for role in ("viewer", "researcher", "admin"):
        answer = rig.as_a(role, f"some-{role}").post("/certificates", json={"public_key": "ssh-ed25519 AAAA me"})
        assert answer.json()["certificate"] == f"certificate of {role} some-{role}"


def test_a_certificate_is_asked_for_until_the_token_ends_at_the_latest(rig: Rig) -> None:
    made = rig.post("/tokens", {"role": "viewer", "name": "zoe", "lifetime": 60})
    answer = rig.client(made["token"]).post("/certificates", json={"public_key": "ssh-ed25519 AAAA me"}).json()
    assert answer["expires"] == made["expires"]


# ---- owners ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", STEERING)
def test_another_researchers_job_is_not_changed_and_the_refusal_says_whose_it_is(rig: Rig, path: str) -> None:
    rig.push_as("ada", [{"id": "bad", "command": "fail"}, {"id": "good", "command": "true"}, {"id": "b", "command": "hold"}])
    rig.until(lambda rig: set(rig.states().values()) == {"failed", "succeeded", "running"})
    before = snapshot(rig)
    bob = rig.as_a("researcher", "bob")
    for target in ("job", "job:*", *(() if path in ("/pause", "/resume") else ("job:bad", "job:good", "b"))):
        sentence = told(bob.post(path, json={"targets": [target]}))
        assert sentence == "job job belongs to ada: only ada or an admin may change it, you are bob, a researcher"
    after = snapshot(rig)
    assert after[:4] == before[:4]


def test_one_target_of_anothers_among_own_ones_changes_nothing(rig: Rig) -> None:
    rig.push_as("ada", {"a": "hold"}, name="hers")
    rig.push_as("bob", {"b": "hold"}, name="his")
    told(rig.as_a("researcher", "bob").post("/cancel", json={"targets": ["his", "hers"]}))
    assert {job["state"] for job in rig.get("/jobs")} == {"running"}


def test_an_owner_changes_the_own_job_with_any_of_the_names_tokens(rig: Rig) -> None:
    rig.push_as("ada", {"a": "hold"})
    second = rig.as_a("researcher", "ada")
    assert second.post("/pause", json={"targets": ["job"]}).json()["done"][0]["state"] == "paused"
    assert second.post("/resume", json={"targets": ["job"]}).status_code == 200
    assert second.post("/cancel", json={"targets": ["job:a"]}).json()["done"][0]["cancelled"] == 1


def test_an_admin_changes_everybodys_jobs_and_they_stay_their_owners(rig: Rig) -> None:
    rig.push_as("ada", {"a": "hold"})
    admin = rig.as_a("admin", "prof")
    planned = admin.post("/pushes", files=parts({"tasks": [{"id": "b", "command": "hold"}]}, {"job": "job"})).json()
    assert admin.post(f"/pushes/{planned['push']}/open").json()["job"] == "job"
    assert rig.get("/jobs/job")["owner"] == "ada"
    assert admin.post("/cancel", json={"targets": ["job"]}).json()["done"][0]["cancelled"] == 2


@pytest.mark.parametrize(
    "options",
    [
        {"job": "job"},
        {"job": "job", "merge": "replace"},
        {"document_job": "job", "merge": "ignore"},
        {"document_job": "job", "merge": "keep-succeeded"},
        {"document_job": "job", "merge": "replace", "dry_run": True},
        {"job": "job", "merge": "replace", "skip_existing": True},
    ],
    ids=json.dumps,
)
def test_nothing_is_pushed_into_anothers_job(rig: Rig, options: dict[str, Any]) -> None:
    rig.push_as("ada", {"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"} and rig.get("/workers"))
    before = snapshot(rig)
    document = {"job": "job", "tasks": [{"id": "a", "command": "echo overwritten"}, {"id": "b", "command": "true"}]}
    answer = rig.as_a("researcher", "bob").post("/pushes", files=parts(document, options))
    assert "job job belongs to ada" in told(answer)
    after = snapshot(rig)
    assert after[:4] == before[:4]


def test_a_planned_push_is_opened_and_dropped_by_its_own_name_only(rig: Rig) -> None:
    planned = rig.as_a("researcher", "ada").post("/pushes", files=parts({"tasks": [{"id": "a", "command": "true"}]}, {})).json()
    bob = rig.as_a("researcher", "bob")
    assert bob.post(f"/pushes/{planned['push']}/open").status_code == 404
    assert bob.delete(f"/pushes/{planned['push']}").status_code == 204
    assert rig.as_a("researcher", "ada").post(f"/pushes/{planned['push']}/open").status_code == 200


def test_a_name_that_anothers_job_has_is_not_offered_to_be_added_to(rig: Rig) -> None:
    rig.push_as("ada", {"a": "true"})
    document = parts({"tasks": [{"id": "a", "command": "true"}]}, {"name": "job"})
    sentence = told(rig.as_a("researcher", "bob").post("/pushes", files=document), 409)
    assert sentence == "there is a job named 'job' already (ada's); choose another --name"
    assert "--job job" in told(rig.as_a("researcher", "ada").post("/pushes", files=document), 409)


def test_the_same_file_pushed_by_two_makes_two_jobs(rig: Rig) -> None:
    assert rig.push_as("ada", {"a": "true"}) == "job"
    assert rig.push_as("bob", {"a": "true"}) == "job-2"
    assert {job["name"]: job["owner"] for job in rig.get("/jobs")} == {"job": "ada", "job-2": "bob"}


def test_the_same_submission_key_of_two_people_is_two_submissions(rig: Rig) -> None:
    assert rig.push_as("ada", {"a": "true"}, submission="k") == "job"
    assert rig.push_as("bob", {"a": "true"}, submission="k") == "job-2"
