"""The rows that figures are made from, and how the API's answers become them. PURE."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: States of an attempt in which its worker has it still.
UNDER_WAY = frozenset({"assigned", "running", "promoting"})
#: States of a task that nothing leaves by itself.
FINAL = frozenset({"succeeded", "failed", "skipped", "cancelled"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution. ``start`` and ``end`` are when it had its cpus: None for one that never started.

    ``open`` while it has not ended; ``end`` is then the time of the report. ``fate`` is ``done``, ``failed``, ``lost`` (with its worker),
    ``cancelled`` or ``open``.
    """

    number: int
    worker: str
    fate: str
    assigned: float
    start: float | None
    end: float | None
    cpus: float
    cause: str = ""
    cpu_used: float | None = None
    memory: float | None = None

    @property
    def seconds(self) -> float:
        """How long it had its cpus."""
        return 0.0 if self.start is None or self.end is None else self.end - self.start

    @property
    def cost(self) -> float:
        """CPU seconds that it had."""
        return self.seconds * self.cpus

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.fate == "open"


@dataclass(frozen=True, slots=True)
class Task:
    """One task; ``family`` is its entry's id as the task file has it, ``after`` are indices of other tasks."""

    index: int
    id: str
    state: str
    family: str
    after: Sequence[int] = ()
    attempts: Sequence[Attempt] = ()
    init: bool = False

    @property
    def last(self) -> Attempt | None:
        """Its last attempt that started."""
        return next((one for one in reversed(self.attempts) if one.start is not None), None)


@dataclass(frozen=True, slots=True)
class Machine:
    """A worker that ran attempts of the job, with its VM (``created`` None: it has none).

    ``local``: it is a process of the boss's own machine, which comes and goes like a VM and costs nothing.
    """

    id: str
    pool: str = ""
    flavor: str = ""
    cpus: float | None = None
    created: float | None = None
    ended: float | None = None
    first: float | None = None
    others: float = 0.0
    local: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """A job and all that became of it at ``now``."""

    name: str
    state: str
    owner: str
    created: float
    finished: float | None
    now: float
    tasks: Sequence[Task] = field(default_factory=tuple)
    machines: Sequence[Machine] = field(default_factory=tuple)

    @property
    def over(self) -> bool:
        """Whether nothing of it can change by itself."""
        return self.finished is not None

    @property
    def end(self) -> float:
        """When it ended, or now."""
        return self.now if self.finished is None else self.finished


def tasks_of(page: Mapping[str, Any], now: float) -> Iterable[Task]:
    """The tasks of one page of ``GET /jobs/{job}/history``."""
    for row in page["tasks"]:
        entry = page["entries"].get(str(row["template"])) or {"name": row["id"], "cpus": 1.0, "init": False}
        yield Task(
            row["index"],
            row["id"],
            row["state"],
            entry["name"],
            tuple(row["after"]),
            tuple(_attempts(row, entry["cpus"], now)),
            entry["init"],
        )


def machine_of(row: Mapping[str, Any]) -> Machine:
    """One of ``GET /jobs/{job}/machines``."""
    facts = {name: row[name] for name in ("id", "pool", "flavor", "cpus", "created", "ended", "first", "others")}
    return Machine(**facts, local=row["provider"] == "local")


def _attempts(row: Mapping[str, Any], cpus: float, now: float) -> Iterable[Attempt]:
    tried = row["attempts"]
    for place, one in enumerate(tried):
        later = tried[place + 1]["assigned"] if place + 1 < len(tried) else None
        last = later if later is not None else row["finished"] if row["state"] in FINAL else None
        start, end = one["started"], one["finished"]
        is_open = one["state"] in UNDER_WAY and end is None and last is None
        if start is not None and end is None:
            end = last if last is not None else now  # a lost one counts until its task went on, or still
        if start is not None and end is not None:
            end = max(start, end)
        usage = one["usage"]
        yield Attempt(
            one["number"],
            one["worker"],
            "open" if is_open else _fate(one["state"]),
            one["assigned"],
            start,
            end,
            cpus,
            "" if one["state"] in ("succeeded", *UNDER_WAY) else _cause(one),
            usage.get("cpu"),
            usage.get("memory"),
        )


def _fate(state: str) -> str:
    match state:
        case "succeeded" | "promoting":
            return "done"
        case "failed" | "cancelled":
            return state
        case "recalled":
            return "cancelled"
        case _:
            return "lost"


def _cause(one: Mapping[str, Any]) -> str:
    if one["state"] in ("cancelled", "recalled"):
        return str(one["reason"]) or "cancelled"
    said = str(one["reason"])
    if one["signal"] is not None and "signal" not in said:
        said = said or f"killed by signal {one['signal']}"
    elif one["exit_code"] and not said:
        said = f"exit code {one['exit_code']}"
    where = "" if one["phase"] in ("", "run") else f"{one['phase']}: "
    return where + (said or one["state"])
