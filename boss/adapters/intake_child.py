"""The child's side of ``intake``: reads questions from standard input, one line of JSON each, and answers each with one line.

Rules:
- What is wrong with a push is an answer; what is wrong with this program is an exit code and a traceback on standard error.
- A plan's tasks are written as slices into the folder that the question names, before the answer.
- It works at a lower priority than the boss, and ends when standard input ends.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from boss.adapters.signatures import verified
from boss.core.templates import template_from_data, template_to_data
from boss.taskfile.context import Context, Existing, Merge, SignedPush
from boss.taskfile.example import first_of_a_sweep
from boss.taskfile.expansion import Expansion, expand, job_of
from boss.taskfile.problems import Problem, Refused
from boss.taskfile.reasons import in_order

#: How many tasks a slice has at most: what the boss takes in within one turn.
SLICE = 5_000
#: How far the process stands back behind the boss.
_NICE = 5


def main() -> None:
    """Answer until standard input ends."""
    os.nice(_NICE)
    # Hardly anything of an expansion is garbage before its end; looking for it costs a third of the time.
    gc.disable()
    for line in sys.stdin.buffer:
        answer = answer_to(json.loads(line))
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
        gc.collect()


def answer_to(question: Mapping[str, Any]) -> dict[str, Any]:
    """``{"problems": [[task, field, message], ...]}``, or what was wanted: the fields of a plan, or ``{"job": name}``."""
    try:
        data = Path(question["text"]).read_bytes()
        if question["want"] == "job":
            return {"job": job_of(data, question["max_bytes"])}
        signed = None if question.get("signed") is None else verified(**question["signed"], now=time.time())
        return _plan(expand(data, replace(_context(question), signed=signed)), Path(question["folder"]), signed)
    except Refused as refused:
        return {"problems": [_told(problem) for problem in refused.problems], "outside": refused.outside}
    except OSError as error:
        return {"problems": [_told(Problem("", "", f"the boss could not read or write it: {error}"))]}


def _told(problem: Problem) -> list[str]:
    return [problem.task, problem.field, problem.message]


def _context(question: Mapping[str, Any]) -> Context:
    existing = question["existing"]
    if existing is not None:
        templates = [template_from_data(template) for template in existing["templates"]]
        more = {
            "templates": templates,
            "files": frozenset(existing["files"]),
            "digests": _digests(existing["digests"]),
            "input_sets": [tuple(tuple(file) for file in files) for files in existing["input_sets"]],
        }
        existing = Existing(**{**existing, **more})
    return Context(
        file_name=question["file_name"],
        name=question["name"],
        job=question["job"],
        merge=None if question["merge"] is None else Merge(question["merge"]),
        skip_existing=question["skip_existing"],
        replay=question["replay"],
        files=frozenset(question["files"]),
        digests=_digests(question["files"]),
        existing=existing,
        results=frozenset(question["results"]),
        tables={name: Path(path).read_bytes() for name, path in question["tables"].items()},
        unread_tables=question["unread_tables"],
        beside=frozenset(question["beside"]),
        legacy_root=question["legacy_root"],
        max_tasks=question["max_tasks"],
        max_bytes=question["max_bytes"],
    )


def _digests(files: Mapping[str, list[Any]]) -> dict[str, tuple[str, int]]:
    return {path: (digest, mode) for path, (digest, mode) in files.items()}


def _plan(expansion: Expansion, folder: Path, signed: SignedPush | None) -> dict[str, Any]:
    _write_slices(expansion, folder)
    warnings = list(expansion.notes)
    if expansion.kept:
        are = "task that the job has already is" if expansion.kept == 1 else "tasks that the job has already are"
        warnings.append(f"{expansion.kept:,} {are} left alone")
    if expansion.done:
        count = "task counts as succeeded: all its" if expansion.done == 1 else "tasks count as succeeded: all their"
        warnings.append(f"{expansion.done:,} {count} results exist")
    return {
        "job_name": expansion.job_name,
        "extends": expansion.extends,
        "tasks": expansion.tasks,
        "new_tasks": expansion.new_tasks,
        "replaced": expansion.replaced,
        "kept": expansion.kept,
        "done": expansion.done,
        "unread_files": expansion.unread_files,
        "warnings": warnings,
        "makes": expansion.makes,
        "reasons": in_order(expansion.reasons),
        "more_reasons": expansion.more_reasons,
        "outside": expansion.outside,
        "example": _example(expansion),
        "signed": {} if signed is None else signed.told(),
    }


def _example(expansion: Expansion) -> str:
    """A task of the first sweep, if any."""
    templates = {template.number: template for template in expansion.templates}
    if not any(template.grid for template in expansion.templates):
        return ""
    return first_of_a_sweep(((name, template, row) for _, name, template, row, *_ in expansion.rows()), templates)


def _write_slices(expansion: Expansion, folder: Path) -> None:
    """Slices of tasks, each with the templates that it is the first to use."""
    rows = expansion.rows()
    templates = iter(expansion.templates)
    given = expansion.templates[0].number if expansion.templates else 0
    number = 0
    while tasks := list(islice(rows, SLICE)):
        last = max(task[2] for task in tasks)
        fresh = [template_to_data(template) for template in islice(templates, max(0, last + 1 - given))]
        given += len(fresh)
        (folder / f"{number:06}.json").write_text(json.dumps({"templates": fresh, "tasks": tasks}, ensure_ascii=False), "utf-8")
        number += 1


if __name__ == "__main__":
    main()
