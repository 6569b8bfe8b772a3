"""``admin.py report``: one file that needs nothing else, whatever the job is like and whatever its names say; and its crate."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.api.rig import SHA, Rig
from tests.cli.shell import Shell

EVIL = "a</title><script>alert(1)</script>&\"'{{7*7}}\u202e"


class Page(HTMLParser):
    """What a browser would make of a report: its tags, its text, what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and what it leads to."""
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data", "srcset")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "rect", "line", "path", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Every tag is closed in its order."""
        if tag not in ("rect", "line", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """The text for people."""
        self.words += data


def page(path: Path) -> Page:
    found = Page(path.read_text("utf-8"))
    assert found.open == []
    assert "script" not in found.tags and found.loads == []
    assert not re.search(r"url\(|@import|https?://", path.read_text("utf-8"))
    return found


def worked(rig: Rig) -> None:
    rig.push(
        [
            {"id": "run-{T}", "foreach": {"T": {"values": [1, 2, 3]}}, "command": "sim {T}", "outputs": ["{T}.txt"]},
            {"id": "sum", "command": "true", "inputs": ["*.txt"], "outputs": ["all.txt"]},
            {"id": EVIL, "command": "fail"},
        ]
    )
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])


def test_a_report_is_one_file_with_timeline_failures_cost_and_path_and_no_name_in_it_becomes_markup(
    rig: Rig, shell: Shell
) -> None:
    worked(rig)
    said = shell.admin("report", "job")
    assert said.err == "job-report.html: report of 5 tasks\n"
    found = page(shell.folder / "job-report.html")
    for heading in ("Timeline by worker", "CPUs in use", "Failures by cause", "Cost and waste", "Critical path", "Slowest tasks"):
        assert heading in found.words
    assert "a</title><script>alert(1)</script>&\"'{{7*7}}\\u202e" in found.words
    assert "err of it" in found.words and "run-{T}" in found.words
    assert found.tags.count("svg") >= 4 and "rect" in found.tags


def test_a_job_that_still_runs_says_so_and_so_does_one_of_which_nothing_has_run(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "hold"})
    rig.until(lambda rig: set(rig.states().values()) == {"running"})
    assert "still running" in shell.admin("report", "job").err
    assert "This job is still running." in page(shell.folder / "job-report.html").words
    rig.push([{"id": "b", "command": "true", "cpus": 64}], name="never")
    shell.admin("report", "never", "--out", "n.html")
    assert "Nothing of this job has run yet." in page(shell.folder / "n.html").words


def test_a_report_is_made_anew_and_nothing_else_is_overwritten(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    shell.admin("report", "job")
    shell.admin("report", "job")
    (shell.folder / "mine.html").write_text("mine")
    said = shell.admin("report", "job", "--out", "mine.html", code=1)
    assert said.err == "mine.html is there already and is no report; --force overwrites it\n"
    assert (shell.folder / "mine.html").read_text() == "mine"
    shell.admin("report", "job", "--out", "mine.html", "--force")
    assert "did you mean 'job'" in shell.admin("report", "jab", code=2).err
    assert "no folder nowhere" in shell.admin("report", "job", "--out", "nowhere/x.html", code=1).err
    assert "--ro-crate" in shell.admin("report", "job", "--no-files", code=2).err
    assert "JOB is empty" in shell.admin("report", "", code=2).err


def test_figures_are_one_json_document_too(rig: Rig, shell: Shell) -> None:
    worked(rig)
    found = shell.look("report", "job")
    assert (found["tasks"], found["cost"]["vms"]) == (5, None)
    assert found["cost"]["tasks"] == pytest.approx(7.5)  # each of five ran for 1.5 s
    assert found["cost"]["failed"] == pytest.approx(1.5)
    assert found["critical_path"]["steps"][-1]["task"] in {"sum", EVIL}


# ---- the crate -----------------------------------------------------------------------------------------------------------


def crate(folder: Path) -> dict[str, dict[str, Any]]:
    """The entities of a crate by id; each once, and every reference leads to one or out of the crate."""
    document = json.loads((folder / "ro-crate-metadata.json").read_text("utf-8"))
    assert document["@context"] == ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
    entities = {one["@id"]: one for one in document["@graph"]}
    assert len(entities) == len(document["@graph"])
    for one in document["@graph"]:
        for value in (part for values in one.values() for part in (values if isinstance(values, list) else [values])):
            if isinstance(value, dict):
                assert value["@id"] in entities or value["@id"].startswith("http"), value
    return entities


def types(entity: dict[str, Any]) -> set[str]:
    found = entity["@type"]
    return set(found) if isinstance(found, list) else {found}


def ids(value: Any) -> list[str]:
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_a_crate_keeps_what_the_profiles_demand(rig: Rig, shell: Shell) -> None:
    worked(rig)
    said = shell.admin("report", "job", "--ro-crate", "crate", "--no-files")
    assert said.err == "crate: 4 results, 6 actions\n"
    found = crate(shell.folder / "crate")
    root, descriptor = found["./"], found["ro-crate-metadata.json"]
    # RO-Crate 1.1: the descriptor, and what the root has to say
    assert (types(descriptor), ids(descriptor["about"])) == ({"CreativeWork"}, ["./"])
    assert set(ids(descriptor["conformsTo"])) == {
        "https://w3id.org/ro/crate/1.1",
        "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
    }
    assert types(root) == {"Dataset"} and all(root[name] for name in ("name", "description", "datePublished", "license"))
    # Process and Workflow Run Crate 0.5: the profiles are named, and are entities
    profiles = ids(root["conformsTo"])
    assert {"https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5"} <= set(profiles)
    assert all("CreativeWork" in types(found[one]) and found[one]["version"] for one in profiles)
    # Workflow RO-Crate 1.0: the main entity is the workflow, and a file of the crate
    workflow = found[root["mainEntity"]["@id"]]
    assert types(workflow) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert workflow["name"] and types(found[workflow["programmingLanguage"]["@id"]]) == {"ComputerLanguage"}
    # actions: whose instrument is the workflow or an application; who, when, what came of it
    actions = [found[one] for one in ids(root["mentions"])]
    assert [types(one) for one in actions] == [{"CreateAction"}] * 6
    assert [one for one in actions if one["instrument"]["@id"] == workflow["@id"]] == [actions[0]]
    for one in actions[1:]:
        assert types(found[one["instrument"]["@id"]]) == {"SoftwareApplication"}
        assert types(found[one["location"]["@id"]]) == {"Place"}
    for one in actions:
        assert types(found[one["agent"]["@id"]]) == {"Person"} and one["startTime"] and one["endTime"]
        assert one["actionStatus"] in ("http://schema.org/CompletedActionStatus", "http://schema.org/FailedActionStatus")
    [failed] = [one for one in actions[1:] if one["actionStatus"].endswith("FailedActionStatus")]
    assert failed["error"] == "exit code 3"
    # data entities: every file is part of the root, and lies there or has an absolute name
    files = [one for one in found.values() if "File" in types(one)]
    assert {one["@id"] for one in files} == set(ids(root["hasPart"]))
    for one in files:
        assert (shell.folder / "crate" / one["@id"]).is_file() or one["@id"].startswith("ni:///sha-256;")
    made = next(one for one in files if one.get("sha256") == SHA)
    assert made["contentSize"] == "5"


def test_every_attempt_is_in_a_table_and_no_cell_of_it_is_a_formula(rig: Rig, shell: Shell) -> None:
    rig.push([{"id": "=cmd", "command": "fail", "retries": 1}])
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    shell.admin("report", "job", "--ro-crate", "crate")
    with open(shell.folder / "crate" / "attempts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(one["task"], one["attempt"], one["outcome"], one["worker"], one["cause"]) for one in rows] == [
        ("'=cmd", "1", "failed", "local-1", "exit code 3"),
        ("'=cmd", "2", "failed", "local-1", "exit code 3"),
    ]
    assert page(shell.folder / "crate" / "report.html").words


def test_a_crate_is_made_anew_and_a_folder_with_other_things_is_refused(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    rig.push({"a": "true"}, name="other")
    shell.admin("report", "job", "--ro-crate", "crate")
    shell.admin("report", "job", "--ro-crate", "crate")
    assert "holds something else" in shell.admin("report", "other", "--ro-crate", "crate", code=1).err
    (shell.folder / "mine").mkdir()
    (shell.folder / "mine" / "thesis.tex").write_text("x")
    assert "mine holds something else than a crate of job" in shell.admin("report", "job", "--ro-crate", "mine", code=1).err
    assert [path.name for path in (shell.folder / "mine").iterdir()] == ["thesis.tex"]
    assert "is a file" in shell.admin("report", "job", "--ro-crate", "mine/thesis.tex", code=1).err
