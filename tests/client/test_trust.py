"""Why a client believes that it speaks with its boss, and that it tells its token to nobody else."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters import tls
from boss.adapters.certificates import Authority
from boss.api.serving import Served
from client import BossUnreachable, Client, ClientError, InvalidRequest, NotTrusted
from client.trust import trust

TOKEN = "ecloud_this-is-nobodys-to-see"


class Server:
    """An HTTPS server that answers as a boss does, and keeps every Authorization header that it is shown."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.authority = Authority(folder / "pki")
        self.ca = self.authority.ca.read_text()
        self.seen: list[str] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.served = Served(self._app, listener, self.authority.api([host]))

    @property
    def address(self) -> str:
        """As create_token prints it."""
        return f"{self.url}#{tls.pin_of(self.authority.ca)}"

    async def _app(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        self.seen += [value.decode() for name, value in scope["headers"] if name == b"authorization"]
        said = {"pem": self.ca} if scope["path"] == "/api/v1/ca" else {"version": "1"}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ECLOUD_API_URL", "ECLOUD_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ECLOUD_TOKEN", TOKEN)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "boss")
    with found.served:
        yield found


def ask(address: str) -> str:
    with Client(address) as client:
        return str(client.connection.get("/status")["version"])


def refused(address: str) -> str:
    with pytest.raises(NotTrusted) as raised:
        ask(address)
    assert "got no token" in str(raised.value) and "\n" not in str(raised.value)
    return str(raised.value)


def test_two_lines_are_enough_and_the_ca_is_asked_for_once(server: Server) -> None:
    assert ask(server.address) == ask(server.address) == "1"
    assert server.seen == [f"Bearer {TOKEN}"] * 2  # and none with the question for the CA
    server.ca = "gone"
    assert ask(server.address) == "1"  # it is known by now


def test_a_boss_at_the_end_of_a_tunnel_is_not_looked_for_at_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(server.address) == "1"


def test_a_ca_of_another_digest_gets_no_token(server: Server, tmp_path: Path) -> None:
    other = Server(tmp_path / "other")
    with other.served:
        wrong = f"{server.url}#{tls.pin_of(other.authority.ca)}"
        assert "shows another CA than ECLOUD_API_URL names" in refused(wrong)
        server.ca = other.ca  # it shows the right CA, whose key it has not
        assert "could not be verified" in refused(wrong)
    assert server.seen == []


def test_a_copy_in_the_cache_that_was_changed_is_not_believed(server: Server, tmp_path: Path) -> None:
    ask(server.address)
    (copy,) = (tmp_path / "cache" / "ecloud" / "ca").iterdir()
    copy.write_text(Authority(tmp_path / "stranger").ca.read_text())
    assert ask(server.address) == "1"
    copy.write_text("nonsense")
    assert ask(server.address) == "1"


def test_without_a_pin_a_private_ca_is_refused_with_the_remedy(server: Server) -> None:
    said = refused(server.url)
    assert "#sha256=" in said and "ECLOUD_CA" in said
    assert server.seen == []


def test_a_named_ca_is_the_only_one_that_counts(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_CA", str(server.authority.ca))
    assert ask(server.url) == "1"
    monkeypatch.setenv("ECLOUD_CA", str(Authority(tmp_path / "stranger").ca))
    server.seen.clear()
    assert "ECLOUD_CA names another boss's CA" in refused(server.address)
    assert server.seen == []


def test_a_certificate_for_another_name_gets_no_token(tmp_path: Path) -> None:
    server = Server(tmp_path / "boss", host="elsewhere.example.org")
    with server.served:
        assert "for other names" in refused(server.address)
    assert server.seen == []


def test_an_expired_certificate_gets_no_token(tmp_path: Path) -> None:
    server = Server(tmp_path / "boss")
    old = Authority(tmp_path / "boss" / "pki", lambda: 1_600_000_000.0)
    files = old.issue_server(["127.0.0.1"], tmp_path / "old", 1.0)
    for name, path in (("api.pem", files.certificate), ("api.key", files.key)):
        (server.authority.folder / name).write_bytes(path.read_bytes())
    with server.served:
        server.served.renew()
        assert "expired" in refused(server.address)
    assert server.seen == []


@pytest.mark.parametrize("text", [None, "", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_ca_file_that_is_none_is_told_by_its_name(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("ECLOUD_CA", str(path))
    with pytest.raises(InvalidRequest, match=f"ECLOUD_CA: {path}"):
        Client("https://127.0.0.1:1")


@pytest.mark.parametrize(
    "address", ["https://h#sha256=abc", "https://h#sha256=", "https://h#md5=abc", "http://h#sha256=" + "A" * 43]
)
def test_an_address_that_was_not_copied_whole_is_told(address: str) -> None:
    with pytest.raises(InvalidRequest, match="create_token"):
        Client(address)


def test_nobody_at_a_pinned_address_is_an_unreachable_boss() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(BossUnreachable, match="ECLOUD_API_URL"):
            Client(f"https://127.0.0.1:{free.getsockname()[1]}#sha256={'A' * 43}")


def test_plain_http_is_told_from_https(server: Server) -> None:
    with pytest.raises(BossUnreachable, match="speaks HTTPS: is it https://"):
        ask(server.url.replace("https", "http"))
    assert server.seen == []


def test_https_at_a_port_that_speaks_something_else_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(2):
                link, _ = listener.accept()
                with link:
                    link.recv(100)
                    link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ClientError, match="ECLOUD_API_URL"):
            ask(url)
        with pytest.raises(ClientError, match="ECLOUD_API_URL"):
            Client(f"{url}#sha256={'A' * 43}")
        thread.join(10)


def test_this_machines_note_names_ca_and_name(tmp_path: Path) -> None:
    ca = Authority(tmp_path / "pki").ca
    noted = {"url": "https://127.0.0.1:5", "ca": str(ca), "name": "boss.example.org"}
    found = trust("https://127.0.0.1:5", noted)
    assert found.name == "boss.example.org" and isinstance(found.verify, ssl.SSLContext)
    assert trust("https://127.0.0.1:6", noted).verify is True  # another address is not this machine's boss
    assert trust("http://127.0.0.1:5", noted).verify is True
