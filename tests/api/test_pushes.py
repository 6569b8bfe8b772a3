"""Pushes: planned, opened once, named, repeated without harm, forgotten in time."""

import threading
from pathlib import Path
from typing import Any

import pytest

from boss.adapters.intake import Intake
from boss.core.requests import ContextSet
from boss.core.restored import UNTIL
from tests.api.rig import OTHER, Rig, parts
from tests.workflows import task, trace_of

TASKS = {"tasks": [{"id": "a", "command": "true"}]}
HOLD = {"tasks": [{"id": "a", "command": "hold"}, {"id": "b", "command": "hold"}]}


def _open(rig: Rig, push: str, code: int = 200) -> Any:
    return rig.post(f"/pushes/{push}/open", code=code)


def test_a_plan_says_what_it_would_make_and_changes_nothing(rig: Rig) -> None:
    found = rig.plan({"job": "sim", "files": ["in.txt", "spare.txt"], "tasks": [{"id": "a", "command": "true", "inputs": ["in.txt"]}]},
                     files={"in.txt": {"digest": "ab" * 32, "size": 3}, "spare.txt": {"digest": "cd" * 32, "size": 4}})  # fmt: skip
    assert (found["job"], found["tasks"], found["files"], found["bytes"]) == ("sim", 1, 2, 7)
    assert found["unread_files"] == ["spare.txt"]
    assert rig.get("/jobs") == []


def test_problems_are_listed_with_task_and_field_and_nothing_is_stored(rig: Rig) -> None:
    text = {"tasks": [{"id": "a", "command": "true", "after": ["b"]}, {"id": "a", "comand": "true"}]}
    problems = rig.plan(text, 422)["problems"]
    assert len(problems) >= 3
    assert all(problem["message"] for problem in problems)
    assert any("comand" in str(problem) for problem in problems)
    assert rig.get("/jobs") == []
    assert list((rig.folder / "received").iterdir()) == []


def test_what_is_no_json_is_told_with_its_line(rig: Rig) -> None:
    problems = rig.plan(b'{"tasks": [\n  oops\n]}', 422)["problems"]
    assert "line 2" in str(problems[0])


def test_options_that_make_no_sense_are_named(rig: Rig) -> None:
    assert rig.plan(TASKS, 422, colour="red")["problems"][0]["field"] == "options.colour"
    assert rig.plan(TASKS, 422, merge="mix")["problems"][0]["field"] == "options.merge"
    assert "not both" in rig.plan(TASKS, 422, name="x", job="y")["error"]
    assert rig.http.post("/pushes", data={"options": "{}"}).status_code == 422


def test_a_name_that_is_taken_gets_a_number_unless_it_was_asked_for(rig: Rig) -> None:
    assert [rig.push({"a": "true"}, name="sim") for _ in range(3)] == ["sim", "sim-2", "sim-3"]
    assert "already" in rig.plan(TASKS, 409, name="sim")["error"]
    assert rig.push({"a": "true"}, name="sim") == "sim-4"


def test_the_files_stem_names_a_job_without_a_name(rig: Rig) -> None:
    planned = rig.plan(TASKS, file_name="my ising.json")
    assert _open(rig, planned["push"])["job"] == planned["job"]
    assert planned["job"].startswith("my")


def test_a_name_that_was_free_at_the_plan_and_taken_at_the_opening_is_refused(rig: Rig) -> None:
    first, second = rig.plan(TASKS, name="mine"), rig.plan(TASKS, name="mine")
    assert _open(rig, first["push"])["job"] == "mine"
    assert "already" in _open(rig, second["push"], 409)["error"]


def test_a_push_is_opened_once_however_often_it_is_asked(rig: Rig) -> None:
    planned = rig.plan(TASKS)
    assert {_open(rig, planned["push"])["job"] for _ in range(3)} == {planned["job"]}
    assert len(rig.get("/jobs")) == 1


def test_openings_that_come_together_make_one_job(rig: Rig) -> None:
    planned = rig.plan(TASKS)
    jobs: list[str] = []
    askers = [threading.Thread(target=lambda: jobs.append(_open(rig, planned["push"])["job"])) for _ in range(5)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert jobs == [planned["job"]] * 5
    assert len(rig.get("/jobs")) == 1


def test_the_same_submission_makes_one_job(rig: Rig) -> None:
    first = rig.plan(TASKS, submission="key-1")
    assert rig.plan(TASKS, submission="key-1")["push"] == first["push"]
    job = _open(rig, first["push"])["job"]
    again = rig.plan(TASKS, submission="key-1")
    assert again["job"] == job
    assert len(rig.get("/jobs")) == 1


def test_a_submission_is_found_after_a_restart_of_the_boss(tmp_path: Path, intake: Intake) -> None:
    with Rig(tmp_path, intake) as rig:
        job = _open(rig, rig.plan(TASKS, submission="key-1")["push"])["job"]
    with Rig(tmp_path, intake) as rig:
        again = rig.plan(TASKS, submission="key-1")
        assert (again["opened"], again["job"], again["tasks"]) == (True, job, 1)


def test_another_owners_same_key_is_another_submission(rig: Rig) -> None:
    _open(rig, rig.plan(TASKS, submission="key-1")["push"])
    other = rig.client(OTHER).post("/pushes", files=parts(TASKS, {"submission": "key-1"})).json()
    assert not other["opened"]


def test_another_owner_cannot_open_a_push(rig: Rig) -> None:
    planned = rig.plan(TASKS)
    assert rig.client(OTHER).post(f"/pushes/{planned['push']}/open").status_code == 404


def test_a_dry_run_leaves_nothing_to_open(rig: Rig) -> None:
    planned = rig.plan(TASKS, dry_run=True)
    assert (planned["push"], planned["tasks"]) == ("", 1)
    assert rig.get("/jobs") == []


def test_a_push_that_was_given_up_is_unknown(rig: Rig) -> None:
    planned = rig.plan(TASKS)
    assert rig.http.delete(f"/pushes/{planned['push']}").status_code == 204
    assert "push again" in _open(rig, planned["push"], 404)["error"]


def test_a_push_that_is_not_opened_expires(tmp_path: Path, intake: Intake) -> None:
    with Rig(tmp_path, intake, push_lifetime=0.05) as rig:
        planned = rig.plan(TASKS, submission="key-1")
        rig.until(lambda rig: rig.plan(TASKS, submission="key-1")["push"] != planned["push"])
        _open(rig, planned["push"], 404)
        assert rig.get("/jobs") == []


def test_a_job_that_does_not_exist_cannot_be_added_to(rig: Rig) -> None:
    rig.push({"a": "true"}, name="ising")
    refusal = rig.plan(TASKS, 404, job="isnig")
    assert refusal["nearest"] == ["ising"]


def test_tasks_are_added_to_a_job(rig: Rig) -> None:
    rig.push({"a": "true"})
    planned = rig.plan({"tasks": [{"id": "b", "command": "true", "after": ["a"]}]}, job="job")
    assert (planned["job"], planned["extends"], planned["new_tasks"]) == ("job", True, 1)
    assert _open(rig, planned["push"])["job"] == "job"
    rig.until(lambda rig: rig.states() == {"a": "succeeded", "b": "succeeded"})


def test_merge_without_a_job_speaks_of_the_files_own(rig: Rig) -> None:
    text = {"job": "sim", "tasks": [{"id": "a", "command": "true"}]}
    first = rig.plan(text, merge="replace", document_job="sim")
    assert (first["extends"], first["job"]) == (False, "sim")
    _open(rig, first["push"])
    rig.until(lambda rig: rig.get("/jobs/sim")["finished"])
    again = rig.plan(text, merge="replace", document_job="sim")
    assert (again["extends"], again["replaced"]) == (True, 1)
    assert _open(rig, again["push"])["job"] == "sim"
    assert len(rig.get("/jobs")) == 1


def test_a_job_that_changed_since_the_plan_is_not_extended(rig: Rig) -> None:
    rig.push({"a": "true"})
    more = {"tasks": [{"id": "b", "command": "true"}]}
    first, second = rig.plan(more, job="job"), rig.plan({"tasks": [{"id": "c", "command": "true"}]}, job="job")
    _open(rig, first["push"])
    assert "push again" in _open(rig, second["push"], 409)["error"]


def test_a_large_push_comes_in_slices(rig: Rig) -> None:
    rows = {"tasks": [{"id": "t{n}", "foreach": {"n": {"range": [0, 12_000]}}, "command": "hold"}]}
    planned = rig.plan(rows)
    assert planned["tasks"] == 12_000
    job = _open(rig, planned["push"])["job"]
    assert rig.get(f"/jobs/{job}")["total"] == 12_000
    rig.post("/cancel", {"targets": [job]})


# ---- CSV files -----------------------------------------------------------------------------------------------------

SWEEP = {"tasks": [{"id": "a-{n}", "foreach": {"csv": "data/p.csv"}, "command": "echo {n}"}]}
ROWS = b"n,x\n1,0.10\n2,b\n"


def _sent(rig: Rig, *files: tuple[str, bytes], text: object = SWEEP, code: int = 200, **options: Any) -> Any:
    csv = [("csv", (name, data, "text/csv")) for name, data in files]
    answer = rig.http.post("/pushes", files=[*parts(text, options).items(), *csv])
    assert answer.status_code == code, answer.text
    return answer.json()


def test_csv_files_come_as_parts_by_their_file_names(rig: Rig) -> None:
    planned = _sent(rig, ("data/p.csv", ROWS))
    assert planned["tasks"] == 2
    job = _open(rig, planned["push"])["job"]
    task = rig.get("/task", target=f"{job}:a-1")
    assert (task["commands"], task["params"]) == (["echo 1"], {"n": 1, "x": "0.10"})
    assert list((rig.folder / "received").iterdir()) == []


def test_names_of_csv_files_may_be_given_apart(rig: Rig) -> None:
    text = {"tasks": [{"id": "a-{n}", "foreach": [{"csv": 'd/ä "1".csv'}, {"csv": "/o\n.csv"}], "command": "echo {n} {m}"}]}
    found = _sent(rig, ("0.csv", b"n\n1\n"), ("1.csv", b"m\n5\n"), text=text, csv=['d/ä "1".csv', "/o\n.csv"])
    assert found["tasks"] == 1


def test_a_csv_file_that_was_not_sent_is_a_problem_with_task_and_field(rig: Rig) -> None:
    [problem] = rig.plan(SWEEP, 422)["problems"]
    assert (problem["task"], problem["field"]) == ("tasks[0] 'a-{n}'", "foreach.csv")
    assert "'data/p.csv' was not sent along" in problem["message"]
    [problem] = _sent(rig, ("p.csv", ROWS), code=422)["problems"]
    assert problem["message"].endswith("sent was 'p.csv'")
    [problem] = _sent(rig, code=422, csv_unread={"data/p.csv": "was eaten by the dog"})["problems"]
    assert problem["message"] == "'data/p.csv' was eaten by the dog"


def test_csv_parts_that_make_no_sense_are_told(rig: Rig) -> None:
    [problem] = _sent(rig, ("data/p.csv", ROWS), ("data/p.csv", ROWS), code=422)["problems"]
    assert (problem["field"], problem["message"]) == ("csv", "'data/p.csv' was sent twice")
    [problem] = _sent(rig, ("data/p.csv", ROWS), csv=["a", "b"], code=422)["problems"]
    assert problem["message"] == "names 2 files, but 1 part `csv` was sent"
    answer = rig.http.post("/pushes", files=parts(SWEEP, {}), data={"csv": "n\n1\n"})
    assert answer.status_code == 422 and "with a file name" in answer.json()["error"]
    assert _sent(rig, ("data/p.csv", ROWS), code=422, csv=3)["problems"][0]["field"] == "options.csv"


def test_a_task_file_with_csv_files_that_are_too_large_together_is_refused(rig: Rig) -> None:
    found = _sent(rig, ("data/p.csv", b"n\n" + b"1\n" * (1 << 19)), code=413)
    assert found["error"].startswith("the task file, with its CSV files, is larger than 1 MiB (setting max_task_file)")
    assert rig.get("/jobs") == []


def test_too_many_csv_files_are_refused(rig: Rig) -> None:
    answer = rig.http.post(
        "/pushes", files=[*parts(SWEEP, {}).items(), *(("csv", (f"{n}", b"", "text/csv")) for n in range(1001))]
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "Too many files. Maximum number of files is 1002.")


# ---- replays -------------------------------------------------------------------------------------------------------

TRACE = trace_of(task("a", "in", "mid"), task("b", "mid", "out", parents="a"))


def test_a_replay_says_which_files_the_sender_makes(rig: Rig) -> None:
    found = rig.plan(TRACE, replay=0.5, dry_run=True)
    assert (found["tasks"], found["files"], found["bytes"], found["makes"]) == (2, 1, 500, {"in": 500})
    assert rig.plan({"tasks": [{"id": "a", "command": "true"}]})["makes"] == {}


def test_a_replay_without_the_files_that_it_needs_is_refused(rig: Rig) -> None:
    (missing,) = rig.plan(TRACE, 422, replay=0.5)["problems"]
    assert missing["field"] == "files" and "'in' was not sent" in missing["message"] and "500 bytes" in missing["message"]
    (other,) = rig.plan(TRACE, 422, replay=0.5, files={"in": {"digest": "ab" * 32, "size": 3}})["problems"]
    assert "was sent with 3 bytes" in other["message"]
    planned = rig.plan(TRACE, replay=0.5, files={"in": {"digest": "ab" * 32, "size": 500}})
    assert _open(rig, planned["push"])["job"] == planned["job"]


@pytest.mark.parametrize("scale", [0, -1, 1e10, "x", True])
def test_a_scale_that_makes_no_sense_is_named(rig: Rig, scale: object) -> None:
    assert rig.plan(TRACE, 422, replay=scale)["problems"][0]["field"] == "options.replay"


def test_a_trace_and_its_scale_belong_together(rig: Rig) -> None:
    assert "--replay SCALE" in rig.plan(TRACE, 422)["problems"][0]["message"]
    assert "--replay is for" in rig.plan(TASKS, 422, replay=1)["problems"][0]["message"]


# ---- after a restore ------------------------------------------------------------------------------------------------


def test_after_a_restore_a_name_whose_files_the_database_has_forgotten_is_not_given_again(rig: Rig) -> None:
    rig.push({"a": "true"}, name="sim")
    rig.shelf.results.update({"sim-2": {"old.txt": (3, "ab" * 32)}, "lost": {"old.txt": (3, "ab" * 32)}})
    rig.loop.ask(lambda reply: ContextSet({UNTIL: "1.0"}, reply)).result(10)
    assert "does not know, because it was restored" in _open(rig, rig.plan(TASKS, name="lost")["push"], 409)["error"]
    planned = rig.plan({**TASKS, "job": "sim"})
    assert planned["job"] == "sim-3"
    assert _open(rig, planned["push"])["job"] == "sim-3"


def test_before_any_restore_names_are_not_looked_for_on_the_datastore(rig: Rig) -> None:
    rig.shelf.down = "it is away"
    planned = rig.plan({**TASKS, "job": "sim"})
    assert _open(rig, planned["push"])["job"] == "sim"


# ---- inputs from outside the job ------------------------------------------------------------------------------------


def test_shared_data_that_is_not_there_is_told_beside_all_other_problems(rig: Rig) -> None:
    rig.shelf.data.add("refs/a")
    text = {"tasks": [{"id": "a", "command": "true", "inputs": ["shared:refs/a", {"from": "shared:b"}], "after": ["nobody"]}]}
    problems = rig.plan(text, 422)["problems"]
    assert {"task": "tasks[0] 'a'", "field": "inputs[1]", "message": "there is no shared:b"} in problems
    assert len(problems) == 2
    del text["tasks"][0]["after"]
    for dry_run in (True, False):
        assert len(rig.plan(text, 422, dry_run=dry_run)["problems"]) == 1
    rig.shelf.data.add("b")
    assert rig.plan(text)["tasks"] == 1
    assert rig.get("/jobs") == []


def test_a_push_that_needs_shared_data_waits_for_nothing_when_the_datastore_is_down(rig: Rig) -> None:
    rig.shelf.down = "no route to it"
    text = {"tasks": [{"id": "a", "command": "true", "inputs": ["shared:b"]}]}
    assert "no route to it" in rig.plan(text, 503)["error"]
    assert rig.plan({"tasks": [{"id": "a", "command": "true"}]})["tasks"] == 1


def test_of_very_many_missing_inputs_the_first_are_told(rig: Rig) -> None:
    entry = {"id": "t-{i}", "foreach": {"i": {"range": [0, 300]}}, "command": "true", "inputs": ["shared:x/{i}"]}
    problems = rig.plan({"tasks": [entry]}, 422)["problems"]
    assert len(problems) == 101
    assert problems[-1]["message"] == "and 200 more inputs that are not there"


def test_an_input_from_outside_is_shown_where_it_lies(rig: Rig) -> None:
    rig.shelf.data |= {"g/ref.fa", "refs/"}
    rig.push([{"id": "a", "command": "hold", "inputs": ["shared:g/ref.fa", {"from": "shared:refs/", "to": "r/"}]}])
    rig.until(lambda rig: rig.workers.held)
    shown = rig.get("/task", target="job:a")["inputs"]
    assert shown == [{"source": "shared:g/ref.fa", "to": "ref.fa"}, {"source": "shared:refs/", "to": "r/"}]
    ((_, assignment),) = rig.workers.held.values()
    assert [(item.source, item.to) for item in assignment.inputs] == [("shared:g/ref.fa", "ref.fa"), ("shared:refs/", "r/")]


def test_a_push_into_a_paused_job_says_that_it_is_paused_and_how_it_goes_on(rig: Rig) -> None:
    rig.push({"a": "hold"})
    more = {"job": "job", "tasks": [{"id": "b", "command": "true"}]}
    halted = "job job is paused: nothing of it is dealt out until `admin.py resume job`"
    assert halted not in rig.plan(more, job="job", dry_run=True)["warnings"]
    rig.post("/pause", {"targets": ["job"]})
    assert halted in rig.plan(more, job="job", dry_run=True)["warnings"]
    assert rig.plan(more, job="job")["warnings"] == [], "whether it goes on is said when the push is opened"
