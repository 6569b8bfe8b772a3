"""What of a task file is to be signed: ``python -m boss.signing QUESTION`` reads it as the boss will, on the machine where it is signed.

The question (a JSON file) names the text, its CSV files and what is pushed with it; the answer is ``templates``, ``dimensions``,
``shared`` (the sources), and ``notes``, or ``problems`` in the boss's words. Nothing of the boss's own state is looked at, and no boss is
asked: what is signed is what this machine's code makes of this machine's files.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from boss.taskfile.context import Context
from boss.taskfile.entry import Entry
from boss.taskfile.expansion import read
from boss.taskfile.problems import Problem, Problems, Refused, quoted
from boss.taskfile.signable import signable
from datastore.layout import matches
from datastore.sources import is_outside
from worker.signed import MAX_DOCUMENT

#: A program that is started: the first word of a command, or the script that an interpreter is given.
_STARTED = re.compile(
    r"(?:^|[;&|(\n])\s*(?:(?:env|exec|time|python[\d.]*|bash|sh|Rscript|perl|julia|octave)\s+)*(?:\./)?([\w./-]+)"
)


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What the question asks for."""
    problems = Problems()
    files = frozenset(question["files"])
    context = Context(
        file_name=question["file_name"],
        replay=question["replay"],
        files=files,
        tables={name: Path(path).read_bytes() for name, path in question["tables"].items()},
        unread_tables=question["unread_tables"],
        max_bytes=MAX_DOCUMENT,
    )
    try:
        content = read(Path(question["text"]).read_bytes(), context, problems)
        problems.raise_if_any()
    except Refused as refused:
        return {"problems": [_told(problem) for problem in refused.problems]}
    found = signable(content.entries)
    found["notes"] = [note for entry in content.entries for note in _notes(entry, files)]
    return found


def _notes(entry: Entry, files: frozenset[str]) -> Iterator[str]:
    """Programs that are results of other tasks: what they do is not signed."""
    sources = [spec.source for spec in entry.template.inputs if isinstance(spec.source, str) and not is_outside(spec.source)]
    results = [source for source in sources if not any(matches(source, path) for path in files)]
    commands = [
        text if isinstance(text, str) else "".join(x for x in text if isinstance(x, str)) for text in entry.template.commands
    ]
    for name in {found for command in commands for found in _STARTED.findall(command)}:
        if any(matches(source, name) for source in results):
            yield f"{entry.label}: it starts {quoted(name)}, a result of another task: a signature says nothing about results"


def _told(problem: Problem) -> list[str]:
    return [problem.task, problem.field, problem.message]


def main(words: list[str]) -> int:
    """Answer the question in a file."""
    (path,) = words
    json.dump(answer(json.loads(Path(path).read_text())), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
