"""What of a task file is signed, and a push held against what was signed.

Rules:
- Made by the same code on the researcher's machine, where it is signed (``boss.signing``), and here, where it must come out alike: the
  boss believes no definition that it has not read itself, and none that is not the signed one.
- Of a template everything is signed; its grid as numbers of dimensions, so that a table that several templates have is there once.
- What a task reads must be signed with it: pushed files come along with the very push, shared data by digest. Results of other tasks
  cannot be.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from boss.core.model import Signature, Template
from boss.core.templates import rows, template_to_data
from boss.taskfile.context import Existing, SignedPush
from boss.taskfile.entry import Content, Entry
from boss.taskfile.paths import PathIndex
from boss.taskfile.problems import Problems, quoted
from datastore.layout import is_folder, is_pattern
from datastore.sources import LEGACY, SHARED, is_outside
from worker.grid import Dimension, dimension_to_data
from worker.signed import Document
from worker.texts import Field, Text


def signable(entries: Sequence[Entry]) -> dict[str, Any]:
    """``templates``, ``dimensions`` and the sources of ``shared`` data of entries, as plain data of a document."""
    numbers: dict[Dimension, int] = {}
    templates = [_template(entry.template, numbers) for entry in entries]
    sources = {source: None for entry in entries for source in _outside(entry.template)}
    return {
        "templates": templates,
        "dimensions": [dimension_to_data(dimension) for dimension in numbers],
        "shared": [source for source in sources if source.startswith(SHARED)],
        "legacy": [source for source in sources if source.startswith(LEGACY)],
    }


def _template(template: Template, numbers: dict[Dimension, int]) -> dict[str, Any]:
    data = template_to_data(replace(template, grid=()))
    del data["number"]
    if template.grid:
        data["grid"] = [numbers.setdefault(dimension, len(numbers)) for dimension in template.grid]
    return data


def _outside(template: Template) -> Iterator[str]:
    """The sources from outside the job, of all rows."""
    for spec in template.inputs:
        if _may_be_outside(spec.source):
            yield from (source for source in dict.fromkeys(rows(spec.source, template.grid)) if is_outside(source))


def _may_be_outside(text: Text) -> bool:
    first = text if isinstance(text, str) else text[0]
    return isinstance(first, Field) or is_outside(first) or (not isinstance(text, str) and (SHARED + LEGACY).startswith(first))


def check_signed(
    content: Content,
    signed: SignedPush,
    job_name: str,
    files: Mapping[str, tuple[str, int]],
    existing: Existing | None,
    problems: Problems,
) -> None:
    """Sign the templates of the entries, if they are what was signed; tells what differs."""
    document = signed.document
    _check_frame(document, signed.digest, job_name, files, existing, problems)
    found = json.loads(json.dumps(signable(content.entries)))
    if found["legacy"]:
        problems.add(
            "", "signature", f"{quoted(found['legacy'][0])} lies below datastore_legacy_root and has no digest to sign: push it"
        )
    for source in found["shared"]:
        if source[len(SHARED) :] not in document.shared:
            problems.add("", "signature", f"no digest of {quoted(source)} was signed")
    if len(document.templates) != len(content.entries):
        counts = f"{len(document.templates):,} entries were signed, and this task file has {len(content.entries):,}"
        problems.add("", "signature", f"{counts}: {_OTHER}")
        return
    if _dimensions(document) != found["dimensions"]:
        problems.add("", "signature", f"other parameters were signed than this task file has: {_OTHER}")
        return
    for number, (entry, said, here) in enumerate(zip(content.entries, document.templates, found["templates"], strict=True)):
        differs = next((name for name in {**said, **here} if said.get(name) != here.get(name)), None)
        if differs is not None:
            problems.add(entry.label, "signature", f"its {differs} was signed otherwise than it is read here: {_OTHER}")
            return
        signature = Signature(signed.digest, number, signed.key, signed.signer, document.expires)
        entry.template = replace(entry.template, signed=signature)
    if existing is not None:
        _check_files_of_before(content.entries, document, existing, problems)


#: Why a signed document may differ from what is read of the same file.
_OTHER = "another file, or another version of ecloud than the boss's? push_tasks.py --sign makes the document from the file that it pushes"


def _dimensions(document: Document) -> Any:
    return json.loads(json.dumps([dimension_to_data(dimension) for dimension in document.dimensions]))


def _check_frame(
    document: Document,
    digest: str,
    job_name: str,
    files: Mapping[str, tuple[str, int]],
    existing: Existing | None,
    problems: Problems,
) -> None:
    if document.job != job_name:
        problems.add(
            "", "signature", f"job {quoted(document.job)} was signed, and this would be job {quoted(job_name)}: sign it anew"
        )
    signed_files = {path: (file.digest, file.mode) for path, file in document.files.items()}
    differs = next((path for path in {**signed_files, **files} if signed_files.get(path) != files.get(path)), None)
    if differs is not None:
        problems.add("", "signature", f"file {quoted(differs)} is not the one that was signed")
    pushed = existing is not None and any(one.signed is not None and one.signed.document == digest for one in existing.templates)
    if pushed:
        problems.add("", "signature", "this signed document has been pushed already: each counts once; sign it anew")


def _named(source: str, index: PathIndex) -> Iterator[str]:
    if is_outside(source):
        return
    if is_pattern(source) or is_folder(source):
        yield from index.matching(source)
    elif source in index:
        yield source


def _check_files_of_before(entries: Sequence[Entry], document: Document, existing: Existing, problems: Problems) -> None:
    """Files of earlier pushes have no digest in this document, so a signed task cannot read them."""
    index = PathIndex(frozenset(existing.digests.keys() - document.files.keys()))
    for entry in entries:
        for place, spec in zip(entry.input_places, entry.template.inputs, strict=False):
            for source in dict.fromkeys(rows(spec.source, entry.template.grid)):
                found = next(_named(source, index), None)
                if found is not None:
                    said = f"{quoted(found)} came with an earlier push, and a signature covers the files that come with it: push it again"
                    problems.add(entry.label, place, f'{said} (in "files", or --files {found})')
                    break
