"""What the API tells of a job's past, for reports: all of it, page by page."""

from typing import Any

from tests.api.rig import SHA, Rig


def pages(rig: Rig, path: str, **asked: Any) -> list[Any]:
    """The tasks of all pages."""
    found, after = [], -1
    while after is not None:
        page = rig.get(path, after=after, **asked)
        found += page["tasks"]
        after = page["next"]
    return found


def test_a_history_has_every_task_once_with_its_attempts_and_what_it_waited_for(rig: Rig) -> None:
    rig.push(
        [
            {"id": "run-{T}", "foreach": {"T": {"values": [1, 2, 3]}}, "command": "true", "outputs": ["{T}.txt"]},
            {"id": "sum", "command": "true", "inputs": ["*.txt"], "cpus": 2},
            {"id": "bad", "command": "fail", "retries": 1},
        ]
    )
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    whole = pages(rig, "/jobs/job/history")
    assert pages(rig, "/jobs/job/history", limit=2) == whole
    assert [(task["id"], task["after"], len(task["attempts"])) for task in whole] == [
        ("run-1", [], 1), ("run-2", [], 1), ("run-3", [], 1), ("sum", [0, 1, 2], 1), ("bad", [], 2)
    ]  # fmt: skip
    failed = whole[4]["attempts"][1]
    assert (failed["state"], failed["exit_code"], failed["phase"], failed["worker"]) == ("failed", 3, "run", "local-1")
    assert failed["finished"] - failed["started"] == 1.5
    entries = rig.get("/jobs/job/history")["entries"]
    assert [(entries[key]["name"], entries[key]["cpus"]) for key in sorted(entries)] == [("run-{T}", 1), ("sum", 2), ("bad", 1)]
    assert rig.get("/jobs/job/history", limit=5)["next"] is None
    rig.get("/jobs/nobody/history", 404)
    rig.get("/jobs/job/history", 422, after="x")


def test_machines_are_those_that_ran_the_job_with_what_other_jobs_had_there(rig: Rig) -> None:
    rig.push({"a": "true"})
    rig.push([{"id": "b", "command": "true", "cpus": 2}], name="other")
    rig.until(lambda rig: all(job["finished"] for job in rig.get("/jobs")))
    [machine] = rig.get("/jobs/job/machines")
    assert (machine["id"], machine["pool"], machine["flavor"], machine["cpus"]) == ("local-1", "local", "local.2", 2)
    assert machine["provider"] == "local"
    assert machine["ended"] is None and machine["created"] <= machine["first"]
    assert machine["others"] == 3.0  # 1.5 s on two cpus
    assert rig.get("/jobs/nobody/machines", 404)["error"]


def test_provenance_tells_commands_and_files_in_and_out_with_their_digests(rig: Rig) -> None:
    rig.push(
        [
            {"id": "run-{T}", "foreach": {"T": {"values": [1, 2]}}, "command": "sim {T}", "outputs": ["{T}.txt"]},
            {"id": "sum", "command": "true", "inputs": ["*.txt"], "outputs": ["all.txt"]},
            {"id": "bad", "command": "fail"},
        ]
    )
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    whole = pages(rig, "/jobs/job/provenance")
    assert pages(rig, "/jobs/job/provenance", limit=1) == whole
    assert [(one["id"], one["commands"], one["params"], one["attempt"]) for one in whole] == [
        ("run-1", ["sim 1"], {"T": 1}, 1), ("run-2", ["sim 2"], {"T": 2}, 1), ("sum", ["true"], {}, 1), ("bad", ["fail"], {}, 0)
    ]  # fmt: skip
    assert whole[2]["files"] == [{"path": "all.txt", "size": 5, "sha256": SHA}]
    assert [(file["path"], file["sha256"], file["task"]) for file in whole[2]["made_of"]["files"]] == [
        ("1.txt", SHA, "run-1"), ("2.txt", SHA, "run-2")
    ]  # fmt: skip
    entries = rig.get("/jobs/job/provenance")["entries"]
    assert (entries["0"]["commands"], entries["0"]["outputs"], entries["0"]["parameters"]) == (["sim {T}"], ["{T}.txt"], ["T"])
    assert (whole[3]["files"], whole[3]["exit_code"]) == ([], 3)
