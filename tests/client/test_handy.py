"""Grids, data frames, progress and notebooks: what needs no boss."""

import io
import sys
import types
from typing import Any
from unittest import mock

import pandas
import pytest

from client import Client, InvalidRequest, Job, JobFailed, PandasMissing, WaitTimeout, handy, showing
from client.grids import foreach_of, task_of

JOB = {
    "name": "sweep",
    "state": "running",
    "reason": "",
    "total": 4,
    "finished": None,
    "tasks": {"running": 1, "succeeded": 2, "failed": 1},
}


# ---- grids -------------------------------------------------------------------------------------------------------------


def test_a_mapping_is_every_value_with_every_other_and_rows_go_together() -> None:
    assert foreach_of({"T": [1.5, 2.0], "seed": range(2)}) == {"T": {"values": [1.5, 2.0]}, "seed": {"values": [0, 1]}}
    assert foreach_of([{"x": 1, "y": "a"}, {"y": "b", "x": 2}]) == {"zip": {"x": {"values": [1, 2]}, "y": {"values": ["a", "b"]}}}
    assert foreach_of([{"x": 1}, {"x": 2}]) == {"x": {"values": [1, 2]}}


def test_frames_and_their_numbers_are_taken_as_what_they_stand_for() -> None:
    frame = pandas.DataFrame({"n": [1, 2], "x": [0.5, 1.5], "on": [True, False]})
    found = foreach_of(frame)["zip"]
    assert found == {"n": {"values": [1, 2]}, "x": {"values": [0.5, 1.5]}, "on": {"values": [True, False]}}
    assert [type(value) for value in foreach_of({"n": frame.n.to_numpy()})["n"]["values"]] == [int, int]


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, "no parameter"),
        ({"T": []}, "T has no values"),
        ({"T": "abc"}, "T is 'abc'"),
        ({"T": 3}, "T is 3"),
        ({"T": [1, None]}, "value 2 of T is None"),
        ({"T": [float("nan")]}, "value 1 of T is nan"),
        ([], "no rows"),
        ([{}], "no rows"),
        ([{"x": 1}, {"y": 1}], "row 2 has y; the rows before have x"),
        ([1, 2], "row 1 is 1"),
        (7, "int is no grid"),
        ("T=1", "str is no grid"),
    ],
)
def test_what_is_no_grid_is_refused_with_its_place(grid: object, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        foreach_of(grid)


def test_a_map_is_a_task_as_in_a_task_file() -> None:
    made = task_of("run {T}", {"T": [1]}, "run-{T}", {"cpus": 2})
    assert made == {"id": "run-{T}", "foreach": {"T": {"values": [1]}}, "command": "run {T}", "cpus": 2}
    assert task_of(["a", "b"], {"T": [1]}, "x", {})["commands"] == ["a", "b"]


# ---- errors ------------------------------------------------------------------------------------------------------------


def test_errors_are_what_programs_expect_them_to_be() -> None:
    assert issubclass(WaitTimeout, TimeoutError) and issubclass(PandasMissing, ImportError)
    causes = [{"count": 2, "line": f"line {number}", "reason": ""} for number in range(5)]
    assert "2 x line 0; 2 x line 1; 2 x line 2; and 2 more causes" in str(JobFailed("j", "failed", causes))


def test_without_pandas_a_frame_is_refused_and_data_is_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handy, "find_spec", lambda name: None)
    job = Job(mock.create_autospec(Client, instance=True), "sweep")
    monkeypatch.setattr(job, "table", lambda pattern: [{"id": "a"}])
    with pytest.raises(PandasMissing, match="pip install pandas"):
        job.frame()
    assert job.data() == [{"id": "a"}]


def test_a_frame_of_no_tasks_has_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(mock.create_autospec(Client, instance=True), "sweep")
    monkeypatch.setattr(job, "table", lambda pattern: [])
    assert list(job.frame().columns) == ["state"]


# ---- progress and notebooks ----------------------------------------------------------------------------------------------


def test_through_a_pipe_progress_is_lines_on_stderr_the_last_one_always(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    with showing.progress() as show:
        show(JOB)
        show({**JOB, "tasks": {"running": 1, "succeeded": 3}})  # too soon for another line
        show({**JOB, "tasks": {"succeeded": 4}, "finished": 1.0})
    assert err.getvalue().splitlines() == ["sweep: 3/4 done, 1 running, 2 succeeded, 1 failed", "sweep: 4/4 done, 4 succeeded"]


def test_in_a_notebook_progress_is_one_picture_that_is_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = types.SimpleNamespace(update=shown.append)

    def display(picture: str, display_id: bool) -> Any:
        shown.append(picture)
        return handle

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(HTML=str, display=display))
    with showing.progress() as show:
        show(JOB)
        show({**JOB, "tasks": {"succeeded": 4}})
    assert ["3 of 4 done" in shown[0], "4 of 4 done" in shown[1]] == [True, True]


def test_names_in_a_notebook_are_text() -> None:
    evil = {**JOB, "name": "<img src=x onerror=alert(1)>", "state": "paused", "reason": "<b>"}
    said = showing.job_html(evil)
    assert "<img" not in said and "<b>" not in said and "&lt;img" in said
    assert "and 15 older" in showing.jobs_html("http://h", [JOB] * 25)


def test_a_notebook_shows_the_trouble_instead_of_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ECLOUD_TOKEN", "x")
    with Client() as client:
        assert "no boss answers" in client._repr_html_()
        assert "no boss answers" in Job(client, "sweep")._repr_html_()
