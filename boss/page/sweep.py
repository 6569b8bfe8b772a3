"""The tasks of a job as a table: parameters beside states, times and the numbers of their metrics files, as ``admin.py table`` has them.

Rules:
- Files are read through the datastore's gate, many in one request, and none that is larger than a metrics file may be.
- For a page the columns are those of its rows; for a whole sheet all, so its rows wait in a temporary file until the last is read.
- A cell of a CSV file that a spreadsheet would run as a formula begins with a quote there.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

from boss.api.house import House
from boss.api.reading import tasks_of
from boss.api.shapes import TaskOut
from boss.core.model import TaskState
from boss.ports import DatastoreDown, TaskRow
from client.metrics import LARGEST, Cell, Unreadable, read_metrics

#: Tasks whose files are read at once, and bytes of one request for them.
PART = 500
TOGETHER = 40
#: Columns that metrics may make at most.
MOST_COLUMNS = 1000
STANDING = ("state", "attempt", "exit_code", "started", "finished", "seconds")
_IN_MEMORY = 4 << 20


@dataclass(slots=True)
class Part:
    """Some rows: tasks with what their metrics files say (by id); ``trouble`` says why files could not be read."""

    rows: list[tuple[TaskRow, TaskOut, dict[str, Cell]]] = field(default_factory=list)
    params: dict[str, None] = field(default_factory=dict)
    metrics: dict[str, None] = field(default_factory=dict)
    trouble: str = ""


def read(house: House, rows: Sequence[TaskRow]) -> Part:
    """The table of these rows."""
    part = Part()
    tasks = tasks_of(house, rows)
    values: dict[str, dict[str, Cell]] = {}
    wanted = [task for task in tasks if task.metrics and task.state == TaskState.SUCCEEDED]
    try:
        for start in range(0, len(wanted), TOGETHER):
            values |= _values(house, wanted[start : start + TOGETHER])
    except DatastoreDown as error:
        part.trouble = f"The numbers are missing: the datastore does not answer ({error})."
    for row, task in zip(rows, tasks, strict=True):
        part.params |= dict.fromkeys(task.params)
        part.metrics |= dict.fromkeys(values.get(task.id, {}))
        part.rows.append((row, task, values.get(task.id, {})))
    return part


def _values(house: House, tasks: Sequence[TaskOut]) -> dict[str, dict[str, Cell]]:
    found: dict[str, dict[str, Cell]] = {}
    limit = min(LARGEST, (16 << 20) // TOGETHER)
    held = house.datastore.read_results(tasks[0].job, [(task.metrics, 0, limit) for task in tasks]) if tasks else []
    for task, data in zip(tasks, held, strict=True):
        try:
            found[task.id] = read_metrics(data).values if data is not None else {}
        except Unreadable:
            found[task.id] = {}
    return found


class Sheet:
    """The whole table of a job's tasks, read once when it is made."""

    def __init__(self, house: House, job: str, states: Sequence[TaskState], pattern: str) -> None:
        self._params: dict[str, None] = {}
        self._metrics: dict[str, None] = {}
        self._rows: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="ecloud-")  # noqa: SIM115 (closed by ``with``)
        try:
            self._read(house, job, states, pattern)
        except BaseException:
            self._rows.close()
            raise

    def __enter__(self) -> "Sheet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rows.close()

    def _read(self, house: House, job: str, states: Sequence[TaskState], pattern: str) -> None:
        after: tuple[str, int] | None = None
        while rows := house.reader.tasks(job=job, states=states, pattern=pattern, limit=PART, after=after):
            part = read(house, rows)
            if part.trouble:
                raise DatastoreDown(part.trouble)
            self._params |= part.params
            for name in part.metrics:
                if len(self._metrics) < MOST_COLUMNS:
                    self._metrics.setdefault(name)
            for _, task, values in part.rows:
                self._rows.write(json.dumps([task.id, task.params, standing(task), values]).encode() + b"\n")
            if len(rows) < PART:
                return
            after = (rows[-1].job, rows[-1].index)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, each once."""
        taken = {"id", *STANDING}
        params = [_free(name, "params.", taken) for name in self._params]
        metrics = [_free(name, "metrics.", taken) for name in self._metrics]
        return ["id", *params, *STANDING, *metrics]

    def rows(self) -> Iterator[list[object]]:
        """The cells of each task."""
        self._rows.seek(0)
        for line in self._rows:
            name, params, said, values = json.loads(line)
            yield [name, *map(params.get, self._params), *said, *map(values.get, self._metrics)]


def standing(task: TaskOut) -> list[object]:
    """State, attempt, exit code, times and seconds of a task."""
    seconds = round(task.finished - task.started, 3) if task.started is not None and task.finished is not None else None
    return [task.state, task.attempt, task.exit_code, task.started, task.finished, seconds]


def safe(cell: object) -> object:
    """A cell for a CSV file: a text that a spreadsheet would take for a formula is quoted."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + cell
    return "" if cell is None else cell


def _free(name: str, prefix: str, taken: set[str]) -> str:
    while name in taken:
        name = prefix + name
    taken.add(name)
    return name
