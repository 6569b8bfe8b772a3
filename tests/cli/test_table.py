"""``admin.py table``: CSV, JSON, a file that is never overwritten by mistake, and what is drawn on a terminal.

The rig has no datastore, so the numbers of metrics files are put in by hand; ``tests/client/test_table.py`` reads real ones.
"""

import csv
import io
import json
import math
import stat
import subprocess
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from client import DatastoreTrouble
from client.table import Table
from datastore.landing import Listed
from tests.api.rig import Rig
from tests.cli.shell import Said, Shell

STANDING = ["state", "attempt", "exit_code", "started", "finished", "seconds"]


class Shelf:
    """In the place of ``ResultReader``: metrics files by path."""

    files: dict[str, Any] = {}

    def __init__(self, endpoint: object, job: str) -> None:
        pass

    def find(self, wanted: Any) -> dict[str, Listed]:
        return {path: Listed(path, 5, "", False) for path in self.files if path in wanted}

    def read(self, files: list[Listed], take: Any) -> None:
        for listed in files:
            take(listed, json.dumps(self.files[listed.path]).encode())

    def close(self) -> None:
        pass


@pytest.fixture
def files() -> Iterator[dict[str, Any]]:
    """The metrics files that the datastore holds."""
    with mock.patch("client.table.ResultReader", Shelf), mock.patch("client.table.datastore"):
        Shelf.files = {}
        yield Shelf.files


def sweep(rig: Rig, **params: list[Any]) -> None:
    """A finished job of tasks ``t-<number>``, which take their parameters from these columns (two rows of ``i`` if there are none)."""
    columns = params or {"i": [0, 1]}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    rig.push(
        [
            {
                "id": f"t-{number}",
                "foreach": {name: {"values": [value]} for name, value in row.items()},
                "command": "true",
                "outputs": [f"m-{number}.json"],
                "metrics": f"m-{number}.json",
            }
            for number, row in enumerate(rows)
        ]
    )
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])


def read(said: Said) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(said.out, newline="")))


def test_through_a_pipe_it_is_csv_with_a_column_for_everything(rig: Rig, shell: Shell, files: dict[str, Any]) -> None:
    files |= {"m-0.json": {"loss": 0.1, "ok": True}, "m-1.json": {"loss": math.nan, "deep": {"n": 12345678901234567890}}}
    sweep(rig, T=[1.5, 2], kind=["a", "b"])
    said = shell.admin("table", "job")
    rows = read(said)
    assert list(rows[0]) == ["id", "T", "kind", *STANDING, "loss", "ok", "deep.n"]
    assert [rows[0][name] for name in ("id", "T", "kind", "state", "attempt", "exit_code", "seconds", "loss", "ok", "deep.n")] == [
        "t-0", "1.5", "a", "succeeded", "1", "0", "1.5", "0.1", "1", "",
    ]  # fmt: skip
    assert (rows[1]["T"], rows[1]["loss"], rows[1]["deep.n"]) == ("2", "nan", "12345678901234567890")
    assert said.err == ""
    assert "\r" not in said.out


def test_texts_are_quoted_and_cannot_be_formulas(rig: Rig, shell: Shell, files: dict[str, Any]) -> None:
    hostile = ['=1+1|"cmd"', "+x", "@SUM(A1)", "-O2", "\t=1", "-1.5", "a,b", 'say "hi"', "two\nlines", "ü☀", "\ud800", "'ok"]
    files["m-0.json"] = {**{f"c{number}": text for number, text in enumerate(hostile)}, "=evil": 1}
    sweep(rig, p=["=2"])
    [row] = read(shell.admin("table", "job"))
    assert row["p"] == "'=2"
    assert [row[f"c{number}"] for number in range(len(hostile))] == [
        '\'=1+1|"cmd"', "'+x", "'@SUM(A1)", "'-O2", "'\t=1", "-1.5", "a,b", 'say "hi"', "two\nlines", "ü☀", "\ud800", "'ok",
    ]  # fmt: skip
    assert row["'=evil"] == "1"


def test_json_has_the_values_as_they_are(rig: Rig, shell: Shell, files: dict[str, Any]) -> None:
    files["m-0.json"] = {"a": math.inf, "b": -2, "c": "=x", "d": False, "e": math.nan}
    sweep(rig, p=["-O2"])
    [row] = shell.look("table", "job")
    assert list(row) == ["id", "p", *STANDING, "a", "b", "c", "d", "e"]
    assert [row[name] for name in ("p", "a", "b", "c", "d", "e")] == ["-O2", None, -2, "=x", 0, None]


def test_a_job_without_metrics_has_a_table_and_never_asks_the_datastore(rig: Rig, shell: Shell) -> None:
    with mock.patch("client.table.datastore", side_effect=DatastoreTrouble("no route")):
        rig.push({"a": "true", "b": "hold"})
        rig.until(lambda rig: rig.states() == {"a": "succeeded", "b": "running"})
        rows = read(shell.admin("table", "job"))
    assert [(row["id"], row["state"], row["seconds"]) for row in rows] == [("a", "succeeded", "1.5"), ("b", "running", "")]
    assert [row["id"] for row in read(shell.admin("table", "job:b*"))] == ["b"]


def test_show_task_names_parameters_and_the_metrics_file(rig: Rig, shell: Shell) -> None:
    sweep(rig, T=[1.5])
    assert shell.look("show_task", "job:t-0")["metrics"] == "m-0.json"
    assert shell.look("show_tasks", "job")[0]["params"] == {"T": 1.5}
    said = shell.admin("show_task", "job:t-0").out.splitlines()
    assert {"parameter:    T = 1.5", "metrics:      m-0.json"} <= set(said)


def test_a_datastore_that_does_not_answer_writes_nothing(rig: Rig, shell: Shell) -> None:
    sweep(rig)
    with mock.patch("client.table.datastore", side_effect=DatastoreTrouble("no route to store")):
        said = shell.admin("table", "job", "--out", "t.csv", code=1)
    assert (said.out, said.err) == ("", "no route to store\n")
    assert list(shell.folder.iterdir()) == []


def test_out_writes_a_whole_file_and_says_what_is_in_it(rig: Rig, shell: Shell, files: dict[str, Any]) -> None:
    files["m-0.json"] = {"x": "\ud800"}
    sweep(rig)
    said = shell.admin("table", "job", "--out", "t.csv")
    assert said.out == ""
    assert said.err.splitlines() == [
        "2 rows and 9 columns in t.csv (2 succeeded)",
        "1 of 2 metrics files give no numbers: 1 missing (t-1)",
    ]
    written = shell.folder / "t.csv"
    assert written.read_bytes().endswith(b"\n")
    assert len(list(csv.DictReader(io.StringIO(written.read_text(encoding="utf-8"))))) == 2
    (shell.folder / "other").touch()
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE((shell.folder / "other").stat().st_mode)
    assert sorted(path.name for path in shell.folder.iterdir()) == ["other", "t.csv"]
    shell.admin("table", "job", "--out", "t.json", "--json")
    assert [row["id"] for row in json.loads((shell.folder / "t.json").read_text())] == ["t-0", "t-1"]


def test_out_overwrites_nothing_unless_forced(rig: Rig, shell: Shell, files: dict[str, Any]) -> None:
    sweep(rig)
    mine = shell.folder / "t.csv"
    mine.write_text("mine")
    assert shell.admin("table", "job", "--out", "t.csv", code=1).err == "t.csv is there already; --force overwrites it\n"
    assert mine.read_text() == "mine"
    shell.admin("table", "job", "--out", "t.csv", "--force")
    assert mine.read_text().startswith("id,i,")


def test_a_file_that_appears_meanwhile_is_left_alone(rig: Rig, shell: Shell, files: dict[str, Any]) -> None:
    sweep(rig)
    mine = shell.folder / "t.csv"
    with (
        mock.patch.object(Table, "__len__", lambda table: 2),
        mock.patch("client.commands.sweeps.write_csv", lambda file, found: mine.write_text("mine")),
    ):
        assert "is there already" in shell.admin("table", "job", "--out", "t.csv", code=1).err
    assert mine.read_text() == "mine"
    assert [path.name for path in shell.folder.iterdir()] == ["t.csv"]


def test_places_that_cannot_be_written_are_refused_in_one_line(rig: Rig, shell: Shell, files: dict[str, Any]) -> None:
    sweep(rig)
    assert shell.admin("table", "job", "--out", ".", code=1).err == ". is a folder: --out takes a file's name\n"
    assert shell.admin("table", "job", "--out", "no/t.csv", code=1).err == "no/t.csv cannot be written: there is no folder no\n"
    assert (
        shell.admin("table", "job", "--out", "/dev/full", code=1).err == "/dev/full cannot be written: No space left on device\n"
    )
    assert shell.admin("table", "nothing", code=2).err == "there is no job and no task named 'nothing' (the only job is 'job')\n"
    assert "has no task 'x*'" in shell.admin("table", "job:x*", code=2).err


def test_on_a_terminal_a_few_rows_and_the_columns_that_fit_are_drawn(rig: Rig, shell: Shell) -> None:
    rig.push(
        [
            {
                "id": "t-{i}",
                "foreach": {"i": {"range": [0, 150]}, **{f"p{n}": {"values": ["x" * 18]} for n in range(9)}},
                "command": "true",
            }
        ]
    )
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    shell.environment["COLUMNS"] = "100"
    said = shell.on_terminal("admin.py", "table", "job")
    assert "t-19" in said.out and "t-20" not in said.out
    assert "130 more rows and 7 more columns (p4, p5, p6, p7, ...): --out FILE.csv has all" in said.out
    assert max(len(line) for line in said.out.splitlines() if "t-1" in line) < 200


def test_a_reader_that_has_had_enough_ends_it_quietly(rig: Rig, shell: Shell) -> None:
    rig.push([{"id": "t-{i}-" + "x" * 150, "foreach": {"i": {"range": [0, 1500]}}, "command": "hold", "cpus": 99}])
    script = " ".join([*shell.command("admin.py", "table", "job"), "|", "head", "-1"])
    done = subprocess.run(
        ["bash", "-c", script], env=shell.environment, cwd=shell.folder, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("id,i,state")
    assert done.stderr == ""
