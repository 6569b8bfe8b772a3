"""A workflow's trace to the entries of a job that behaves like it: each task waits, reads and writes as the traced one did, scaled.

Rules:
- Tasks, ids, files and dependencies are those of the trace. Who waits for whom, ``parents`` and ``children`` say, and the files: who
  reads what another task yields waits for that one.
- A file that several tasks yield is there in several versions. Who reads it gets the one of its parents among them (of the last, if
  there are several), else that of the last, and then waits for all of them. A task that reads a file and yields it too, as no parent
  does, changes it in place: it reads what was there before all tasks.
- Files that no task yields are the workflow's inputs: ``Content.makes`` says how large they are, and whoever pushes makes them.
- A task takes one cpu and no particular memory, whatever it had: the shape is replayed, on any machine.
- A task's wait runs beside its reading and writing, as a traced runtime includes both. What it executes needs bash and coreutils, and
  takes the names of outputs alone, quoted; it finds its inputs by looking.
"""

import shlex
from collections import defaultdict
from collections.abc import Mapping

from boss.core.model import InputSpec, OutputSpec, Template
from boss.taskfile.entry import DEFAULT_TIMEOUT, Content, Entry
from boss.taskfile.names import fitting_id
from boss.taskfile.placing import Version, places
from boss.taskfile.problems import Problems, quoted
from boss.taskfile.quantities import MAX_SECONDS
from boss.taskfile.wfformat import Trace, TracedTask

#: The largest file that is made, in bytes.
MAX_FILE = 2**40
#: The longest text that a program can be given, in bytes, with room for what surrounds ours.
_MAX_COMMAND = 120 * 1024

_READ = (
    "shopt -s globstar dotglob nullglob",
    'for file in ./**; do [[ ! -f $file ]] || inputs+=("$file"); done',
    'cat -- "${inputs[@]}" > /dev/null',
)
#: ``fill BYTES FILE``: the file's name again and again. What is short is written by bash itself, which saves two processes.
_FILL = (
    "fill() {",
    '  [[ $2 != */* || -d ${2%/*} ]] || mkdir -p -- "${2%/*}"',
    "  if (($1 > 65536)); then",
    '    (set +o pipefail; yes -- "$2" | head -c "$1" > "./$2")',
    "  else",
    "    local LC_ALL=C text=$2$'\\n'",
    "    while ((${#text} < $1)); do text+=$text; done",
    '    printf %s "${text:0:$1}" > "./$2"',
    "  fi",
    "}",
)


def entries_of(trace: Trace, scale: float, problems: Problems) -> Content:
    """The entries that replay a trace; durations and sizes are multiplied by ``scale``."""
    content = Content(notes=list(trace.notes))
    sizes = _scaled_sizes(trace, scale, problems)
    versions = _Versions(trace)
    ids = _ids(trace, content)
    called = dict(zip((task.id for task in trace.tasks), ids, strict=True))
    for number, task in enumerate(trace.tasks):
        seconds = task.runtime * scale
        if seconds > MAX_SECONDS:
            limit = f"at --replay {scale:g} it waits {seconds:.3g} seconds, more than a hundred years: choose a smaller SCALE"
            problems.add(f"{task.label} {quoted(task.id)}", "runtimeInSeconds", limit)
            continue
        content.entries.append(_entry(number, task, seconds, versions, sizes, ids, called, problems))
    content.makes = {place: sizes[name] for name, place in versions.external.items()}
    _tell(content, trace, scale, versions, sizes)
    return content


def _scaled_sizes(trace: Trace, scale: float, problems: Problems) -> dict[str, int]:
    sizes = {}
    for name, size in trace.sizes.items():
        scaled = sizes[name] = round(size * scale)
        if scaled > MAX_FILE:
            message = f"at --replay {scale:g} it has {scaled / 2**40:,.4g} TiB, more than the 1 TiB of the largest file"
            problems.add(f"workflow.specification.files {quoted(name)}", "sizeInBytes", f"{message}: choose a smaller SCALE")
    return sizes


class _Versions:
    """Which version of a file each task reads and writes, and where they lie. ``external``: those that no task yields."""

    def __init__(self, trace: Trace) -> None:
        self._tasks = trace.tasks
        self._numbers = {task.id: number for number, task in enumerate(trace.tasks)}
        #: Of each file that tasks yield: these tasks, in order, each with the version's number.
        self._yielders: dict[str, dict[int, int]] = defaultdict(dict)
        for number, task in enumerate(trace.tasks):
            for name in task.outputs:
                self._yielders[name][number] = len(self._yielders[name]) + 1
        before = {name: "" for number, task in enumerate(trace.tasks) for name in task.inputs if not self._others(number, name)}
        for name in before.keys() & self._yielders.keys():  # it is there before tasks yield it
            self._yielders[name] = {number: version + 1 for number, version in self._yielders[name].items()}
        wanted: list[Version] = [(name, 1) for name in before]
        wanted += ((name, version) for name, tasks in self._yielders.items() for version in tasks.values())
        self._places = places(wanted)
        self.external = {name: self._places[name, 1] for name in before}

    def changed(self, *, again: bool) -> list[tuple[str, str]]:
        """Files that lie elsewhere than their names say, with their places: later versions (``again``), or first ones."""
        return [(name, place) for (name, number), place in self._places.items() if place != name and again == (number > 1)]

    def _others(self, number: int, name: str) -> list[int]:
        """The other tasks that yield a file which this task reads, as far as it waits for them."""
        yielders = self._yielders.get(name, {})
        if len(yielders) > 1:
            chosen = {self._numbers[parent] for parent in self._tasks[number].parents} & yielders.keys()
            if chosen:
                return sorted(chosen)
        return [] if number in yielders else list(yielders)

    def read(self, number: int, name: str) -> tuple[str, list[int]]:
        """Where the version lies that a task reads, and whom it waits for because of that."""
        others = self._others(number, name)
        return (self.written(others[-1], name) if others else self.external[name]), others

    def written(self, number: int, name: str) -> str:
        """Where the version lies that a task yields."""
        return self._places[name, self._yielders[name][number]]


def _ids(trace: Trace, content: Content) -> list[str]:
    """The tasks' ids here: those of the trace, unless they cannot be."""
    ids = [fitting_id(task.id) for task in trace.tasks]
    changed = [(task.id, name) for task, name in zip(trace.tasks, ids, strict=True) if task.id != name]
    if changed:
        content.notes.append(_changed("task", changed, "an id", "is called"))
    return ids


def _entry(
    number: int,
    task: TracedTask,
    seconds: float,
    versions: _Versions,
    sizes: Mapping[str, int],
    ids: list[str],
    called: Mapping[str, str],
    problems: Problems,
) -> Entry:
    sources, needed = [], set[int]()
    for name in task.inputs:
        place, others = versions.read(number, name)
        sources.append(place)
        needed.update(others)
    outputs = {versions.written(number, name): sizes[name] for name in task.outputs}
    commands = _commands(seconds, bool(sources), outputs)
    if sum(len(command.encode()) + 1 for command in commands) > _MAX_COMMAND:
        message = (
            f"the names of its {len(outputs):,} files are longer than the {_MAX_COMMAND // 1024} KiB that a command may have"
        )
        problems.add(f"{task.label} {quoted(task.id)}", "outputFiles", message)
    after = dict.fromkeys((ids[other] for other in sorted(needed)), "inputFiles")
    after |= dict.fromkeys((called[parent] for parent in task.parents), "parents")
    return Entry(
        label=task.label,
        template=Template(
            number=0,
            name=ids[number],
            commands=commands,
            inputs=tuple(InputSpec(source) for source in sources),
            outputs=tuple(OutputSpec(path) for path in outputs),
            timeout=DEFAULT_TIMEOUT + 2 * seconds,
            runtime=seconds,
        ),
        after=tuple((place, name) for name, place in after.items()),
        input_places=("inputFiles",) * len(sources),
        output_places=("outputFiles",) * len(outputs),
        lenient=True,
        colons=True,
        input_field="inputFiles",
        output_field="outputFiles",
    )


def _commands(seconds: float, reads: bool, outputs: Mapping[str, int]) -> tuple[str, ...]:
    """What a task executes."""
    wait = f"sleep {seconds:.6f}".rstrip("0").rstrip(".") if seconds >= 1e-6 else ""
    fills = [f"fill {size} {shlex.quote(path)}" for path, size in outputs.items()]
    work = [*(_READ if reads else ()), *((*_FILL, *fills) if fills else ())]
    if not work:
        return (wait or "true",)
    return (f"{wait} &", *work, "wait") if wait else tuple(work)


def _tell(content: Content, trace: Trace, scale: float, versions: _Versions, sizes: Mapping[str, int]) -> None:
    """Say what the replay is, first of all, and what differs from the trace."""
    written = sum(sizes[name] for task in trace.tasks for name in task.outputs)
    count = sum(len(task.outputs) for task in trace.tasks)
    content.notes.insert(
        0,
        f"replays a workflow (WfFormat {trace.version}) at {scale:g}: {_files(len(content.makes))} with {sum(content.makes.values()):,} "
        f"bytes made here, {_files(count)} with {written:,} bytes written by the tasks",
    )
    if moved := versions.changed(again=False):
        content.notes.append(_changed("file", moved, "a path in the job's folder", "lies at"))
    if again := versions.changed(again=True):
        name, place = again[-1]
        content.notes.append(
            f"files that are written more than once are kept each time: {quoted(name)} lies at {quoted(place)} too"
        )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _changed(noun: str, changed: list[tuple[str, str]], what: str, verb: str) -> str:
    before, after = changed[0]
    count = f"1 {noun} has a name" if len(changed) == 1 else f"{len(changed):,} {noun}s have names"
    return f"{count} that cannot be {what}: {quoted(before)} {verb} {quoted(after)}"
