"""What can be looked at, and what it looks like."""

import networkx as nx

from tests.api.rig import Rig
from tests.workflows import task, trace_of

TASK_FIELDS = {
    "job",
    "id",
    "state",
    "attempt",
    "exit_code",
    "phase",
    "reason",
    "worker",
    "started",
    "finished",
    "params",
    "metrics",
}
WORKER_FIELDS = {"id", "state", "address", "slots", "running", "last_seen"}
VM_FIELDS = {"id", "state", "pool", "flavor", "address", "deadline"}


def test_health_needs_no_token_and_names_the_limit(rig: Rig) -> None:
    assert rig.client("").get("/health").json() == {"version": "9.9", "max_task_file": 1 << 20}


def test_status_of_an_empty_boss_has_all_its_parts(rig: Rig) -> None:
    found = rig.get("/status")
    assert {"jobs", "tasks", "workers", "vms", "boss"} <= set(found)
    assert found["boss"].keys() == {"version", "epoch", "uptime"}
    assert found["boss"]["epoch"] == 1
    assert found["boss"]["uptime"] >= 0


def test_status_of_a_job_that_was_opened_this_moment_is_known(rig: Rig) -> None:
    rig.push({"a": "true"})
    found = rig.get("/status", job="job")
    assert [job["name"] for job in found["jobs"]] == ["job"]
    assert sum(found["tasks"].values()) == 1


def test_status_of_an_unknown_job_names_the_nearest(rig: Rig) -> None:
    rig.push({"a": "true"}, name="ising")
    found = rig.get("/status", 404, job="isnig")
    assert found["nearest"] == ["ising"]
    assert "did you mean 'ising'" in found["error"]


def test_objects_carry_the_fields_that_scripts_rely_on(rig: Rig) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: any(worker["running"] for worker in rig.get("/workers")))
    assert set(rig.get("/tasks")["tasks"][0]) >= TASK_FIELDS
    worker = rig.get("/workers")[0]
    assert set(worker) >= WORKER_FIELDS
    assert worker["running"] == ["job:a"]
    assert worker["slots"] == 2
    assert set(rig.get("/vms")[0]) >= VM_FIELDS
    job = rig.get("/jobs/job")
    assert (job["name"], job["owner"], job["total"], job["finished"]) == ("job", "root", 1, None)


def test_tasks_are_chosen_by_state_target_and_glob(rig: Rig) -> None:
    rig.push({"sim-1": "true", "sim-2": "fail", "plot": "true"})
    rig.push({"plot": "true"}, name="other")
    rig.until(lambda rig: rig.get("/jobs/job")["finished"] and rig.get("/jobs/other")["finished"])
    assert [task["id"] for task in rig.get("/tasks", target="job:sim-*")["tasks"]] == ["sim-1", "sim-2"]
    assert [task["id"] for task in rig.get("/tasks", state="failed")["tasks"]] == ["sim-2"]
    several = rig.get("/tasks", target=["other", "job:sim-2"])["tasks"]
    assert [(task["job"], task["id"]) for task in several] == [("other", "plot"), ("job", "sim-2")]


def test_a_bare_id_is_read_in_the_newest_job_that_has_it(rig: Rig) -> None:
    rig.push({"a": "true"}, name="old")
    rig.push({"a": "true"}, name="new")
    assert rig.get("/task", target="a")["job"] == "new"


def test_a_bare_word_that_is_a_job_is_the_job(rig: Rig) -> None:
    rig.push({"x": "true", "y": "true"}, name="x")
    assert [task["id"] for task in rig.get("/tasks", target="x")["tasks"]] == ["x", "y"]


def test_an_id_that_looks_like_a_glob_is_an_id_first(rig: Rig) -> None:
    rig.push({"a[1]": "true", "a1": "true"})
    assert [task["id"] for task in rig.get("/tasks", target="job:a[1]")["tasks"]] == ["a[1]"]


def test_unknown_tasks_are_answered_with_the_nearest(rig: Rig) -> None:
    rig.push({"simulate": "true"})
    assert rig.get("/task", 404, target="job:simulat")["nearest"] == ["job:simulate"]
    assert "did you mean 'simulate'" in rig.get("/task", 404, target="simulat")["error"]
    assert "JOB:sim*" in rig.get("/task", 404, target="sim*")["error"]


def test_a_target_of_several_tasks_is_refused_where_one_is_needed(rig: Rig) -> None:
    rig.push({"a": "true", "b": "true"})
    assert "job:a" in rig.get("/task", 422, target="job")["error"]


def test_pages_of_tasks_follow_each_other_without_gap_or_repeat(rig: Rig) -> None:
    rig.push({f"t{number}": "true" for number in range(7)})
    rig.push({f"u{number}": "true" for number in range(4)}, name="other")
    seen, after = [], ""
    while after is not None:
        page = rig.get("/tasks", target=["other", "job"], limit=3, after=after)
        seen += [task["id"] for task in page["tasks"]]
        after = page["next"]
    assert seen == [f"u{number}" for number in range(4)] + [f"t{number}" for number in range(7)]
    assert len(rig.get("/tasks")["tasks"]) == 11
    rig.get("/tasks", 422, after="nonsense")


def test_detail_has_the_definition_with_defaults_and_parameters_in_place(rig: Rig) -> None:
    task = {
        "id": "sim-{T}",
        "foreach": {"T": {"values": [1.5, 2.5]}},
        "commands": ["cd work", "run {T}"],
        "inputs": ["in.txt"],
        "outputs": [{"path": "out-{T}.txt", "optional": True}],
        "env": {"TEMPERATURE": "{T}"},
        "timeout": "90s",
        "cpus": 2,
    }
    planned = rig.plan({"job": "job", "files": ["in.txt"], "tasks": [task, {"id": "end", "command": "true", "after": ["sim-*"]}]},
                       files={"in.txt": {"digest": "ab" * 32, "size": 3}})  # fmt: skip
    rig.post(f"/pushes/{planned['push']}/open")
    found = rig.get("/task", target="job:sim-2.5")
    assert found["params"] == {"T": 2.5}
    assert found["commands"] == ["cd work", "run 2.5"]
    assert found["inputs"] == [{"source": "in.txt", "to": "in.txt"}]
    assert found["outputs"] == [{"path": "out-2.5.txt", "to": "out-2.5.txt", "optional": True}]
    assert found["env"]["TEMPERATURE"] == "2.5"
    assert (found["cpus"], found["memory"], found["timeout"], found["retries"], found["priority"]) == (2, None, 90, 0, 0)
    assert rig.get("/task", target="end")["after"] == ["sim-1.5", "sim-2.5"]


def test_listed_tasks_carry_their_parameters_in_the_order_of_the_file(rig: Rig) -> None:
    grid = {"T": {"values": [1.5, 2.5]}, "kind": {"values": ["a"]}, "A": {"values": [True]}, "n": {"range": [3, 4]}}
    sweep = {"id": "s-{T}", "foreach": grid, "command": "true", "outputs": ["out-{T}/"], "metrics": "out-{T}/m.json"}
    rig.push([sweep, {"id": "plain", "command": "true"}])
    rig.push({"other": "true"}, name="other")
    listed = {task["id"]: task for task in rig.get("/tasks")["tasks"]}
    assert list(listed["s-2.5"]["params"].items()) == [("T", 2.5), ("kind", "a"), ("A", True), ("n", 3)]
    assert listed["s-2.5"]["params"]["A"] is True
    assert listed["s-1.5"]["metrics"] == "out-1.5/m.json"
    assert (listed["plain"]["params"], listed["plain"]["metrics"]) == ({}, "")
    assert listed["other"]["params"] == {}
    detail = rig.get("/task", target="s-1.5")
    assert (detail["params"], detail["metrics"]) == (listed["s-1.5"]["params"], "out-1.5/m.json")


def test_parameters_of_a_replaced_task_are_those_of_its_new_definition(rig: Rig) -> None:
    rig.push([{"id": "a-{x}", "foreach": {"x": {"values": [1]}}, "command": "true"}])
    rig.until(lambda rig: rig.states() == {"a-1": "succeeded"})
    assert rig.get("/tasks")["tasks"][0]["params"] == {"x": 1}
    rig.push([{"id": "a-{y}", "foreach": {"y": {"values": ["1"]}}, "command": "true"}], merge="replace", job="job")
    assert rig.get("/tasks")["tasks"][0]["params"] == {"y": "1"}


def test_detail_has_every_attempt_with_the_tails_of_its_logs(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "fail"}])
    rig.until(lambda rig: rig.states() == {"a": "failed"})
    attempts = rig.get("/task", target="a")["attempts"]
    assert [(one["number"], one["state"], one["exit_code"], one["phase"]) for one in attempts] == [(1, "failed", 3, "run")]
    assert attempts[0]["stderr"] == "err of it\n"


def test_why_says_the_cause_first_and_the_remedy_last(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "fail"}, {"id": "b", "command": "true", "after": ["a"]}])
    rig.until(lambda rig: rig.states() == {"a": "failed", "b": "skipped"})
    found = rig.get("/why", target="b")
    assert (found["job"], found["id"], found["state"]) == ("job", "b", "skipped")
    assert "a failed" in found["why"][0]
    assert "retry_failed" in found["why"][-1]


def test_waiting_for_a_job_ends_with_the_job(rig: Rig) -> None:
    rig.push({"a": "hold"})
    assert rig.get("/jobs/job", wait=0.01)["state"] == "running"
    rig.until(lambda rig: rig.workers.held)
    rig.workers.end_all()
    assert rig.get("/jobs/job", wait=30)["state"] == "succeeded"


def test_results_are_listed_with_how_far_the_job_is(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "true", "outputs": ["a.txt"]}, {"id": "b", "command": "hold"}])
    rig.until(lambda rig: rig.states()["a"] == "succeeded")
    found = rig.get("/jobs/job/results")
    assert found == {"job": "job", "finished": 1, "total": 2, "files": [{"path": "a.txt", "size": 5, "sha256": "ab" * 32}]}


def test_a_datastore_that_is_down_is_said_in_one_sentence(rig: Rig) -> None:
    rig.push({"a": "true"})
    rig.shelf.down = "no route to store"
    assert rig.get("/jobs/job/results", 503)["error"] == "the datastore does not answer: no route to store"


def test_context_names_addresses_and_cluster(rig: Rig) -> None:
    found = rig.get("/context")
    assert (found["boss_address"], found["datastore_address"], found["cluster"]) == ("here", "ecloud@store", "cluster1")
    assert found["api_url"] == rig.url


def test_a_short_name_needs_less_likeness_and_a_few_jobs_are_all_named(rig: Rig) -> None:
    assert rig.get("/jobs/mn", 404)["error"] == "there is no job named 'mn' (there are no jobs)"
    rig.push({"a": "true"}, name="mm")
    found = rig.get("/jobs/mn", 404)
    assert (found["error"], found["nearest"]) == ("there is no job named 'mn' (did you mean 'mm'?)", ["mm"])
    assert rig.get("/jobs/ising", 404)["error"].endswith("(the only job is 'mm')")
    rig.push({"a": "true"}, name="kk")
    assert rig.get("/jobs/ising", 404)["error"].endswith("(the jobs are 'mm' and 'kk')")
    assert rig.get("/task", 404, target="ising")["error"].endswith("(the jobs are 'mm' and 'kk')")
    for name in ("p", "q", "r", "s"):
        rig.push({"a": "true"}, name=name)
    assert rig.get("/jobs/ising", 404)["error"] == "there is no job named 'ising'"


def test_a_task_names_whom_it_waits_for_and_who_waits_for_it(rig: Rig) -> None:
    waits = {"a": [], "b": ["a"], "c": ["a", "b"]}
    rig.push([{"id": name, "command": "hold", "after": after} for name, after in waits.items()])
    found = rig.get("/task", target="job:b")
    assert (found["dependencies"], found["dependents"]) == (["a"], ["c"])
    found = rig.get("/task", target="job:a")
    assert (found["dependencies"], found["dependents"]) == ([], ["b", "c"])


def test_a_jobs_graph_is_what_networkx_reads(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "hold"}, {"id": "b", "command": "true", "after": ["a"]}, {"id": "c", "command": "true"}])
    graph = nx.node_link_graph(rig.get("/jobs/job/graph"))
    assert set(graph) == {"a", "b", "c"}
    assert list(graph.edges) == [("a", "b")]
    assert graph.nodes["b"]["state"] == "waiting"
    assert rig.get("/jobs/jab/graph", code=404)["nearest"] == ["job"]


def test_ids_of_replayed_workflows_may_have_colons(rig: Rig) -> None:
    planned = rig.plan(trace_of(task("NF:A"), task("NF:B", parents="NF:A")), replay=1, file_name="flow.json")
    rig.post(f"/pushes/{planned['push']}/open")
    for target in ("flow:NF:A", "NF:A"):
        assert rig.get("/task", target=target)["id"] == "NF:A"
    assert rig.get("/task", target="flow:NF:B")["dependencies"] == ["NF:A"]
    assert len(rig.get("/tasks", target="flow:NF:*")["tasks"]) == 2
    assert "no job named 'NG'" in rig.get("/task", target="NG:A", code=404)["error"]


def test_shared_data_is_listed_by_the_beginning_of_its_name(rig: Rig) -> None:
    assert rig.get("/shared") == []
    rig.shelf.data |= {"genomes/hg38.fa", "refs/a"}
    assert [one["name"] for one in rig.get("/shared")] == ["genomes/hg38.fa", "refs/a"]
    for prefix in ("genomes/", "shared:genomes/"):
        (found,) = rig.get("/shared", prefix=prefix)
        assert found == {"name": "genomes/hg38.fa", "size": 5, "sha256": "ab" * 32, "when": 1000.0, "by": "ada"}


def test_a_failed_task_says_the_last_line_of_its_stderr_in_why_and_in_a_listing_of_failed_tasks(rig: Rig) -> None:
    rig.push({"a": "true", "b[1]": "fail", "c": "fail", "d": "fail"})
    rig.push({"e": "fail"}, name="other")
    rig.until(lambda rig: rig.get("/jobs/job")["finished"] and rig.get("/jobs/other")["finished"])
    assert rig.get("/why", target="job:b[1]")["why"][:3] == [
        "Attempt 1 failed in phase run: exit code 3.",
        "The last line that it wrote to stderr: err of it",
        "`admin.py logs 'job:b[1]'` shows all that it wrote.",
    ]
    for pages in ({}, {"limit": 1}, {"limit": 2}):
        told, after = {}, ""
        while after is not None:
            page = rig.get("/tasks", state="failed", after=after, **pages)
            told |= {task["id"]: task["line"] for task in page["tasks"]}
            after = page["next"]
        assert told == dict.fromkeys(["b[1]", "c", "d", "e"], "err of it")
    assert {task["line"] for task in rig.get("/tasks", target="job")["tasks"]} == {""}
    assert [task["line"] for task in rig.get("/tasks", target=["job:c", "other"], state="failed")["tasks"]] == ["err of it"] * 2


def test_a_brief_status_has_the_numbers_of_workers_and_vms_and_not_their_lists(rig: Rig) -> None:
    rig.post("/workers", {"count": 2})
    whole, brief = rig.get("/status"), rig.get("/status", brief="true")
    assert whole["fleet"].keys() == brief["fleet"].keys() == {"workers", "online", "busy", "vms"}
    assert (whole["fleet"]["workers"], whole["fleet"]["vms"]) == (2, 2)
    assert (len(whole["workers"]), len(whole["vms"])) == (2, 2)
    assert (brief["fleet"]["workers"], brief["fleet"]["vms"]) == (2, 2)
    assert (brief["workers"], brief["vms"]) == ([], [])
