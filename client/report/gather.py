"""All that a report tells, asked from the boss page by page."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from figures.cost import Cost, cost_of
from figures.path import Path, path_of
from figures.rows import Machine, Past, Task, machine_of, tasks_of
from figures.slow import Family, Slow, families, slowest

if TYPE_CHECKING:
    from client.api import Client

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """A job's past with its figures; ``job`` and ``failures`` are the API's answers, ``version`` and ``cluster`` the boss's."""

    job: Plain
    past: Past
    failures: Plain
    version: str
    cluster: str
    cost: Cost
    path: Path | None
    slowest: list[Slow]
    families: list[Family]
    more_families: int


def pages(client: "Client", job: str, kind: str) -> Iterator[Plain]:
    """The pages of a job's ``history`` or ``provenance``."""
    after: int | None = -1
    while after is not None:
        page: Plain = client.connection.get(f"/jobs/{quote(job, safe='')}/{kind}", {"after": after})
        yield page
        after = page["next"]


def gather(client: "Client", name: str) -> Report:
    """Ask for everything. Raises NotFound, ..."""
    job: Plain = client.connection.get(f"/jobs/{quote(name, safe='')}")
    name = job["name"]
    now = time.time()
    tasks: list[Task] = [task for page in pages(client, name, "history") for task in tasks_of(page, now)]
    found = client.connection.get(f"/jobs/{quote(name, safe='')}/machines")
    machines: list[Machine] = [machine_of(row) for row in found]
    newest = max((one.assigned for task in tasks for one in task.attempts), default=0.0)
    past = Past(
        name, job["state"], job["owner"], job["created"], job["finished"], max(now, newest, job["created"]), tasks, machines
    )
    failures = client.failures(name + ":*") if job["tasks"].get("failed") else {"total": 0, "causes": [], "others": 0}
    told, more = families(past)
    return Report(
        job=job,
        past=past,
        failures=failures,
        version=client.status(name)["boss"]["version"],
        cluster=client.context()["cluster"],
        cost=cost_of(past),
        path=path_of(past),
        slowest=slowest(past),
        families=told,
        more_families=more,
    )
