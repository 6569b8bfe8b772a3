"""Reruns over HTTP: what a plan says, what becomes stale, what a result was made of."""

from typing import Any

from tests.api.rig import SHA, Rig

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
STUDY = {
    "job": "job",
    "files": ["sim.py", "agg.py"],
    "tasks": [
        {"id": "sim-{n}", "foreach": {"n": {"range": [3]}}, "command": "true", "inputs": ["sim.py"], "outputs": ["out-{n}"]},
        {"id": "agg", "command": "true", "inputs": ["agg.py", "out-*"], "outputs": ["t.csv"]},
        {"id": "plot", "command": "true", "inputs": ["t.csv"], "outputs": ["plot.png"]},
    ],
}


def files(**digests: str) -> dict[str, dict[str, Any]]:
    """An inventory of scripts."""
    return {f"{name}.py": {"digest": digest, "size": 3} for name, digest in {"sim": A, "agg": B, **digests}.items()}


def pushed(rig: Rig) -> None:
    """The study, finished."""
    _open(rig, rig.plan(STUDY, files=files()))
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])


def _open(rig: Rig, plan: Any, code: int = 200) -> Any:
    return rig.post(f"/pushes/{plan['push']}/open", code=code)


def attempts(rig: Rig) -> dict[str, int]:
    return {task["id"]: task["attempt"] for task in rig.get("/tasks", target="job")["tasks"]}


def redone(rig: Rig, *targets: str, code: int = 200, **more: Any) -> Any:
    return rig.post("/redo", {"targets": list(targets), **more}, code)


def make_stale(rig: Rig) -> None:
    """``sim-1`` yields something else than before."""
    rig.workers.digest = C
    redone(rig, "job:sim-1")
    rig.until(lambda rig: rig.get("/jobs/job")["stale"] == 2)


def test_a_merge_of_what_changed_gives_its_reasons_and_runs_just_that(rig: Rig) -> None:
    pushed(rig)
    plan = rig.plan(STUDY, job="job", merge="changed", files=files(agg=C))
    assert plan["reasons"] == [
        {"task": "agg", "reason": "agg.py changed", "more": 0},
        {"task": "plot", "reason": "input t.csv of agg will change", "more": 0},
    ]
    assert (plan["tasks"], plan["replaced"], plan["kept"], plan["more_reasons"]) == (2, 2, 3, 0)
    _open(rig, plan)
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    assert attempts(rig) == {"sim-0": 1, "sim-1": 1, "sim-2": 1, "agg": 2, "plot": 2}
    again = rig.plan(STUDY, merge="changed", document_job="job", files=files(agg=C), dry_run=True)
    assert (again["extends"], again["tasks"], again["kept"], again["reasons"]) == (True, 0, 5, [])


def test_a_merge_that_brings_nothing_can_be_opened_and_leaves_the_job_finished(rig: Rig) -> None:
    pushed(rig)
    assert _open(rig, rig.plan(STUDY, job="job", merge="changed", files=files()))["job"] == "job"
    assert rig.get("/jobs/job")["state"] == "succeeded"
    assert set(attempts(rig).values()) == {1}


def test_files_that_were_pushed_for_kept_results_are_found_by_the_next_merge_of_what_changed(rig: Rig) -> None:
    pushed(rig)
    kept = rig.plan(STUDY, job="job", merge="keep-succeeded", files=files(agg=C))
    assert "kept although agg.py changed: agg" in kept["warnings"]
    _open(rig, kept)
    made_of = rig.get("/task", target="job:agg")["made_of"]
    assert {one["path"]: one["sha256"] for one in made_of["files"]}["agg.py"] == B
    plan = rig.plan(STUDY, job="job", merge="changed", files=files(agg=C), dry_run=True)
    assert plan["reasons"][0] == {"task": "agg", "reason": "agg.py changed", "more": 0}


def test_a_push_of_what_a_running_task_uses_is_refused_with_one_sentence(rig: Rig) -> None:
    text = {"job": "job", "tasks": [{"id": "a", "command": "true"}, {"id": "b", "command": "hold", "after": ["a"]}]}
    _open(rig, rig.plan(text))
    rig.until(lambda rig: rig.states() == {"a": "succeeded", "b": "running"})
    text["tasks"][0]["command"] = "echo"  # type: ignore[index]
    plan = rig.plan(text, job="job", merge="changed")
    assert [one["task"] for one in plan["reasons"]] == ["a", "b"]
    assert "b of job job is running" in _open(rig, plan, 409)["error"]


def test_what_was_made_from_an_older_result_is_stale_everywhere(rig: Rig) -> None:
    pushed(rig)
    make_stale(rig)
    reason = "made from an older result of sim-1"
    assert {task["id"]: task["stale"] for task in rig.get("/tasks", target="job", stale="true")["tasks"]} == {
        "agg": reason,
        "plot": reason,
    }
    assert [task["stale"] for task in rig.get("/tasks", target="job:sim-1")["tasks"]] == [""]
    assert rig.get("/task", target="job:plot")["stale"] == reason
    assert rig.get("/status", job="job")["jobs"][0]["stale"] == 2
    assert rig.get("/jobs")[0]["stale"] == 2
    assert f"Its result is stale: {reason}." in rig.get("/why", target="job:agg")["why"]
    plan = rig.plan(STUDY, job="job", merge="changed", files=files())
    assert plan["reasons"] == [
        {"task": "agg", "reason": reason, "more": 0},
        {"task": "plot", "reason": reason, "more": 0},
    ]
    _open(rig, plan)
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    assert rig.get("/jobs/job")["stale"] == 0


def test_descendants_run_again_when_asked_for_and_are_counted(rig: Rig) -> None:
    pushed(rig)
    [one] = redone(rig, "job:agg")["done"]
    assert one == {
        "job": "job", "redone": 1, "descendants": 0, "kept": 1, "read_files": True, "held": 0, "held_because": ""
    }  # fmt: skip
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    done = redone(rig, "job:sim-0", "job:agg", "job:sim-*", descendants=True)["done"]
    assert [(one["redone"], one["descendants"]) for one in done] == [(1, 1), (1, 0), (2, 0)]
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    assert attempts(rig) == {"sim-0": 2, "sim-1": 2, "sim-2": 2, "agg": 3, "plot": 2}


def test_targets_in_several_jobs_are_answered_in_their_order(rig: Rig) -> None:
    for name in ("one", "two"):
        rig.push({"a": "true", "b": "true"}, name=name)
    rig.until(lambda rig: rig.get("/jobs/one")["finished"] and rig.get("/jobs/two")["finished"])
    done = redone(rig, "one:a", "two", "one:b")["done"]
    assert [(one["job"], one["redone"]) for one in done] == [("one", 1), ("two", 2), ("one", 1)]


def test_a_result_names_the_files_that_made_it(rig: Rig) -> None:
    pushed(rig)
    made_of = rig.get("/task", target="job:agg")["made_of"]
    assert (made_of["attempt"], made_of["more"]) == (1, 0)
    assert made_of["files"] == [
        {"path": "agg.py", "sha256": B, "task": "", "attempt": 0},
        *({"path": f"out-{n}", "sha256": SHA, "task": f"sim-{n}", "attempt": 1} for n in range(3)),
    ]
    rig.push({"a": "hold"}, name="other")
    rig.until(lambda rig: rig.states("other") == {"a": "running"})
    assert rig.get("/task", target="other:a")["made_of"] == {"attempt": 1, "files": [], "more": 0}
    rig.push([{"id": "a", "command": "hold"}, {"id": "b", "command": "true", "after": ["a"]}], name="third")
    assert rig.get("/task", target="third:b")["made_of"] is None
