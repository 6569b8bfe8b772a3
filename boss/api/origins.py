"""What a result was made of, with digests: the pushed files that its attempt was given, and the results of other tasks that it read."""

from collections.abc import Iterator, Sequence

from boss.api.shapes_task import MadeOf, SourceOut
from boss.core.model import Attempt, Job, Task
from boss.core.templates import texts_of
from boss.ports import Manifest, Reader, TaskRow
from datastore.layout import matches, overlap
from worker.texts import render

#: How many files are named of one attempt.
MOST = 10_000


def made_of(reader: Reader, row: TaskRow, job: Job | None, attempts: Sequence[Attempt]) -> MadeOf | None:
    """What the attempt was made of whose result there is, else what the last one was; None when nobody knows."""
    chosen = next((one for one in reversed(attempts) if one.state == "succeeded"), attempts[-1] if attempts else None)
    if job is None or chosen is None:
        return None
    origins = reader.origins(row.job, row.index, chosen.number)
    if origins is None:
        return None
    files = [SourceOut(path=path, sha256=digest, task="", attempt=0) for path, digest, _ in origins.files]
    task = job.tasks[row.index]
    for index, number, manifest in reader.manifests(row.job, origins.results):
        files += _read_of(task, job.tasks[index], number, manifest)
    return MadeOf(attempt=chosen.number, files=files[:MOST], more=max(0, len(files) - MOST))


def _read_of(task: Task, other: Task, number: int, manifest: Manifest | None) -> Iterator[SourceOut]:
    """What a task read of another one's result."""
    params = texts_of(task.template, task.row)
    sources = [render(spec.source, params) for spec in task.template.inputs]
    if manifest is not None:
        for path, _, digest in manifest:
            if any(matches(source, path) for source in sources):
                yield SourceOut(path=path, sha256=digest, task=other.name, attempt=number)
        return
    params = texts_of(other.template, other.row)
    outputs = [render(spec.path if spec.to is None else spec.to, params) for spec in other.template.outputs]
    for source in sources:
        if any(source == output or overlap(source, output) for output in outputs):
            yield SourceOut(path=source, sha256="", task=other.name, attempt=number)
