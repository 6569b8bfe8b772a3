"""The doctor, as the page asks it."""

from pathlib import Path

import pytest

from boss.diagnosis import diagnose


def test_findings_come_with_verdict_detail_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    found = diagnose()
    assert {verdict for _, verdict, _, _ in found} <= {"ok", "note", "failed"}
    assert any(check == "Python" and verdict == "ok" for check, verdict, _, _ in found)


def test_a_doctor_that_takes_too_long_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "state"))
    ((check, verdict, detail, remedy),) = diagnose(patience=0.01)
    assert (check, verdict) == ("doctor", "failed")
    assert "could not be asked" in detail
    assert "admin.py doctor" in remedy
