"""Where the API is, for this machine and for others, and the token of this machine."""

import json
import socket
import stat
from pathlib import Path

import pytest

from boss.api.serving import address_of, is_loopback, public_address, tokens_of


@pytest.mark.parametrize(("host", "own"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")])
def test_this_machine_finds_the_api_on_loopback_wherever_it_listens(tmp_path: Path, host: str, own: str) -> None:
    url, listener = address_of(host, 0, tmp_path / "port")
    with listener:
        assert url.startswith(own)
        assert listener.getsockname()[0] == host
        place, _, port = url.removeprefix("http://").rpartition(":")
        socket.create_connection((place, int(port)), timeout=5).close()


def test_what_the_api_says_is_sent_at_once(tmp_path: Path) -> None:
    _, listener = address_of("127.0.0.1", 0, tmp_path / "port")
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_people_elsewhere_are_told_the_name_of_the_machine_where_it_listens_everywhere() -> None:
    assert public_address("127.0.0.1", "http://127.0.0.1:8080", "boss") == "http://127.0.0.1:8080"
    assert public_address("0.0.0.0", "https://127.0.0.1:8080", "boss.example.org") == "https://boss.example.org:8080"
    assert public_address("::", "http://[::1]:8080", "2001:db8::1") == "http://[2001:db8::1]:8080"
    assert public_address("10.1.2.3", "https://10.1.2.3:8080", "boss") == "https://10.1.2.3:8080"


def test_what_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "boss.example.org")] == [False] * 4


def test_the_token_of_this_machine_is_kept_and_only_its_user_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    first = tokens_of(path, "http://127.0.0.1:1", "eva")
    assert tokens_of(path, "http://127.0.0.1:2", "eva") == first
    assert json.loads(path.read_text()) == {"url": "http://127.0.0.1:2", "token": next(iter(first))}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()  # how it is taken back
    assert tokens_of(path, "http://127.0.0.1:2", "eva") != first
