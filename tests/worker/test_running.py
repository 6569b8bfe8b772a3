"""A worker process from the bundle, a real Mosquitto, and a boss that says what the test says."""

import os
import signal
from pathlib import Path

from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from tests.servers import CLUSTER, eventually
from tests.worker.scripted import ScriptedBoss, WorkerProcess
from worker import protocol as wire


def attempt(name: str, *commands: str, **more: object) -> wire.Assignment:
    return wire.Assignment(f"{name}.1.1", "job", name, commands, **more)  # type: ignore[arg-type]


def is_gone(pid: int) -> bool:
    """Whether a process is no more (a zombie that nobody reaped yet counts)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_an_assignment_is_run_and_its_result_said_until_it_is_acknowledged(boss: ScriptedBoss, running: WorkerProcess) -> None:
    hello = boss.wait(wire.Hello)
    assert hello.resources == {"cpus": 2, "memory": 2 << 30}
    assert (hello.held, hello.epoch, hello.draining) == ({}, 0, False)
    assert hello.address == "127.0.0.1" and hello.software.startswith("worker-")
    assert running.process is not None and hello.pid == running.process.pid
    assert boss.statuses[-1:] == ["online"]

    boss.assign(attempt("a", "echo $ECLOUD_JOB $ECLOUD_TASK $ECLOUD_ATTEMPT; echo oops >&2; exit 3"))
    result = boss.result("a.1.1")
    assert (result.outcome, result.phase, result.exit_code, result.reason) == ("failed", "run", 3, "exit code 3")
    assert (result.stdout, result.stderr) == ("job a 1\n", "oops\n")

    boss.wait(wire.Heartbeat, lambda beat: beat.held == {"a.1.1": "finished"} and (beat.epoch, beat.seq) == (1, 1))
    boss.acknowledge("a.1.1")
    boss.wait(wire.Heartbeat, lambda beat: beat.held == {} and beat.seq == 2 and beat.free_disk > 0)


def test_a_hundred_short_tasks_come_back_once_each(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    boss.assign(*(attempt(f"t{number}", "true") for number in range(100)))
    eventually(lambda: sum(len(m.results) for m in boss.heard if isinstance(m, wire.Results)) >= 100)
    messages = [m for m in boss.heard if isinstance(m, wire.Results)]
    results = [r for m in messages for r in m.results]
    assert sorted(r.attempt for r in results) == sorted(f"t{number}.1.1" for number in range(100))
    assert {r.outcome for r in results} == {"succeeded"}
    assert len(messages) < 60  # many travel together


def test_a_killed_broker_costs_nothing_but_a_reconnect(
    boss: ScriptedBoss, running: WorkerProcess, broker_server: Daemon, tmp_path: Path
) -> None:
    first = boss.wait(wire.Hello)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    boss.assign(attempt("a", f"read line < {gate}; echo $line"))
    eventually(running.tasks)
    os.kill(broker_server.pid, signal.SIGKILL)
    gate.write_text("through\n")  # the task ends while there is no broker
    eventually(lambda: boss.connects == 2)
    boss.say(wire.Resync)
    second = boss.wait(wire.Hello)
    assert second.session == first.session and set(second.held) == {"a.1.1"}
    assert boss.result("a.1.1").stdout == "through\n"
    boss.acknowledge("a.1.1")
    boss.wait(wire.Heartbeat, lambda beat: not beat.held)


def test_a_killed_worker_comes_back_with_its_results_and_without_its_processes(
    boss: ScriptedBoss, running: WorkerProcess
) -> None:
    boss.wait(wire.Hello)
    boss.assign(attempt("done", "echo done"), attempt("long", "setsid sleep 1000 & sleep 1000"))
    boss.result("done.1.1")
    old = eventually(lambda: pids if len(pids := running.tasks()) >= 3 else None)
    running.kill()
    boss.heard.clear()
    running.start()
    hello = boss.wait(wire.Hello)
    assert hello.held == {"done.1.1": "finished"}
    assert boss.result("done.1.1").stdout == "done\n"
    eventually(lambda: all(is_gone(pid) for pid in old))
    boss.acknowledge("done.1.1")
    boss.wait(wire.Heartbeat, lambda beat: not beat.held)
    running.kill()
    running.start()
    assert boss.wait(wire.Hello).held == {}


def test_sigterm_gives_back_what_waits_finishes_what_runs_and_leaves(
    boss: ScriptedBoss, running: WorkerProcess, tmp_path: Path
) -> None:
    boss.wait(wire.Hello)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    boss.assign(
        attempt("running", f"read line < {gate}", needs={"cpus": 2.0}), attempt("waiting", "true"), attempt("more", "true")
    )
    eventually(running.tasks)
    running.signal(signal.SIGTERM)
    assert set(boss.wait(wire.Recalled).attempts) == {"waiting.1.1", "more.1.1"}
    assert boss.wait(wire.Heartbeat, lambda beat: beat.draining).held == {"running.1.1": "running"}
    boss.assign(attempt("late", "true"))
    assert boss.wait(wire.Recalled).attempts == ("late.1.1",)
    gate.write_text("\n")
    assert boss.result("running.1.1").outcome == "succeeded"
    boss.acknowledge("running.1.1")
    boss.wait(wire.Goodbye)
    assert running.wait() == 0
    eventually(lambda: boss.statuses[-1:] == ["offline"])


def test_a_second_sigterm_ends_what_runs_and_keeps_its_result(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    boss.assign(attempt("a", "trap '' TERM; sleep 1000 & wait"))
    old = eventually(lambda: pids if len(pids := running.tasks()) >= 2 else None)
    running.signal(signal.SIGTERM)
    boss.wait(wire.Heartbeat, lambda beat: beat.draining)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert all(is_gone(pid) for pid in old)
    boss.heard.clear()
    running.start()
    assert boss.wait(wire.Hello).held == {"a.1.1": "finished"}
    result = boss.result("a.1.1")
    assert (result.outcome, result.phase) == ("failed", "infrastructure")
    assert "SIGTERM" in result.reason


def test_a_cancel_ends_the_whole_tree_also_children_in_sessions_of_their_own(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    tree = "setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1001' & setsid setsid sleep 1002 & sleep 1003"
    boss.assign(attempt("a", tree))
    old = eventually(lambda: pids if len(pids := running.tasks()) >= 6 else None)
    boss.say(wire.Cancel, ("a.1.1", "never-seen.1.1"), "enough")
    result = boss.result("a.1.1")
    assert (result.outcome, result.phase, result.reason) == ("cancelled", "", "enough")
    assert boss.result("never-seen.1.1").outcome == "cancelled"
    eventually(lambda: all(is_gone(pid) for pid in old))


def test_followed_output_is_published_as_it_is_written(boss: ScriptedBoss, running: WorkerProcess, tmp_path: Path) -> None:
    boss.wait(wire.Hello)
    # a pipe for each wait: on one alone, a quick reader would meet the end of the writer before
    gates = [tmp_path / "one", tmp_path / "two"]
    for gate in gates:
        os.mkfifo(gate)
    boss.assign(attempt("a", f"echo first; read line < {gates[0]}; echo second; read line < {gates[1]}"))
    boss.say(wire.Follow, "a.1.1", True)
    assert boss.wait(wire.LogChunk)[1:] == ("a.1.1", "stdout", 0, "first\n")
    gates[0].write_text("\n")
    assert boss.wait(wire.LogChunk)[1:] == ("a.1.1", "stdout", 6, "second\n")
    gates[1].write_text("\n")
    assert boss.result("a.1.1").outcome == "succeeded"


def test_a_drained_worker_finishes_all_that_it_was_given(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    names = [f"t{number}" for number in range(5)]
    boss.assign(*(attempt(name, "sleep 0.05") for name in names))
    boss.say(wire.Drain)
    for name in names:
        assert boss.result(f"{name}.1.1").outcome == "succeeded"
    boss.acknowledge(*(f"{name}.1.1" for name in names))
    assert boss.wait(wire.Goodbye).reason == "drained by the boss"
    assert running.wait() == 0


def test_what_is_no_message_is_dropped_and_said_in_the_log(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    topic = wire.topic_in(CLUSTER, "w1")
    (hello,) = wire.encode(wire.Hello("s", 0, 0, {}, {}))
    for payload in (b"", b"\xff\xff", b'{"v":1,"kind":"explode"}', b'{"v":9}', hello):
        boss.client.publish(topic, payload, 1)
    boss.assign(attempt("a", "true"))
    assert boss.result("a.1.1").outcome == "succeeded"
    log = running.log.read_text()
    assert log.count("dropped") == 5 and "unknown kind 'explode'" in log


def test_a_broker_that_is_not_there_is_waited_for(
    tmp_path: Path, broker_server: Daemon, authority: Authority, running: WorkerProcess
) -> None:
    running.kill()
    broker_server.stop()
    running.log.write_text("")
    running.start()
    eventually(lambda: running.log.read_text().count("no link to the broker") >= 2)
    broker_server.start()
    late = ScriptedBoss(broker_server, authority, "w1")
    eventually(lambda: late.statuses[-1:] == ["online"])
    late.say(wire.Resync)
    late.wait(wire.Hello)
    late.close()


def test_a_killed_worker_is_offline_at_once(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    running.kill()
    eventually(lambda: boss.statuses[-1:] == ["offline"])


def test_an_idle_worker_whose_boss_is_silent_leaves_after_its_lease(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    boss.say(wire.Renew, 0.1, 0.4)
    assert running.wait() == 0
    assert "no answer of the boss" in running.log.read_text()
    assert boss.wait(wire.Goodbye).reason.startswith("no answer of the boss")


def test_a_second_process_does_not_touch_the_folder_of_the_first(boss: ScriptedBoss, running: WorkerProcess) -> None:
    boss.wait(wire.Hello)
    boss.assign(attempt("a", "sleep 1000"))
    boss.wait(wire.Started)
    first, tasks = running.process, running.tasks()
    second = running.start()
    assert second.wait() == 2
    assert "another worker process uses the folder" in running.log.read_text()
    assert running.tasks() == tasks
    running.process = first


def test_a_certificate_of_another_worker_is_not_let_in_under_this_name(
    tmp_path: Path, broker_server: Daemon, authority: Authority, boss: ScriptedBoss
) -> None:
    folder = tmp_path / "w2"
    folder.mkdir()
    impostor = WorkerProcess(folder, broker_server, authority, "w2", {"cpus": 1})
    config = folder / "worker.json"
    config.write_text(config.read_text().replace('"worker": "w2"', '"worker": "w1"'))
    impostor.start()
    try:
        eventually(lambda: "the broker refused a message: Not authorized" in impostor.log.read_text())
        assert not boss.heard
    finally:
        impostor.kill()
