"""``admin.py doctor`` where the boss is elsewhere: the way to it, as somebody with nothing but the two export lines finds it."""

import json
import socket
from pathlib import Path

import pytest

from client import checks
from client.checks import Finding
from tests.e2e.deployment import Deployment


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ECLOUD_TOKEN", raising=False)
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "none"))


def found() -> dict[str, Finding]:
    return {one.check: one for one in checks.examine()}


def url_of(ecloud: Deployment) -> str:
    return str(json.loads((ecloud.state / "api.json").read_text())["url"])


def test_with_a_token_all_is_well_and_name_and_role_are_said(ecloud: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_API_URL", url_of(ecloud))
    for role in ("viewer", "researcher"):
        monkeypatch.setenv("ECLOUD_TOKEN", ecloud.admin("create_token", role, f"{role}-1", "--expires", "1d").strip())
        said = found()
        assert [one.check for one in said.values() if one.verdict == "failed"] == [], said
        assert said["token"].detail.startswith(f"of {role}-1, {role}, until 20")
        assert "takes the boss's certificate" in said["datastore"].detail


def test_a_missing_and_a_wrong_token_are_told_apart_and_end_the_checks(
    ecloud: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLOUD_API_URL", url_of(ecloud))
    said = found()
    assert (said["boss"].verdict, said["token"].verdict) == ("ok", "failed")
    assert "ECLOUD_TOKEN is not set" in said["token"].detail and "create_token" in said["token"].remedy
    monkeypatch.setenv("ECLOUD_TOKEN", "ecloud_nonsense")
    said = found()
    assert said["token"].verdict == "failed" and "not set" not in said["token"].detail
    assert "datastore" not in said


def test_an_address_where_nobody_answers_fails_and_speaks_of_tunnel_and_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        monkeypatch.setenv("ECLOUD_API_URL", f"http://127.0.0.1:{port}")
        said = found()
    assert list(said) == ["Python", "ssh", "boss"]
    assert said["boss"].verdict == "failed" and f"ssh -N -L {port}:127.0.0.1:{port}" in said["boss"].remedy
    assert "python -m boss" not in said["boss"].detail + said["boss"].remedy


def test_an_address_that_is_none_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_API_URL", "nonsense")
    said = found()["boss"]
    assert said.verdict == "failed" and "no address of a boss" in said.detail


def test_ssh_that_is_missing_is_told_with_the_package(ecloud: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_API_URL", url_of(ecloud))
    monkeypatch.setenv("ECLOUD_TOKEN", ecloud.admin("create_token", "viewer", "vera").strip())
    monkeypatch.setenv("PATH", "/nowhere")
    said = found()
    assert said["ssh"].verdict == "failed" and "openssh-client" in said["ssh"].remedy
    assert said["token"].verdict == "ok" and "datastore" not in said
