"""What `doctor` says of whether VMs reach the boss: nothing before one has tried, then what the last one found, with its date."""

import time
from pathlib import Path

import pytest

from boss import config
from boss.checks import Verdict
from boss.cloud_checks import _reach
from boss.core.trials import STOPPED, Trial

ASKED = 1_800_000_000.0
DAY = time.strftime("%F %T", time.localtime(ASKED))
TIMES = {"accepted": ASKED + 1, "active": ASKED + 5, "called": ASKED + 61, "joined": ASKED + 66, "ran": ASKED + 70.4}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.BossConfig:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "state"))
    (tmp_path / "ecloud.toml").write_text('[vms]\nboss_address = "10.1.1.1"\n')
    return config.load()


def trial(**changes: object) -> Trial:
    facts: dict[str, object] = {"pool": "cloud", "vm": "cloud-7", "flavor": "one", "owner": "ada", "asked": ASKED, "uid": "u"}
    return Trial(**(facts | changes))  # type: ignore[arg-type]


def test_before_a_vm_has_tried_it_is_unknown_and_the_command_is_named(settings: config.BossConfig) -> None:
    found = _reach(settings, "cloud", None)
    assert (found.verdict, found.detail) == (Verdict.NOTE, "cloud: boss reachable from a VM: unknown until --boot")
    assert "admin.py doctor --boot --pool cloud" in found.remedy


def test_a_trial_that_has_worked_is_told_with_its_date_and_times(settings: config.BossConfig) -> None:
    found = _reach(settings, "cloud", trial(steps=TIMES, over=ASKED + 80))
    assert found.verdict is Verdict.OK
    assert (
        f"on {DAY} cloud-7 was there (ACTIVE after 5 s, first word after 61 s, joined after 66 s, task done after 70 s)"
        in found.detail
    )


def test_one_that_could_only_join_is_well_and_says_what_was_not_tried(settings: config.BossConfig) -> None:
    steps = {step: TIMES[step] for step in ("accepted", "active", "called", "joined")}
    found = _reach(settings, "cloud", trial(steps=steps, over=ASKED + 80, unrun="pool cloud runs only what is signed"))
    assert found.verdict is Verdict.OK and "joined after 66 s)" in found.detail
    assert "the datastore was not tried: pool cloud runs only what is signed" in found.detail


def test_one_that_goes_on_is_a_note(settings: config.BossConfig) -> None:
    found = _reach(settings, "cloud", trial(steps={"accepted": ASKED + 1}))
    assert found.verdict is Verdict.NOTE and f"being tried since {DAY}" in found.detail


def test_one_whose_vm_never_ran_or_that_was_stopped_says_nothing_about_the_way(settings: config.BossConfig) -> None:
    for stage, reason in (("accepted", "cores: 8 asked for, 4 of 6 used"), ("called", STOPPED)):
        found = _reach(settings, "cloud", trial(stage=stage, reason=reason))
        assert found.verdict is Verdict.NOTE and "unknown, cloud-7 of " in found.detail and reason in found.detail


def test_one_that_has_failed_says_why_and_where_to_look(settings: config.BossConfig) -> None:
    failed = trial(
        steps={"accepted": ASKED + 1, "active": ASKED + 5}, stage="called", reason="its worker was never heard in time"
    )
    found = _reach(settings, "cloud", failed)
    assert found.verdict is Verdict.FAILED and "cloud-7 did not work: its worker was never heard in time" in found.detail
    assert "10.1.1.1 at [vms] join_port (8444)" in found.remedy and "doctor --boot --pool cloud" in found.remedy
