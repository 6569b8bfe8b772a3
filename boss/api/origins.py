"""What a result was made of, with digests: the pushed files that its attempt was given, and the results of other tasks that it read."""

from collections.abc import Iterator, Sequence

from boss.api.shapes_task import MadeOf, SourceOut
from boss.core.model import Attempt, Template
from boss.core.templates import texts_of
from boss.ports import Manifest, Reader, TaskRow
from datastore.layout import matches, overlap
from worker.texts import render

#: How many files are named of one attempt.
MOST = 10_000


def made_of(reader: Reader, row: TaskRow, template: Template, attempts: Sequence[Attempt]) -> MadeOf | None:
    """What the attempt was made of whose result there is, else what the last one was; None when nobody knows."""
    chosen = next((one for one in reversed(attempts) if one.state == "succeeded"), attempts[-1] if attempts else None)
    if chosen is None:
        return None
    origins = reader.origins(row.job, row.index, chosen.number)
    if origins is None:
        return None
    files = [SourceOut(path=path, sha256=digest, task="", attempt=0) for path, digest, _ in origins.files]
    params = texts_of(template, row.row)
    sources = [render(spec.source, params) for spec in template.inputs]
    others = reader.tasks_at(row.job, [index for index, _ in origins.results])
    templates = reader.templates(row.job, {other.template for other in others.values()})
    for index, number, manifest in reader.manifests(row.job, origins.results):
        other = others.get(index)
        if other is not None and other.template in templates:
            files += _read_of(sources, other, templates[other.template], number, manifest)
    return MadeOf(attempt=chosen.number, files=files[:MOST], more=max(0, len(files) - MOST))


def _read_of(
    sources: Sequence[str], other: TaskRow, template: Template, number: int, manifest: Manifest | None
) -> Iterator[SourceOut]:
    """What a task that reads these sources read of another one's result."""
    if manifest is not None:
        for path, _, digest in manifest:
            if any(matches(source, path) for source in sources):
                yield SourceOut(path=path, sha256=digest, task=other.id, attempt=number)
        return
    params = texts_of(template, other.row)
    outputs = [render(spec.path if spec.to is None else spec.to, params) for spec in template.outputs]
    for source in sources:
        if any(source == output or overlap(source, output) for output in outputs):
            yield SourceOut(path=source, sha256="", task=other.id, attempt=number)
