"""Results that are not those which the database knows: a restore brought an older database to the files of a later life.

Rules:
- Only jobs that came with a back-up are looked at; for all others file and manifest cannot differ, and nothing is asked.
- A file is newer where its digest on the datastore is in no manifest of the accepted attempts that name it. What runs again is
  accepted anew, so its files agree from then on. Files that no accepted attempt names are the outcome of tasks that are not done by
  the database; their state says so.
"""

from collections.abc import Sequence

from boss.api.house import House
from boss.api.shapes_task import TaskDetail
from boss.core.restored import came_back
from boss.ports import DatastoreDown, JobRow
from datastore.layout import matches


def newer(house: House, job: JobRow) -> list[str]:
    """Paths of a job's results that differ from what the database knows, sorted. Raises DatastoreDown."""
    if not came_back(house.reader.context(), job.created):
        return []
    known: dict[str, set[str]] = {}
    for _, _, manifest in house.reader.manifests(job.name, house.reader.accepted(job.name)):
        for path, _, digest in manifest or ():
            known.setdefault(path, set()).add(digest)
    return [path for path, _, digest in house.datastore.listing(job.name) if digest and digest not in known.get(path, {digest})]


def newer_of(house: House, job: JobRow | None, task: TaskDetail) -> Sequence[str]:
    """Those of them that a task has yielded or read; none when the datastore does not answer."""
    if job is None:
        return ()
    try:
        found = newer(house, job)
    except DatastoreDown:
        return ()
    read = {one.path for one in task.made_of.files if one.task} if task.made_of else set()
    return [path for path in found if path in read or any(matches(output.to, path) for output in task.outputs)]
