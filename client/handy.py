"""What researchers write on top of the API's calls: sweeps in one line, progress, results as they come, data frames, notebooks.

Rules:
- Nothing here asks the boss for anything that ``client.api`` cannot ask for: it only puts calls together.
- Waiting survives a boss that is started again; it changes nothing.
- pandas is used if it is there, and never needed: it is looked for when a data frame is asked for, because it takes half a second to load.
"""

import importlib
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client import showing
from client.errors import ClientError, JobFailed, PandasMissing, WaitTimeout
from client.grids import task_of
from client.patience import ENDED, LOOK, patiently

if TYPE_CHECKING:
    from client.api import Client, Job

Plain = dict[str, Any]
#: The listing of what has ended may take this part of the time at most.
SHARE = 0.1


class HandyClient:
    """The part of ``Client`` that puts calls together."""

    def map(  # type: ignore[misc]
        self: "Client",
        command: str | list[str],
        grid: object,
        *,
        id: str = "run-{row}",  # noqa: A002 (as in a task file)
        files: Sequence[object] = (),
        name: str | None = None,
        folder: str | Path = ".",
        then: Plain | Sequence[Plain] = (),
        **task: Any,
    ) -> "Job":
        """Run a command for each point of a grid: ``client.map("run.py {T} {seed}", {"T": [1.5, 2.0], "seed": range(5)})``.

        ``grid``: ``{name: values}`` (every value with every other), a list of rows, or a data frame. ``{T}`` in ``command``, ``id``,
        ``inputs``, ``outputs`` and ``env`` is the value, ``{T:.3f}`` in this format, ``{T!q}`` quoted for the shell; ``{row}`` counts
        from 0. ``task`` are further fields of a task, as in docs/task-file.md: ``inputs``, ``outputs``, ``metrics``, ``cpus``,
        ``memory`` (bytes, or "4G"), ``timeout`` (seconds, or "2h"), ``retries``, ... ``files``, ``name`` and ``folder`` as in ``submit``.
        ``then`` are further tasks, such as one that collects the outputs. Raises InvalidRequest for what is no grid, Refused with
        every problem of the tasks.
        """
        more = [then] if isinstance(then, dict) else list(then)
        return self.submit([task_of(command, grid, id, task), *more], files, name, folder=folder)

    def _repr_html_(self: "Client") -> str:  # type: ignore[misc]
        """What a notebook shows: the newest jobs."""
        where = self.connection.url
        try:
            return showing.jobs_html(where, self.jobs())
        except ClientError as error:
            return showing.trouble_html(f"ecloud at {where}", error)


class HandyJob:
    """The part of ``Job`` that puts calls together."""

    def check(self: "Job", timeout: float | None = None) -> "Job":  # type: ignore[misc]
        """Wait until the job has succeeded (at most ``timeout`` seconds), and return it. Raises JobFailed, with the causes; WaitTimeout."""
        state = self.wait(timeout)
        if state != "succeeded":
            found = self.client.failures(f"{self.name}:*")
            raise JobFailed(self.name, state, found["causes"])
        return self

    def iter_finished(  # type: ignore[misc]
        self: "Job",
        pattern: str = "*",
        states: Sequence[str] = showing.DONE,
        timeout: float | None = None,
    ) -> Iterator[Plain]:
        """Tasks as they end, each as ``tasks()`` has it, until the job has ended: what has ended already comes first.

        ``pattern`` is a glob over ids, ``states`` are those final states that are wanted. A task that is run again meanwhile comes again.
        Raises WaitTimeout when the job has not ended after ``timeout`` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        seen: set[tuple[str, int, str]] = set()
        before: tuple[int, ...] | None = None
        look = 0.0
        while True:
            job = patiently(self.status)
            counts = tuple(job["tasks"].get(state, 0) for state in showing.DONE)
            over = job["state"] in ENDED
            if (counts != before and time.monotonic() >= look) or over:
                begun = time.monotonic()
                for task in patiently(lambda: self.tasks(pattern, states)):
                    key = task["id"], task["attempt"], task["state"]
                    if key not in seen:
                        seen.add(key)
                        yield task
                before = counts
                look = time.monotonic() + (time.monotonic() - begun) / SHARE
            if over:
                return
            if end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"job {self.name} is {job['state']} after {timeout:g} s")
            time.sleep(LOOK)

    def frame(self: "Job", pattern: str = "*") -> Any:  # type: ignore[misc]
        """``table()`` as a pandas DataFrame, a row a task, by its id. Raises PandasMissing where there is no pandas; DatastoreTrouble."""
        if find_spec("pandas") is None:
            raise PandasMissing("there is no pandas here: `pip install pandas`, or take table(), a list of dictionaries")
        pandas: Any = importlib.import_module("pandas")
        rows = self.table(pattern)
        return pandas.DataFrame(rows, columns=list(rows[0]) if rows else ["id", "state"]).set_index("id")

    def data(self: "Job", pattern: str = "*") -> Any:  # type: ignore[misc]
        """The outcome: ``frame()`` where pandas is there, else ``table()``. ``results()`` lists files, ``fetch()`` brings them."""
        return self.table(pattern) if find_spec("pandas") is None else self.frame(pattern)

    def report(self: "Job", to: str | Path) -> Path:  # type: ignore[misc]
        """Write the report of ``admin.py report`` into a file (overwritten if it is there); returns its path."""
        from client.report.gather import gather  # noqa: PLC0415 (drawing takes a fifth of a second to load, for whoever wants it)
        from client.report.page import page_of  # noqa: PLC0415

        path = Path(to)
        path.write_text(page_of(gather(self.client, self.name)), "utf-8")
        return path

    def _repr_html_(self: "Job") -> str:  # type: ignore[misc]
        """What a notebook shows: state, and a bar of the tasks by state."""
        try:
            return showing.job_html(self.status())
        except ClientError as error:
            return showing.trouble_html(f"job {self.name}", error)
