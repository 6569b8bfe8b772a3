"""Whoever has a valid certificate for the gate, and means harm: nothing but what it may write is written, and others go on."""

import base64
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.adapters.certificates import Authority, Gate, SshFiles
from boss.adapters.daemons import Daemon
from datastore import layout, limits, sessions
from datastore.frames import GateRefused, GateTrouble
from tests.contract.asking import A, B, accept
from tests.datastore.host import Datastore, gate_command, sha256
from tests.servers import eventually, ssh

REPOSITORY = Path(__file__).resolve().parents[2]
HUGE = 10**30


class Raw:
    """A session at the gate whose every byte the test chooses."""

    begun: list["subprocess.Popen[bytes]"] = []

    def __init__(self, datastore: Datastore, caller: str = "worker:w1", *more: str) -> None:
        self.process = subprocess.Popen(
            [*gate_command(caller, datastore.root), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.begun.append(self.process)
        self.greeting = self.hear()

    def say(self, *what: bytes | dict[str, Any]) -> "Raw":
        assert self.process.stdin is not None
        for part in what:
            self.process.stdin.write(part if isinstance(part, bytes) else json.dumps(part).encode() + b"\n")
        self.process.stdin.flush()
        return self

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said on standard error."""
        _out, said = self.process.communicate(timeout=30)
        return self.process.returncode, said.decode()


@pytest.fixture(autouse=True)
def no_session_stays() -> Iterator[None]:
    """End the sessions that a test has begun."""
    yield
    while Raw.begun:
        process = Raw.begun.pop()
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        process.wait()


def chunk(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def file(path: str, data: bytes, **more: Any) -> list[bytes | dict[str, Any]]:
    return [{"item": path, **more}, *([chunk(data)] if data else []), chunk(b"")]


def receive(datastore: Datastore, **more: Any) -> dict[str, Any]:
    return {"op": "receive", "most": 100, **datastore.grant(**more)}


END = {"end": True, "result": "{}"}

# ---- names ---------------------------------------------------------------------------------------------------------

NAMES = [
    "../../jobs/j/x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/.", "..", "", "a\0b", "a\nb", "\x7f", "\ud800", "a" * 256,
    "é" * 128, "a/" * 600 + "b", "SHA256SUMS", ".ecloud-fetched", "x/", "\u2028" * 400,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_result_may_have_is_refused_in_one_sentence_and_nothing_is_kept(datastore: Datastore, name: str) -> None:
    before = datastore.inventory()
    session = Raw(datastore).say(receive(datastore), *file(name, b"evil"), END)
    said = session.hear()
    assert said["kind"] in ("refused", "trouble") and said["error"]
    assert session.say({"op": "nonsense"}).hear()["kind"] == "refused"  # it is in step and goes on
    assert session.end() == (0, "")
    assert datastore.inventory() == before


def test_a_folder_and_a_file_of_one_name_and_the_same_name_twice_are_refused(datastore: Datastore) -> None:
    for files in ([*file("a", A), *file("a/b", B)], [*file("a/b", A), *file("a", B)], [*file("a", A), *file("a", B)]):
        assert Raw(datastore).say(receive(datastore), *files, END).hear()["kind"] == "refused"
    assert datastore.tree.names("incoming") == []


def test_a_log_has_two_names_and_no_record_can_be_forged(datastore: Datastore) -> None:
    for name in ("record.json", "../record.json", "files", "stdin"):
        assert Raw(datastore).say(receive(datastore), *file(name, b"{}", log=True), END).hear()["kind"] == "refused"
    assert Raw(datastore).say(receive(datastore), *file("record.json", b'{"job": "k"}'), END).hear()["ok"]
    record = json.loads((datastore.root / "incoming/u.0.1/record.json").read_text())
    assert record["job"] == "j"  # the file of that name is a result like any other


# ---- streams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        b"\n", b"[]\n", b'"x"\n', b"{\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"op":', b"\0" * 5000, b"GET / HTTP/1.1\r\n",
        b'{"op": ' + b"9" * 5000 + b"}\n", b"SSH-2.0-x\r\n",
    ],
)  # fmt: skip
def test_a_stream_that_is_none_ends_the_session_with_one_sentence(datastore: Datastore, broken: bytes) -> None:
    session = Raw(datastore).say(broken)
    code, said = session.end()
    assert code == 1
    assert said.startswith("gate: worker:w1: ") and said.count("\n") == 1, said


@pytest.mark.parametrize("length", [2**32 - 1, 4 * 1024 * 1024 + 1])
def test_a_chunk_that_claims_too_much_ends_the_session_before_it_is_read(datastore: Datastore, length: int) -> None:
    code, said = Raw(datastore).say(receive(datastore), {"item": "a"}, struct.pack(">I", length)).end()
    assert code == 1 and "a chunk of" in said and said.count("\n") == 1
    assert datastore.tree.names("incoming") == []


def test_a_size_that_lies_changes_nothing_for_what_counts_is_what_came(datastore: Datastore) -> None:
    said = Raw(datastore).say(receive(datastore), *file("a", A, size=HUGE, sha256="0" * 64, executable=[]), END).hear()
    assert said["files"] == [["a", len(A), sha256(A)]]


@pytest.mark.parametrize(
    "request_line",
    [
        {"op": None}, {"op": ["receive"]}, {"op": "receive"}, {"op": "find", "attempt": 1}, {"op": "__class__"},
        {"op": "send", "files": [[0, "x"]]}, {"op": "receive", "grant": "\u00e9" * 64},
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_answered_and_the_session_goes_on(
    datastore: Datastore, request_line: dict[str, Any]
) -> None:
    given = {**datastore.grant(), **request_line}
    session = Raw(datastore).say(given)
    if request_line.get("op") == "receive":
        session.say(END)
    if given.get("grant") == datastore.grant()["grant"] and request_line.get("op") == "receive":
        assert session.hear()["ok"]
    else:
        assert session.hear()["kind"] == "refused"
    assert session.say({"op": "list"}).hear()["error"] == "worker:w1 may not list"
    assert session.end() == (0, "")


@pytest.mark.parametrize("deep", [500, 900, 990])
def test_what_is_nested_deeply_is_refused_or_broken_off_and_never_a_traceback(datastore: Datastore, deep: int) -> None:
    nested = b"[" * deep + b"]" * deep
    session = Raw(datastore).say(b'{"op": "find", "attempt": "u.0.1", "job": "j", "task": "t", "inputs": ' + nested + b"}\n")
    _code, said = session.end()
    assert "Traceback" not in said


def test_offsets_beyond_all_files_and_below_none_are_answered(datastore: Datastore) -> None:
    accept(datastore, datastore.upload({"a.txt": A}))
    session = Raw(datastore, "viewer:zoe")
    session.say({"op": "get", "job": "j", "files": [["a.txt", HUGE]]})
    assert session.hear()["item"] == "a.txt"
    assert "Traceback" not in session.end()[1]


# ---- what waits, what goes on --------------------------------------------------------------------------------------


def test_a_session_that_stalls_holds_nothing_and_is_let_go(datastore: Datastore) -> None:
    stalled = Raw(datastore, "worker:w1", "--patience", "0.5").say(
        receive(datastore), {"item": "a"}, struct.pack(">I", 100) + b"half"
    )
    manifest = datastore.upload({"b.txt": B}, "u.1.1")  # meanwhile others come in and are accepted
    assert accept(datastore, manifest, "u.1.1")[1] == "accepted"
    assert stalled.process.wait(30) == 1
    code, said = stalled.end()
    assert code == 1 and "nothing was said for 0.5 s" in said
    assert datastore.tree.names("incoming") == []


def test_a_session_that_takes_nothing_is_let_go(datastore: Datastore) -> None:
    accept(datastore, datastore.upload({"big": b"x" * (4 << 20)}))
    deaf = Raw(datastore, "viewer:zoe", "--patience", "0.5").say({"op": "get", "job": "j", "files": [["big", 0]]})
    assert deaf.process.wait(30) == 1
    assert b"nothing was taken for 0.5 s" in deaf.process.communicate()[1]


def test_an_upload_that_goes_on_while_it_is_accepted_changes_no_accepted_byte(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    going_on = Raw(datastore).say(receive(datastore), {"item": "a.txt"}, chunk(b"evil"))
    eventually(lambda: any(name.startswith(".u.0.1") for name in datastore.tree.names("incoming")))
    assert accept(datastore, manifest)[1] == "accepted"
    going_on.say(chunk(b"more evil"), chunk(b""), END)
    assert going_on.hear()["ok"]
    assert accept(datastore, manifest) == ["u.0.1", "accepted", ""]
    assert datastore.results() == {"a.txt": A} and datastore.sums_hold()


def test_one_caller_has_so_many_sessions_and_no_more_and_others_have_theirs(datastore: Datastore) -> None:
    many = [Raw(datastore) for _ in range(sessions.MOST)]
    assert all("gate" in session.greeting for session in many)
    assert Raw(datastore).greeting == {
        "error": f"worker:w1 has {sessions.MOST} sessions here already: end one first", "kind": "trouble",
    }  # fmt: skip
    assert "gate" in Raw(datastore, "worker:w2").greeting
    assert datastore.boss.ask({"op": "space"})["ok"]
    many.pop().end()
    assert "gate" in Raw(datastore).greeting  # a place that is left is free at once
    with pytest.raises(GateTrouble, match="already"):
        datastore.gate("worker:w1")


# ---- how much ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(datastore: Datastore) -> Datastore:
    """A datastore that takes in 1 MB and 100 files at once."""
    limits.write(datastore.tree, {"upload_bytes": 1_000_000, "upload_files": 100})
    return datastore


def test_an_upload_beyond_the_limit_is_refused_and_leaves_nothing(small: Datastore) -> None:
    blocks = [chunk(b"\0" * 100_000) for _ in range(12)]  # sparse on its host, or not: here every byte has come
    session = Raw(small).say(receive(small), {"item": "huge"}, *blocks, chunk(b""), END)
    assert "more than 1.0 MB in one upload: the setting max_upload" in session.hear()["error"]
    assert session.say({"op": "list"}).hear()["kind"] == "refused"
    assert small.tree.names("incoming") == []
    assert session.end()[0] == 0


def test_logs_and_thousands_of_tiny_files_count_too(small: Datastore) -> None:
    tiny = [part for number in range(101) for part in file(f"d{number}/x", b"")]
    assert "more than 100 files" in Raw(small).say(receive(small), *tiny, END).hear()["error"]
    log = file("stdout", b"x" * 1_200_000, log=True)
    assert "max_upload" in Raw(small).say(receive(small), *log, END).hear()["error"]
    put = [{"op": "put"}, {"item": sha256(b"x" * 1_200_000)}, chunk(b"x" * 1_200_000), chunk(b""), {"end": True}]
    assert "max_upload" in Raw(small, "researcher:ada").say(*put).hear()["error"]
    assert small.tree.names("incoming") == []


def test_a_result_or_a_record_that_no_line_could_carry_is_refused(datastore: Datastore) -> None:
    long = {"end": True, "result": "x" * (limits.MAX_RESULT + 1)}
    assert "a result of" in Raw(datastore).say(receive(datastore), *file("a", A), long).hear()["error"]
    assert datastore.boss.ask({"op": "record", "attempt": "u.0.1"})["record"] is None


def test_the_boss_says_the_limits_and_an_earlier_boss_leaves_them(datastore: Datastore) -> None:
    assert limits.read(datastore.tree) == limits.Limits()
    secret = (datastore.root / layout.SECRET).read_text().strip()
    ask = {"op": "initialise", "cluster": datastore.boss.greeting["cluster"], "secret": secret}
    datastore.boss.ask({**ask, "limits": {"upload_bytes": 5, "upload_files": 7}})
    assert limits.read(datastore.tree) == limits.Limits(5, 7)
    datastore.boss.ask(ask)
    assert limits.read(datastore.tree) == limits.Limits(5, 7)
    with pytest.raises(GateRefused):
        datastore.boss.ask({**ask, "limits": {"upload_bytes": -1, "upload_files": 7}})
    (datastore.root / limits.LIMITS).write_text("{}")
    assert limits.read(datastore.tree) == limits.Limits()


# ---- what is planted -----------------------------------------------------------------------------------------------


def test_links_that_somebody_planted_lead_nowhere(datastore: Datastore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    accept(datastore, datastore.upload({"d/a.txt": A}))
    (datastore.root / "jobs/j/link").symlink_to(outside / "secret")
    (datastore.root / "jobs/j/folder").symlink_to(outside)
    session = Raw(datastore, "viewer:zoe").say(
        {"op": "get", "job": "j", "files": [["link", 0], ["folder/secret", 0], ["d/../link", 0]]}
    )
    out, _said = session.process.communicate(timeout=30)
    assert b'secret"' not in out.replace(b'folder/secret"', b"") and b"\x00\x00\x00\x06secret" not in out
    (datastore.root / "incoming/u.1.1").symlink_to(outside)
    assert accept(datastore, [("secret", 6, sha256(b"secret"))], "u.1.1")[1] == "refused"
    manifest = datastore.upload({"folder/x": B}, "u.2.1")
    assert accept(datastore, manifest, "u.2.1")[1] == "refused"
    assert sorted(os.listdir(outside)) == ["secret"]


def test_an_attempt_that_is_called_like_nothing_keeps_nobody_elses_from_being_judged(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    boss = datastore.boss
    assert boss.ask({"op": "reject", "attempts": ["../../x", "", "u.9.9", "\ud800", "a\0b"]})["rejected"] == []
    rows = [
        ["../x", "j", [["a", 1, "0" * 64]]],
        ["u.7.1", "j", [["a\0b", 1, "0" * 64]]],
        ["u.7.2", "j", [["\ud800", 1, "0" * 64]]],
        ["u.7.3", "../j", [["a", 1, "0" * 64]]],
        ["u.0.1", "j", [list(row) for row in manifest]],
    ]
    answers = boss.ask({"op": "accept", "uploads": rows})["answers"]
    assert [verdict for _attempt, verdict, _reason in answers] == ["refused"] * 4 + ["accepted"]


# ---- the log-in ----------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(ssh_server: Daemon, authority: Authority) -> Gate:
    """A gate that says how it was called."""
    return Gate(
        ssh_server.host,
        ssh_server.port,
        os.environ.get("USER") or "root",
        authority.host_key_public,
        "/nowhere.pyz",
        "/data",
        "echo",
    )


@pytest.fixture
def login(authority: Authority, gate: Gate, tmp_path: Path) -> SshFiles:
    return authority.issue_login(tmp_path / "login", gate, "worker:w1", 3600)


FORCED = "/nowhere.pyz --root /data --caller worker:w1\n"


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (("cat", "/etc/passwd"), ()),
        (("scp", "-f", "/etc/passwd"), ()),
        (("rsync", "--server", "--sender", ".", "/"), ()),
        (("sftp",), ("-s",)),
        ((), ("-o", "RequestTTY=force")),
        ((), ("-o", "SetEnv=LD_PRELOAD=/tmp/x.so BASH_ENV=/tmp/x PYTHONPATH=/tmp/x")),
        ((), ("-A", "-X")),
        ((), ("-o", "ProxyCommand=none", "-o", "PermitLocalCommand=no")),
    ],
)
def test_whatever_is_asked_for_only_the_gate_runs(
    ssh_server: Daemon, gate: Gate, login: SshFiles, command: tuple[str, ...], options: tuple[str, ...]
) -> None:
    told = ssh(ssh_server, gate, login, *command, options=options)
    assert told.stdout.replace("\r", "") in (FORCED, "")
    assert "root:" not in told.stdout


@pytest.mark.parametrize(
    ("way", "what", "said"),
    [
        ("-W", "127.0.0.1:{port}", "administratively prohibited"),  # what clients with -L and -D ask for, too
        ("-R", "0:127.0.0.1:{port}", "remote port forwarding failed"),
        ("-w", "any:any", "unnel"),
    ],
)
def test_no_port_is_forwarded(ssh_server: Daemon, gate: Gate, login: SshFiles, way: str, what: str, said: str) -> None:
    options = (way, what.format(port=ssh_server.port), "-o", "ExitOnForwardFailure=yes")
    told = ssh(ssh_server, gate, login, options=options)
    assert told.returncode != 0 and said in told.stderr and "SSH-2.0" not in told.stdout, told


def test_a_certificate_that_is_not_ours_opens_nothing(ssh_server: Daemon, gate: Gate, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    assert ssh(ssh_server, gate, other.issue_login(tmp_path / "a", gate, "boss", 3600)).returncode == 255


def test_a_certificate_that_is_over_or_was_tampered_with_opens_nothing(
    ssh_server: Daemon, gate: Gate, authority: Authority, login: SshFiles, tmp_path: Path
) -> None:
    over = authority.issue_login(tmp_path / "over", gate, "worker:w1", -10)
    assert ssh(ssh_server, gate, over).returncode == 255
    words = login.certificate.read_text().split()
    blob = base64.b64decode(words[1])
    for old, new in ((b"force-command", b"xorce-command"), (b"worker:w1", b"worker:w2"), (b"ecloud", b"nobody")):
        assert old in blob
        forged = base64.b64encode(blob.replace(old, new)).decode()
        login.certificate.write_text(" ".join([words[0], forged]) + "\n")
        assert ssh(ssh_server, gate, login).returncode == 255


def test_the_key_without_its_certificate_opens_nothing(ssh_server: Daemon, gate: Gate, login: SshFiles, tmp_path: Path) -> None:
    empty = tmp_path / "none"
    empty.write_text("")
    assert ssh(ssh_server, gate, SshFiles(login.key, empty, login.known_hosts)).returncode == 255


def test_host_keys_are_pinned_wherever_anything_of_ours_speaks_ssh() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    word = "StrictHost" + "KeyChecking"
    loose = []
    for name in files:
        if name.startswith("tests/") or name.endswith((".png", ".gz", ".pyz")):
            continue
        for number, line in enumerate((REPOSITORY / name).read_text("utf-8", "replace").splitlines(), 1):
            said = line.replace(" ", "").replace(",", "=", 1).replace('"', "").lower()
            if word.lower() in said and not any(f"{word}{sign}{value}".lower() in said for sign in "=:" for value in ("yes",)):
                loose.append(f"{name}:{number}: {line.strip()}")
            if "AutoAddPolicy" in line or "WarningPolicy" in line:
                loose.append(f"{name}:{number}: {line.strip()}")
    assert [line for line in loose if not line.startswith("docs/")] == []
