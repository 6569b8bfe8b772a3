"""What the pages show, to whom, and that nothing that is shown can run. Names and logs are hostile."""

import csv
import io
import json
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from boss.adapters.intake import Intake
from boss.api.roles import roles_of
from boss.core.tokens import Role
from boss.page import jobs, site, tasks
from boss.page.shown import ORDER
from boss.ports import Thing
from tests.page.house import PageRig, words

#: What would run if it were not escaped, in an element, an attribute, a script and a URL.
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&{{7*7}}"
GRID: list[dict[str, Any]] = [
    {"id": "first", "command": "true", "outputs": ["a.txt"]},
    {
        "id": "run-{n}",
        "foreach": {"n": {"range": [0, 120]}},
        "command": "fail",
        "inputs": ["a.txt"],
    },
    {"id": "last", "command": "true", "after": ["run-*"]},
]


def _links(html: str) -> list[str]:
    return re.findall(r'href="(/jobs/job/tasks/\d+)"', html)


# ---- the frame -------------------------------------------------------------------------------------------------------


def test_every_page_forbids_scripts_and_styles_of_its_own_other_hosts_and_frames(rig: PageRig) -> None:
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    browser = rig.browser()
    paths = ("/", "/login", "/jobs", "/jobs/job", "/jobs/job/graph", "/jobs/job/timeline", "/jobs/job/table", "/jobs/job/results",
             "/jobs/job/tasks/0", "/fleet", "/data", "/admin", "/admin/doctor", "/jobs/none", "/data/job", "/docs")  # fmt: skip
    for path in paths:
        said = browser.http.get(path)
        policy = said.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert "http" not in policy, path
        assert said.headers["cache-control"] == "no-store", path
        assert said.headers["x-content-type-options"] == "nosniff", path
        assert not re.search(r"<script(?![^>]*\ssrc=\"/static/)", said.text), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", said.text), path
        assert not re.search(r"(?:src|href|action)=\"(?:[a-z]+:)?//", said.text), path


def test_files_of_the_page_are_found_by_their_exact_names_alone(rig: PageRig) -> None:
    stranger = rig.browser("")
    said = stranger.http.get("/static/app.js")
    assert said.headers["content-type"].startswith("text/javascript")
    assert stranger.http.get("/static/vendor/htmx.min.js").status_code == 200
    for path in (
        "/static/../site.py",
        "/static/%2e%2e/site.py",
        "/static//etc/passwd",
        "/static/",
        "/static/app.js/",
        "/static/SHA256SUMS",
    ):
        assert stranger.http.get(path).status_code == 404, path


def test_every_route_of_the_page_has_a_role_and_none_changes_anything(rig: PageRig) -> None:
    routes = {key: role for key, role in roles_of(rig.app.routes).items() if not key[1].startswith("/api/")}
    assert {method for method, _ in routes} == {"GET"}
    assert {path for (_, path), role in routes.items() if role is None} == {"/login", "/docs", "/static/{name:path}"}
    assert {path for (_, path), role in routes.items() if role is Role.ADMIN} == {"/admin", "/admin/doctor", "/fleet/leaks"}


def test_the_page_is_no_part_of_the_apis_description(rig: PageRig) -> None:
    paths = rig.client("").get(rig.url + "/openapi.json").json()["paths"]
    assert {path for path in paths if not path.startswith("/api/v1/")} <= {"/metrics"}


def test_the_list_of_calls_is_open_to_all_and_names_each_with_its_role(rig: PageRig) -> None:
    stranger = rig.browser("")
    said = words(stranger.get("/docs"))
    assert "POST /api/v1/pushes" in said
    assert "PUT /api/v1/context/datastore admin" in said
    assert "GET /api/v1/health anybody" in said
    assert stranger.http.get("/redoc", follow_redirects=False).status_code in (303, 404)


def test_what_is_not_there_is_said_in_a_page(rig: PageRig) -> None:
    browser = rig.browser()
    assert "there is no job named 'jbo'" in words(browser.get("/jobs/jbo", 404))
    rig.push({"a": "hold"})
    assert "there is no task 7" in words(browser.get("/jobs/job/tasks/7", 404))
    assert "no attempt 3" in words(browser.get("/jobs/job/tasks/0/attempts/3/stdout", 404))
    browser.get("/jobs/job?after=-5", 422)
    browser.get("/jobs/job?trail=x", 422)
    browser.get("/jobs/job?state=nonsense")


def test_when_the_datastore_is_away_its_pages_say_so(rig: PageRig) -> None:
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    rig.shelf.down = "store: no answer in time"
    for path in ("/data", "/jobs/job/results", "/jobs/job/preview?path=a"):
        assert "the datastore does not answer: store: no answer" in words(rig.browser().get(path, 503))
    rig.browser().get("/jobs/job")
    rig.browser().get("/jobs/job/tasks/0")


# ---- hostile names and logs ------------------------------------------------------------------------------------------


def test_names_parameters_commands_and_logs_of_tasks_never_become_html(rig: PageRig) -> None:
    rows = [
        {"id": HOSTILE, "command": "hold", "env": {"X": HOSTILE}},
        {"id": "x-{n}", "foreach": {"n": {"values": [HOSTILE]}}, "command": "hold", "after": [HOSTILE]},
    ]
    rig.push(rows)
    rig.until(lambda rig: rig.workers.held)
    (attempt,) = rig.workers.held
    rig.workers.end(attempt, "failed", stdout=HOSTILE, stderr=HOSTILE)
    rig.until(lambda rig: rig.states()[HOSTILE] == "failed")
    browser = rig.browser()
    parts = (
        "",
        "/graph?view=tasks",
        "/graph?view=families",
        "/timeline",
        "/table",
        "/tasks/0",
        "/tasks/1",
        "/tasks/0/attempts/1/stderr",
    )
    paths = ["/", "/jobs", "/fleet", "/admin", *(f"/jobs/job{part}" for part in parts)]
    for path in paths:
        text = browser.get(path)
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
    assert escape(HOSTILE)[:40] in browser.get("/jobs/job/tasks/0").replace("&#34;", "&quot;").replace("&#39;", "&#x27;")


def test_what_somebody_looks_for_never_becomes_html(rig: PageRig) -> None:
    rig.push({"a": "hold"})
    browser = rig.browser()
    for path in ("/jobs", "/jobs/job", "/jobs/job/table", "/jobs/job/results", "/fleet"):
        assert "<script>alert" not in browser.get(path, q=HOSTILE), path
    assert "<script>alert" not in browser.get("/admin", by=HOSTILE, job=HOSTILE)
    assert "<script>alert" not in browser.get("/jobs/" + "%3Cscript%3Ealert", 404)


def test_a_log_as_it_is_written_is_json_and_never_html(rig: PageRig) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.workers.held)
    (attempt,) = rig.workers.held
    rig.workers.end(attempt, "failed", stdout=f"{HOSTILE}\r\nevent: change\ndata: 1\n\n", stderr="")
    rig.until(lambda rig: rig.states() == {"a": "failed"})
    with rig.browser().http.stream("GET", "/jobs/job/tasks/0/log") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line]
    assert all(line.startswith(("data: {", ":")) for line in lines), lines
    said = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data")]
    assert said[0]["data"].startswith(HOSTILE)
    assert said[-1] == {"end": "failed"}


def test_a_file_of_somebodys_runs_nothing_in_a_browser(rig: PageRig) -> None:
    rig.push([{"id": "a", "command": "true", "outputs": ["page.html", "x.svg"]}])
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    page = b"<script>1</script>"
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    rig.shelf.contents |= {("job", "page.html"): page, ("job", "x.svg"): svg}
    rig.shelf.results["job"] |= {"page.html": (len(page), "aa"), "x.svg": (len(svg), "bb")}
    browser = rig.browser()
    for path in ("page.html", "x.svg"):
        said = browser.http.get("/jobs/job/file", params={"path": path})
        assert said.headers["content-type"] == "application/octet-stream"
        assert said.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in said.headers["content-security-policy"]
        assert "<script>1" not in browser.get("/jobs/job/preview", path=path)


def test_a_cell_that_a_spreadsheet_would_run_is_quoted_in_the_csv(rig: PageRig) -> None:
    rig.push([{"id": "x-{row}", "foreach": {"f": {"values": ["=1+1", "@a", "-2", "plain"]}}, "command": "true"}])
    rig.until(lambda rig: set(rig.states().values()) == {"succeeded"})
    rows = list(csv.DictReader(io.StringIO(rig.browser().get("/jobs/job/table.csv"))))
    assert [row["f"] for row in rows] == ["'=1+1", "'@a", "'-2", "plain"]


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_viewers_see_no_button_that_they_may_not_use(rig: PageRig) -> None:
    rig.push_as("ada", [*GRID, {"id": "held", "command": "hold"}])
    rig.until(lambda rig: rig.states()["run-0"] == "failed")
    viewer, other, admin = rig.browser_of("viewer", "vic"), rig.browser_of("researcher", "bob"), rig.browser()
    owner = rig.browser(rig.token_of("researcher", "ada"))
    for path in ("/jobs/job", "/jobs/job?q=run", "/jobs/job/tasks/1", "/fleet"):
        assert "data-url" not in viewer.get(path), path
        assert "poolform" not in viewer.get(path), path
        assert "data-url" not in other.get(path), path
    for path in ("/jobs/job", "/jobs/job?q=run", "/jobs/job/tasks/1"):
        assert "/api/v1/retry" in owner.get(path), path
        assert "/api/v1/retry" in admin.get(path), path
    assert "/api/v1/pools/local" in admin.get("/fleet")
    assert 'href="/admin"' not in owner.get("/")
    assert 'href="/admin"' in admin.get("/")


def test_tasks_are_filtered_searched_and_paged_on_the_server(rig: PageRig) -> None:
    rig.push(GRID)
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    browser = rig.browser()
    first = browser.get("/jobs/job")
    assert len(_links(first)) == jobs.PAGE
    after = re.search(r'href="([^"]+)" rel="next"', first)
    assert after is not None
    second = browser.get(after.group(1).replace("&amp;", "&"))
    assert _links(second)[0] == f"/jobs/job/tasks/{jobs.PAGE}"
    back = re.search(r'href="([^"]+)" rel="prev"', second)
    assert back is not None
    assert _links(browser.get(back.group(1).replace("&amp;", "&"))) == _links(first)
    assert len(_links(browser.get("/jobs/job", state="failed"))) == jobs.PAGE
    assert _links(browser.get("/jobs/job", state="skipped")) == ["/jobs/job/tasks/121"]
    assert _links(browser.get("/jobs/job", q="run-77")) == ["/jobs/job/tasks/78"]
    assert len(_links(browser.get("/jobs/job", q="run-1?"))) == 10
    assert "No task is so" in browser.get("/jobs/job", q="[*")


def test_failures_are_grouped_by_cause(rig: PageRig) -> None:
    rig.push(GRID)
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    browser = rig.browser()
    rig.until(lambda rig: "120 failed, by cause" in words(browser.get("/jobs/job")))
    text = words(browser.get("/jobs/job"))
    assert "120 × err of it exit code 3 · for example run-0" in text


def test_a_task_shows_attempts_evidence_inputs_outputs_and_why(rig: PageRig) -> None:
    rig.push(
        [
            *GRID[:1],
            {"id": "b", "command": "hold", "inputs": ["a.txt"], "outputs": ["b.txt"]},
            {"id": "c", "command": "x", "after": ["b"]},
        ]
    )
    rig.until(lambda rig: rig.states() == {"first": "succeeded", "b": "running", "c": "waiting"})
    browser = rig.browser()
    done = words(browser.get("/jobs/job/tasks/0"))
    assert "a.txt 5 B abababababab" in done
    assert "exit code 0" in done
    waiting = words(browser.get("/jobs/job/tasks/2"))
    assert "b is running" in waiting or "waits for" in waiting.lower()
    (attempt,) = rig.workers.held
    rig.workers.end(attempt, "failed", stderr="ValueError: no convergence\n")
    rig.until(lambda rig: rig.states()["b"] == "failed")
    failed = words(browser.get("/jobs/job/tasks/1"))
    assert "What went wrong" in failed
    assert "ValueError: no convergence" in failed
    assert re.search(r"a\.txt 5 B first , attempt 1", failed)


def test_a_text_and_a_picture_among_the_results_can_be_looked_at(rig: PageRig) -> None:
    rig.push([{"id": "a", "command": "true", "outputs": ["t.txt", "p.png", "b.bin"]}])
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    held = {"t.txt": "Grüße <b>\n".encode(), "p.png": b"\x89PNG\r\n\x1a\n....", "b.bin": b"\0\1\2"}
    for path, data in held.items():
        rig.shelf.contents["job", path] = data
        rig.shelf.results["job"][path] = (len(data), "ab")
    browser = rig.browser()
    assert "Grüße &lt;b&gt;" in browser.get("/jobs/job/preview", path="t.txt")
    assert '<img class="picture"' in browser.get("/jobs/job/preview", path="p.png")
    assert browser.http.get("/jobs/job/file", params={"path": "p.png"}).headers["content-type"] == "image/png"
    assert "neither text nor a picture" in browser.get("/jobs/job/preview", path="b.bin")
    assert browser.http.get("/jobs/job/file", params={"path": "t.txt", "download": "1"}).content == held["t.txt"]
    assert "there is no result" in words(browser.get("/jobs/job/preview", 404, path="no.txt"))
    assert "path" in words(browser.get("/jobs/job/preview", 422, path="../../etc/passwd"))


def test_a_file_that_is_too_large_for_a_page_names_the_command_that_takes_it(
    rig: PageRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push([{"id": "a", "command": "true", "outputs": ["big.bin"]}])
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    monkeypatch.setattr(tasks, "LARGEST", 4)
    assert "admin.py fetch job big.bin" in words(rig.browser().get("/jobs/job/file", 413, path="big.bin", download=1))


def test_the_table_has_parameters_and_the_numbers_of_the_results_side_by_side(rig: PageRig) -> None:
    grid = {"T": {"linspace": [1.5, 2.5, 3]}, "seed": {"range": [0, 2]}}
    rig.push(
        [
            {
                "id": "m-{T}-{seed}",
                "foreach": grid,
                "command": "true",
                "outputs": ["m-{T}-{seed}.json"],
                "metrics": "m-{T}-{seed}.json",
            }
        ]
    )
    rig.until(lambda rig: set(rig.states().values()) == {"succeeded"})
    for name in rig.states():
        rig.shelf.contents["job", f"{name}.json"] = json.dumps({"energy": -1.25, "note": HOSTILE, "bad": [1] * 99}).encode()
    page = rig.browser().get("/jobs/job/table")
    assert re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', page) == ["Task", "T", "seed", "energy", "note", "State", "Took"]
    assert "m-1.5-0 1.5 0 -1.25" in words(page)
    rows = list(csv.DictReader(io.StringIO(rig.browser().get("/jobs/job/table.csv"))))
    assert len(rows) == 6
    assert rows[0]["T"] == "1.5"
    assert rows[0]["energy"] == "-1.25"
    assert rows[0]["state"] == "succeeded"


def test_the_table_goes_without_numbers_when_the_datastore_is_away(rig: PageRig) -> None:
    rig.push([{"id": "m", "command": "true", "outputs": ["m.json"], "metrics": "m.json"}])
    rig.until(lambda rig: rig.states() == {"m": "succeeded"})
    rig.shelf.down = "store: away"
    assert "The numbers are missing" in words(rig.browser().get("/jobs/job/table"))


def test_the_graph_collapses_a_sweep_to_one_box_and_small_jobs_not(rig: PageRig) -> None:
    rig.push(GRID, "large")
    rig.push({"a": "true", "b": "true"}, "small")
    browser = rig.browser()
    large = browser.get("/jobs/large/graph")
    assert large.count('<g class="box') == 3
    assert "run-{n}: 120 tasks" in large
    assert browser.get("/jobs/small/graph").count('<g class="box') == 2
    assert browser.get("/jobs/large/graph", view="tasks").count('<g class="box') == 122


def test_the_graph_knows_of_tasks_that_were_added_since_it_was_drawn(rig: PageRig) -> None:
    rows = [{"id": "a", "command": "hold"}, {"id": "b", "command": "hold", "after": ["a"]}]
    rig.push(rows)
    browser = rig.browser()
    page = browser.get("/jobs/job/graph", view="families")
    assert (page.count('<g class="box'), page.count("<path d=")) == (2, 2)  # one of them is the mark at the top
    rig.push([{"id": "c", "command": "hold", "after": ["a", "b"]}], job="job")
    page = browser.get("/jobs/job/graph", view="families")
    assert (page.count('<g class="box'), page.count("<path d=")) == (3, 4)


def test_the_timeline_shows_what_ran_where(rig: PageRig) -> None:
    rig.push({"a": "true", "b": "fail", "c": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded", "b": "failed", "c": "running"})
    page = rig.browser().get("/jobs/job/timeline")
    assert {"a, succeeded", "b, failed", "c, running"} <= set(re.findall(r"<title>([abc], [a-z]+)", page))


def test_the_overview_says_first_what_needs_attention(rig: PageRig) -> None:
    rig.push({"a": "fail", "b": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "failed", "b": "running"})
    page = words(rig.browser().get("/"))
    assert page.index("1 task of job failed") < page.index("Running")


def test_a_datastore_that_is_nearly_full_is_told_first(rig: PageRig) -> None:
    rig.shelf.space = lambda: ("store:/data", 2 << 30, 100 << 30)  # type: ignore[method-assign]
    rig.history.look_for_room()
    assert "The datastore is nearly full: 2.0 GiB of 100 GiB are left at store:/data." in words(rig.browser().get("/"))
    rig.shelf.space = lambda: ("store:/data", 50 << 30, 100 << 30)  # type: ignore[method-assign]
    rig.history.look_for_room()
    assert "nearly full" not in rig.browser().get("/")


def test_what_nobody_owns_in_the_clouds_is_shown_to_admins_with_its_remedy(rig: PageRig) -> None:
    rig.cloud.lost.append(Thing("local", "volume", "v1", HOSTILE, "gone-1", "available"))
    page = rig.browser().get("/fleet/leaks")
    assert "1 of 1 things have no owner" in words(page)
    assert "<script>alert" not in page
    assert "/api/v1/fleet/leaks" in page
    assert rig.browser().call("DELETE", "/fleet/leaks").status_code == 200
    assert "0 of 0 things have no owner" in words(rig.browser().get("/fleet/leaks"))


def test_what_somebody_calls_a_task_is_found(rig: PageRig) -> None:
    rig.push(GRID)
    browser = rig.browser()
    for target, place in (("job", "/jobs/job"), ("job:run-5", "/jobs/job/tasks/6"), ("last", "/jobs/job/tasks/121"),
                          ("job:run-*", "/jobs/job?q=run-%2A")):  # fmt: skip
        assert browser.http.get("/find", params={"target": target}).headers["location"] == place
    assert "did you mean" in words(browser.get("/find", 404, target="job:rn-5"))


def test_settings_tokens_and_the_audit_are_for_admins_and_tell_no_secret(rig: PageRig) -> None:
    text = rig.token_of("researcher", "ada")
    page = rig.browser().get("/admin")
    assert "ada" in words(page)
    assert text not in page
    assert "create_token" in page


def test_an_admin_sees_settings_and_what_the_doctor_finds(tmp_path: Path, intake: Intake) -> None:
    findings = [("disk", "failed", f"only 1 GiB is left at {HOSTILE}", "free some: `df -h` shows where")]
    with PageRig(tmp_path, intake, settings=lambda: (("api.host", "127.0.0.1"),), diagnose=lambda: findings) as rig:
        browser = rig.browser()
        assert "api.host 127.0.0.1" in words(browser.get("/admin"))
        page = browser.get("/admin/doctor")
        assert "failed disk only 1 GiB is left" in words(page)
        assert "<code>df -h</code>" in page
        assert "<script>alert" not in page
        assert rig.browser_of("researcher", "ada").http.get("/admin/doctor").status_code == 403


def test_how_a_job_goes_on_is_told_from_what_was_seen(rig: PageRig) -> None:
    rig.push({"a": "true", "b": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded", "b": "running"})
    columns = rig.browser().http.get("/history.json").json()
    assert len({len(column) for column in columns}) == 1


def test_the_stream_says_that_something_has_changed_and_of_other_jobs_nothing(rig: PageRig) -> None:
    rig.push({"a": "hold"}, "mine")
    rig.until(lambda rig: rig.states("mine") == {"a": "running"})
    with rig.browser().http.stream("GET", "/live", params={"job": "mine"}) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("event"))
        assert next(lines) == "event: hello"
        rig.workers.end_all()
        assert next(lines) == "event: change"


def test_states_have_their_order_and_all_are_in_it() -> None:
    from boss.core.model import TaskState

    assert set(ORDER) == {state.value for state in TaskState}


def test_an_app_without_a_guard_on_a_page_is_refused() -> None:
    app = FastAPI()
    assert site.Page.__mro__
    with pytest.raises(TypeError):
        app.router.add_api_route("/x", lambda: None, methods=["GET"], route_class_override=site.Page)


def test_sentences_are_escaped_and_their_commands_are_code() -> None:
    assert str(site.ticked("`a <b>` and <i>")) == "<code>a &lt;b&gt;</code> and &lt;i&gt;"
    assert str(site.ticked("an odd ` <b>")) == "an odd ` &lt;b&gt;"
