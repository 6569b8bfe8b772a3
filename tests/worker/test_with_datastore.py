"""A running worker with a gate behind a real sshd: inputs in, outputs and long logs out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from tests.datastore.host import Datastore, Sshd, record_of, sha256
from tests.servers import eventually
from tests.worker.scripted import ScriptedBoss, WorkerProcess, granted_task
from worker import protocol as wire


@pytest.fixture
def serving(
    tmp_path: Path, broker_server: Daemon, authority: Authority, boss: ScriptedBoss, sshd: Sshd, datastore: Datastore
) -> Iterator[WorkerProcess]:
    """Worker ``w1`` with a datastore."""
    folder = tmp_path / "w1"
    folder.mkdir()
    endpoint = sshd.certificate("worker:w1", datastore.root)
    worker = WorkerProcess(folder, broker_server, authority, "w1", {"cpus": 2}, endpoint)
    yield worker.start()
    worker.kill()
    print(worker.log.read_text())


def test_inputs_are_fetched_and_outputs_and_long_logs_delivered(
    boss: ScriptedBoss, serving: WorkerProcess, datastore: Datastore
) -> None:
    datastore.accept(datastore.upload({"in/a.txt": b"alpha\n", "in/b.txt": b"beta\n"}))
    boss.wait(wire.Hello)
    boss.assign(
        granted_task(
            "a",
            "cat here/*.txt > sum.txt; seq 10000",
            inputs=(wire.Input("in/*.txt", "here/"),),
            outputs=(wire.Output("sum.txt", "out/sum.txt"),),
        )
    )
    result = boss.result("a.0.1")
    assert (result.outcome, result.reason, result.stored_logs) == ("succeeded", "", True)
    assert result.files == (("out/sum.txt", 11, sha256(b"alpha\nbeta\n")),)
    assert result.stdout.endswith("\n9999\n10000\n") and len(result.stdout) == wire.MAX_TAIL
    kept = wire.decode(record_of(datastore.root, "a.0.1")["result"].encode())
    assert isinstance(kept, wire.Results) and kept.results[0].exit_code == 0
    datastore.accept(result.files, "a.0.1")
    assert datastore.results()["out/sum.txt"] == b"alpha\nbeta\n"


def test_a_missing_input_fails_the_attempt_in_phase_fetch_and_nothing_runs(boss: ScriptedBoss, serving: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    boss.assign(granted_task("a", "true", inputs=(wire.Input("nowhere.txt", "x"),)))
    result = boss.result("a.0.1")
    assert (result.outcome, result.phase, result.exit_code) == ("failed", "fetch", None)
    assert "nowhere.txt" in result.reason
    assert result.stderr == f"ecloud: {result.reason}\n"


def test_a_missing_output_fails_the_attempt_in_phase_upload(boss: ScriptedBoss, serving: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    boss.assign(granted_task("a", "echo done", outputs=(wire.Output("y.txt", "y.txt"),)))
    result = boss.result("a.0.1")
    assert (result.outcome, result.phase, result.exit_code, result.stdout) == ("failed", "upload", 0, "done\n")
    assert "y.txt" in result.reason


def test_short_tasks_go_on_while_the_datastore_is_away_and_the_delivery_follows_when_it_is_back(
    boss: ScriptedBoss, serving: WorkerProcess, sshd: Sshd
) -> None:
    boss.wait(wire.Hello)
    sshd.stop()
    boss.assign(granted_task("a", "echo 1 > y", outputs=(wire.Output("y", "y"),)))
    boss.wait(wire.Heartbeat, lambda beat: beat.held == {"a.0.1": "running"})
    boss.assign(granted_task("b", "true"))
    assert boss.result("b.0.1").outcome == "succeeded"
    sshd.start()
    result = eventually(lambda: boss.result("a.0.1"), timeout=60)
    assert (result.outcome, result.files) == ("succeeded", (("y", 2, sha256(b"1\n")),))


def test_a_cancel_ends_a_delivery_that_waits_for_the_datastore(boss: ScriptedBoss, serving: WorkerProcess, sshd: Sshd) -> None:
    boss.wait(wire.Hello)
    sshd.stop()
    try:
        boss.assign(granted_task("a", "echo 1 > y", outputs=(wire.Output("y", "y"),)))
        boss.wait(wire.Started)
        boss.say(wire.Cancel, ("a.0.1",), "not wanted")
        result = boss.result("a.0.1")
        assert (result.outcome, result.reason) == ("cancelled", "not wanted")
    finally:
        sshd.start()
