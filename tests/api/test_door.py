"""No request passes without a token, and none is longer than it may be."""

from pathlib import Path

from boss.adapters.intake import Intake
from tests.api.rig import OTHER, TOKEN, Rig

PATHS = [
    "/status",
    "/jobs",
    "/tasks",
    "/task?target=a",
    "/workers",
    "/vms",
    "/context",
    "/events",
    "/logs?target=a",
    "/no/such/path",
]


def test_everything_needs_the_token(rig: Rig) -> None:
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x"):
        stranger = rig.client(token)
        for path in PATHS:
            answer = stranger.get(path)
            assert answer.status_code == 401, (token, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "ECLOUD_TOKEN" in answer.json()["error"]


def test_a_token_in_another_kind_of_header_is_none(rig: Rig) -> None:
    assert rig.client("").get("/status", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
    assert rig.client("").get("/status", params={"token": TOKEN}).status_code == 401


def test_nothing_is_changed_without_a_token(rig: Rig) -> None:
    rig.push({"a": "hold"})
    assert rig.client("wrong").post("/cancel", json={"targets": ["job"]}).status_code == 401
    assert rig.get("/jobs/job")["state"] == "running"


def test_the_owner_of_the_token_owns_the_job(rig: Rig) -> None:
    rig.push({"a": "true"})
    assert rig.get("/jobs/job")["owner"] == "root"
    access = rig.client(OTHER).post("/certificates", json={"public_key": "ssh-ed25519 AAAA me"}).json()
    assert access["certificate"] == "certificate of admin rita"


def test_a_key_that_is_none_gets_no_certificate(rig: Rig) -> None:
    assert "no OpenSSH public key" in rig.post("/certificates", {"public_key": "rsa"}, 422)["error"]


def test_a_task_file_over_the_limit_is_refused_with_the_remedy(rig: Rig) -> None:
    answer = rig.plan(b" " * ((1 << 20) + 1), 413)
    assert "larger than 1 MiB" in answer["error"]
    assert "foreach" in answer["error"]


def test_a_body_that_is_announced_too_long_is_answered_not_cut_off(tmp_path: Path, intake: Intake) -> None:
    with Rig(tmp_path, intake, max_task_file=1000) as rig:
        assert "foreach" in rig.plan(b" " * (70 << 20), 413)["error"]


def test_a_body_of_unknown_length_is_stopped_at_the_limit(tmp_path: Path, intake: Intake) -> None:
    with Rig(tmp_path, intake, max_task_file=1000) as rig:
        pieces = (b"x" * (1 << 20) for _ in range(80))
        answer = rig.http.post("/pushes", content=pieces, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status_code in (400, 413)
        assert rig.get("/jobs") == []


def test_paths_that_do_not_exist_and_wrong_methods_have_one_sentence(rig: Rig) -> None:
    assert "/docs" in rig.get("/nothing", 404)["error"]
    assert rig.http.put("/cancel", json={}).json()["error"]


def test_openapi_describes_every_answer_and_the_token(rig: Rig) -> None:
    document = rig.client("").get(rig.url + "/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"].pop("/metrics")["get"]["x-role"] == "viewer", "the one thing that is no JSON"
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in methods.items():
            assert operation["summary"], path
            answer = next(answer for code, answer in operation["responses"].items() if code.startswith("2"))
            stream_or_nothing = path.endswith(("/follow", "/events", "/debug")) or method == "delete"
            assert stream_or_nothing or answer["content"]["application/json"]["schema"], path
