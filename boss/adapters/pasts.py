"""What became of a job: rows of tasks, attempts and machines, read in pages. Part of the reader.

Rules:
- Texts that attempts have written and their manifests are not read: they are most of a row.
- Which other jobs a machine has worked for is looked for only in jobs that overlap its life: attempts are found by their job.
"""

import json
from array import array
from collections.abc import Sequence

from boss.adapters import rows
from boss.adapters.database import Database, Row
from boss.adapters.definitions import Definitions
from boss.past import PastAttempt, PastMachine, PastTask

#: Dependencies that one page holds at most, unless a single task has more.
LINKS = 200_000
#: Workers that are asked for at once.
BATCH = 500
_ENDED = ("gone", "failed")


def tasks(db: Database, job: int, after: int, limit: int) -> list[PastTask]:
    """The next page of a job's tasks."""
    sql = (
        "SELECT task_index, name, state, template, finished, dependencies FROM tasks WHERE job = ? AND task_index > ?"
        f" ORDER BY task_index LIMIT {int(limit)}"
    )
    found: list[tuple[int, str, str, int, float | None, Sequence[int]]] = []
    links = 0
    for index, name, state, template, finished, packed in db.select(sql, (job, after)):
        above = array("I", rows.unpack(packed))
        links += len(above)
        if found and links > LINKS:
            break
        found.append((index, name, state, template, finished, above))
    if not found:
        return []
    tried = _attempts(db, job, found[0][0], found[-1][0])
    return [PastTask(*row, attempts=tried.get(row[0], ())) for row in found]


def _attempts(db: Database, job: int, first: int, last: int) -> dict[int, list[PastAttempt]]:
    sql = (
        "SELECT task_index, number, worker, state, phase, exit_code, signal_number, reason, assigned, started, finished, resources_used"
        " FROM attempts WHERE job = ? AND task_index BETWEEN ? AND ? ORDER BY task_index, number"
    )
    found: dict[int, list[PastAttempt]] = {}
    for row in db.select(sql, (job, first, last)):
        found.setdefault(row[0], []).append(_attempt(row[1:]))
    return found


def _attempt(row: Row) -> PastAttempt:
    number, worker, state, phase, exit_code, signal, reason, assigned, started, finished, used = row
    usage = json.loads(used) if len(used) > 2 else {}
    return PastAttempt(number, worker, state, phase, exit_code, signal, reason, assigned, started, finished, usage)


def machines(db: Database, definitions: Definitions, job: int) -> list[PastMachine]:
    """Who ran attempts of a job."""
    own = db.select("SELECT worker, MIN(assigned) FROM attempts WHERE job = ? GROUP BY worker ORDER BY 2, 1", (job,))
    first = {worker: assigned for worker, assigned in own if worker}
    names = list(first)
    claims = {row[0]: row for row in _vms(db, names)}
    others = dict.fromkeys(names, 0.0)
    if claims:
        begin = min(row[4] for row in claims.values())
        end = max((row[5] if row[3] in _ENDED else 2.0**40) for row in claims.values())
        sql = (
            "SELECT number, name FROM jobs"
            " WHERE number <> ? AND state <> 'staging' AND created <= ? AND (finished IS NULL OR finished >= ?)"
        )
        for number, name in db.select(sql, (job, end, begin)):
            _add(db, definitions, number, name, first, others)
    found = []
    for name in names:
        claim = claims.get(name)
        if claim is None:
            found.append(PastMachine(name, "", "", "", None, None, first[name], others[name]))
            continue
        _, pool, flavor, state, created, since = claim
        found.append(
            PastMachine(name, pool, flavor, state, created, since if state in _ENDED else None, first[name], others[name])
        )
    return found


def _vms(db: Database, names: Sequence[str]) -> list[tuple[str, str, str, str, float, float]]:
    found = []
    for start in range(0, len(names), BATCH):
        part = names[start : start + BATCH]
        sql = f"SELECT id, pool, flavor, state, created, since FROM vms WHERE id IN ({', '.join('?' * len(part))})"
        found += db.select(sql, part)
    return found


def _add(
    db: Database, definitions: Definitions, number: int, name: str, first: dict[str, float], others: dict[str, float]
) -> None:
    """What another job's tasks had on these workers, and whether they came before."""
    sql = (
        "SELECT a.worker, t.template, MIN(a.assigned), SUM(COALESCE(a.finished - a.started, 0)) FROM attempts a"
        " JOIN tasks t ON t.job = a.job AND t.task_index = a.task_index WHERE a.job = ? GROUP BY a.worker, t.template"
    )
    found = [row for row in db.select(sql, (number,)) if row[0] in first]
    templates = definitions.of(name, {template for _, template, _, _ in found})
    for worker, template, assigned, seconds in found:
        first[worker] = min(first[worker], assigned)
        one = templates.get(template)
        others[worker] += float(seconds) * (one.needs.get("cpus", 1.0) if one is not None else 1.0)
