"""A real worker that is root, and tasks that try to get at what is not theirs. Each test is a line of docs/threat-model.md."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from tests.datastore.host import Datastore, Sshd
from tests.servers import eventually
from tests.worker.scripted import ScriptedBoss, WorkerProcess, granted, granted_task
from tests.worker.test_running import attempt, is_gone
from worker import protocol as wire
from worker.users import BLOCK, BLOCKS, FIRST

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only a worker that is root can give tasks other users")

NUMBERS = range(FIRST, FIRST + BLOCK * BLOCKS)
Make = Callable[..., WorkerProcess]


class Bounded(WorkerProcess):
    """A root worker, none of whose tasks' users can have more processes than this machine bears, whatever a test finds."""

    def through(self) -> list[str]:
        return ["prlimit", "--nproc=400", "--"]


@pytest.fixture
def make(open_folder: Path, broker_server: Daemon, authority: Authority, boss: ScriptedBoss) -> Iterator[Make]:
    """Makes worker ``w1``, whose tasks have users of their own."""
    made: list[WorkerProcess] = []

    def start(**more: object) -> WorkerProcess:
        folder = open_folder / "w1"
        folder.mkdir(0o711)
        more = {"task_user": "nobody", **more}
        worker = Bounded(folder, broker_server, authority, "w1", {"cpus": 4, "memory": 2 << 30}, **more)  # type: ignore[arg-type]
        made.append(worker.start())
        boss.wait(wire.Hello)
        return worker

    yield start
    for worker in made:
        assert worker.process is not None
        print(f"exit code before the end: {worker.process.poll()}")
        worker.kill()
        print(worker.log.read_text())
        for pid in worker.tasks():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def jailer(make: Make) -> WorkerProcess:
    return make()


def numbers_of(boss: ScriptedBoss) -> range:
    """The users that this worker's tasks can have: those of other workers on the machine are in other blocks."""
    boss.assign(attempt("who", "id -u"))
    block = (int(boss.result("who.1.1").stdout) - FIRST) // BLOCK
    return range(FIRST + block * BLOCK, FIRST + (block + 1) * BLOCK)


def processes_of(numbers: range) -> list[int]:
    """The processes of these users, on all of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _owner(name) in numbers]


def running(boss: ScriptedBoss, name: str) -> None:
    boss.wait(wire.Started, lambda message: f"{name}.1.1" in message.attempts)


def stdout_of(worker: WorkerProcess, number: int = 1) -> str:
    return (worker.folder / "work" / "attempts" / str(number) / "stdout").read_text()


# ---- what is the worker's --------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        "cat {folder}/credentials/*.key",
        "cat {folder}/worker.json",
        "cat {folder}/work/spool",
        "ls {folder}/work {folder}/work/attempts {folder}/work/cache",
        "echo x >> {folder}/work/spool",
        "cat /proc/{pid}/environ",
        "cat /proc/{pid}/maps",
        "ls -l /proc/{pid}/fd/ /proc/{pid}/cwd/",
        "kill -9 {pid}",
        "kill -STOP {pid}",
        "kill -9 -1; kill -0 {pid}",
        "python3 -c \"import ctypes; exit('not permitted' if ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) else 0)\"",
        "renice -n 5 {pid}",
        "echo 0 > /sys/fs/cgroup/memory/cgroup.procs || echo 0 > /sys/fs/cgroup/cgroup.procs",
    ],
)
def test_a_task_reaches_nothing_of_the_worker(boss: ScriptedBoss, jailer: WorkerProcess, command: str) -> None:
    assert jailer.process is not None
    (jailer.folder / "worker.json").chmod(0o600)
    boss.assign(attempt("a", command.replace("{folder}", str(jailer.folder)).replace("{pid}", str(jailer.process.pid))))
    result = boss.result("a.1.1")
    if "kill -9 -1" in command:
        assert result.signal == signal.SIGKILL or result.outcome == "failed"
    else:
        assert result.outcome == "failed", result
        assert any(word in result.stderr for word in ("ermission denied", "not permitted", "No such file", "reset")), result
    assert jailer.process.poll() is None and "PRIVATE" not in result.stdout


def test_a_task_sees_a_clean_environment_and_three_descriptors(
    make: Make, boss: ScriptedBoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLOUD_DATABASE_URL", "mysql://secret")
    monkeypatch.setenv("OS_PASSWORD", "secret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/secret")
    make()
    boss.assign(attempt("a", "env | cut -d= -f1 | sort; ls /proc/self/fd; readlink /proc/self/fd/0; umask"))
    said = boss.result("a.1.1").stdout.split()
    names = [word for word in said if word.replace("_", "").isalnum() and word.upper() == word and not word.isdigit()]
    ours = {f"ECLOUD_{name}" for name in ("ATTEMPT", "ATTEMPT_ID", "CPUS", "JOB", "TASK", "WORKER", "WORKER_FOLDER")}
    threads = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    inherited = {name for name in os.environ if name in ("PATH", "LANG", "LANGUAGE", "TZ") or name.startswith("LC_")}
    by_bash = {"PWD", "SHLVL", "_"}
    assert set(names) <= ours | threads | inherited | by_bash | {"HOME", "USER", "LOGNAME", "TMPDIR", "PATH"}, names
    assert said[-6:] == ["0", "1", "2", "3", "/dev/null", "0022"]


def test_a_task_has_no_rights_and_gets_none_by_a_setuid_program(
    boss: ScriptedBoss, jailer: WorkerProcess, open_folder: Path
) -> None:
    program = open_folder / "become-root"
    shutil.copy(shutil.which("id") or "", program)
    program.chmod(0o4755)
    boss.assign(attempt("a", f"{program} -u; {program} -ru; {program} -G; grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status"))
    lines = boss.result("a.1.1").stdout.splitlines()
    assert int(lines[0]) in NUMBERS and lines[0] == lines[1] and "0" not in lines[2].split()
    held = dict(line.split(":\t") for line in lines[3:])
    assert held["NoNewPrivs"] == "1" and "0" not in held["Groups"].split()
    assert all(int(held[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))


# ---- what is another task's ------------------------------------------------------------------------------------------


def test_a_task_neither_reads_nor_stops_another_that_runs(boss: ScriptedBoss, jailer: WorkerProcess) -> None:
    boss.assign(
        attempt("victim", "echo private > here; echo private > $TMPDIR/there; chmod 777 . here; echo $$; exec sleep 1000")
    )
    running(boss, "victim")
    pid = int(eventually(lambda: stdout_of(jailer)))
    folder = jailer.folder / "work" / "attempts" / "1"
    tries = [
        f"cat {folder}/work/here", f"ls {folder}", f"ls {folder}/work", f"ls {folder}/temp", f"cat {folder}/stdout",
        f"cat /proc/{pid}/environ", f"cat /proc/{pid}/cwd/here", f"cat /proc/{pid}/fd/1", f"kill -9 {pid}", "kill -9 -1",
        f"echo x > {folder}/work/there", f"echo x >> {folder}/stdout",
    ]  # fmt: skip
    boss.assign(*(attempt(f"t{number}", command) for number, command in enumerate(tries)))
    for number, _ in enumerate(tries):
        result = boss.result(f"t{number}.1.1")
        assert "private" not in result.stdout, (tries[number], result)
        assert result.outcome == "failed" or tries[number] == "kill -9 -1", (tries[number], result)  # nobody but itself
    assert not is_gone(pid)


def test_what_a_task_has_left_is_not_reached_by_the_next_of_its_user(boss: ScriptedBoss, jailer: WorkerProcess) -> None:
    boss.assign(attempt("first", "id -u; echo private > here; echo private > /tmp/of-$(id -u); ln here /tmp/link-$(id -u); "
                        "ipcmk -M 4096 >&2; umask 0; mkdir -p /dev/shm/of-$(id -u)/deep"))  # fmt: skip
    uid = boss.result("first.1.1").stdout.strip()
    boss.assign(
        attempt(
            "second", "id -u; cat ../../1/work/here /tmp/of-$(id -u) /tmp/link-$(id -u) || ls /dev/shm/of-$(id -u) || ipcs -m"
        )
    )
    result = boss.result("second.1.1")
    assert result.stdout.split()[0] == uid and result.stderr.count("No such file") == 3, result
    assert "ermission denied" in result.stderr and "private" not in result.stdout and uid not in result.stdout.split()[1:], result


def test_nothing_of_a_task_outlives_it(boss: ScriptedBoss, jailer: WorkerProcess) -> None:
    numbers = numbers_of(boss)
    daemon = "import os, time\nfor _ in range(3):\n  os.setsid() if os.fork() == 0 else os._exit(0)\ntime.sleep(1000)"
    boss.assign(
        attempt("a", f"env -i setsid python3 -c '{daemon}' & setsid sleep 1000 & (sleep 1000 &); nohup sleep 1000 & sleep 0.3")
    )
    assert boss.result("a.1.1").outcome == "succeeded"
    eventually(lambda: not processes_of(numbers))


def test_a_fork_bomb_is_held_and_ended(make: Make, boss: ScriptedBoss) -> None:
    worker = make(limits={"processes": 40})
    numbers = numbers_of(boss)
    boss.assign(attempt("bomb", "bomb() { bomb | bomb & }; bomb; sleep 1000", timeout=2.0), attempt("other", "echo fine"))
    assert boss.result("other.1.1").stdout == "fine\n"
    result = boss.result("bomb.1.1")
    assert result.reason == "timed out after 2s" and "fork" in result.stderr, result
    eventually(lambda: not processes_of(numbers))
    boss.assign(attempt("after", "for i in 1 2 3 4 5; do sleep 0 & done; wait; echo fine"))
    assert boss.result("after.1.1").stdout == "fine\n" and worker.process and worker.process.poll() is None


# ---- what it may use -------------------------------------------------------------------------------------------------

HOG = "python3 -c 'import time; x = bytearray({mib} << 20); time.sleep({seconds})'"


@pytest.mark.parametrize("task_user", ["nobody", ""])
def test_who_uses_more_memory_than_it_said_is_killed_and_told_so(make: Make, boss: ScriptedBoss, task_user: str) -> None:
    make(task_user=task_user)
    boss.assign(
        attempt("hog", HOG.format(mib=200, seconds=0), needs={"cpus": 1, "memory": 64 << 20}),
        attempt("modest", HOG.format(mib=200, seconds=0), needs={"cpus": 1, "memory": 300 << 20}),
        attempt("silent", HOG.format(mib=200, seconds=0)),
    )
    hog = boss.result("hog.1.1")
    assert (hog.outcome, hog.phase) == ("failed", "run")
    assert hog.reason == "killed for memory: limit 64 MiB, peak 64 MiB; the task's `memory` has to be larger"
    assert hog.usage["oom_kills"] == 1 and hog.usage["memory"] == 64 << 20
    for name in ("modest", "silent"):
        result = boss.result(f"{name}.1.1")
        assert result.outcome == "succeeded" and 200 << 20 <= result.usage["memory"] < 300 << 20, result


def test_usage_is_of_all_processes_of_a_task_together_without_cached_files(make: Make, boss: ScriptedBoss) -> None:
    make()
    together = " & ".join([HOG.format(mib=60, seconds=1)] * 3) + " & wait"
    boss.assign(attempt("a", f"head -c 300M /dev/zero > file; {together}"))
    assert 170 << 20 <= boss.result("a.1.1").usage["memory"] < 260 << 20


def test_cpu_seconds_of_processes_that_nobody_waited_for_count(make: Make, boss: ScriptedBoss) -> None:
    make()
    busy = 'import time\nwhile time.process_time() < 0.5: pass\nopen("done", "w")\ntime.sleep(1000)'
    boss.assign(attempt("a", f"setsid python3 -c '{busy}' & until [ -e done ]; do sleep 0.01; done"))
    assert boss.result("a.1.1").usage["cpu"] >= 0.5


def test_a_quota_holds_a_task_to_its_cpus(make: Make, boss: ScriptedBoss) -> None:
    make(limits={"enforce": ["cpu_quota"]})
    burn = "import time\nend = time.time() + 1\nwhile time.time() < end: pass"
    boss.assign(attempt("a", " & ".join([f"python3 -c '{burn}'"] * 4) + " & wait", needs={"cpus": 0.5}))
    result = boss.result("a.1.1")
    assert result.usage["cpu"] < 0.75 * (result.finished - result.started), result


def test_no_control_group_is_left_when_a_worker_has_ended(make: Make, boss: ScriptedBoss) -> None:
    worker = make()
    assert worker.process is not None
    boss.assign(attempt("a", "sleep 1000"), attempt("b", "true"))
    boss.result("b.1.1")
    mine = f"ecloud-{worker.process.pid}-"
    assert subprocess.run(["find", "/sys/fs/cgroup", "-name", f"{mine}*"], capture_output=True, text=True).stdout
    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)
    worker.wait()
    assert not subprocess.run(["find", "/sys/fs/cgroup", "-name", f"{mine}*"], capture_output=True, text=True).stdout


# ---- what the worker does as root with what a task has made ----------------------------------------------------------


@pytest.fixture
def serving(
    open_folder: Path, broker_server: Daemon, authority: Authority, boss: ScriptedBoss, sshd: Sshd, datastore: Datastore
) -> Iterator[WorkerProcess]:
    """Worker ``w1`` with a datastore, whose tasks have users of their own."""
    folder = open_folder / "w1"
    folder.mkdir(0o711)
    endpoint = sshd.certificate("worker:w1", datastore.root)
    worker = WorkerProcess(folder, broker_server, authority, "w1", {"cpus": 2}, endpoint, task_user="nobody")
    yield worker.start()
    worker.kill()
    print(worker.log.read_text())


@pytest.mark.parametrize(
    ("command", "output", "why"),
    [
        ("ln -s /etc/shadow out", "out", "is a link that leaves the attempt's folder"),
        ("ln -s /etc out", "out/shadow", "is a link that leaves the attempt's folder"),
        ("mkdir out; ln -s /etc/shadow out/x", "out/", "is a link that leaves the attempt's folder"),
        ("mkdir out; ln -s /etc out/x", "out/**", "is a link that leaves the attempt's folder"),
        ("ln -s /proc/self/environ out", "out", "is a link that leaves the attempt's folder"),
        ("ln -s ../../../spool out", "out", "is a link that leaves the attempt's folder"),
        ("mkfifo out", "out", "is not a plain file"),
        ("mkdir out; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out/s\")'", "out/", "is not a plain file"),
        ("python3 -c 'import os\nfor _ in range(300):\n  os.mkdir(\"d\"); os.chdir(\"d\")\nopen(\"f\", \"w\")'", "d/", "nested deeper"),
    ],
)  # fmt: skip
def test_what_a_task_calls_its_output_is_read_only_if_it_is_its_own_file(
    boss: ScriptedBoss, serving: WorkerProcess, datastore: Datastore, command: str, output: str, why: str
) -> None:
    boss.wait(wire.Hello)
    boss.assign(granted_task("a", command, outputs=(wire.Output(output, output),)))
    result = boss.result("a.0.1")
    assert (result.outcome, result.phase) == ("failed", "upload") and why in result.reason, result
    assert not datastore.results()


def test_outputs_of_a_task_with_a_user_of_its_own_arrive(
    boss: ScriptedBoss, serving: WorkerProcess, datastore: Datastore
) -> None:
    datastore.accept(datastore.upload({"in/a.txt": b"alpha\n"}))
    boss.wait(wire.Hello)
    files = {"inputs": (wire.Input("in/a.txt", "a"),), "outputs": (wire.Output("out/", "out/"),)}
    boss.assign(granted_task("a", "mkdir out; cat a > out/b; ln out/b out/c; chmod 0 out/b; ln -s b out/d", **files))
    result = boss.result("a.0.1")
    assert (result.outcome, result.reason) == ("succeeded", "")
    datastore.accept(result.files, "a.0.1")
    assert {path: data for path, data in datastore.results().items() if path.startswith("out/")} == dict.fromkeys(
        ("out/b", "out/c", "out/d"), b"alpha\n"
    )


def test_inputs_of_an_init_task_do_not_follow_what_another_has_put_in_the_way(
    boss: ScriptedBoss, serving: WorkerProcess, datastore: Datastore, open_folder: Path
) -> None:
    datastore.accept(datastore.upload({"in/a.txt": b"alpha\n"}))
    boss.wait(wire.Hello)
    target = open_folder / "roots"
    target.mkdir()
    boss.assign(granted_task("one", f"ln -s {target} here; echo > tool; chmod 755 tool", init=True)._replace(attempt="u.0.1"))
    assert boss.result("u.0.1").outcome == "succeeded"
    second = wire.Assignment("u.1.1", "j", "two", ("true",), inputs=(wire.Input("in/a.txt", "here/a"),), init=True)
    boss.assign(granted(second))
    result = boss.result("u.1.1")
    assert (result.outcome, result.phase) == ("failed", "infrastructure") and "Not a directory" in result.reason, result
    assert not list(target.iterdir())


def test_removing_what_a_task_has_left_follows_no_link_and_ends_for_the_deepest_folders(
    boss: ScriptedBoss, jailer: WorkerProcess, open_folder: Path
) -> None:
    kept = open_folder / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    deep = 'import os\nfor _ in range(3000):\n  os.mkdir("d"); os.chdir("d")'
    boss.assign(attempt("a", f"ln -s {kept} link; mkdir x; ln -s {kept} x/link; chmod 0 x; python3 -c '{deep}'"))
    assert boss.result("a.1.1").outcome == "succeeded"
    boss.acknowledge("a.1.1")
    eventually(lambda: not list((jailer.folder / "work" / "attempts").iterdir()))
    assert (kept / "file").read_text() == "kept" and kept.stat().st_uid == 0
    boss.assign(attempt("b", "true"))  # the thread that removes is still there
    boss.result("b.1.1")
    boss.acknowledge("b.1.1")


# ---- a worker that is killed -----------------------------------------------------------------------------------------


def test_the_next_life_of_a_killed_worker_ends_what_its_tasks_had_hidden(boss: ScriptedBoss, jailer: WorkerProcess) -> None:
    numbers = numbers_of(boss)
    boss.assign(attempt("a", "env -i setsid sleep 1000 & env -i setsid sleep 1000 & echo there; sleep 1000"))
    running(boss, "a")
    eventually(lambda: len(processes_of(numbers)) >= 3)
    jailer.kill()
    assert processes_of(numbers)
    jailer.start()
    eventually(lambda: not processes_of(numbers))


def test_what_tasks_of_a_killed_worker_have_left_is_gone_in_its_next_life(boss: ScriptedBoss, jailer: WorkerProcess) -> None:
    boss.assign(attempt("a", "echo private > /tmp/left-by-$(id -u); id -u; sleep 1000"))
    running(boss, "a")
    left = Path(f"/tmp/left-by-{eventually(lambda: stdout_of(jailer)).strip()}")
    jailer.kill()
    assert left.exists()
    jailer.start()
    eventually(lambda: not left.exists())


def test_a_second_process_by_mistake_takes_nothing_that_init_tasks_have_prepared(
    boss: ScriptedBoss, jailer: WorkerProcess
) -> None:
    boss.assign(wire.Assignment("u.0.1", "j", "prepare", ("echo made > tool",), init=True))
    assert boss.result("u.0.1").outcome == "succeeded"
    first = jailer.process
    try:
        assert jailer.start().wait() == 2 and "another worker process uses the folder" in jailer.log.read_text()
    finally:
        jailer.process = first
    boss.assign(wire.Assignment("u.1.1", "j", "use", ("cat $ECLOUD_INIT/tool",)))
    assert boss.result("u.1.1").stdout == "made\n"


def _owner(name: str) -> int:
    try:
        return os.stat(f"/proc/{name}").st_uid
    except OSError:
        return -1
