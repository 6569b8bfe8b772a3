"""Pushed files are parsed, validated and expanded in a child process, so that a big one does not hold up the boss.

Rules:
- The child is a fresh interpreter (``intake_child``), never a fork of the threaded boss; it holds only ``boss.taskfile`` and its needs.
  One waits warm, so that a small push costs milliseconds; after a big push it is replaced, which gives the memory back.
- Parent and child exchange one line of JSON each way. The tasks themselves go through files, one slice each, which are read one after
  the other: the boss never holds a whole push.
- A child that dies or takes too long refuses the push with a sentence; nothing of it stays.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from boss.core.model import FileRef, Job, TaskSpec, TaskState, Template
from boss.core.templates import template_from_data, template_to_data
from boss.ports import Plan, PushRequest
from boss.taskfile.context import Merge
from boss.taskfile.document import too_large
from boss.taskfile.problems import Outside, Problem, Refused

#: A push of more tasks, or from a larger text (bytes), than this costs the child enough memory to be replaced.
_BIG_TASKS = 20_000
_BIG_TEXT = 4 * 2**20
#: How many children may work at a time.
_CHILDREN = 2


class Intake:
    """Makes plans of pushes. All methods may be called from several threads; ``plan`` blocks while the child works.

    ``folder`` holds the slices of the plans that are not discarded; it is emptied of an earlier life's at the start.
    ``time_limit`` in seconds bounds the work on one push; ``legacy_root`` is where the dialects' sources from outside a job lie.
    """

    def __init__(
        self,
        folder: Path,
        max_tasks: int = 5_000_000,
        max_bytes: int = 64 * 2**20,
        time_limit: float = 600.0,
        legacy_root: str = "",
        cluster: str = "",
        signers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``signers`` are the texts of pools' ``allowed_signers``; signed documents must be for this ``cluster``."""
        self._folder = folder
        self._legacy_root = legacy_root
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes
        self._time_limit = time_limit
        self._cluster = cluster
        self._signers = dict(signers)
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_CHILDREN)
        self._closed = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in (*folder.glob("plan-*"), *folder.glob("received-*")):  # the latter are the API's, in the same folder
            shutil.rmtree(left)
        self._warm: list[_Child] = [_Child()]
        self._busy: set[_Child] = set()

    def plan(self, request: PushRequest) -> Plan:
        """Check a push and prepare its slices. Raises Refused with all that is wrong with it."""
        if request.merge is not None and request.merge not in list(Merge):
            choices = ", ".join(Merge)
            raise Refused([Problem("", "", f"--merge {request.merge}: choose one of {choices}")])
        folder = self._folder / f"plan-{uuid.uuid4().hex}"
        folder.mkdir(mode=0o700)
        try:
            answer = self._ask(self._question(request, folder), request.text, request.tables.values())
        except BaseException:
            shutil.rmtree(folder)
            raise
        expected = len(request.existing.tasks) if request.existing is not None and answer["extends"] else 0
        size = sum(file.size for file in request.files.values())
        return Plan(**answer, expected=expected, files=dict(request.files), bytes=size, folder=folder)

    def job_of(self, text: Path) -> str | None:
        """The ``job`` that a task file names, for a merge without ``--job``; None if it names none. Raises Refused if it is no JSON."""
        answer = self._ask({"want": "job", "text": str(text), "max_bytes": self._max_bytes}, text)
        name: str | None = answer["job"]
        return name

    def slices(self, plan: Plan) -> Iterator[tuple[tuple[Template, ...], tuple[TaskSpec, ...]]]:
        """The tasks of a plan, at most 5,000 at a time in the order of the file, with the templates that they are the first to use."""
        for path in sorted(plan.folder.iterdir()):
            data = json.loads(path.read_bytes())
            templates = tuple(template_from_data(template) for template in data["templates"])
            tasks = tuple(
                TaskSpec(index, name, template, row, tuple(needed), rank, done)
                for index, name, template, row, needed, rank, done in data["tasks"]
            )
            yield templates, tasks

    def discard(self, plan: Plan) -> None:
        """Remove the slices of a plan; twice does no harm."""
        shutil.rmtree(plan.folder, ignore_errors=True)

    def close(self) -> None:
        """End the children. A push that one of them works on is refused."""
        with self._lock:
            self._closed = True
            children = [*self._warm, *self._busy]
            self._warm.clear()
        for child in children:
            child.end()

    def _question(self, request: PushRequest, folder: Path) -> dict[str, Any]:
        return {
            "want": "plan",
            "text": str(request.text),
            "folder": str(folder),
            "file_name": request.file_name,
            "name": request.name,
            "job": request.job,
            "merge": request.merge,
            "skip_existing": request.skip_existing,
            "replay": request.replay,
            "files": _digests(request.files),
            "existing": None if request.existing is None else _columns(request.existing),
            "results": list(request.existing_results),
            "tables": {name: str(path) for name, path in request.tables.items()},
            "unread_tables": dict(request.unread_tables),
            "beside": list(request.beside),
            "legacy_root": self._legacy_root,
            "signed": None if request.signed is None else self._to_verify(request.signed, request.owner),
            "max_tasks": self._max_tasks,
            "max_bytes": self._max_bytes,
        }

    def _to_verify(self, signed: Path, owner: str) -> dict[str, Any]:
        return {"path": str(signed), "cluster": self._cluster, "owner": owner, "signers": self._signers}

    def _ask(self, question: Mapping[str, Any], text: Path, tables: Iterable[Path] = ()) -> dict[str, Any]:
        """The child's answer. Raises Refused with the problems that it found, or with its end."""
        size = text.stat().st_size
        if size > self._max_bytes:
            raise too_large(size, self._max_bytes)
        size += sum(table.stat().st_size for table in tables)
        if size > self._max_bytes:
            raise too_large(size, self._max_bytes, "with its CSV files ")
        with self._places:
            try:
                answer = self._ask_child(question, size)
            except _DiedWarm:  # it had outlived earlier files, so its end may have nothing to do with this one
                answer = self._ask_child(question, size)
        if "problems" in answer:
            problems = [Problem(*problem) for problem in answer["problems"]]
            raise Refused(problems, [Outside(*item) for item in answer.get("outside", ())])
        return answer

    def _ask_child(self, question: Mapping[str, Any], size: int) -> dict[str, Any]:
        child = self._take()
        answer: dict[str, Any] | None = None
        try:
            answer = child.ask(question, self._time_limit)
        finally:
            big = size > _BIG_TEXT or answer is None or answer.get("tasks", 0) > _BIG_TASKS
            self._give_back(child, big)
        return answer

    def _take(self) -> "_Child":
        with self._lock:
            if self._closed:
                raise Refused([Problem("", "", "the boss is stopping; push again when it is back")])
            child = self._warm.pop() if self._warm else _Child()
            if not child.alive():
                child.end()
                child = _Child()
            self._busy.add(child)
            return child

    def _give_back(self, child: "_Child", spent: bool) -> None:
        """Keep one child warm: this one, unless it is spent or there is another."""
        with self._lock:
            self._busy.discard(child)
            kept = not (spent or self._closed or self._warm)
            if kept:
                self._warm.append(child)
            elif spent and not self._closed and not self._warm:
                self._warm.append(_Child())
        if not kept:
            child.end()


class _DiedWarm(Refused):
    """A child that had answered before ended by itself: perhaps while it was idle, which is seen only when it is asked."""


class _Child:
    """A process that runs ``boss.adapters.intake_child``; it ends when its standard input does, so never outlives the boss."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "boss.adapters.intake_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # a Ctrl-C at the boss's terminal is the boss's to handle
        )
        self._late = False
        self._warm = False

    def ask(self, question: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """Put one question. Raises Refused when the child dies or takes longer than ``limit`` seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        alarm = threading.Timer(limit, self._stop_late)
        alarm.daemon = True
        alarm.start()
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            alarm.cancel()
        if not line.endswith(b"\n"):
            problems = [Problem("", "", self._epitaph(limit))]
            raise _DiedWarm(problems) if self._warm and not self._late else Refused(problems)
        self._warm = True
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _stop_late(self) -> None:
        self._late = True
        self._process.kill()

    def _epitaph(self, limit: float) -> str:
        code = self._process.wait()
        if self._late:
            return (
                f"could not be checked within {limit:g} s: fewer globs that begin with a wildcard, or several smaller files, help"
            )
        end = f"signal {-code}; out of memory?" if code < 0 else f"exit code {code}; the boss's log says why"
        return f"could not be checked: the process that reads task files ended ({end})"

    def alive(self) -> bool:
        """Whether the process can still be asked."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process and free what belongs to it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:  # an unsent question, to a process that is gone
                    continue


def _columns(job: Job) -> dict[str, Any]:
    """An existing job in columns, as ``boss.taskfile.context.Existing`` has it."""
    return {
        "name": job.name,
        "names": [task.name for task in job.tasks],
        "succeeded": [task.state is TaskState.SUCCEEDED for task in job.tasks],
        "template": [task.template.number for task in job.tasks],
        "rows": [task.row for task in job.tasks],
        "dependencies": [list(task.dependencies) for task in job.tasks],
        "templates": [template_to_data(template) for template in job.templates],
        "files": list(job.files),
        "digests": _digests(job.files),
        "states": [task.state.value for task in job.tasks],
        "input_set": [task.input_set for task in job.tasks],
        "input_sets": list(job.input_sets),
        "stale": [abs(task.stale) - 1 for task in job.tasks],
    }


def _digests(files: Mapping[str, FileRef]) -> dict[str, tuple[str, int]]:
    return {path: (file.digest, file.mode) for path, file in files.items()}
