"""What the door bounds: wrong tokens, long bodies, slow bodies, slow heads. And the headers that every answer has."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from boss.api import door, impatient
from boss.api.accounts import Caller, digest_of
from boss.api.answers import Refusal, refuse
from boss.api.door import SAME, STRANGE, Door
from boss.api.pace import KEYS, Pace, network
from boss.core.tokens import Role
from tests.api.rig import TOKEN, Rig

# ---- the door alone, with a clock --------------------------------------------------------------------------------------


class FakeAccounts:
    """One token, "right", opens."""

    def admit(self, header: str) -> Caller:
        text = header.partition(" ")[2]
        if text != "right":
            raise Refusal(401, "this token was revoked, or is not known")
        return Caller("ada", Role.RESEARCHER, "tok-1", digest_of(text))

    def holds(self, caller: Caller) -> bool:
        return True


class FakeNotes:
    """Counts what goes into the audit."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def put(self, entry: Any) -> None:
        self.entries.append(entry)


class Alone:
    """The door before an app that reads the whole body."""

    def __init__(self) -> None:
        self.now = 0.0
        self.notes = FakeNotes()
        self.reached = 0
        self.door = Door(self._app, FakeAccounts(), 1000, self.notes, lambda: self.now)  # type: ignore[arg-type]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached += 1
        try:
            while (await receive()).get("more_body"):
                pass
        except Refusal as refusal:
            await refuse(refusal.status, refusal.error)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    def ask(
        self,
        token: str,
        address: str = "10.0.0.1",
        method: str = "POST",
        path: str = "/api/v1/cancel",
        pieces: Any = ((0.0, b""),),
    ) -> tuple[int, dict[str, str], bytes]:
        """One request; ``pieces`` are seconds before, and bytes of, each part of its body. Status, headers, body."""
        said: list[Any] = []
        parts = list(pieces)

        async def receive() -> Any:
            pause, data = parts.pop(0)
            self.now += pause
            return {"type": "http.request", "body": data, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            said.append(message)

        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": (address, 1), "query_string": b""}
        asyncio.run(self.door(scope, receive, send))
        head = {name.decode(): value.decode() for name, value in said[0]["headers"]}
        return said[0]["status"], head, b"".join(message.get("body", b"") for message in said[1:])


def test_wrong_tokens_of_one_address_have_to_wait_and_are_told_how_long() -> None:
    alone = Alone()
    codes = [alone.ask(f"wrong-{number}")[0] for number in range(STRANGE + 5)]
    assert codes == [401] * STRANGE + [429] * 5
    alone.now += 20
    status, head, body = alone.ask("wrong-again")
    assert status == 429 and head["retry-after"] == "40" and b"wait 40 s" in body
    alone.now += 40.1
    assert alone.ask("wrong-again")[0] == 401
    assert alone.reached == 0


def test_a_right_token_is_never_locked_out_from_there_or_from_elsewhere() -> None:
    alone = Alone()
    for number in range(STRANGE * 2):
        alone.ask(f"wrong-{number}")
    assert alone.ask("right")[0] == 200  # a proxy has one address for all
    assert alone.ask("right", "10.0.0.2")[0] == 200
    assert alone.ask("wrong", "10.0.0.2")[0] == 401  # who was never here is not counted with them


def test_one_wrong_token_from_many_addresses_is_counted_as_one() -> None:
    alone = Alone()
    codes = [alone.ask("revoked", f"10.1.{number // 200}.{number % 200}")[0] for number in range(SAME + 3)]
    assert codes == [401] * SAME + [429] * 3
    assert alone.ask("another", "10.1.0.1")[0] == 401


def test_whoever_shows_no_token_is_told_so_and_not_counted() -> None:
    alone = Alone()
    assert {alone.ask("")[0] for _ in range(STRANGE * 2)} == {401}
    assert alone.ask("wrong")[0] == 401 and len(alone.notes.entries) == 1


def test_memory_is_bounded_whatever_comes() -> None:
    pace = Pace(2)
    for number in range(KEYS * 2):
        pace.wait(f"key-{number}")
    assert len(pace) == KEYS


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1") == "10.0.0.1"
    assert network("fe80::1%eth0") == network("fe80::2") and network("?") == "?"


@pytest.mark.parametrize(
    ("path", "method", "limit"),
    [
        ("/api/v1/cancel", "POST", door.LIMIT),
        ("/api/v1/status", "GET", door.LIMIT),
        ("/api/v1/pushes", "POST", 1000 + door.MARGIN),
    ],
)
def test_every_route_bounds_its_body_and_the_answer_names_the_limit(path: str, method: str, limit: int) -> None:
    alone = Alone()
    block = b"x" * (1 << 20)
    whole = [(0.0, block)] * (limit >> 20)
    assert alone.ask("right", method=method, path=path, pieces=[*whole, (0.0, b"x" * (limit % (1 << 20)))])[0] == 200
    status, _, body = alone.ask("right", method=method, path=path, pieces=[*whole, (0.0, b"x" * (limit % (1 << 20) + 1))])
    assert status == 413 and (b"4096 KiB" in body or b"max_task_file" in body), body


def test_a_body_that_drips_is_given_up() -> None:
    alone = Alone()
    status, _, body = alone.ask("right", pieces=[(2.0, b"x")] * 100)
    assert status == 408 and b"slowly" in body
    assert alone.now < 40


def test_a_slow_line_that_goes_on_is_waited_for() -> None:
    alone = Alone()
    assert alone.ask("right", path="/api/v1/pushes", pieces=[(5.0, b"x" * 10_000)] * 100)[0] == 200


def test_a_body_that_stops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PATIENCE", 0.05)
    alone = Alone()

    async def stuck() -> Any:
        await asyncio.Event().wait()

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"authorization", b"Bearer right")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/cancel",
        "headers": headers,
        "client": ("h", 1),
        "query_string": b"",
    }
    asyncio.run(alone.door(scope, stuck, send))
    assert said[0]["status"] == 408


# ---- the whole API -----------------------------------------------------------------------------------------------------


def test_a_stranger_may_send_little_and_is_not_read_to_the_end(rig: Rig) -> None:
    answer = rig.client("").request("GET", "/health", content=b"x" * 100_000)
    assert answer.status_code == 413 and "64 KiB" in answer.json()["error"]


def test_a_command_that_is_too_long_is_answered_with_the_limit(rig: Rig) -> None:
    answer = rig.http.post("/cancel", json={"targets": ["x" * 5_000_000]})
    assert answer.status_code == 413 and "4096 KiB" in answer.json()["error"] and "/cancel" in answer.json()["error"]


def test_ten_thousand_long_targets_are_not_too_many_bytes(rig: Rig) -> None:
    answer = rig.http.post("/cancel", json={"targets": ["job:" + "x" * 250] * 10_000})
    assert answer.status_code == 404


def test_every_answer_tells_browsers_to_be_careful(rig: Rig) -> None:
    stranger = rig.client("")
    for answer in (rig.http.get("/status"), stranger.get("/status"), stranger.get("/health"), rig.http.get("/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store" and "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert rig.http.get(rig.url + "/openapi.json").headers["x-frame-options"] == "DENY"


def connected(rig: Rig) -> socket.socket:
    place, _, port = rig.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((place, int(port)), timeout=20)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impatient, "HEAD", 0.4)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("beginning", [b"", b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_that_does_not_come_to_an_end_is_cut_off_however_often_a_byte_comes(rig: Rig, beginning: bytes) -> None:
    with connected(rig) as link:
        link.sendall(beginning)
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.05):
                try:
                    link.sendall(b"x" if beginning else b"")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        begun = time.monotonic()
        try:
            assert link.recv(100) == b""
        except ConnectionResetError:
            pass  # as good
        finally:
            over.set()
            thread.join()
        assert time.monotonic() - begun < 10


@pytest.mark.usefixtures("hasty")
def test_a_second_head_on_a_kept_connection_has_as_little_time(rig: Rig) -> None:
    with connected(rig) as link:
        link.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        while not said.endswith(b"}"):
            said += link.recv(65536)
        assert said.startswith(b"HTTP/1.1 200")
        link.sendall(b"GET /api/v1/health HTTP/1.1\r\n")
        try:
            assert link.recv(100) == b""
        except ConnectionResetError:
            pass


@pytest.mark.usefixtures("hasty")
def test_a_long_answer_is_not_cut_off_by_the_clock_for_heads(rig: Rig) -> None:
    rig.push({"a": "hold"})
    begun = time.monotonic()
    answer = rig.http.get("/jobs/job", params={"wait": 1.5})
    assert answer.status_code == 200 and time.monotonic() - begun > 1.0, answer.text


def test_a_head_that_is_too_long_is_refused(rig: Rig) -> None:
    with connected(rig) as link:
        link.sendall(b"GET /api/v1/health HTTP/1.1\r\nX-Long: ")
        try:
            for _ in range(50):
                link.sendall(b"x" * 100_000)
            assert link.recv(100).startswith(b"HTTP/1.1 400")
        except (ConnectionResetError, BrokenPipeError):
            pass  # it was cut off while we were still writing
    assert rig.client(TOKEN).get("/status").status_code == 200


def test_what_strangers_send_fills_no_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    for head in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"):
        with connected(rig) as link:
            link.sendall(head)
            assert link.recv(100).startswith(b"HTTP/1.1 4")
    assert [record for record in caplog.records if record.name.startswith(("uvicorn", "boss.api"))] == []
