"""Where the API says that it is reached, and what that costs at a start."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

import settings
from boss import config
from boss.adapters.certificates import Authority
from boss.front import Front, open_front


def opened(folder: Path, host: str, public_url: str = "") -> Front:
    """The front of a boss that listens there and speaks plain HTTP; closed again."""
    made = config.make(settings.Settings(), None, config.Machine(2, 1 << 30, 1 << 30))
    found = open_front(
        replace(made, state=folder, api_host=host, api_public_url=public_url, api_plain=True), Authority(folder / "pki")
    )
    found.listener.close()
    return found


@pytest.mark.parametrize(("host", "public_url"), [("127.0.0.1", ""), ("0.0.0.0", "https://ecloud.example.org")])
def test_no_name_server_is_asked_at_a_start_where_the_machines_name_is_told_to_nobody(
    tmp_path: Path, host: str, public_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(name: str = "") -> str:
        raise AssertionError("a name server that does not answer would hold the start up")

    monkeypatch.setattr(socket, "getfqdn", slow)
    found = opened(tmp_path, host, public_url)
    assert found.public_url == (public_url or found.url)


def test_a_boss_that_listens_everywhere_is_told_of_by_the_machines_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda name="": "boss.example.org")
    found = opened(tmp_path, "0.0.0.0")
    assert found.public_url == f"http://boss.example.org:{found.url.rpartition(':')[2]}"
