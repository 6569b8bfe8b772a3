"""``files``: what a push brings along, as the text says it and as it was sent.

Rules:
- An entry is a path relative to the task file (a file, a folder or a glob), which keeps its path in the job's folder, or
  ``{"from": any local path, "to": path in the job's folder}``.
- Whoever pushes expands the entries where the files are and sends the inventory: each file's path in the job's folder.
  Here each entry must be covered by it: by ``to`` itself, by something below it, or (a glob) by something that fits.
- More than the entries say may be sent: a program that pushes need not write its files into the text.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from boss.taskfile.fields import Form, described
from boss.taskfile.paths import PathIndex, unreadable
from boss.taskfile.problems import Problems, quoted
from datastore.layout import PathRefused, check_path, is_folder, is_pattern
from datastore.sources import LEGACY, SHARED


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One element of ``files``: ``source`` on the machine that pushes, ``to`` in the job's folder; ``place`` in the text."""

    place: str
    source: str
    to: str


def read_files(form: Form) -> list[FileEntry]:
    """The entries of ``files`` in a task file; what is wrong with the others is told."""
    return [entry for place, item in form.items("files", "paths") if (entry := _entry(form, place, item)) is not None]


def _entry(form: Form, place: str, item: object) -> FileEntry | None:
    if isinstance(item, str):
        source = to = item
    elif isinstance(item, dict):
        inner = Form(item, form.task, f"{form.prefix}{place}.", form.problems)
        inner.check_fields(("from", "to"))
        for field in ("from", "to"):
            if field not in item:
                inner.wrong(field, "is missing")
        source, to = inner.text("from") or "", inner.text("to") or ""
        if not source or not to:
            return None
    else:
        form.wrong(place, f'must be a path or {{"from": path, "to": path}}, not {described(item)}')
        return None
    if (reason := path_problem(to)) is not None:
        outside = ' (a file from elsewhere is {"from": path, "to": path in the job\'s folder})' if source is to else ""
        form.wrong(place if source is to else f"{place}.to", f"{quoted(to)} {reason}{outside}")
        return None
    if source is not to and is_pattern(to):
        form.wrong(f"{place}.to", f"{quoted(to)} has wildcards; it must be one path")
        return None
    return FileEntry(place, source, to)


def path_problem(path: str) -> str | None:
    """Why a path, folder or glob cannot lie in a job's folder; None if it can."""
    if path.startswith(SHARED):
        return (
            "names shared data, which tasks read and `admin.py put LOCAL shared:NAME` brings; it is no place in the job's folder"
        )
    if path.startswith(LEGACY):
        return f"begins with {LEGACY!r}, a word that ecloud keeps for itself"
    try:
        check_path(path)
    except PathRefused as error:
        return str(error)
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        return "contains half of a surrogate pair, which is no character"
    return unreadable(path)


def input_remedy(path: str) -> str:
    """What to do about an input that lies outside of the job's folder; empty for any other path."""
    if not path.startswith("/") and ".." not in path.split("/"):
        return ""
    name = next((part for part in reversed(path.split("/")) if part not in ("", "..", ".")), "x")
    to, read = ("data/", f"data/{name}") if is_pattern(path) else (f"{name}/", f"{name}/") if path.endswith("/") else (name, name)
    return f'; push it along, "files": [{{"from": "{path}", "to": "{to}"}}], and read "{read}"; or put it once for many jobs: shared:NAME'


def output_remedy(path: str) -> str:
    """What to do about an output that lies outside of the job's folder; empty for any other path."""
    if not path.startswith("/") and ".." not in path.split("/"):
        return ""
    return "; let the command write it below its working folder: `admin.py fetch JOB --to DIR` brings it to any place"


def check_inventory(entries: Iterable[FileEntry], files: frozenset[str], sent: PathIndex, problems: Problems) -> None:
    """Tell what of the entries was not sent, and what was sent to a place where no file can lie."""
    for entry in entries:
        if not _is_covered(entry, files, sent):
            kind = "matches no file" if is_pattern(entry.source) else "was not found"
            problems.add("", entry.place, f"{quoted(entry.source)} {kind} beside the task file, so nothing was sent for it")
    for path in sorted(files):
        reason = path_problem(path)
        if reason is None and (is_pattern(path) or is_folder(path)):
            reason = "is a folder or has wildcards; each file is sent under a path of its own"
        if reason is not None:
            problems.add("", "files", f"{quoted(path)} {reason}")


def _is_covered(entry: FileEntry, files: frozenset[str], sent: PathIndex) -> bool:
    if is_pattern(entry.to):
        return sent.any(entry.to)
    folder = entry.to if entry.to.endswith("/") else entry.to + "/"
    return entry.to in files or sent.any(folder)
