"""What can be changed, and what is refused."""

import pytest

from tests.api.rig import Rig


def test_cancel_ends_what_fits_and_says_how_many(rig: Rig) -> None:
    rig.push({"a": "hold", "b-1": "hold", "b-2": "hold", "b-3": "hold"})
    done = rig.post("/cancel", {"targets": ["job:b-*"]})["done"]
    assert [(one["job"], one["cancelled"]) for one in done] == [("job", 3)]
    assert [state for task, state in rig.states().items() if task != "a"] == ["cancelled"] * 3
    assert rig.states()["a"] != "cancelled"


def test_a_misspelt_target_among_several_changes_nothing(rig: Rig) -> None:
    rig.push({"a": "hold"})
    rig.post("/cancel", {"targets": ["job", "jbo"]}, 404)
    assert rig.get("/jobs/job")["state"] == "running"


def test_a_glob_over_jobs_is_told_that_the_job_part_takes_none(rig: Rig) -> None:
    rig.push({"a": "hold"})
    for path in ("/cancel", "/redo", "/retry"):
        assert "the job part of a target takes no glob" in rig.post(path, {"targets": ["jo*:a"]}, 404)["error"]
    for path in ("/cancel", "/pause"):
        assert "of several jobs name each one" in rig.post(path, {"targets": ["jo*"]}, 404)["error"]
    assert rig.states() == {"a": "running"}


def test_a_change_refuses_an_id_that_two_jobs_have(rig: Rig) -> None:
    rig.push({"a": "hold"}, name="one")
    rig.push({"a": "hold"}, name="two")
    refusal = rig.post("/cancel", {"targets": ["a"]}, 422)
    assert "2 jobs have a task 'a'" in refusal["error"]
    assert refusal["nearest"] == ["two:a", "one:a"]


def test_a_change_takes_an_id_that_one_job_has(rig: Rig) -> None:
    rig.push({"a": "hold"})
    assert rig.post("/cancel", {"targets": ["a"]})["done"][0]["job"] == "job"


def test_cancelling_what_has_finished_is_refused(rig: Rig) -> None:
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    assert "is succeeded" in rig.post("/cancel", {"targets": ["job:a"]}, 409)["error"]


def test_pause_and_resume_work_on_whole_jobs_only(rig: Rig) -> None:
    rig.push({"a": "hold", "b": "hold", "c": "hold"})
    assert rig.post("/pause", {"targets": ["job"]})["done"][0]["state"] == "paused"
    assert rig.get("/jobs/job")["state"] == "paused"
    assert "works on whole jobs" in rig.post("/pause", {"targets": ["job:a"]}, 422)["error"]
    rig.post("/resume", {"targets": ["job"]})
    assert rig.get("/jobs/job")["state"] == "running"


def test_retry_runs_what_failed_again(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "fail"}, {"id": "b", "command": "true", "after": ["a"]}])
    rig.until(lambda rig: rig.states() == {"a": "failed", "b": "skipped"})
    assert rig.post("/retry", {"targets": ["job"]})["done"][0]["retried"] == 1
    rig.until(lambda rig: rig.get("/task", target="a")["attempt"] == 2 and rig.states()["b"] == "skipped")


def test_retry_takes_cancelled_tasks_when_tasks_are_named_and_a_jobs_name_alone_names_none(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "hold"}, {"id": "b", "command": "true", "after": ["a"]}])
    rig.post("/cancel", {"targets": ["job"]})
    [left] = rig.post("/retry", {"targets": ["job"]})["done"]
    assert (left["retried"], left["cancelled_left"]) == (0, 2)
    assert "retry_failed job:a job:b" in rig.post("/retry", {"targets": ["job:b"]}, 409)["error"]
    done = rig.post("/retry", {"targets": ["job:b", "job:*"]})["done"]
    assert [one["retried"] for one in done] == [1, 1]
    rig.until(lambda rig: rig.states() == {"a": "running", "b": "waiting"})


def test_redo_is_refused_while_a_descendant_is_active(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "true"}, {"id": "b", "command": "hold", "after": ["a"]}])
    rig.until(lambda rig: rig.states().get("b") == "running")
    assert "depends on a" in rig.post("/redo", {"targets": ["job:a"]}, 409)["error"]
    rig.workers.end_all()
    rig.until(lambda rig: rig.states()["b"] == "succeeded")
    assert rig.post("/redo", {"targets": ["job:a"]})["done"][0]["redone"] == 1


def test_workers_are_created_drained_and_terminated(rig: Rig) -> None:
    made = rig.post("/workers", {"count": 2, "keep": 600})["workers"]
    rig.until(lambda rig: [worker["state"] for worker in rig.get("/workers")] == ["online", "online"])
    assert rig.post("/workers/drain", {"workers": made[:1]})["workers"] == made[:1]
    rig.until(lambda rig: [worker["id"] for worker in rig.get("/workers")] == made[1:])
    assert rig.post("/workers/terminate", {"all": True, "now": True})["workers"] == made[1:]
    rig.until(lambda rig: rig.get("/workers") == [] and rig.get("/vms") == [])


@pytest.mark.parametrize("body", [{}, {"all": True, "workers": ["w"]}])
def test_terminate_needs_names_or_all(rig: Rig, body: object) -> None:
    assert "one of the two" in rig.post("/workers/terminate", body, 422)["error"]


def test_unknown_workers_and_pools_are_refused(rig: Rig) -> None:
    assert "nobody" in rig.post("/workers/drain", {"workers": ["nobody"]}, 404)["error"]
    assert "there are: local" in rig.post("/workers", {"pool": "moon"}, 404)["error"]


def test_input_of_the_wrong_shape_is_named_by_its_field(rig: Rig) -> None:
    problems = rig.post("/workers", {"count": 0}, 422)["problems"]
    assert problems[0]["field"] == "body.count"
    rig.post("/cancel", {"targets": []}, 422)


def test_drop_context_keeps_the_cluster_and_is_refused_while_vms_are_claimed(rig: Rig) -> None:
    rig.http.put("/context/datastore", json={"address": "eva@new"})
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.get("/vms"))
    assert "terminate_workers --all" in rig.http.delete("/context").json()["error"]
    rig.workers.end_all()
    rig.post("/workers/terminate", {"all": True, "now": True})
    rig.until(lambda rig: rig.get("/vms") == [])
    assert rig.http.delete("/context").json() == {"dropped": ["datastore_address"]}
    assert rig.get("/context")["cluster"] == "cluster1"
    assert rig.get("/context")["datastore_address"] == "ecloud@store"


def test_set_datastore_checks_before_it_remembers(rig: Rig) -> None:
    assert rig.http.put("/context/datastore", json={"address": "nowhere"}).status_code == 422
    assert "refused the connection" in rig.http.put("/context/datastore", json={"address": "down@x"}).json()["error"]
    assert rig.get("/context")["datastore_address"] == "ecloud@store"
    found = rig.http.put("/context/datastore", json={"address": "eva@new"}).json()
    assert found == {"datastore_address": "eva@new", "seen": "wrote and read 16 bytes"}
    assert rig.get("/context")["datastore_address"] == "eva@new"


def test_set_datastore_is_refused_while_unfinished_jobs_use_the_old_one(rig: Rig) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.get("/status")["jobs"])
    answer = rig.http.put("/context/datastore", json={"address": "eva@new"})
    assert answer.status_code == 409
    assert "job" in answer.json()["error"]
    nonsense = rig.http.put("/context/datastore", json={"address": "nonsense"})
    assert (nonsense.status_code, nonsense.json()["error"]) == (422, "'nonsense' is no address of a datastore")
    assert rig.checked == []
