"""Under which address VMs reach the boss."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from boss.adapters import address
from boss.adapters.address import BossAddress, NoAddress, find
from boss.adapters.sockets import free_port

NOWHERE = "http://127.0.0.1:1/latest/meta-data/local-ipv4"


@contextmanager
def metadata(text: str, status: int = 200) -> Iterator[str]:
    """A metadata service that says this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/latest/meta-data/local-ipv4" else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", free_port()), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/latest/meta-data/local-ipv4"
        server.shutdown()
        thread.join()


def test_the_fact_wins_over_the_setting_and_that_over_the_cloud() -> None:
    with metadata("127.0.0.3") as url:
        assert find("127.0.0.1", "127.0.0.2", url) == BossAddress("127.0.0.1", "127.0.0.1", "the context's boss_address")
        assert find("", "127.0.0.2", url) == BossAddress("127.0.0.2", "127.0.0.2", "the setting boss_address")
        assert find("", "", url) == BossAddress("127.0.0.3", "127.0.0.3", "the cloud's metadata of this server")


@pytest.mark.parametrize("said", ["203.0.113.7", "", "<html>", "127.0.0.1 127.0.0.2", "\xff"])
def test_an_address_that_is_not_this_machines_is_not_believed(said: str) -> None:
    with metadata(said) as url:
        found = address._from_metadata(url)
    assert found == ""


def test_without_a_metadata_service_the_config_drive_counts_if_the_address_is_ours(tmp_path: Path) -> None:
    told = tmp_path / "instance-data.json"
    for text, host in (
        (json.dumps({"ds": {"ec2_metadata": {"local-ipv4": "127.0.0.3"}}}), "127.0.0.3"),
        (json.dumps({"ds": {"ec2_metadata": {"local-ipv4": "192.0.2.7"}}}), ""),
        (json.dumps({"ds": {"ec2_metadata": {"local-ipv4": None}}}), ""),
        (json.dumps({"ds": {"meta_data": {}}}), ""),
        (json.dumps(["ds"]), ""),
        ("no json", ""),
    ):
        told.write_text(text)
        found = find("", "", NOWHERE, told)
        assert (found.host if found.how == "the cloud's description of this server" else "") == host
    assert find("127.0.0.1", "", NOWHERE, told).host == "127.0.0.1"


def test_a_metadata_service_that_refuses_or_is_not_there_says_nothing() -> None:
    with metadata("127.0.0.1", 404) as url:
        assert address._from_metadata(url) == ""
    assert address._from_metadata(NOWHERE) == ""


def test_without_any_word_the_way_out_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "way_out", lambda: "127.0.0.9")
    assert find("", "", NOWHERE) == BossAddress("127.0.0.9", "127.0.0.9", "the default route")
    monkeypatch.setattr(address, "way_out", lambda: "")
    with pytest.raises(NoAddress, match="set boss_address in"):
        find("", "", NOWHERE)


@pytest.mark.parametrize("host", ["boss.example.org", "203.0.113.7"])
def test_a_name_or_an_address_in_front_is_listened_for_on_all_addresses(host: str) -> None:
    assert find(host, "", NOWHERE).listen == "0.0.0.0"
    assert find("2001:db8::7", "", NOWHERE).listen == "::"


@pytest.mark.parametrize("wrong", ["a b", "https://boss", "boss:8444", "-x", "a..b", "x" * 300, "böss"])
def test_what_is_no_host_is_refused_with_where_it_was_said(wrong: str) -> None:
    with pytest.raises(NoAddress, match=r"the context's boss_address: .* is neither a host name nor an IP address"):
        find(wrong, "", NOWHERE)


def test_an_address_of_version_6_is_written_with_brackets() -> None:
    assert BossAddress("2001:db8::7", "::", "").at(8444) == "[2001:db8::7]:8444"
    assert BossAddress("boss", "0.0.0.0", "").at(8444) == "boss:8444"
