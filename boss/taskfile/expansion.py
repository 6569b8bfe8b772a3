"""Text to tasks: the whole way from the bytes of a task file to templates, tasks and edges, or to a list of what is wrong.

Rules:
- Either an Expansion comes out, or Refused goes up with every problem found; nothing else.
- A task file is recognised by its shape: an object is the native format, a list one of the original's dialects, an object with
  ``workflow`` a workflow's trace, which must be (and nothing else can be) replayed.
- The steps are those of the floors below: ``document`` (bytes), ``native``, ``dialects`` and ``replay`` (entries), ``roster`` (names),
  ``outputs``, ``links``, ``graph``.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from boss.core.model import TaskSpec, Template
from boss.core.templates import size_of
from boss.taskfile import dialects, document, native, replay, wfformat
from boss.taskfile.context import Context, Merge
from boss.taskfile.entry import Content, Entry
from boss.taskfile.fields import described
from boss.taskfile.files import check_inventory
from boss.taskfile.graph import chains, circles
from boss.taskfile.links import Links
from boss.taskfile.names import JOB_RULE, is_job_name, job_name_of
from boss.taskfile.outputs import Finished, collect
from boss.taskfile.paths import PathIndex
from boss.taskfile.problems import Outside, Problems, quoted
from boss.taskfile.readers import unread
from boss.taskfile.reasons import Group
from boss.taskfile.reruns import Choice, choose, kept_although, not_succeeded
from boss.taskfile.roster import NOBODY, Roster
from boss.taskfile.signable import check_signed
from boss.taskfile.sizes import check_sizes

#: How many tasks of a circle are named.
_NAMED = 12


@dataclass(slots=True)
class Expansion:
    """A valid push. ``tasks`` counts what it brings: ``new_tasks`` and ``replaced``; ``kept`` are tasks that the merge leaves alone.

    ``job_name`` is the name asked for (taken or not, the caller knows); with ``extends`` the job that exists. ``unread_files`` are
    pushed files that no task reads. ``makes``: files that whoever pushes must make and send, with their sizes in bytes.
    ``reasons`` say why the tasks of a merge ``changed`` or ``keep-succeeded`` run, ``more_reasons`` counts the tasks of which no
    reason is told. ``outside`` is what the datastore must be asked for.
    """

    job_name: str
    extends: bool
    templates: list[Template]
    new_tasks: int
    replaced: int
    kept: int
    done: int
    unread_files: list[str]
    notes: list[str]
    makes: dict[str, int]
    reasons: list[Group]
    more_reasons: int
    outside: list[Outside]
    _names: list[str]
    _tasks: "array[int]"
    _spans: list[tuple[Template, int]]  # each template that is used, and where its rows begin in _tasks
    _links: Links
    _ranks: "array[int]"
    _done: set[int]

    @property
    def tasks(self) -> int:
        """How many tasks the push brings."""
        return self.new_tasks + self.replaced

    def rows(self) -> Iterator[tuple[int, str, int, int, list[int], int, bool]]:
        """The fields of each TaskSpec, in the order of the file."""
        begins, ends, edges, done = self._links.begins, self._links.ends, self._links.edges, self._done
        for template, start in self._spans:
            for row, task in enumerate(self._tasks[start : start + size_of(template.grid)]):
                if task != NOBODY:
                    needed = edges[begins[task] : ends[task]].tolist()
                    yield task, self._names[task], template.number, row, needed, self._ranks[task], task in done

    def specs(self) -> Iterator[TaskSpec]:
        """The tasks, in the order of the file: new ones in the order of their indices."""
        for index, name, template, row, needed, rank, done in self.rows():
            yield TaskSpec(index, name, template, row, tuple(needed), rank, done)


def expand(data: bytes, context: Context) -> Expansion:
    """The tasks of a task file's bytes. Raises Refused."""
    problems = Problems()
    content = read(data, context, problems)
    extends = context.job is not None or context.merge is not None
    job_name = _job_name(content, context, extends, problems)
    if context.signed is not None and not problems.count:
        check_signed(content, context.signed, job_name, context.digests, context.existing if extends else None, problems)
    _check_count(content, context, problems)
    check_inventory(content.files, context.files, PathIndex(context.files), problems)
    roster = Roster(context.existing if extends else None, context.merge, problems)
    for entry in content.entries:
        roster.enter(entry)
    roster.check_merge()
    if not extends:
        context = replace(context, existing=None)
    yields = collect(content.entries, roster, context, problems)
    links = Links(content, roster, yields, context, problems)
    for entry, start in zip(content.entries, roster.starts, strict=True):
        links.enter(entry, start)
    pushed = context.files | (context.existing.files if context.existing else frozenset())
    check_sizes(content.entries, PathIndex(pushed), problems)
    ranks, residue = chains(links.begins, links.ends, links.edges)
    if residue:
        _tell_circles(residue, links, roster, problems)
    problems.raise_if_any()
    choice = Choice()
    if context.existing is not None and context.merge is Merge.CHANGED:
        choice = choose(content.entries, context.existing, context.digests, roster, links, ranks)
    return _expansion(job_name, extends, content, context, roster, links, ranks, choice, list(problems.outside.values()))


def job_of(data: bytes, max_bytes: int) -> str | None:
    """The ``job`` that a task file names, if it is there and sound. Raises Refused for what cannot be read at all."""
    found = document.load(data, max_bytes, Problems())
    name = found.get("job") if isinstance(found, dict) else None
    return name if isinstance(name, str) and is_job_name(name) else None


def read(data: bytes, context: Context, problems: Problems) -> Content:
    """The entries of a task file in any format. Raises Refused for what cannot be read at all."""
    found = document.load(data, context.max_bytes, problems)
    if isinstance(found, dict) and wfformat.is_trace(found):
        return _replayed(found, context.replay, problems)
    if context.replay is not None:
        what = "workflow traces in WfFormat (workflow.specification.tasks), and this is none: push it without"
        problems.add("", "", f"--replay is for {what}")
        problems.raise_if_any()
    if isinstance(found, dict):
        return native.read(found, context, problems)
    if isinstance(found, list):
        return dialects.read(found, problems, context.legacy_root)
    problems.add("", "", f'is {described(found)}; a task file is {{"tasks": [...]}}')
    problems.raise_if_any()
    return Content()


def _replayed(found: dict[str, Any], scale: float | None, problems: Problems) -> Content:
    trace = wfformat.read(found, problems)
    problems.raise_if_any()  # of a graph that is not certain nothing more can be said
    if scale is None:
        what = f"is the trace of a workflow (WfFormat {trace.version}, {len(trace.tasks):,} tasks), which has no commands to run here"
        remedy = "--replay SCALE runs synthetic tasks in its shape, with durations and sizes times SCALE: --replay 0.01"
        problems.add("", "", f"{what}: {remedy}")
        problems.raise_if_any()
        return Content()
    return replay.entries_of(trace, scale, problems)


def _job_name(content: Content, context: Context, extends: bool, problems: Problems) -> str:
    """The job that is extended, or the name that a new one should have."""
    if extends and context.name is not None:
        problems.add("", "", "a new name and an existing job were asked for: use --name or --job, not both")
    if context.merge is Merge.CHANGED and context.skip_existing:
        problems.add("", "", "--skip-existing keeps the results that --merge changed makes anew: use one of the two")
    if content.job is not None and not is_job_name(content.job):
        problems.add("", "job", f"{quoted(content.job)} cannot be a name: {JOB_RULE}")
    if context.name is not None and not is_job_name(context.name):
        problems.add("", "", f"{quoted(context.name)} cannot be a name: {JOB_RULE}")
    if not extends:
        return context.name or content.job or job_name_of(context.file_name)
    wanted = context.job or content.job
    if wanted is None:
        problems.add("", "job", "is missing: --merge needs the job's name, here or with --job")
    elif context.existing is None:
        problems.add("", "" if context.job else "job", f"there is no job {quoted(wanted)} to add to")
    return wanted or ""


def _check_count(content: Content, context: Context, problems: Problems) -> None:
    """Refuse too many tasks before any of them is made."""
    count = sum(size_of(entry.template.grid) for entry in content.entries)
    there = len(context.existing.names) if context.existing else 0
    if count + there > context.max_tasks:
        besides = f" beside the {there:,} of the job" if there else ""
        problems.add("", "tasks", f"makes {count:,} tasks{besides}, more than the {context.max_tasks:,} that one job may have")
        problems.raise_if_any()


def _tell_circles(residue: list[int], links: Links, roster: Roster, problems: Problems) -> None:
    for circle in circles(residue, links.begins, links.ends, links.edges):
        named = " -> ".join(quoted(roster.names[task]) for task in islice(circle, _NAMED))
        more = f" -> ({len(circle) - _NAMED:,} more)" if len(circle) > _NAMED else ""
        message = f"is in a circle of tasks that each wait for the next: {named}{more} -> {quoted(roster.names[circle[0]])}"
        problems.add(roster.label(circle[0]), "", message)


def _expansion(
    job_name: str,
    extends: bool,
    content: Content,
    context: Context,
    roster: Roster,
    links: Links,
    ranks: "array[int]",
    choice: Choice,
    outside: list[Outside],
) -> Expansion:
    finished = Finished(context.results)
    number = len(context.existing.templates) if context.existing else 0
    spans: list[tuple[Template, int]] = []
    done: set[int] = set()
    for entry, start in zip(content.entries, roster.starts, strict=True):
        tasks = roster.tasks[start : start + size_of(entry.template.grid)]
        if all(task == NOBODY for task in tasks):
            continue
        spans.append((replace(entry.template, number=number + len(spans)), start))
        if (context.skip_existing or entry.keep_results) and entry.template.outputs:
            done.update(_done(entry, tasks, finished))
    notes = [*content.notes, *links.missing.notes(), *choice.notes]
    if context.existing is not None:
        notes += kept_although(content.entries, context, roster, links, done)
        if context.merge is Merge.KEEP_SUCCEEDED:
            choice = not_succeeded(content.entries, context.existing, roster, done)
    new = len(roster.names) - roster.first_new
    return Expansion(
        job_name=job_name,
        extends=extends,
        templates=[template for template, _ in spans],
        new_tasks=new,
        replaced=len(roster.replaced),
        kept=roster.kept,
        done=len(done),
        unread_files=unread(context.files, links.read, content.entries, context.existing, roster.replaced),
        notes=notes,
        makes=content.makes,
        reasons=choice.groups,
        more_reasons=choice.untold,
        outside=outside,
        _names=roster.names,
        _tasks=roster.tasks,
        _spans=spans,
        _links=links,
        _ranks=ranks,
        _done=done,
    )


def _done(entry: Entry, tasks: "array[int]", finished: Finished) -> Iterator[int]:
    for task, done in zip(tasks, finished.of(entry), strict=True):
        if done and task != NOBODY:
            yield task
