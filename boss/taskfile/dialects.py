"""The two dialects of the original ECLOUD: a plain list of tasks.

    generation 1: key, cmd, depends-on, requires, results
    generation 2: id, commands, dependencies, requirements, results, init, overwrite_result

Rules:
- Which one it is, the fields say; a list that has fields of both is an error.
- Fields are sparse: a missing one, ``null`` and an empty list say the same, and a single text stands for a list of one.
- Ids may be numbers; texts are literal (nothing between braces is replaced).
- A requirement or result is a path, or ``[source, destination]``: from the datastore to the working folder for a requirement,
  the other way for a result. A requirement that nobody yields is looked for on the datastore when the task runs; one that lies
  outside the job (absolute, ``../``) lies below the legacy root, or is an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boss.core.model import InputSpec, OutputSpec, Template
from boss.taskfile.entry import Content, Entry, Placed
from boss.taskfile.fields import Form, described, unsound
from boss.taskfile.files import path_problem
from boss.taskfile.legacy import NowhereError, resolved
from boss.taskfile.native import TASK_FIELDS
from boss.taskfile.problems import Problems, quoted
from datastore.layout import is_folder, is_pattern
from datastore.sources import is_outside, place_of


@dataclass(frozen=True, slots=True)
class Dialect:
    """The names that one generation gave to the same things."""

    generation: int
    name: str
    commands: str
    dependencies: str
    requirements: str
    extra: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """The fields that only this dialect has."""
        return (self.name, self.commands, self.dependencies, self.requirements, *self.extra)

    @property
    def fields(self) -> tuple[str, ...]:
        """All its fields."""
        return (*self.own, "results")


FIRST = Dialect(1, "key", "cmd", "depends-on", "requires")
SECOND = Dialect(2, "id", "commands", "dependencies", "requirements", ("init", "overwrite_result"))


def read(document: list[Any], problems: Problems, legacy_root: str = "") -> Content:
    """The entries of a plain list of tasks; problems tell what is wrong, and what could be read is there all the same.

    ``legacy_root`` is the folder on the datastore's host below which sources from outside the job lie; empty if there is none.
    """
    content = Content()
    dialect = _recognised(document, problems)
    if dialect is None:
        return content
    content.notes.append(f"read as a list of the original ECLOUD's generation {dialect.generation}")
    for place, item in enumerate(document):
        if isinstance(item, dict):
            _read_task(item, f"[{place}]", dialect, content, problems, legacy_root)
        else:
            problems.add(f"[{place}]", "", f"must be an object with {dialect.name} and {dialect.commands}, not {described(item)}")
            content.names_known = content.yields_known = False
    return content


def _recognised(document: list[Any], problems: Problems) -> Dialect | None:
    """The dialect of a list; None if it is neither, which is told."""
    if not document:
        problems.add("", "", "is an empty list: there is nothing to do")
        return None
    marks = {dialect: next(_marked(document, dialect), None) for dialect in (FIRST, SECOND)}
    first, second = marks[FIRST], marks[SECOND]
    if first and second:
        both = f"{first[0]} has {quoted(first[1])} (generation 1) and {second[0]} has {quoted(second[1])} (generation 2)"
        problems.add("", "", f"mixes the two dialects of the original ECLOUD: {both}; use the fields of one of them")
    elif not first and not second:
        native = any(isinstance(item, dict) and not item.keys().isdisjoint(TASK_FIELDS) for item in document)
        remedy = (
            'write {"tasks": [...]} around it' if native else "its tasks have neither 'key' and 'cmd' nor 'id' and 'commands'"
        )
        problems.add("", "", f"is a plain list, but in no dialect of the original ECLOUD: {remedy}")
    else:
        return FIRST if first else SECOND
    return None


def _marked(document: list[Any], dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Places and fields that only this dialect has; an ``id`` alone (the native format has it too) is no mark."""
    for place, item in enumerate(document):
        if isinstance(item, dict):
            for field in dialect.own:
                if field in item and not (field == "id" and not item.keys().isdisjoint(_NATIVE_ONLY)):
                    yield f"[{place}]", field


_NATIVE_ONLY = frozenset(TASK_FIELDS) - frozenset(FIRST.fields) - frozenset(SECOND.fields)


def _read_task(
    data: Mapping[str, Any], label: str, dialect: Dialect, content: Content, problems: Problems, legacy_root: str
) -> None:
    name = _name(data.get(dialect.name))
    form = Form(data, label if name is None else f"{label} {quoted(name)}", "", problems)
    foreign = f"is a field of the native format: a list of tasks has {', '.join(dialect.fields)}"
    form.check_fields(dialect.fields, _NATIVE_ONLY, foreign)
    before = problems.count
    required = _listed(form, dialect.requirements, pairs=True)
    requirements = [_specified(form, place, item, legacy_root) for place, item in required]
    results = [_specified(form, place, item) for place, item in _listed(form, "results", pairs=True)]
    content.yields_known &= problems.count == before
    init = _flag(form, "init", False) if dialect is SECOND else False
    overwrite = _flag(form, "overwrite_result", True) if dialect is SECOND else True
    if init and results:
        form.wrong("results", "an init task runs on every worker and cannot yield files")
        results = []
    commands = _texts(form, dialect.commands)
    if not commands and not data.get(dialect.commands):
        form.wrong(dialect.commands, "is missing: the task has nothing to run")
    dependencies = tuple(_dependencies(form, dialect))
    if name is None:
        given = data.get(dialect.name)
        form.wrong(dialect.name, "is missing" if given is None else f"must be a text or a whole number, not {described(given)}")
        content.names_known = content.yields_known = False
        return
    inputs = [(place, InputSpec(path, to)) for place, path, to in filter(None, requirements)]
    outputs = [(place, OutputSpec(path, to)) for place, path, to in filter(None, results)]
    template = Template(
        number=0,
        name=name,
        commands=tuple(text for _, text in commands),
        inputs=tuple(spec for _, spec in inputs),
        outputs=tuple(spec for _, spec in outputs),
        init=init,
    )
    places = tuple(place for place, _ in inputs), tuple(place for place, _ in outputs)
    entry = Entry(label, template, dependencies, *places, lenient=True, keep_results=not overwrite)
    entry.name_field, entry.command_field = dialect.name, dialect.commands
    entry.input_field, entry.output_field = dialect.requirements, "results"
    content.entries.append(entry)


def _name(value: object) -> str | None:
    """An id, which may be a number."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    return value if isinstance(value, str) and value.strip() and unsound(value) is None else None


def _flag(form: Form, field: str, default: bool) -> bool:
    flag = None if form.data.get(field) is None else form.flag(field)
    return default if flag is None else flag


def _listed(form: Form, field: str, pairs: bool = False) -> Iterator[tuple[str, Any]]:
    """The elements of a sparse list, each with its place."""
    value = form.data.get(field)
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield f"{field}[{place}]", item
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield field, value
    elif value is not None:
        form.wrong(field, f"must be a list{' of paths and [source, destination] pairs' if pairs else ''}, not {described(value)}")


def _texts(form: Form, field: str) -> list[Placed]:
    found = []
    for place, item in _listed(form, field):
        text = Form({place: item}, form.task, "", form.problems).text(place)
        if text is not None:
            found.append((place, text))
    return found


def _dependencies(form: Form, dialect: Dialect) -> Iterator[Placed]:
    for place, item in _listed(form, dialect.dependencies):
        name = _name(item)
        if name is None:
            form.wrong(place, f"must be the {dialect.name} of a task, not {described(item)}")
        else:
            yield place, name


def _specified(form: Form, place: str, item: object, root: str | None = None) -> tuple[str, str, str | None] | None:
    """``(place, path, destination)`` of a path or a pair; the destination is None where it is the same.

    A requirement (``root`` is given) may lie outside the job: in shared data, or below the legacy root ``root``.
    """
    parts = item if isinstance(item, list) else [item]
    paths = [_plain(part) for part in parts if isinstance(part, str) and part.strip() and unsound(part) is None]
    if not 1 <= len(parts) <= 2 or len(paths) != len(parts):
        form.wrong(place, f"must be a path or a pair [source, destination] of paths, not {_told(parts)}")
        return None
    source, to = paths[0], paths[-1]
    if root is not None:
        try:
            source = resolved(source, root)
        except NowhereError as error:
            form.wrong(place, str(error))
            return None
        if len(parts) == 1:
            to = place_of(source)
    if to in (".", ""):  # the folder itself: the file's own name in it
        to = place_of(source) if is_outside(source) else source
        to = to if is_pattern(source) or is_folder(source) else to.rsplit("/", 1)[-1]
    for path in dict.fromkeys((to,) if is_outside(source) and root is not None else (source, to)):
        if (reason := path_problem(path)) is not None:
            form.wrong(place, f"{quoted(path)} {reason}")
            return None
    if to != source and is_pattern(to):
        form.wrong(place, f"the destination {quoted(to)} has wildcards; it must be one path")
        return None
    return place, source, None if to == source else to


def _told(parts: Sequence[object]) -> str:
    return described(parts[0]) if len(parts) == 1 else f"a list of {len(parts)} elements"


def _plain(path: str) -> str:
    """A path without the ``./`` that the original tolerated."""
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path
