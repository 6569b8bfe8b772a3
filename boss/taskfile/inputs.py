"""``inputs`` of the native format: paths, and objects ``{"from": path or shared:NAME, "to": path}`` for what is to lie elsewhere.

Rules:
- A path alone keeps its place in the working folder; shared data alone lies there by the last part of its name.
- Two inputs of one task cannot lie at one place: a default's and an own one neither.
- Whether a source exists is not asked here: ``links`` knows the job, and the datastore knows what lies outside of it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from boss.core.model import InputSpec
from boss.taskfile.entry import Texts
from boss.taskfile.fields import Form, described
from boss.taskfile.files import path_problem
from boss.taskfile.problems import Problems, quoted
from datastore.layout import PathRefused, is_folder, is_pattern
from datastore.sources import SHARED, check_shared, is_outside, place_of, split
from worker.texts import Text


class WrittenInput(NamedTuple):
    """An input as it is written: where in the text, its source, and where it shall lie (None: nothing was said)."""

    place: str
    source: str
    to: str | None = None


def read_inputs(form: Form) -> list[WrittenInput]:
    """The elements of ``inputs`` that can be read; what is wrong with the others is told."""
    found = (_read(form, place, item) for place, item in form.items("inputs", "paths"))
    return [item for item in found if item is not None]


def _read(form: Form, place: str, item: object) -> WrittenInput | None:
    if not isinstance(item, dict):
        if not isinstance(item, str):
            form.wrong(place, f'must be a path or {{"from": path or "shared:NAME", "to": path}}, not {described(item)}')
            return None
        source = Form({place: item}, form.task, form.prefix, form.problems).text(place)
        return None if source is None else WrittenInput(form.prefix + place, source)
    inner = Form(item, form.task, f"{form.prefix}{place}.", form.problems)
    inner.check_fields(("from", "to"))
    if "from" not in item:
        inner.wrong("from", "is missing")
    source, to = inner.text("from"), inner.text("to")
    if source is None or ("to" in item and to is None):
        return None
    return WrittenInput(form.prefix + place, source, to)


def once(inputs: Iterable[WrittenInput]) -> list[WrittenInput]:
    """Each input once, where it stands last: the task's own place rather than that of the defaults."""
    return list({(item.source, item.to): item for item in inputs}.values())


def specs_of(inputs: Iterable[WrittenInput], texts: Texts, problems: Problems) -> tuple[InputSpec, ...]:
    """The inputs with their texts parsed; two that would lie at one place are told."""
    specs = []
    places: dict[Text, WrittenInput] = {}
    for item in inputs:
        to = None if item.to is None else texts.parse(item.place, item.to)
        spec = InputSpec(texts.parse(item.place, item.source), to)
        specs.append(spec)
        lies = _lies(spec)
        if lies is not None and item.place not in texts.failed:
            other = places.setdefault(lies, item)
            if other is not item:
                what = (
                    f"would lie at {quoted(lies)} like {other.place}"
                    if isinstance(lies, str)
                    else f"would lie where {other.place} lies"
                )
                problems.add(texts.task, item.place, f'{what}: say another place with {{"from": ..., "to": ...}}')
    return tuple(specs)


def _lies(spec: InputSpec) -> Text | None:
    """Where a single file will lie; None for folders and globs, which share their places, and where only the rows tell."""
    if spec.to is not None:
        return None if _is_many(spec.source) or (isinstance(spec.to, str) and is_folder(spec.to)) else spec.to
    if not isinstance(spec.source, str):
        return None if _outside(spec.source) else spec.source
    return None if _is_many(spec.source) else place_of(spec.source)


def _is_many(source: Text) -> bool:
    pieces = (source,) if isinstance(source, str) else source
    last = pieces[-1]
    return any(isinstance(piece, str) and is_pattern(piece) for piece in pieces) or (isinstance(last, str) and is_folder(last))


def _outside(source: tuple[object, ...]) -> bool:
    return isinstance(source[0], str) and is_outside(source[0])


def shared_problem(source: str) -> str | None:
    """Why a source that begins with ``shared:`` cannot be the name of shared data; None if it can."""
    try:
        check_shared(split(source)[1])
    except PathRefused as error:
        return str(error)
    return None


def destination_problem(to: str) -> str | None:
    """Why nothing can be put at a place in the working folder; None if it can."""
    if is_pattern(to):
        return "has wildcards; it must be one path"
    if to.startswith(SHARED):
        return "is a place in the working folder; only `from` can be shared data"
    return path_problem(to)
