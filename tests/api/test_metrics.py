"""What Prometheus reads: for whoever has a token, in its format, and nothing in it that grows with what is run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from boss.adapters.exposition import Exposition
from boss.adapters.intake import Intake
from tests.api.rig import OTHER, TOKEN, Rig
from tests.servers import eventually

ROOT = Path(__file__).parents[2]
#: The only labels: their values are few, whatever is run. ``le`` bounds a bucket.
LABELS = {"pool", "state", "outcome", "version", "le"}


@pytest.fixture
def rig(tmp_path: Path, intake: Intake) -> Any:
    """A boss that shows its numbers."""

    def text() -> tuple[bytes, str]:
        return Exposition("9.9", made.loop.meters, made.loop.view, made.loop.waiting, tmp_path).text()

    with Rig(tmp_path, intake, metrics=text) as made:
        yield made


def scraped(rig: Rig) -> str:
    answer = rig.client(TOKEN).get(rig.url + "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels, read by Prometheus' own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def number(rig: Rig, name: str, **labels: str) -> float:
    return samples(scraped(rig))[name, tuple(sorted(labels.items()))]


def test_it_takes_a_token_and_a_viewers_is_enough(rig: Rig) -> None:
    assert rig.client("").get(rig.url + "/metrics").status_code == 401
    assert rig.client("wrong").get(rig.url + "/metrics/").status_code == 401
    assert rig.as_a("viewer", "prometheus").get(rig.url + "/metrics").status_code == 200
    assert rig.client(OTHER).post(rig.url + "/metrics").status_code == 405


def test_what_has_run_is_counted(rig: Rig) -> None:
    rig.push({"a": "true", "b": "fail", "c": "true"})
    eventually(lambda: number(rig, "ecloud_jobs_finished_total", state="failed") == 1)
    assert number(rig, "ecloud_attempts_dealt_total") == 3
    assert number(rig, "ecloud_attempts_ended_total", outcome="succeeded") == 2
    assert number(rig, "ecloud_attempts_ended_total", outcome="failed") == 1
    assert number(rig, "ecloud_tasks", state="succeeded") == 2
    assert number(rig, "ecloud_jobs", state="failed") == 1
    assert number(rig, "ecloud_task_run_seconds_count") == number(rig, "ecloud_task_run_seconds_bucket", le="+Inf") == 3
    assert number(rig, "ecloud_task_run_seconds_sum") == pytest.approx(4.5)
    assert number(rig, "ecloud_commit_seconds_count") > 0
    assert number(rig, "ecloud_vm_boot_seconds_count", pool="local") > 0


def test_series_are_there_from_the_start_and_labels_are_few(rig: Rig) -> None:
    before = {key for key in samples(scraped(rig)) if key[0].startswith("ecloud_")}
    rig.push({f"task-{number}": "fail" for number in range(20)}, name="its-name")
    eventually(lambda: number(rig, "ecloud_jobs_finished_total", state="failed") == 1)
    text = scraped(rig)
    assert {key for key in samples(text) if key[0].startswith("ecloud_")} == before
    assert {label for _, labels in before for label, _ in labels} <= LABELS
    assert "its-name" not in text
    assert "task-" not in text


def test_names_follow_the_conventions(rig: Rig) -> None:
    for family in text_string_to_metric_families(scraped(rig)):
        if not family.name.startswith("ecloud_"):
            continue
        assert family.documentation.endswith("."), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_the_dashboard_asks_for_what_there_is_and_for_nothing_else(rig: Rig) -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana" / "ecloud.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [str(one["query"]) for one in dashboard["templating"]["list"]]
    names = {name for text in asked for name in re.findall(r"\b(?:ecloud|process)_\w+", text)}
    there = samples(scraped(rig))
    assert len(names) > 20
    assert names <= {name for name, _ in there}
    states = {value for _, labels in there for label, value in labels if label in ("state", "outcome")}
    wanted = {word for text in asked for said in re.findall(r'(?:state|outcome)=~?"([^"]*)"', text) for word in said.split("|")}
    assert wanted <= states


def test_the_page_about_monitoring_names_every_family_and_no_other(rig: Rig) -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    families = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(scraped(rig))
        if family.name.startswith("ecloud_")
    }
    assert set(re.findall(r"^\| `(ecloud_\w+)", page, re.MULTILINE)) == families
