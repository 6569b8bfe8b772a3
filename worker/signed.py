"""The signed document of a job: what its tasks are, with everything that decides what they run. Read, and held against an attempt. Pure.

    {"format": "ecloud-job-1", "cluster": id, "job": name, "owner": name, "nonce": hex, "made": s, "expires": s,
     "files": {path: [sha256, mode]}, "shared": {name: sha256},
     "dimensions": [...], "templates": [{"name", "commands", "inputs", "outputs", "env", "needs", "timeout", "init", "grid": [number]}]}

Rules:
- What is signed are these very bytes; before them, in one file, stands the signature (``worker.trust.split``). The file is named by its
  sha256 and fetched like a pushed file.
- A template is as it was pushed, with its ``{fields}``; an attempt names one, and a row of its grid. All that the worker was told of the
  attempt must come out of that, to the letter: what differs is refused.
- Pushed files are named by digest. So is shared data; of a folder it is the digest of the list of its files (``listing_digest``).
- Results of other tasks cannot be known beforehand: of them only where they are taken from and put is signed.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import hashlib
import json
from collections import Counter
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple, Type

from datastore.layout import is_folder
from datastore.sources import SHARED
from worker.expansion import Pinned, named
from worker.grid import Dimension, Value, dimension_from_data
from worker.protocol import Assignment, Input, Output
from worker.texts import optional_text, render, text_from_data, values_at

FORMAT = "ecloud-job-1"
#: The largest signed document, in bytes.
MAX_DOCUMENT = 256 * 2**20
#: No time of a document is as late as this, in Unix seconds.
LATEST = 2**36
#: How far a signer's clock may be ahead of ours, in seconds.
CLOCK_SLACK = 3600.0
#: What is compared to tell what differs, and how it is called.
_FIELDS = ("commands", "outputs", "env", "needs", "timeout", "init")


class DocumentWrong(ValueError):
    """No document of a signed job; the message says why."""


class NotSigned(Exception):
    """An attempt that is not what was signed; the message says in what it differs."""


class Document(NamedTuple):
    """A signed document, read. ``templates`` are plain data; times in Unix seconds."""

    cluster: str
    job: str
    owner: str
    nonce: str
    made: float
    expires: float
    files: Dict[str, Pinned]
    shared: Dict[str, str]
    dimensions: List[Dimension]
    templates: List[Dict[str, Any]]


def read(data: bytes) -> Document:
    """A document from its bytes. Raises DocumentWrong."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DocumentWrong("is not JSON: %s" % error) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        shown = found.get("format") if isinstance(found, dict) else None
        raise DocumentWrong("has the format %.40r, and %s is what is read here" % (shown, FORMAT))
    for name in ("cluster", "job", "owner", "nonce"):
        _must_be(found, name, str)
    for name in ("made", "expires"):
        _must_be(found, name, int)
        if not 0 <= found[name] < LATEST:
            raise DocumentWrong("%s is no time" % name)
    for name in ("files", "shared"):
        _must_be(found, name, dict)
    for name in ("dimensions", "templates"):
        _must_be(found, name, list)
    try:
        files = {str(path): Pinned(str(digest), int(mode)) for path, (digest, mode) in found["files"].items()}
        shared = {str(name): str(digest) for name, digest in found["shared"].items()}
        dimensions = [dimension_from_data(dimension) for dimension in found["dimensions"]]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DocumentWrong("cannot be read: %s" % error) from None
    if not all(isinstance(template, dict) for template in found["templates"]):
        raise DocumentWrong("has a template that is no object")
    return Document(
        cluster=found["cluster"],
        job=found["job"],
        owner=found["owner"],
        nonce=found["nonce"],
        made=found["made"],
        expires=found["expires"],
        files=files,
        shared=shared,
        dimensions=dimensions,
        templates=found["templates"],
    )


def _must_be(found: Mapping[str, Any], name: str, kind: Type[Any]) -> None:
    if type(found.get(name)) is not kind:
        raise DocumentWrong("has no %s, or not as it should be" % name)


def check_validity(document: Document, cluster: str, now: float) -> None:
    """Raise NotSigned unless the document is for this cluster and ``now`` (Unix seconds) is within its time."""
    if document.cluster != cluster:
        raise NotSigned("the document was signed for cluster %s, and this is %s" % (document.cluster, cluster))
    if now >= document.expires:
        raise NotSigned("the signature was good until %s: push it again, signed anew" % stamp(document.expires))
    if document.made > now + CLOCK_SLACK:
        raise NotSigned(
            "the document says that it was signed at %s, which is yet to come: is a clock off?" % stamp(document.made)
        )


def check(document: Document, assignment: Assignment) -> None:
    """Raise NotSigned unless the assignment is what its row of its template of this document says."""
    if assignment.job != document.job:
        raise NotSigned("it is said to be of job %.100s, and job %s was signed" % (assignment.job, document.job))
    if not 0 <= assignment.entry < len(document.templates):
        raise NotSigned("the signed document has no template %d" % assignment.entry)
    template = document.templates[assignment.entry]
    try:
        values = _values(document, template, assignment.row)
        name, signed = _expanded(template, values)
        needed, open_ = _inputs(document, template, values)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise NotSigned(
            "row %d of the signed template %d cannot be made: %s" % (assignment.row, assignment.entry, error)
        ) from None
    if assignment.task != name:
        raise NotSigned("it is said to be task %.100s, and that row of the signed template is task %s" % (assignment.task, name))
    for field in _FIELDS:
        told = getattr(assignment, field)
        if told != signed[field]:
            raise NotSigned("its %s: %s was signed, and the boss says %s" % (field, _shown(signed[field]), _shown(told)))
    _check_inputs(assignment.inputs, needed, open_)


def _values(document: Document, template: Mapping[str, Any], row: int) -> Dict[str, Value]:
    grid = [document.dimensions[number] for number in template.get("grid", ())]
    size = 1
    for dimension in grid:
        size *= len(dimension)
    if not 0 <= row < size:
        raise IndexError("there are %d rows" % size)
    return values_at(grid, row)


def _expanded(template: Mapping[str, Any], values: Mapping[str, Value]) -> Tuple[str, Dict[str, Any]]:
    """The task's name, and by their names the fields that are compared."""

    def filled(data: Any) -> str:
        return render(text_from_data(data), values)

    outputs = []
    for path_data, to_data, optional in template.get("outputs", ()):
        path, to = filled(path_data), optional_text(to_data)
        outputs.append(Output(path, path if to is None else render(to, values), optional))
    return filled(template["name"]), {
        "commands": tuple([filled(command) for command in template["commands"]]),
        "outputs": tuple(outputs),
        "env": {name: filled(value) for name, value in template.get("env", ())},
        "needs": dict(template["needs"]),
        "timeout": template["timeout"],
        "init": template.get("init", False),
    }


def _inputs(document: Document, template: Mapping[str, Any], values: Mapping[str, Value]) -> Tuple[List[Input], List[Input]]:
    """The inputs that must be there, and those (folders, globs) that may be besides, for the results of other tasks."""
    needed: List[Input] = []
    open_: List[Input] = []
    for source_data, to_data in template.get("inputs", ()):
        source, to = render(text_from_data(source_data), values), optional_text(to_data)
        pinned, rest = named(source, "" if to is None else render(to, values), document.files)
        needed += pinned
        if rest is not None:
            (open_ if pinned else needed).append(rest)
    return needed, open_


def _check_inputs(told: Sequence[Input], needed: List[Input], open_: List[Input]) -> None:
    left = Counter(needed)
    for item in told:
        if left[item] > 0:
            left[item] -= 1
        elif item not in open_:
            like = next((one for one in needed if one.source == item.source), None)
            said = "%.12s... was signed" % like.digest if like is not None and like.digest else "it was not signed so"
            what = "sha256 %.12s..." % item.digest if item.digest else "a result of the job"
            where = " at %.200r" % item.to if item.to else ""
            raise NotSigned("its input %.200s: %s, and the boss says %s%s" % (item.source, said, what, where))
    missing = next(iter(+left), None)
    if missing is not None:
        raise NotSigned("its input %.200s was signed, and the boss leaves it out" % missing.source)


def listing_digest(files: Iterable[Tuple[str, str]]) -> str:
    """The digest that stands for a folder of shared data: over path and sha256 of each of its files."""
    lines = ["%s  %s\n" % (digest, path) for path, digest in sorted(files)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def check_shared(document: Document, source: str, files: Sequence[Tuple[str, str]]) -> None:
    """Raise NotSigned unless these files, ``(path, sha256)``, are what was signed for a source from outside the job."""
    signed = document.shared.get(source[len(SHARED) :]) if source.startswith(SHARED) else None
    if signed is None:
        raise NotSigned("its input %.200s comes from outside the job, and no digest of it was signed" % source)
    there = listing_digest(files) if is_folder(source) else "".join(digest for _, digest in files)
    if there != signed or any(not digest for _, digest in files):
        raise NotSigned("its input %.200s is not the data that was there when the job was signed" % source)


def stamp(when: float) -> str:
    """A time for people: ``2026-05-01 14:05 UTC``."""
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
