"""Which tasks a merge runs again and why, and which results it keeps although they would come out differently.

Rules:
- Of the tasks in the file a merge ``changed`` runs: those that are new; those that failed, were skipped or cancelled; those that differ
  (``differences``, or in whom they wait for); those that are stale; all of them when an init task is new or differs; and what is below
  any of these.
- What the file does not have is left alone, and nothing is handed down through it: what it has yielded stays as it is.
- Each reason is one sentence. The nearest cause is told: what is below a changed task is told which of its inputs will change.
"""

from array import array
from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial

from boss.core.model import TaskState
from boss.core.stale import sentence as stale_sentence
from boss.core.templates import size_of, texts_of
from boss.taskfile.context import Context, Digests, Existing, Merge
from boss.taskfile.differences import Differences
from boss.taskfile.entry import Entry
from boss.taskfile.links import Links
from boss.taskfile.outputs import place_of
from boss.taskfile.reasons import Group, Groups, listed
from boss.taskfile.roster import NOBODY, Roster
from datastore.layout import is_folder, is_pattern, overlap
from worker.texts import render

_ENDED_BADLY = {
    TaskState.FAILED: "failed before",
    TaskState.SKIPPED: "was skipped before",
    TaskState.CANCELLED: "was cancelled before",
}
_NEW, _EDGES, _BELOW = "new", "edges", "below"
#: How many sentences are told about results that are kept.
_KEPT = 20
#: How many tasks are named that the file does not have.
_MISSING = 5

#: Why a task runs, in few words that many share: what goes into one group.
_Why = Hashable


@dataclass(slots=True)
class Choice:
    """Why the tasks run that a merge has chosen; ``untold`` counts those of further groups."""

    groups: list[Group] = field(default_factory=list)
    untold: int = 0
    notes: list[str] = field(default_factory=list)


def choose(
    entries: Sequence[Entry], existing: Existing, digests: Digests, roster: Roster, links: Links, ranks: "array[int]"
) -> Choice:
    """Leave alone what need not run again (in the roster), and say why the others do."""
    chosen = _Chosen(entries, existing, roster, links)
    chosen.look(Differences(existing, digests))
    chosen.follow_inits()
    chosen.hand_down(ranks)
    groups = chosen.told(ranks)
    missing = roster.missing()
    notes = []
    if missing:
        are = "task of the job is not in the file and is" if len(missing) == 1 else "tasks of the job are not in the file and are"
        names = listed([roster.names[task] for task in missing[:_MISSING]], len(missing), _MISSING)
        notes = [f"{len(missing):,} {are} left alone: {names}"]
    return Choice(groups.told, groups.untold, notes)


class _Chosen:
    """The tasks that run, each with the kind of its reason."""

    def __init__(self, entries: Sequence[Entry], existing: Existing, roster: Roster, links: Links) -> None:
        self._entries = entries
        self._existing = existing
        self._roster = roster
        self._links = links
        self._why: dict[int, _Why] = {}  # by task
        self._place = array("I", [NOBODY]) * len(roster.names)  # where in the roster a task stands
        self._cause: dict[int, int] = {}
        self._inits: list[int] = []  # init tasks that prepare workers otherwise now

    def look(self, differences: Differences) -> None:
        """Every task by itself."""
        roster = self._roster
        for entry, start in zip(self._entries, roster.starts, strict=True):
            before = roster.before[start : start + size_of(entry.template.grid)]
            for offset, (task, difference) in enumerate(zip(before, differences.of(entry, before), strict=True)):
                index = roster.tasks[start + offset]
                self._place[index] = start + offset
                why: _Why | None = _NEW if task == NOBODY else self._look(task, difference[0] + difference[1])
                if why is None:
                    continue
                self._why[index] = why
                if entry.template.init and (why is _NEW or any(difference)):
                    self._inits.append(index)

    def _look(self, task: int, sentences: tuple[str, ...]) -> _Why | None:
        """Why a task of the job runs again, whatever the others do."""
        existing, links = self._existing, self._links
        if existing.states[task] in _ENDED_BADLY:
            return existing.states[task]
        if sentences:
            return sentences
        if existing.stale[task] >= 0:
            return (stale_sentence(existing.names[existing.stale[task]]),)
        if links.edges[links.begins[task] : links.ends[task]].tolist() != sorted(existing.dependencies[task]):
            return _EDGES
        return None

    def follow_inits(self) -> None:
        """What ran on workers that were prepared otherwise runs again."""
        if not self._inits:
            return
        first = self._inits[0]
        what = "is new" if self._why[first] is _NEW else "changed"
        for task in range(self._roster.first_new):
            if self._place[task] != NOBODY and task not in self._roster.inits:
                self._why.setdefault(task, (f"init task {self._roster.names[first]} {what}",))

    def hand_down(self, ranks: "array[int]") -> None:
        """What is below a task that runs, runs too: the file's tasks, each after all that it waits for."""
        begins, ends, edges = self._links.begins, self._links.ends, self._links.edges
        there = [task for task in range(len(self._place)) if self._place[task] != NOBODY and task not in self._why]
        for task in sorted(there, key=lambda task: -ranks[task]):
            for needed in edges[begins[task] : ends[task]]:
                if needed in self._why:
                    self._why[task], self._cause[task] = _BELOW, needed
                    break

    def told(self, ranks: "array[int]") -> Groups:
        """The reasons; everything else is left alone."""
        groups = Groups()
        roster = self._roster
        for number, (entry, start) in enumerate(zip(self._entries, roster.starts, strict=True)):
            for place in range(start, start + size_of(entry.template.grid)):
                task = roster.tasks[place]
                why = self._why.get(task)
                if why is None:
                    roster.leave_alone(place)
                else:
                    kind = (number if entry.template.grid else -1, why)
                    sentence = partial(self._sentence, task, why)
                    rank = len(ranks) if entry.template.init else ranks[task]  # an init task goes before all others
                    groups.add(kind, roster.names[task], sentence, rank)
        return groups

    # ---- sentences ---------------------------------------------------------------------------------------------------

    def _sentence(self, task: int, why: _Why) -> str:
        if isinstance(why, tuple):
            return ", ".join(why)
        if why is _NEW:
            return "new"
        if why is _EDGES:
            return self._edges(task)
        if why is _BELOW:
            return self._below(task, self._cause[task])
        return _ENDED_BADLY[TaskState(str(why))]

    def _below(self, task: int, cause: int) -> str:
        shared = self._shared(task, cause)
        name = self._roster.names[cause]
        what = "is new" if self._why[cause] is _NEW else "will change"
        return f"input {shared} of {name} {what}" if shared else f"it runs after {name}, which runs again"

    def _edges(self, task: int) -> str:
        links, names = self._links, self._roster.names
        now = links.edges[links.begins[task] : links.ends[task]].tolist()
        then = set(self._existing.dependencies[task])
        more = [other for other in now if other not in then]
        if not more:
            return f"it does not wait for {listed([names[other] for other in sorted(then.difference(now))])} any more"
        shared = self._shared(task, more[0]) if self._place[more[0]] != NOBODY else None
        if shared:
            return f"input {shared} of {names[more[0]]} is new"
        return f"it waits for {listed([names[other] for other in more])} now"

    def _shared(self, task: int, cause: int) -> str | None:
        """A file, folder or glob of which one task yields something that the other reads."""
        reader, row = self._entry_of(task)
        maker, made = self._entry_of(cause)
        reads = [render(spec.source, texts_of(reader.template, row)) for spec in reader.template.inputs]
        for spec in maker.template.outputs:
            output = render(place_of(spec), texts_of(maker.template, made))
            for path in reads:
                if path == output or overlap(path, output):
                    return path if is_pattern(output) or is_folder(output) else output
        return None

    def _entry_of(self, task: int) -> tuple[Entry, int]:
        place = self._place[task]
        number = bisect_right(self._roster.starts, place) - 1
        return self._entries[number], place - self._roster.starts[number]


def not_succeeded(entries: Sequence[Entry], existing: Existing, roster: Roster, done: set[int]) -> Choice:
    """Why the tasks run that a merge ``keep-succeeded`` does not leave alone."""
    groups = Groups()
    for number, (entry, start) in enumerate(zip(entries, roster.starts, strict=True)):
        for place in range(start, start + size_of(entry.template.grid)):
            task = roster.tasks[place]
            if task == NOBODY or task in done:
                continue
            before = roster.before[place]
            why = "new" if before == NOBODY else _ENDED_BADLY.get(TaskState(existing.states[before]), "has not finished yet")
            groups.add((number if entry.template.grid else -1, why), roster.names[task], lambda why=why: why)  # type: ignore[misc]
    return Choice(groups.told, groups.untold)


# ---- what is kept ------------------------------------------------------------------------------------------------------


def kept_although(entries: Sequence[Entry], context: Context, roster: Roster, links: Links, done: set[int]) -> list[str]:
    """Sentences about results that a push keeps although their task differs from what made them: ``kept although agg.py changed: agg``.

    Tasks that are ``done`` and defined as before are left alone, so that what is known of their results stays true.
    """
    existing = context.existing
    if existing is None or (context.merge is not Merge.KEEP_SUCCEEDED and not done):
        return []
    kept: dict[str, tuple[list[str], int]] = {}
    differences = Differences(existing, context.digests)
    for entry, start in zip(entries, roster.starts, strict=True):
        before = _kept_rows(entry, start, existing, context, roster, done)
        if all(task == NOBODY for task in before):
            continue
        for offset, (task, difference) in enumerate(zip(before, differences.of(entry, before), strict=True)):
            if task == NOBODY:
                continue
            if any(difference):
                sentence = ", ".join(difference[0] + difference[1])
                names, count = kept.setdefault(sentence, ([], 0))
                if count < 10:
                    names.append(roster.names[task])
                kept[sentence] = names, count + 1
            if task in done and not difference[0] and _stands(task, existing, links):
                done.discard(task)
                roster.leave_alone(start + offset)
    told = [f"kept although {sentence}: {listed(names, count, 10)}" for sentence, (names, count) in list(kept.items())[:_KEPT]]
    more = sum(count for _, count in list(kept.values())[_KEPT:])
    return [*told, f"kept although something changed: {more:,} more tasks"] if more else told


def _kept_rows(entry: Entry, start: int, existing: Existing, context: Context, roster: Roster, done: set[int]) -> "array[int]":
    """The tasks of the job, row by row, whose results are kept; NOBODY elsewhere."""
    rows = array("I")
    for place in range(start, start + size_of(entry.template.grid)):
        task = roster.before[place]
        spared = context.merge is Merge.KEEP_SUCCEEDED and task != NOBODY and existing.succeeded[task]
        rows.append(task if task != NOBODY and (task in done or (spared and roster.tasks[place] == NOBODY)) else NOBODY)
    return rows


def _stands(task: int, existing: Existing, links: Links) -> bool:
    """Whether a task has succeeded and waits for whom it has always waited for."""
    needed: list[int] = links.edges[links.begins[task] : links.ends[task]].tolist()
    return existing.succeeded[task] and needed == sorted(existing.dependencies[task])
