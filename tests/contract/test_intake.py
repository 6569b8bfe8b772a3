"""The intake with its real child process: what comes back, what stays on disk, and what happens when the child does not answer."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boss.adapters.intake import Intake, Plan, PushRequest
from boss.core.model import FileRef, Job, Task, TaskSpec, TaskState, Template
from boss.core.templates import params_of
from boss.taskfile.context import Context
from boss.taskfile.expansion import expand
from boss.taskfile.problems import Refused
from tests.servers import eventually
from worker.processes import started

ROOT = Path(__file__).resolve().parents[2]
HELLO = {"tasks": [{"id": "a", "command": "true", "outputs": ["a.txt"]}, {"id": "b", "command": "true", "inputs": ["a.txt"]}]}


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    """An intake with a folder of its own."""
    made = Intake(tmp_path / "pushes")
    yield made
    made.close()


def request(folder: Path, document: object, **more: Any) -> PushRequest:
    """A push of a document, written to a file as the API does."""
    text = folder / "received"
    text.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return PushRequest(text, "sweep.json", **more)


def all_of(intake: Intake, plan: Plan) -> tuple[list[Template], list[TaskSpec]]:
    """Every slice of a plan, put together."""
    templates: list[Template] = []
    tasks: list[TaskSpec] = []
    for more, some in intake.slices(plan):
        assert 0 < len(some) <= 5000
        templates += more
        assert all(spec.template < len(templates) for spec in some)
        tasks += some
    return templates, tasks


def processes(parent: int) -> list[int]:
    """The children of a process that read task files."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if status[1] == str(parent) and status[0] != "Z" and b"intake_child" in command and int(entry.name) not in _OTHERS:
            found.append(int(entry.name))
    return found


#: Children of intakes that other tests of this session keep.
_OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    _OTHERS.clear()
    _OTHERS.update(processes(os.getpid()))


def test_a_small_push_becomes_a_plan_and_its_slices(intake: Intake, tmp_path: Path) -> None:
    files = {"x.py": FileRef("0" * 64, 10), "y.py": FileRef("1" * 64, 32, 0o755)}
    plan = intake.plan(request(tmp_path, HELLO, files=files))
    assert (plan.job_name, plan.extends, plan.expected) == ("sweep", False, 0)
    assert (plan.tasks, plan.new_tasks, plan.replaced, plan.kept, plan.done) == (2, 2, 0, 0, 0)
    assert (plan.files, plan.bytes, plan.unread_files, plan.warnings) == (files, 42, ["x.py", "y.py"], [])
    templates, tasks = all_of(intake, plan)
    expansion = expand(json.dumps(HELLO).encode(), Context())
    assert (templates, tasks) == (expansion.templates, list(expansion.specs()))


def test_a_refused_push_tells_task_field_and_message_and_leaves_nothing(intake: Intake, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        intake.plan(request(tmp_path, {"tasks": [{"id": "a", "command": "true", "after": ["b"]}]}))
    [problem] = caught.value.problems
    assert (problem.task, problem.field, problem.message) == ("tasks[0] 'a'", "after[0]", "there is no task 'b'")
    assert list((tmp_path / "pushes").iterdir()) == []


def test_a_large_push_comes_in_slices_with_the_templates_that_are_new_in_each(intake: Intake, tmp_path: Path) -> None:
    grid = {"n": {"range": [4000]}}
    document = {
        "tasks": [{"id": f"{name}-{{n}}", "foreach": grid, "command": name} for name in "abc"] + [{"id": "end", "command": "end"}]
    }
    plan = intake.plan(request(tmp_path, document))
    sizes = [(len(templates), len(tasks)) for templates, tasks in intake.slices(plan)]
    assert sizes == [(2, 5000), (1, 5000), (1, 2001)]
    templates, tasks = all_of(intake, plan)
    assert [template.number for template in templates] == [0, 1, 2, 3]
    assert [spec.index for spec in tasks] == list(range(12_001))
    assert (tasks[-1].name, tasks[-1].template, tasks[4001].row) == ("end", 3, 1)


def test_after_a_push_that_took_much_memory_there_is_another_child(intake: Intake, tmp_path: Path) -> None:
    # a process that has just been started has no command line for a moment
    eventually(lambda: len(processes(os.getpid())) == 1, 30.0)
    before = processes(os.getpid())
    assert intake.plan(request(tmp_path, HELLO)).tasks == 2
    assert processes(os.getpid()) == before
    document = {"tasks": [{"id": "a-{n}", "foreach": {"n": {"range": [30_000]}}, "command": "true"}]}
    assert intake.plan(request(tmp_path, document)).tasks == 30_000
    eventually(lambda: len(processes(os.getpid())) == 1, 30.0)
    assert processes(os.getpid()) != before


def test_discarding_a_plan_removes_its_slices_twice_without_harm(intake: Intake, tmp_path: Path) -> None:
    plan = intake.plan(request(tmp_path, HELLO))
    intake.discard(plan)
    intake.discard(plan)
    assert list((tmp_path / "pushes").iterdir()) == []


def test_plans_of_an_earlier_life_are_removed_at_the_start(tmp_path: Path) -> None:
    left = tmp_path / "pushes" / "plan-of-before"
    left.mkdir(parents=True)
    (left / "000000.json").write_text("{}")
    received = tmp_path / "pushes" / "received-before"
    received.mkdir()
    Intake(tmp_path / "pushes").close()
    assert not left.exists() and not received.exists()


# ---- CSV files ----------------------------------------------------------------------------------------------------

SWEEP = {"tasks": [{"id": "a-{T}", "foreach": [{"csv": "sub/p.csv"}, {"k": {"range": [1]}}], "command": "echo {T:.2f}"}]}


def test_csv_files_reach_the_child_and_their_tables_come_back(intake: Intake, tmp_path: Path) -> None:
    (tmp_path / "received.csv").write_bytes(b"T,id\n0.10,007\n1e-3,008\n")
    plan = intake.plan(request(tmp_path, SWEEP, tables={"sub/p.csv": tmp_path / "received.csv"}))
    [template], specs = all_of(intake, plan)
    assert [spec.name for spec in specs] == ["a-0.10", "a-1e-3"]
    assert params_of(template, 1) == {"T": 0.001, "id": "008", "k": 0}


def test_what_is_wrong_with_a_csv_file_or_why_it_was_not_sent_comes_back(intake: Intake, tmp_path: Path) -> None:
    (tmp_path / "received.csv").write_bytes(b"T\nx\n")
    with pytest.raises(Refused) as caught:
        intake.plan(request(tmp_path, SWEEP, tables={"sub/p.csv": tmp_path / "received.csv"}))
    [problem] = caught.value.problems
    assert (problem.task, problem.field) == ("tasks[0] 'a-{T}'", "command")
    assert problem.message == "{T:.2f}: sub/p.csv, line 2, column T: 'x' is no number"
    with pytest.raises(Refused, match=r"tasks\[0\] 'a-\{T\}': foreach\[0\].csv: 'sub/p.csv' is a folder"):
        intake.plan(request(tmp_path, SWEEP, unread_tables={"sub/p.csv": "is a folder"}))


def test_a_text_and_its_csv_files_have_one_limit(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "pushes", max_bytes=1000)
    (tmp_path / "received.csv").write_bytes(b"T\n" + b"1\n" * 600)
    with pytest.raises(Refused, match=r"with its CSV files has 1,\d\d\d bytes, more than the 1,000 bytes"):
        intake.plan(request(tmp_path, SWEEP, tables={"sub/p.csv": tmp_path / "received.csv"}))
    intake.close()


def test_a_job_that_was_swept_is_extended_with_the_same_table(intake: Intake, tmp_path: Path) -> None:
    (tmp_path / "received.csv").write_bytes(b"T\n1\n2\n")
    tables = {"sub/p.csv": tmp_path / "received.csv"}
    templates, specs = all_of(intake, intake.plan(request(tmp_path, SWEEP, tables=tables)))
    job = Job("uid", "old", "me", 0.0, templates=templates)
    job.tasks = [Task(job, spec.index, spec.name, templates[spec.template], spec.row) for spec in specs]
    (tmp_path / "received.csv").write_bytes(b"T\n1\n2\n3\n")
    plan = intake.plan(request(tmp_path, SWEEP, tables=tables, job="old", merge="ignore", existing=job))
    assert (plan.new_tasks, plan.kept) == (1, 2)
    [template], [spec] = all_of_numbers(intake, plan)
    assert (spec.name, spec.index, spec.row, params_of(template, spec.row)["T"]) == ("a-3", 2, 2, 3)


def all_of_numbers(intake: Intake, plan: Plan) -> tuple[list[Template], list[TaskSpec]]:
    """Every slice of a plan that extends a job, whose templates' numbers do not begin at 0."""
    slices = list(intake.slices(plan))
    return [template for templates, _ in slices for template in templates], [spec for _, tasks in slices for spec in tasks]


# ---- jobs that exist -----------------------------------------------------------------------------------------------


def existing(tmp_path: Path, intake: Intake) -> Job:
    """The job that HELLO makes, with its first task succeeded."""
    templates, specs = all_of(intake, intake.plan(request(tmp_path, HELLO)))
    job = Job("uid", "old", "me", 0.0, templates=templates, files={"old.py": FileRef("0" * 64, 1)})
    job.tasks = [Task(job, spec.index, spec.name, templates[spec.template], spec.row, spec.dependencies) for spec in specs]
    job.tasks[0].state = TaskState.SUCCEEDED
    return job


def test_a_push_extends_a_job_that_exists(intake: Intake, tmp_path: Path) -> None:
    job = existing(tmp_path, intake)
    document = {"tasks": [{"id": "c", "command": "true", "inputs": ["a.txt", "old.py", "made-by-hand"]}, *HELLO["tasks"]]}
    asked = request(
        tmp_path, document, job="old", merge="keep-succeeded", existing=job, existing_results=frozenset({"made-by-hand"})
    )
    plan = intake.plan(asked)
    assert (plan.job_name, plan.extends, plan.expected) == ("old", True, 2)
    assert (plan.tasks, plan.new_tasks, plan.replaced, plan.kept) == (2, 1, 1, 1)
    assert plan.warnings == ["1 task that the job has already is left alone"]
    [(templates, tasks)] = intake.slices(plan)
    assert [(template.number, template.name) for template in templates] == [(2, "c"), (3, "b")]
    assert [(spec.index, spec.template, spec.dependencies) for spec in tasks] == [(2, 2, (0,)), (1, 3, (0,))]
    with pytest.raises(Refused, match=r"--merge ignore .*, --merge keep-succeeded .*, --merge changed .* or --merge replace"):
        intake.plan(replace(asked, merge=None))


def test_an_unknown_merge_is_refused_with_the_choices(intake: Intake, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="--merge all: choose one of ignore, keep-succeeded, replace"):
        intake.plan(request(tmp_path, HELLO, merge="all"))


def test_results_that_exist_are_counted(intake: Intake, tmp_path: Path) -> None:
    plan = intake.plan(request(tmp_path, HELLO, skip_existing=True, existing_results=frozenset({"a.txt"})))
    assert plan.done == 1
    assert plan.warnings == ["1 task counts as succeeded: all its results exist"]


@pytest.mark.parametrize(
    ("document", "name"),
    [({"job": "mine", **HELLO}, "mine"), (HELLO, None), ({"job": 3}, None), ({"job": "a b"}, None), ([], None)],
)
def test_the_job_that_a_file_names_can_be_asked_for(intake: Intake, tmp_path: Path, document: object, name: str | None) -> None:
    assert intake.job_of(request(tmp_path, document).text) == name


def test_the_job_of_no_json_is_refused(intake: Intake, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="line 1, column 2: is not JSON"):
        intake.job_of(request(tmp_path, b"{").text)


# ---- limits and accidents ------------------------------------------------------------------------------------------


def test_a_text_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "pushes", max_bytes=1000)
    with pytest.raises(Refused, match="has 1,001 bytes, more than the 1,000 bytes that this boss accepts"):
        intake.plan(request(tmp_path, b"x" * 1001))
    intake.close()


def test_more_tasks_than_allowed_are_refused(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "pushes", max_tasks=1)
    with pytest.raises(Refused, match="makes 2 tasks, more than the 1 that one job may have"):
        intake.plan(request(tmp_path, HELLO))
    intake.close()


@pytest.fixture
def endless(tmp_path: Path) -> PushRequest:
    """A push whose text never comes: the child waits for ever."""
    os.mkfifo(tmp_path / "endless")
    return PushRequest(tmp_path / "endless")


def test_a_push_that_takes_too_long_is_refused_and_the_next_one_is_served(tmp_path: Path, endless: PushRequest) -> None:
    intake = Intake(tmp_path / "pushes", time_limit=5.0)
    with pytest.raises(Refused, match="could not be checked within 5 s"):
        intake.plan(endless)
    assert intake.plan(request(tmp_path, HELLO)).tasks == 2
    intake.close()


def test_a_child_that_dies_refuses_its_push_and_the_next_one_is_served(
    intake: Intake, tmp_path: Path, endless: PushRequest
) -> None:
    refused: list[str] = []

    def push() -> None:
        try:
            intake.plan(endless)
        except Refused as error:
            refused.append(str(error))

    thread = threading.Thread(target=push)
    thread.start()
    # The child opens the text only once it works on the push; then there is somebody to write to.
    eventually(lambda: _is_read(endless.text), 30.0)
    [child] = processes(os.getpid())
    os.kill(child, signal.SIGKILL)
    thread.join()
    assert refused == ["could not be checked: the process that reads task files ended (signal 9; out of memory?)"]
    assert intake.plan(request(tmp_path, HELLO)).tasks == 2


def _is_read(fifo: Path) -> bool:
    try:
        # Kept open on purpose: with a writer that says nothing the reader goes on waiting.
        _WRITERS.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


_WRITERS: list[int] = []


@pytest.fixture(autouse=True)
def _closed_writers() -> Iterator[None]:
    yield
    while _WRITERS:
        os.close(_WRITERS.pop())


def test_a_child_that_died_while_idle_is_replaced_unnoticed(intake: Intake, tmp_path: Path) -> None:
    assert intake.plan(request(tmp_path, HELLO)).tasks == 2
    [child] = processes(os.getpid())
    os.kill(child, signal.SIGKILL)
    eventually(lambda: not processes(os.getpid()), 30.0)
    assert intake.plan(request(tmp_path, HELLO)).tasks == 2


def test_a_small_push_does_not_wait_for_a_long_one(intake: Intake, tmp_path: Path, endless: PushRequest) -> None:
    def push() -> None:
        with pytest.raises(Refused, match="could not be checked"):
            intake.plan(endless)

    thread = threading.Thread(target=push)
    thread.start()
    eventually(lambda: _is_read(endless.text), 30.0)
    assert intake.plan(request(tmp_path, HELLO)).tasks == 2
    intake.close()
    thread.join()


def test_a_closed_intake_has_no_children_and_refuses(intake: Intake, tmp_path: Path) -> None:
    assert intake.plan(request(tmp_path, HELLO)).tasks == 2
    intake.close()
    eventually(lambda: not processes(os.getpid()), 30.0)
    with pytest.raises(Refused, match="the boss is stopping"):
        intake.plan(request(tmp_path, HELLO))


BOSS = """
import sys
from pathlib import Path
from boss.adapters.intake import Intake
Intake(Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.read()
"""


def test_the_child_does_not_outlive_a_killed_boss(tmp_path: Path) -> None:
    boss = subprocess.Popen([sys.executable, "-c", BOSS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert boss.stdout is not None and boss.stdin is not None
    assert boss.stdout.readline() == b"up\n"
    eventually(lambda: processes(boss.pid), 30.0)
    [child] = processes(boss.pid)
    boss.kill()
    boss.wait()
    eventually(lambda: not started(child), 30.0)  # where this process is a subreaper, it is what nobody reaps
    boss.stdout.close()
    boss.stdin.close()
