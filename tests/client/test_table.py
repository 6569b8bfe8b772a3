"""A job's table, against a real boss, its workers and its datastore."""

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest

from client import Client, NotFound
from client import table as tables
from client.table import Table
from tests.e2e.deployment import Deployment
from tests.servers import eventually

STANDING = ["state", "attempt", "exit_code", "started", "finished", "seconds"]


def writes(path: str, text: str) -> str:
    """A command that writes this text."""
    return f"cat > {path} <<'EOF'\n{text}\nEOF\n"


def test_each_task_is_a_row_with_parameters_state_times_and_numbers(client: Client) -> None:
    sweep = {
        "id": "run-{T}-{kind}",
        "foreach": {"T": {"linspace": [0.5, 1.5, 3]}, "kind": {"values": ["a", "-b"]}, "flag": {"values": [True]}},
        "command": 'mkdir out; echo \'{"loss": {T}, "fit": {"steps": 3, "ok": false}, "nan": NaN}\' > out/{T}{kind}.json',
        "outputs": ["out/{T}{kind}.json"],
        "metrics": "out/{T}{kind}.json",
    }
    job = client.submit([sweep, {"id": "bad", "command": "exit 3", "after": ["run-*"]}], name="tabled")
    assert job.wait(60) == "failed"
    rows = job.table()
    assert list(rows[0]) == ["id", "T", "kind", "flag", *STANDING, "loss", "fit.steps", "fit.ok", "nan"]
    assert [row["id"] for row in rows] == [f"run-{T}-{kind}" for T in ("0.5", "1", "1.5") for kind in ("a", "-b")] + ["bad"]
    first, last = rows[1], rows[-1]
    assert (first["T"], first["kind"], first["flag"], first["state"], first["attempt"]) == (0.5, "-b", 1, "succeeded", 1)
    assert (first["loss"], first["fit.steps"], first["fit.ok"]) == (0.5, 3, 0)
    assert math.isnan(first["nan"])
    assert first["seconds"] == pytest.approx(first["finished"] - first["started"], abs=0.002)
    assert (last["T"], last["state"], last["exit_code"], last["loss"]) == (None, "failed", 3, None)
    assert [row["id"] for row in job.table("run-1-*")] == ["run-1-a", "run-1--b"]


def test_files_that_give_no_numbers_leave_cells_empty_and_are_counted_with_examples(client: Client) -> None:
    tasks: list[dict[str, Any]] = [
        {
            "id": f"text{number}",
            "command": f"echo loss > t{number}.json",
            "outputs": [f"t{number}.json"],
            "metrics": f"t{number}.json",
        }
        for number in range(5)
    ]
    tasks += [
        {"id": "fine",
         "command": "echo '{\"x\": 1, \"trace\": [1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]}' > f", "outputs": ["f"], "metrics": "f"},
        {"id": "list", "command": "echo '[1]' > l.json", "outputs": ["l.json"], "metrics": "l.json"},
        {"id": "none", "command": "true", "outputs": [{"path": "n.json", "optional": True}], "metrics": "n.json"},
        {"id": "huge", "command": "head -c 2000000 /dev/zero > h.json", "outputs": ["h.json"], "metrics": "h.json"},
        {"id": "plain", "command": "true"},
    ]  # fmt: skip
    job = client.submit(tasks, name="odd")
    assert job.wait(60) == "succeeded"
    with Table(client, "odd") as table:
        cells = {row[0]: row[-1] for row in table.rows()}
        assert table.columns[-1] == "x"
        assert cells == {**dict.fromkeys(cells, None), "fine": 1}
        kinds = "5 not JSON (text0, text1, text2, ...); 1 not an object of names and numbers (list); 1 missing (none)"
        assert table.notes == [
            f"8 of 9 metrics files give no numbers: {kinds}; 1 larger than 1 MiB (huge)",
            "1 value left out of the columns (a long list or text, or too many): trace of fine",
        ]


def test_a_job_that_runs_has_values_of_what_has_finished(client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    done = {"id": "done", "command": writes("d.json", '{"x": 7}'), "outputs": ["d.json"], "metrics": "d.json"}
    waits = {
        **done,
        "id": "waits",
        "command": f"until [ -e {gate} ]; do sleep 0.05; done",
        "outputs": ["w.json"],
        "metrics": "w.json",
    }
    job = client.submit([done, waits])
    eventually(lambda: {task["state"] for task in job.tasks()} == {"succeeded", "running"})
    rows = job.table()
    assert [(row["id"], row["state"], row["x"]) for row in rows] == [("done", "succeeded", 7), ("waits", "running", None)]
    assert rows[1]["finished"] is None and rows[1]["seconds"] is None
    job.cancel()
    assert job.wait(60) == "cancelled"


def test_names_that_are_taken_get_a_prefix(client: Client) -> None:
    task = {
        "id": "t-{state}",
        "foreach": {"state": {"values": ["solid"]}, "T": {"values": [1]}},
        "command": 'echo \'{"T": 2, "id": 3, "metrics": {"T": 4}}\' > m.json',
        "outputs": ["m.json"],
        "metrics": "m.json",
    }
    job = client.submit([task])
    assert job.wait(60) == "succeeded"
    [row] = job.table()
    assert (row["params.state"], row["state"], row["T"], row["id"]) == ("solid", "succeeded", 1, "t-solid")
    assert (row["metrics.T"], row["metrics.id"], row["metrics.metrics.T"]) == (2, 3, 4)


def test_many_columns_are_bounded_and_the_rest_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_COLUMNS", 3)
    sweep = {
        "id": "t-{n}",
        "foreach": {"n": {"range": [0, 5]}},
        "command": 'echo \'{"k{n}": 1, "same": {n}}\' > {n}.json',
        "outputs": ["{n}.json"],
        "metrics": "{n}.json",
    }
    job = client.submit([sweep], name="wide")
    assert job.wait(60) == "succeeded"
    with Table(client, "wide") as table:
        assert table.columns[-3:] == ["k0", "same", "k1"]
        assert [row[-2] for row in table.rows()] == [0, 1, 2, 3, 4]
        [note] = table.notes
        assert note.startswith("3 values left out of the columns")


def test_a_result_that_was_damaged_on_the_datastore_is_not_believed(client: Client, ecloud: Deployment) -> None:
    task = {"id": "a", "command": writes("a.json", '{"x": 1}'), "outputs": ["a.json"], "metrics": "a.json"}
    job = client.submit([task])
    assert job.wait(60) == "succeeded"
    place = ecloud.state / "datastore" / "jobs" / job.name / "a.json"
    place.write_text(place.read_text().replace("1", "2"))
    with Table(client, job.name) as table:
        assert [row[0] for row in table.rows()] == ["a"]
        assert table.notes == ["1 of 1 metrics files give no numbers: 1 not what the sha256 says (a)"]


def test_rows_are_kept_in_a_file_without_a_name_in_parts(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "IN_MEMORY", 100)
    monkeypatch.setattr(tables, "PART", 7)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sweep = {
        "id": "t-{n}",
        "foreach": {"n": {"range": [0, 20]}},
        "command": "echo '{\"x\": {n}}' > {n}.json",
        "outputs": ["{n}.json"],
        "metrics": "{n}.json",
    }
    job = client.submit([sweep])
    assert job.wait(60) == "succeeded"
    assert [row["x"] for row in job.table()] == list(range(20))
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_nothing_known_is_refused(client: Client) -> None:
    job = client.submit([{"id": "a", "command": "true"}])
    with pytest.raises(NotFound):
        job.table("nothing")


def test_failures_are_told_by_cause(client: Client) -> None:
    job = client.submit([{"id": "a", "command": "echo boom >&2; exit 7"}, {"id": "b", "command": "kill -SEGV $$"}])
    assert job.wait(60) == "failed"
    found = {(cause["reason"], cause["line"]) for cause in client.failures(job.name)["causes"]}
    assert ("exit code 7", "boom") in found
    assert len(found) == 2
