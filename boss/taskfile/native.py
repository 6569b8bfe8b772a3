"""The native format: ``{"job": ..., "files": [...], "defaults": {...}, "tasks": [...]}``.

Rules:
- A task's own fields go before the defaults; its ``env`` and its lists are added to the defaults' (once each).
- Defaults never make a task wait for itself: ``after`` its own id and ``inputs`` that it yields are left out, and an init task
  takes neither ``after`` nor ``outputs`` from the defaults.
- The fields here and in ``docs/task-file.schema.json`` are the same; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from boss.core.model import OutputSpec, Template
from boss.taskfile.commas import Seen, comma_notes
from boss.taskfile.context import Context
from boss.taskfile.elsewhere import name_here
from boss.taskfile.entry import DEFAULT_TIMEOUT, Content, Entry, Placed, Texts
from boss.taskfile.fields import Form, described
from boss.taskfile.files import read_files
from boss.taskfile.foreach import Foreach, Sheets, read_foreach
from boss.taskfile.inputs import once, specs_of
from boss.taskfile.metrics import check_metrics
from boss.taskfile.problems import Problems, quoted
from boss.taskfile.variety import check_variety
from boss.taskfile.written import SHARED_FIELDS, Written, read_written
from worker.grid import Dimension

FILE_FIELDS = ("job", "files", "defaults", "tasks")
_OWN_ONLY = ("id", "foreach", "init", "metrics")
TASK_FIELDS = (*_OWN_ONLY, *SHARED_FIELDS)


def read(document: Mapping[str, Any], context: Context, problems: Problems) -> Content:
    """The entries of a native task file; problems tell what is wrong, and what could be read is there all the same."""
    form = Form(document, "", "", problems)
    form.check_fields(FILE_FIELDS, TASK_FIELDS, 'is a field of a task: move it into "tasks"')
    content = Content(job=form.text("job"), files=read_files(form))
    defaults = _read_defaults(form)
    sheets = Sheets(context)
    seen: Seen = set()
    if "tasks" not in document:
        form.wrong("tasks", 'is missing: a task file is {"tasks": [{"id": ..., "command": ...}, ...]}')
    elif document["tasks"] == []:
        form.wrong("tasks", "is an empty list: there is nothing to do")
    for label, item in form.items("tasks", "tasks"):
        if isinstance(item, dict):
            _read_task(item, label, defaults, sheets, seen, content, problems)
        else:
            form.wrong(label, f"must be an object with id and command, not {described(item)}")
            content.names_known = content.yields_known = False
    return content


def _read_defaults(form: Form) -> Written:
    value = form.data.get("defaults", {})
    if not isinstance(value, dict):
        form.wrong("defaults", f"must be an object with fields of a task, not {described(value)}")
        return Written()
    inner = Form(value, "", "defaults.", form.problems)
    inner.check_fields(SHARED_FIELDS, _OWN_ONLY, "cannot be a default: each task says it itself", name_here)
    return read_written(inner)


def _read_task(
    data: dict[str, Any], label: str, defaults: Written, sheets: Sheets, seen: Seen, content: Content, problems: Problems
) -> None:
    name = data.get("id")
    form = Form(data, f"{label} {quoted(name)}" if isinstance(name, str) else label, "", problems)
    form.check_fields(TASK_FIELDS, named=name_here)
    if "id" not in data:
        form.wrong("id", "is missing")
    written_id = form.text("id")
    init = form.flag("init") or False
    metrics = form.text("metrics") or ""
    foreach = read_foreach(form, sheets) if "foreach" in data else Foreach()
    own = read_written(form)
    if init:
        _check_init(form, own)
        own.outputs = []
    written = _merged(defaults, own, init, written_id)
    if not written.commanded:
        form.wrong("command", "is missing: the task has nothing to run")
    texts = Texts(form.task, foreach, problems)
    entry = _entry(label, written_id or "", written, init, foreach.grid or (), metrics, texts)
    content.notes += comma_notes(entry, foreach, seen)
    if foreach.grid and not init:
        check_variety(entry, foreach, texts)
    if foreach.grid is not None and written.outputs_read and not init:
        check_metrics(entry, texts)
    content.yields_known &= written.outputs_read and texts.failed.isdisjoint(entry.output_places)
    if written_id is None or foreach.grid is None or "id" in texts.failed or (init and foreach.grid):
        content.names_known = content.yields_known = False
    else:
        content.entries.append(_sound(entry, texts.failed))


def _merged(defaults: Written, own: Written, init: bool, name: str | None) -> Written:
    """A task's own fields over the defaults."""
    common = Written() if init else defaults
    outputs = {path: (place, path, optional) for place, path, optional in common.outputs + own.outputs}
    after = [placed for placed in common.after if placed[1] != name]
    inputs = [item for item in defaults.inputs if item.source not in outputs]
    return Written(
        commanded=own.commanded or defaults.commanded,
        outputs_read=own.outputs_read and common.outputs_read,
        commands=own.commands if own.commanded else defaults.commands,
        inputs=once(inputs + own.inputs),
        outputs=list(outputs.values()),
        after=_once(after + own.after),
        env={**defaults.env, **own.env},
        needs={**defaults.needs, **own.needs},
        timeout=defaults.timeout if own.timeout is None else own.timeout,
        runtime=defaults.runtime if own.runtime is None else own.runtime,
        retries=defaults.retries if own.retries is None else own.retries,
        priority=defaults.priority if own.priority is None else own.priority,
    )


def _once(placed: list[Placed]) -> list[Placed]:
    """Each text once, where it stands last: the task's own place rather than that of the defaults."""
    if len(placed) < 2:
        return placed
    places = {text: place for place, text in placed}
    return [(place, text) for text, place in places.items()]


def _entry(label: str, name: str, written: Written, init: bool, grid: tuple[Dimension, ...], metrics: str, texts: Texts) -> Entry:
    template = Template(
        number=0,
        name=texts.parse("id", name),
        commands=tuple(texts.parse(place, text) for place, text in written.commands),
        inputs=specs_of(written.inputs, texts, texts.problems),
        outputs=tuple(OutputSpec(texts.parse(place, path), None, optional) for place, path, optional in written.outputs),
        env=tuple((variable, texts.parse(place, text)) for variable, (place, text) in written.env.items()),
        needs={"cpus": 1} | {kind: count for kind, count in written.needs.items() if count},
        timeout=DEFAULT_TIMEOUT if written.timeout is None else written.timeout,
        retries=written.retries or 0,
        runtime=written.runtime or 0.0,
        priority=written.priority or 0,
        init=init,
        grid=grid,
        metrics=texts.parse("metrics", metrics),
    )
    return Entry(
        label,
        template,
        tuple((place, texts.parse(place, text)) for place, text in written.after),
        tuple(item.place for item in written.inputs),
        tuple(place for place, _, _ in written.outputs),
    )


def _check_init(form: Form, own: Written) -> None:
    """An init task prepares a worker: it is run on each, so it can neither be many nor yield files."""
    if own.outputs:
        form.wrong("outputs", "an init task runs on every worker and cannot yield files")
    if "metrics" in form.data:
        form.wrong("metrics", "an init task yields no files, so it has none")
    if "foreach" in form.data:
        form.wrong("foreach", "an init task runs on every worker and cannot be a grid")


def _sound(entry: Entry, failed: set[str]) -> Entry:
    """The entry without the texts that are wrong, so that they are not told a second time for what follows from them."""
    if not failed:
        return entry
    template = entry.template
    inputs = [item for item in zip(entry.input_places, template.inputs, strict=True) if item[0] not in failed]
    outputs = [item for item in zip(entry.output_places, template.outputs, strict=True) if item[0] not in failed]
    return replace(
        entry,
        template=replace(template, inputs=tuple(spec for _, spec in inputs), outputs=tuple(spec for _, spec in outputs)),
        after=tuple(item for item in entry.after if item[0] not in failed),
        input_places=tuple(place for place, _ in inputs),
        output_places=tuple(place for place, _ in outputs),
    )
