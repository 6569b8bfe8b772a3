"""Where the boss is, and what is said when it is not there."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from client import BossUnreachable, Client, InvalidRequest
from client.connection import find_boss


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ECLOUD_API_URL", "ECLOUD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path))


def _note(folder: Path, text: str) -> None:
    (folder / "api.json").write_text(text)


def test_the_boss_is_found_by_its_note(tmp_path: Path) -> None:
    _note(tmp_path, json.dumps({"url": "http://127.0.0.1:1/", "token": "t"}))
    assert find_boss() == ("http://127.0.0.1:1", "t")


def test_variables_win_over_the_note_and_arguments_over_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _note(tmp_path, json.dumps({"url": "http://127.0.0.1:1", "token": "t"}))
    monkeypatch.setenv("ECLOUD_API_URL", "http://there:2")
    monkeypatch.setenv("ECLOUD_TOKEN", "u")
    assert find_boss() == ("http://there:2", "u")
    assert find_boss("http://x:3", "v") == ("http://x:3", "v")


def test_the_notes_token_is_never_sent_to_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _note(tmp_path, json.dumps({"url": "http://127.0.0.1:1", "token": "secret"}))
    monkeypatch.setenv("ECLOUD_API_URL", "http://elsewhere:2")
    assert find_boss() == ("http://elsewhere:2", "")


def test_without_a_note_the_remedy_is_said() -> None:
    with pytest.raises(BossUnreachable, match="python -m boss"):
        Client()


@pytest.mark.parametrize("text", ["", "not json", "[]"])
def test_a_note_that_cannot_be_read_is_no_traceback(tmp_path: Path, text: str) -> None:
    _note(tmp_path, text)
    with pytest.raises(BossUnreachable):
        Client()


def test_a_port_where_nobody_listens_is_an_unreachable_boss() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with Client(url, "t") as client, pytest.raises(BossUnreachable, match="no boss answers"):
            client.status()


def test_only_the_boss_of_this_machine_is_to_be_started_one_elsewhere_is_its_admins(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with Client(url, "t") as client, pytest.raises(BossUnreachable, match=r"tunnel.*ask its admin") as caught:
            client.status()
        assert "python -m boss" not in str(caught.value)
        _note(tmp_path, json.dumps({"url": url, "token": "t"}))
        with Client() as client, pytest.raises(BossUnreachable, match="start it with"):
            client.status()


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://[::1"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises((InvalidRequest, BossUnreachable)):
        Client(url, "t").status()


def test_of_several_addresses_the_first_that_answers_is_kept_to_and_left_when_nobody_is_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
        with _serving(_Boss) as second:
            with Client(f"{dead}, {second}/", "t") as client:
                assert client.status() == {"served_by": second} and client.connection.url == second
            with _serving(_Boss) as third:
                client = Client(f"{third},{second}", "t")
                assert client.status() == {"served_by": third}
            assert client.status() == {"served_by": second}  # the third is gone
        with client, pytest.raises(BossUnreachable, match=f"no boss answers at any of {third}, {second}"):
            client.status()


def test_what_was_sent_is_not_sent_to_the_next_address() -> None:
    asked: list[str] = []

    class Dies(_Boss):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.close_connection = True  # without an answer: whether it was done is not known

    with _serving(Dies) as first, _serving(Dies) as second, Client(f"{first},{second}", "t") as client:
        with pytest.raises(BossUnreachable, match="broke"):
            client.connection.post("/jobs")
        assert len(asked) == 1


class _Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>a printer</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Boss(_Stranger):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"served_by": f"http://127.0.0.1:{self.server.server_port}"}).encode())  # type: ignore[attr-defined]


@contextmanager
def _serving(handler: type[_Stranger] = _Stranger) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_another_program_on_the_port_is_no_boss() -> None:
    with _serving() as url, Client(url, "t") as client, pytest.raises(BossUnreachable, match="not as a boss"):
        client.status()
