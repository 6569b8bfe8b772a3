"""The tasks of a job as a table: parameters, state, times and the numbers of their metrics files, a row a task.

Rules:
- The columns are known when all files are read, so rows wait in a temporary file without a name; memory holds a few hundred bytes a task
  (the paths of the metrics files), however many columns there are.
- Only tasks that have succeeded have values: what lies there of an attempt before is not this one's.
- A column keeps its own name. Parameters and metrics whose name is taken already are called ``params.NAME`` and ``metrics.NAME``.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from client.access import datastore
from client.metrics import LARGEST, Cell, Metrics, Unreadable, read_metrics
from datastore.landing import Listed
from datastore.reading import ResultReader

if TYPE_CHECKING:
    from client.api import Client

#: The columns that every table has: before the parameters, and behind them.
FIRST = ("id",)
STANDING = ("state", "attempt", "exit_code", "started", "finished", "seconds")
#: Columns that metrics may make; further ones are left out.
MOST_COLUMNS = 4096
#: How much of the rows stays in memory before they go to a temporary file, in bytes.
IN_MEMORY = 4 << 20
#: Tasks whose files are read at once.
PART = 1000
#: Tasks that a note names.
EXAMPLES = 3

Plain = dict[str, Any]


class Table:
    """A job's table, read. ``job`` is its name; ``columns`` in order; ``states`` counts the rows; ``notes`` say what is not in it."""

    def __init__(self, client: "Client", target: str) -> None:
        """Read the tasks of a target (``JOB``, ``JOB:GLOB``) and their metrics. Raises NotFound, DatastoreTrouble, ..."""
        self.states: dict[str, int] = {}
        self._params: dict[str, None] = {}
        self._metrics: dict[str, int] = {}
        self._troubles: dict[str, tuple[int, list[str]]] = {}
        self._left_out: tuple[int, list[str]] = (0, [])
        self._wanted: dict[str, None] = {}
        self._newer: list[str] = []
        self.job = ""
        self._rows = _spool()
        try:
            self._read_tasks(client, target)
            if self._wanted:
                self._read_files(client)
                self._newer = [path for path in client.job(self.job).newer() if path in self._wanted]
        except BaseException:
            self.close()
            raise
        self.columns = self._named()

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget the rows."""
        self._rows.close()

    def __len__(self) -> int:
        return sum(self.states.values())

    def rows(self) -> Iterator[list[Cell | None]]:
        """The cells of each task, parallel to ``columns``; None where there is none. One such iterator at a time."""
        params, width = list(self._params), len(self._metrics)
        for (name, values, *standing, _path), cells in _lines(self._rows):
            metrics: list[Cell | None] = [None] * width
            for column, value in cells:
                metrics[column] = value
            yield [name, *(_plain(values.get(param)) for param in params), *standing, *metrics]

    @property
    def notes(self) -> list[str]:
        """What is missing in the table, each kind of it with a count and examples."""
        said = []
        if self._newer:
            count, names = len(self._newer), self._newer[:EXAMPLES]
            said.append(
                f"{count:,} metrics {'file is' if count == 1 else 'files are'} newer than the database, which came from a back-up"
                f" ({_some(count, names)}): the numbers are the file's, times and attempt those of an older result"
            )
        if self._troubles:
            count = sum(number for number, _ in self._troubles.values())
            kinds = "; ".join(f"{number:,} {what} ({_some(number, names)})" for what, (number, names) in self._troubles.items())
            said.append(f"{count:,} of {len(self._wanted):,} metrics files give no numbers: {kinds}")
        if self._left_out[0]:
            count, names = self._left_out
            values = "value" if count == 1 else "values"
            said.append(f"{count:,} {values} left out of the columns (a long list or text, or too many): {_some(count, names)}")
        return said

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _read_tasks(self, client: "Client", target: str) -> None:
        for page in client.task_pages(target):
            for task in page:
                self.job = task["job"]
                self._params |= dict.fromkeys(task["params"])
                self.states[task["state"]] = self.states.get(task["state"], 0) + 1
                path = task["metrics"] if task["state"] == "succeeded" else ""
                if path:
                    self._wanted[path] = None
                _write(self._rows, [_facts(task, path), []])

    def _read_files(self, client: "Client") -> None:
        """Make rows with values of those without."""
        full = _spool()
        try:
            with datastore(client.connection) as endpoint:
                reader = ResultReader(endpoint, self.job)
                try:
                    self._copy(reader, full)
                finally:
                    reader.close()
        except BaseException:
            full.close()
            raise
        self._rows.close()
        self._rows = full

    def _copy(self, reader: ResultReader, full: IO[bytes]) -> None:
        there = reader.find(self._wanted)
        rows = _lines(self._rows)
        while part := list(islice(rows, PART)):
            tasks = {facts[-1]: facts[0] for facts, _ in part if facts[-1]}
            values = self._values(reader, tasks, there)
            for facts, _ in part:
                _write(full, [facts, values.get(facts[-1], [])])

    def _values(self, reader: ResultReader, tasks: dict[str, str], there: dict[str, Listed]) -> dict[str, list[tuple[int, Cell]]]:
        """The cells of these tasks' files, by path; ``tasks`` are ids by path."""
        values: dict[str, list[tuple[int, Cell]]] = {}

        def take(listed: Listed, data: bytes | None) -> None:
            if data is None:
                changed.append(listed.path)
                return
            try:
                values[listed.path] = self._cells(read_metrics(data), tasks[listed.path])
            except Unreadable as error:
                self._trouble(error.what, tasks[listed.path])

        changed: list[str] = []
        reader.read([there[path] for path in tasks if path in there and there[path].size <= LARGEST], take)
        again = reader.find(frozenset(changed)) if changed else {}  # a task that was run again has put another file there
        lost, changed = changed, []
        reader.read([again[path] for path in lost if path in again and again[path].size <= LARGEST], take)
        for path, task in tasks.items():
            listed = again.get(path) if path in lost else there.get(path)
            if listed is None:
                self._trouble("missing", task)
            elif listed.size > LARGEST:
                self._trouble(f"larger than {LARGEST >> 20} MiB", task)
            elif path in changed:
                self._trouble("not what the sha256 says", task)
        return values

    def _cells(self, found: Metrics, task: str) -> list[tuple[int, Cell]]:
        cells = []
        for name, value in found.values.items():
            if name not in self._metrics and len(self._metrics) >= MOST_COLUMNS:
                found.left_out.append(name)
            else:
                cells.append((self._metrics.setdefault(name, len(self._metrics)), value))
        count, names = self._left_out
        self._left_out = count + len(found.left_out), (names + [f"{name} of {task}" for name in found.left_out])[:EXAMPLES]
        return cells

    def _trouble(self, what: str, task: str) -> None:
        count, names = self._troubles.get(what, (0, []))
        self._troubles[what] = count + 1, names if len(names) == EXAMPLES else [*names, task]

    def _named(self) -> list[str]:
        """The columns' names, each once."""
        taken = dict.fromkeys((*FIRST, *STANDING))
        params = [_free(name, "params.", taken) for name in self._params]
        metrics = [_free(name, "metrics.", taken) for name in self._metrics]
        return [*FIRST, *params, *STANDING, *metrics]


def _free(name: str, prefix: str, taken: dict[str, None]) -> str:
    while name in taken:
        name = prefix + name
    taken[name] = None
    return name


def _facts(task: Plain, path: str) -> list[Any]:
    started, finished = task["started"], task["finished"]
    seconds = round(finished - started, 3) if started is not None and finished is not None else None
    times = [None if moment is None else round(moment, 3) for moment in (started, finished)]
    return [task["id"], task["params"], task["state"], task["attempt"], task["exit_code"], *times, seconds, path]


def _plain(value: Any) -> Cell | None:
    """A parameter's value as a cell."""
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float | str) else None


def _some(count: int, names: list[str]) -> str:
    return ", ".join(names) + (", ..." if count > len(names) else "")


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="ecloud-")


def _write(spool: IO[bytes], row: list[Any]) -> None:
    spool.write(json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n")


def _lines(spool: IO[bytes]) -> Iterator[Any]:
    spool.seek(0)
    return map(json.loads, spool)
