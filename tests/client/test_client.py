"""The Python client against a real boss, its workers and its datastore."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from client import Client, Conflict, DatastoreTrouble, InvalidRequest, NotFound, NotPermitted, Refused
from tests.client.conftest import close_output
from tests.e2e.deployment import ROOT, Deployment, deployed
from tests.servers import eventually


def test_the_three_lines_of_the_issue_work(client: Client) -> None:
    job = client.submit([{"id": "a", "command": "echo 42 > answer.txt", "outputs": ["answer.txt"]}])
    assert job.wait(60) == "succeeded"
    assert [(file["path"], file["size"]) for file in job.results()] == [("answer.txt", 3)]


def test_files_go_along_and_results_come_back(client: Client, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "n.txt").write_text("20")
    tasks = [{"id": "a", "command": "echo $(( $(cat in/n.txt) + 1 )) > out.txt", "inputs": ["in/n.txt"], "outputs": ["out.txt"]}]
    job = client.submit(tasks, files=["in/"], name="plus-one", folder=tmp_path)
    assert (job.name, job.wait(60)) == ("plus-one", "succeeded")
    done = job.fetch(tmp_path / "got")
    assert done.fetched == ("out.txt",)
    assert (tmp_path / "got" / "out.txt").read_text() == "21\n"
    assert job.fetch(tmp_path / "got").identical == ("out.txt",)


def test_a_program_sweeps_over_a_csv_file_beside_it(client: Client, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("x;label\r\n1.50;a b\r\n1e-3;007\r\n")
    task = {
        "id": "a-{row}",
        "foreach": [{"csv": "p.csv"}, {"zip": {"k": {"range": [2]}, "s": {"values": ["p", "q"]}}}],
        "command": "echo {x} {x:.3f} {label!q} {k}{s} $X > {row}.txt",
        "env": {"X": "{label}"},
        "outputs": ["{row}.txt"],
    }
    job = client.submit([task], folder=tmp_path)
    assert job.wait(60) == "succeeded"
    job.fetch(tmp_path / "got")
    found = [(tmp_path / "got" / f"{row}.txt").read_text() for row in range(4)]
    assert found == ["1.50 1.500 a b 0p a b\n", "1.50 1.500 a b 1q a b\n", "1e-3 0.001 007 0p 007\n", "1e-3 0.001 007 1q 007\n"]
    with pytest.raises(Refused, match=r"'q\.csv' was not found.*did you mean 'p\.csv'"):
        client.submit([{**task, "foreach": {"csv": "q.csv"}}], folder=tmp_path)


def test_what_differs_here_is_not_overwritten_unless_forced(client: Client, tmp_path: Path) -> None:
    job = client.submit([{"id": "a", "command": "echo new > a.txt", "outputs": ["a.txt"]}])
    job.wait(60)
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(DatastoreTrouble, match=r"a\.txt"):
        job.fetch(tmp_path)
    assert (tmp_path / "a.txt").read_text() == "mine"
    job.fetch(tmp_path, force=True)
    assert (tmp_path / "a.txt").read_text() == "new\n"


def test_only_what_fits_a_pattern_is_fetched(client: Client, tmp_path: Path) -> None:
    command = "mkdir -p plots; echo 1 > plots/a.png; echo 2 > b.txt"
    job = client.submit([{"id": "a", "command": command, "outputs": ["plots/", "b.txt"]}])
    job.wait(60)
    assert job.fetch(tmp_path / "got", ["plots/*.png"]).fetched == ("plots/a.png",)


def test_all_problems_are_told_together_and_nothing_is_stored(client: Client, tmp_path: Path) -> None:
    before = [job["name"] for job in client.jobs()]
    document = {
        "files": ["missing.txt"],
        "tasks": [{"id": "a", "command": "true", "after": ["nobody"]}, {"id": "b", "commmand": "x"}],
    }
    with pytest.raises(Refused) as refused:
        client.submit(document, folder=tmp_path)
    said = [str(problem) for problem in refused.value.problems]
    assert any("missing.txt" in text for text in said)
    assert any("nobody" in text for text in said)
    assert any("commmand" in text for text in said)
    assert sum("missing.txt" in text for text in said) == 1
    assert [job["name"] for job in client.jobs()] == before


def test_a_name_that_is_taken_is_refused(client: Client) -> None:
    client.submit([{"id": "a", "command": "true"}], name="once")
    with pytest.raises(Refused, match="already"):
        client.submit([{"id": "a", "command": "true"}], name="once")


def test_waiting_reports_progress_and_gives_up_in_time(client: Client) -> None:
    job = client.submit([{"id": "a", "command": "sleep 600"}])
    seen: list[dict[str, Any]] = []
    with pytest.raises(TimeoutError, match="running"):
        job.wait(0.2, progress=seen.append)
    assert seen[0]["total"] == 1
    assert job.cancel()[0]["cancelled"] == 1
    assert job.wait(60) == "cancelled"


def test_a_failed_task_tells_why(client: Client) -> None:
    job = client.submit([{"id": "a", "command": "echo boom >&2; exit 7"}])
    assert job.wait(60) == "failed"
    assert job.task("a")["exit_code"] == 7
    assert "boom" in job.task("a")["attempts"][-1]["stderr"]
    assert "exit code 7" in job.why("a")[0]
    assert client.logs(f"{job.name}:a")["stderr"] == "boom\n"


def test_a_running_tasks_output_is_followed_to_its_end(client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = client.submit([{"id": "a", "command": f"echo one; until [ -e {gate} ]; do sleep 0.05; done; echo two"}])
    heard = ""
    with client.follow(f"{job.name}:a") as lines:
        for line in lines:
            heard += (line or {}).get("data", "")
            if "one" in heard:
                gate.touch()
    assert heard == "one\ntwo\n"


def test_long_output_is_read_whole(client: Client) -> None:
    job = client.submit([{"id": "a", "command": "seq 1 20000"}])
    assert job.wait(60) == "succeeded"
    assert client.logs(f"{job.name}:a")["stdout"] == "".join(f"{number}\n" for number in range(1, 20001))


def test_events_are_heard(client: Client) -> None:
    with client.listen("job") as events:
        next(events)
        job = client.submit([{"id": "a", "command": "true"}])
        assert next(event for event in events if event and event["job"] == job.name and event["state"] == "succeeded")


def test_errors_are_of_their_kind(client: Client, ecloud: Deployment) -> None:
    with pytest.raises(NotFound):
        client.job("no-such-job")
    with pytest.raises(NotFound):
        client.job("../status")
    with pytest.raises(InvalidRequest):
        client.drain_workers()
    job = client.submit([{"id": "a", "command": "true"}])
    job.wait(60)
    with pytest.raises(Conflict):
        job.cancel("a")
    url = json.loads((ecloud.state / "api.json").read_text())["url"]
    with Client(url, "wrong") as stranger, pytest.raises(NotPermitted):
        stranger.status()


def test_tasks_are_added_to_a_job_with_new_files(client: Client, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    job = client.submit([{"id": "a", "command": "true"}])
    more = {"files": ["x.txt"], "tasks": [{"id": "b", "command": "cat x.txt", "inputs": ["x.txt"], "after": ["a"]}]}
    assert client.submit(more, job=job.name, folder=tmp_path).name == job.name
    assert job.wait(60) == "succeeded"
    assert [task["id"] for task in job.tasks()] == ["a", "b"]


def test_the_example_of_the_manual_runs(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    program = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "run.py").write_text("import sys\nprint(float(sys.argv[1]) ** 2)\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, "docs/api.md", "exec"), names)
    names["client"].close()
    assert len((tmp_path / "results" / "all.txt").read_text().split()) == 21


def test_waiting_outlives_a_boss_that_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with deployed(tmp_path / "house") as house:
        monkeypatch.setenv("ECLOUD_STATE", str(house.state))
        with Client() as client, ThreadPoolExecutor(1) as pool:
            gate = tmp_path / "gate"
            job = client.submit([{"id": "a", "command": f"until [ -e {gate} ]; do sleep 0.05; done"}])
            eventually(lambda: job.task("a")["state"] == "running")
            looked = threading.Event()
            state = pool.submit(job.wait, 90, lambda now: looked.set())
            assert looked.wait(10)
            house.kill()
            close_output(house)
            house.start()
            gate.touch()
            assert state.result(90) == "succeeded"
        house.stop()
        close_output(house)


def test_the_log_of_a_running_task_is_read_before_it_ends(client: Client) -> None:
    job = client.submit([{"id": "a", "command": "echo begun; echo careful >&2; sleep 600"}], name="long")
    eventually(lambda: client.logs("long:a")["stdout"])
    found = client.logs("long:a")
    assert (found["stdout"], found["stderr"], found["running"]) == ("begun\n", "careful\n", True)
    assert client.logs("long:a", stream="stderr")["stdout"] == ""
    job.cancel()
    job.wait(60)
