"""What people's programs do, through a real sshd."""

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from datastore import channel, transfer
from datastore.channel import Channel, Endpoint, Unreachable, connect
from datastore.frames import GateRefused
from datastore.transfer import Damaged, fetch_results, list_results, push_files
from tests.datastore.host import Datastore, Sshd, gate_command, sha256
from tests.servers import eventually

A, B = b"result of a\n", b"result of b\n"
BIG = bytes(range(256)) * 40_000  # 10 MB


@pytest.fixture
def ada(sshd: Sshd, datastore: Datastore) -> Endpoint:
    """A person's log-in."""
    return sshd.certificate("researcher:ada", datastore.root)


def accept(store: Datastore, files: dict[str, bytes], attempt: str = "u.0.1") -> None:
    assert store.accept(store.upload(files, attempt), attempt)[1] == "accepted"


def test_the_certificate_says_who_calls(sshd: Sshd, datastore: Datastore) -> None:
    for caller in ("researcher:ada", "worker:w1", "boss"):
        session = connect(sshd.certificate(caller, datastore.root))
        assert session.greeting["caller"] == caller
        session.close()


def test_a_caller_without_a_certificate_gets_no_channel(sshd: Sshd, ada: Endpoint) -> None:
    with pytest.raises(Unreachable, match="Permission denied"):
        Channel(ada._replace(certificate="/nonexistent").command())


def test_another_host_key_is_refused(sshd: Sshd, ada: Endpoint, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'authority.pub').read_text()}")
    with pytest.raises(Unreachable, match=r"[Hh]ost key verification failed"):
        Channel(ada._replace(known_hosts=str(known_hosts)).command())


def test_paths_with_spaces_and_percent_signs_reach_ssh(sshd: Sshd, ada: Endpoint, tmp_path: Path) -> None:
    folder = tmp_path / "my keys 100%h"
    folder.mkdir()
    moved: dict[str, Any] = {}
    for name in ("key", "certificate", "known_hosts"):
        target = folder / name
        target.write_bytes(Path(getattr(ada, name)).read_bytes())
        target.chmod(0o600)
        moved[name] = str(target)
    Channel(ada._replace(**moved).command()).close()


def test_a_host_that_does_not_answer_is_named_after_some_tries(ada: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "FIRST_WAIT", 0.001)
    with pytest.raises(Unreachable, match="refused"):
        connect(ada._replace(port=1))


def test_pushed_files_arrive_once_by_digest(ada: Endpoint, datastore: Datastore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(A)
    (tmp_path / "big").write_bytes(BIG)
    files = {sha256(A): str(tmp_path / "a"), sha256(BIG): str(tmp_path / "big")}
    seen: list[tuple[int, int]] = []
    assert push_files(ada, files, lambda done, total: seen.append((done, total))) == 2
    assert seen[-1] == (len(A) + len(BIG), len(A) + len(BIG))
    for data in (A, BIG):
        assert (datastore.root / "files" / sha256(data)[:2] / sha256(data)).read_bytes() == data
    assert push_files(ada, files) == 0


def test_a_file_that_changed_since_it_was_hashed_is_refused(ada: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(B)
    with pytest.raises(GateRefused, match="digest"):
        push_files(ada, {sha256(A): str(tmp_path / "a")})


def test_results_are_listed_and_fetched(ada: Endpoint, datastore: Datastore, tmp_path: Path) -> None:
    accept(datastore, {"a.txt": A, "deep/b.txt": B})
    assert [(one.path, one.size, one.sha256) for one in list_results(ada, "j")] == [
        ("a.txt", len(A), sha256(A)),
        ("deep/b.txt", len(B), sha256(B)),
    ]
    assert list_results(ada, "none") == []
    target = tmp_path / "here"
    done = fetch_results(ada, "j", ["deep/*"], str(target))
    assert done == transfer.Fetched(("deep/b.txt",), ())
    done = fetch_results(ada, "j", target=str(target))
    assert done == transfer.Fetched(("a.txt",), ("deep/b.txt",))
    assert (target / "a.txt").read_bytes() == A
    assert (target / "deep/b.txt").read_bytes() == B


def test_the_executable_bit_comes_along(ada: Endpoint, datastore: Datastore, tmp_path: Path) -> None:
    accept(datastore, {"run.sh": A, "data": B})
    (datastore.root / "jobs/j/run.sh").chmod(0o755)
    fetch_results(ada, "j", target=str(tmp_path / "here"))
    assert os.access(tmp_path / "here/run.sh", os.X_OK)
    assert not (tmp_path / "here/data").stat().st_mode & 0o111


def test_an_interrupted_fetch_goes_on_where_it_was_cut_off(ada: Endpoint, datastore: Datastore, tmp_path: Path) -> None:
    accept(datastore, {"big": BIG})
    target = tmp_path / "here"
    target.mkdir()
    (target / "big.ecloud.part").write_bytes(BIG[:7_000_000])
    seen: list[int] = []
    fetch_results(ada, "j", target=str(target), progress=lambda done, total: seen.append(done))
    assert (target / "big").read_bytes() == BIG
    assert seen[0] == 7_000_000
    assert len(seen) <= 5, "only the rest was sent"
    assert sorted(path.name for path in target.iterdir()) == [".ecloud-fetched", "SHA256SUMS", "big"]


def test_a_damaged_beginning_is_found_and_the_next_fetch_is_whole(ada: Endpoint, datastore: Datastore, tmp_path: Path) -> None:
    accept(datastore, {"big": BIG})
    (tmp_path / "big.ecloud.part").write_bytes(b"other" * 1000)
    with pytest.raises(Damaged, match="big"):
        fetch_results(ada, "j", target=str(tmp_path))
    fetch_results(ada, "j", ["big"], target=str(tmp_path))
    assert (tmp_path / "big").read_bytes() == BIG


def test_a_killed_connection_is_made_again_and_resumed(ada: Endpoint, datastore: Datastore, tmp_path: Path) -> None:
    accept(datastore, {"a": A, "big": BIG})
    killed: list[int] = []

    def kill_once(done: int, _total: int) -> None:
        if done > 2_000_000 and not killed:
            children = subprocess.run(
                ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True
            ).stdout
            killed.extend(int(line.split()[0]) for line in children.splitlines() if line.split()[1] == "ssh")
            os.kill(killed[0], signal.SIGKILL)

    fetch_results(ada, "j", target=str(tmp_path / "here"), progress=kill_once)
    assert killed
    assert (tmp_path / "here/big").read_bytes() == BIG


def test_many_results_come_in_few_requests(
    ada: Endpoint, datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "FILES_PER_REQUEST", 100)
    files = {f"d/{n}": b"%d" % n for n in range(250)}
    accept(datastore, files)
    done = fetch_results(ada, "j", target=str(tmp_path / "here"))
    assert len(done.fetched) == 250
    assert {str(path.relative_to(tmp_path / "here")): path.read_bytes() for path in (tmp_path / "here/d").iterdir()} == files


def test_one_channel_serves_many_threads_in_turn(datastore: Datastore) -> None:
    session = Channel(gate_command("researcher:ada", datastore.root))
    wrong: list[object] = []

    def ask(digest: str) -> None:
        for _time in range(20):
            if session.ask({"op": "have", "digests": [digest]})["missing"] != [digest]:
                wrong.append(digest)

    threads = [threading.Thread(target=ask, args=(f"{n:064x}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.close()
    assert wrong == []


def test_a_channel_whose_gate_died_says_so(datastore: Datastore) -> None:
    session = Channel(gate_command("researcher:ada", datastore.root))
    session.kill()
    eventually(lambda: not session.alive)
    with pytest.raises(Unreachable):
        session.ask({"op": "have", "digests": []})
    session.close()


def test_what_has_no_room_on_the_datastore_is_not_sent(datastore: Datastore, ada: Endpoint, tmp_path: Path) -> None:
    files = {}
    for number in range(4):  # together more than any disk of this machine has
        path = tmp_path / f"sparse-{number}"
        with open(path, "wb") as file:
            file.truncate(2**43)
        files[f"{number}" * 64] = str(path)
    with pytest.raises(
        GateRefused, match=r"35184\.4 GB are to be sent, and only [0-9.]+ GB are free there: make room, or push less"
    ):
        push_files(ada, files)
    assert list((datastore.root / "incoming").iterdir()) == []
