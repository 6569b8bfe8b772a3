"""What a job's end has to show, read from the database, the datastore and the workers' journals, with nothing of the boss's own in between.

- Every task succeeded, with one accepted attempt, and this is the last that it has had.
- That attempt ran, on the worker that the database names. No attempt ran twice, and none that the database does not know.
- Every file is there with the content that its task makes of its inputs, and ``SHA256SUMS`` says so; no other file is.
- Nothing is left in ``incoming/``, ``accepted/`` and ``parts/``.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from boss.adapters.database import Database
from chaos import workload

_EMPTY = ("incoming", "accepted", "parts")
#: Complaints of one kind that are told.
_SHOWN = 5


@dataclass
class Verdict:
    """What is wrong (nothing, if all is well), and what was counted on the way."""

    wrong: list[str] = field(default_factory=list)
    accepted: int = 0
    ran: int = 0
    lost: int = 0
    failed: int = 0
    rejected: int = 0

    def complain(self, what: str, about: list[str]) -> None:
        """One kind of complaint, with the first of those that it is about."""
        if about:
            more = f" and {len(about) - _SHOWN} more" if len(about) > _SHOWN else ""
            self.wrong.append(f"{what}: {', '.join(about[:_SHOWN])}{more}")


def check(count: int, database: str, store: Path, journals: Path) -> Verdict:
    """Look at everything. ``store`` is the datastore's folder, ``journals`` has a file of lines ``task attempt`` for each worker."""
    verdict = Verdict()
    ran = _journals(journals, verdict)
    _tasks(count, database, ran, verdict)
    _files(count, store, verdict)
    for name in _EMPTY:
        folder = store / name
        verdict.complain(f"left behind in {name}/", sorted(entry.name for entry in folder.iterdir()) if folder.exists() else [])
    trash = store / "trash"
    verdict.rejected = len(list(trash.iterdir())) if trash.exists() else 0
    return verdict


def _journals(folder: Path, verdict: Verdict) -> dict[tuple[str, int], str]:
    """Which worker ran each attempt, by task and number."""
    ran: dict[tuple[str, int], str] = {}
    twice: list[str] = []
    torn: list[str] = []
    for journal in sorted(folder.iterdir()):
        for line in journal.read_text().splitlines():
            task, _, number = line.partition(" ")
            if not number.isdecimal():
                torn.append(f"{line!r} of {journal.name}")
                continue
            verdict.ran += 1
            attempt = task, int(number)
            if attempt in ran:
                twice.append(f"{task} attempt {number} on {ran[attempt]} and {journal.name}")
            ran[attempt] = journal.name
    verdict.complain("an attempt ran twice", twice)
    verdict.complain("a journal has a line that is none", torn)
    return ran


def _tasks(count: int, database: str, ran: dict[tuple[str, int], str], verdict: Verdict) -> None:
    """The rows of the job's tasks and attempts."""
    db = Database(database, readonly=True)
    try:
        tasks = db.select(
            "SELECT t.name, t.state, t.number FROM tasks t JOIN jobs j ON j.number = t.job WHERE j.name = ?", (workload.JOB,)
        )
        attempts = db.select(
            "SELECT t.name, a.number, a.state, a.worker FROM attempts a JOIN tasks t ON t.job = a.job AND t.task_index = a.task_index "
            "JOIN jobs j ON j.number = a.job WHERE j.name = ?",
            (workload.JOB,),
        )
    finally:
        db.close()
    wanted = {workload.name(number) for number in range(count)}
    verdict.complain("a task is not in the database", sorted(wanted - {str(name) for name, _, _ in tasks}))
    verdict.complain("a task did not succeed", [f"{name} is {state}" for name, state, _ in tasks if state != "succeeded"])
    current = {str(name): int(number) for name, _, number in tasks}
    accepted = Counter(str(name) for name, _, state, _ in attempts if state == "succeeded")
    verdict.accepted = accepted.total()
    verdict.lost = sum(state not in ("succeeded", "recalled", "failed") for _, _, state, _ in attempts)
    verdict.failed = sum(state == "failed" for _, _, state, _ in attempts)
    verdict.complain(
        "a task has not one accepted attempt", [f"{name} has {accepted[name]}" for name in sorted(wanted) if accepted[name] != 1]
    )
    known = {(str(name), int(number)): (str(state), str(worker)) for name, number, state, worker in attempts}
    late, elsewhere = [], []
    for (name, number), (state, worker) in known.items():
        if state == "succeeded":
            if number != current.get(name):
                late.append(f"{name} attempt {number} of {current.get(name)}")
            if ran.get((name, number)) != worker:
                elsewhere.append(f"{name} attempt {number}: {worker}, journal of {ran.get((name, number))}")
    verdict.complain("an accepted attempt was not the last", late)
    verdict.complain("an accepted attempt did not run on its worker", elsewhere)
    verdict.complain(
        "what ran is not in the database", [f"{name} attempt {number}" for name, number in sorted(ran.keys() - known.keys())]
    )


def _files(count: int, store: Path, verdict: Verdict) -> None:
    """The files of the job, and their manifest."""
    folder = store / "jobs" / workload.JOB
    sums = folder / "SHA256SUMS"
    lines = sums.read_text().splitlines() if sums.exists() else []
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    missing, damaged, unlisted = [], [], []
    names = {workload.output(number): number for number in range(count)}
    for name, number in names.items():
        path = folder / name
        if not path.is_file():
            missing.append(name)
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() != workload.digest(number):
            damaged.append(name)
        if listed.get(name) != workload.digest(number):
            unlisted.append(name)
    verdict.complain("a result is missing", missing)
    verdict.complain("a result has another content", damaged)
    verdict.complain("SHA256SUMS has not the digest of a result", unlisted)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    verdict.complain("a file is no task's", sorted((there | listed.keys()) - names.keys()))
