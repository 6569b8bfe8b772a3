"""Pushes between their two calls: planned (validated, rows kept by the intake), then opened as a job once the files are uploaded.

Rules:
- A planned push has changed nothing; it expires after an hour, or with this process.
- Opening stages the rows slice by slice, each awaited, and opens the job with one small commit; a push that fails on the way is dropped.
- Opening happens once, in a task of its own: a caller who loses the connection and asks again waits for the same task. A
  submission key finds the job that an earlier try has made, also after a restart.
- A new job takes the first free of ``base``, ``base-2``, ``base-3``...; a name that was asked for with ``name`` is taken or refused.
"""

import asyncio
import itertools
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from boss.api.accounts import Caller, may_change, must_own
from boss.api.answers import Refusal
from boss.api.bodies import PushOptions
from boss.api.house import House, blocking
from boss.api.shapes_push import Opened, PushSummary, ReasonOut, SignedOut
from boss.core.model import FileRef, Job, TaskSpec, Template, Wanted
from boss.core.requests import JobExtended, JobOpened, JobStaged, StagingDropped, TasksStaged
from boss.core.restored import UNTIL
from boss.core.tokens import Role
from boss.ports import JobRow, Plan, PushRequest
from boss.taskfile.problems import LIMIT, Problem, Refused

Slice = tuple[tuple[Template, ...], tuple[TaskSpec, ...]]


@dataclass(slots=True, eq=False)
class Push:
    """A push that was found good. ``existing`` is the job to extend, ``name`` the name that was asked for."""

    id: str
    owner: str
    submission: str
    plan: Plan
    name: str | None
    existing: tuple[str, int] | None  # uid and number of tasks of the job that it extends
    summary: PushSummary
    opening: asyncio.Task[Opened] | None = None


class Pushes:
    """The pushes that are planned and not opened yet. Lives on the event loop."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._planned: dict[str, Push] = {}

    # ---- planning ----------------------------------------------------------------------------------------------------

    async def plan(
        self, options: PushOptions, text: Path, tables: Mapping[str, Path], caller: Caller, signed: Path | None = None
    ) -> PushSummary:
        """Validate received files; raises Refused with their problems, or Refusal. The files may be removed afterwards."""
        submission = options.submission and f"{caller.name}:{options.submission}"
        again = await self._seen_before(submission)
        if again is not None and not options.dry_run:
            return again
        request = replace(await self._request(options, text, tables, caller), signed=signed, owner=caller.name)
        try:
            plan = await blocking(self._house.intake.plan, request)
        except Refused as refused:
            raise Refused(refused.problems + await self._missing(refused.outside)) from None
        try:
            if missing := await self._missing(plan.outside):
                raise Refused(missing)
        except BaseException:
            await blocking(self._house.intake.discard, plan)
            raise
        if not options.dry_run and (problems := _not_sent(plan)):
            await blocking(self._house.intake.discard, plan)
            raise Refused(problems)
        if options.dry_run:
            await blocking(self._house.intake.discard, plan)
            return self._summary("", plan, await self._tentative_name(plan, options.name), _halted(request.existing))
        push_id = secrets.token_hex(16)
        summary = self._summary(push_id, plan, await self._tentative_name(plan, options.name))
        existing = None if request.existing is None else (request.existing.uid, len(request.existing.tasks))
        name = options.name or (plan.job_name if plan.signed and not plan.extends else None)  # the name is signed too
        self._planned[push_id] = Push(push_id, caller.name, submission, plan, name, existing, summary)
        asyncio.get_running_loop().call_later(self._house.facts.push_lifetime, self._expire, push_id)
        return summary

    async def _missing(self, outside: Sequence[tuple[str, str, str]]) -> list[Problem]:
        """What is wrong with inputs from outside the job: those that the datastore does not have."""
        if not outside:
            return []
        named = {source: (task, field) for source, task, field in outside}
        wrong = await blocking(self._house.datastore.locate, list(named))
        listed = [Problem(*named[source], reason) for source, reason in wrong[:LIMIT]]
        return listed + ([Problem("", "", f"and {len(wrong) - LIMIT:,} more inputs that are not there")] if wrong[LIMIT:] else [])

    async def _seen_before(self, submission: str) -> PushSummary | None:
        """The summary of an earlier try of the same submission: still planned, or a job by now."""
        if not submission:
            return None
        for push in self._planned.values():
            if push.submission == submission:
                return push.summary
        row = await self._made(submission)
        return None if row is None else _opened_before(row)

    async def _made(self, submission: str) -> JobRow | None:
        """The job that a submission has made; one that is only being staged may yet be dropped."""
        row = await blocking(self._house.reader.job_of_submission, submission) if submission else None
        return None if row is None or row.state == "staging" else row

    async def _request(self, options: PushOptions, text: Path, tables: Mapping[str, Path], caller: Caller) -> PushRequest:
        if options.name and options.job:
            raise Refusal(422, "a push has either a new `name` or a `job` to add to, not both")
        existing = await blocking(self._existing, options, caller)
        results: frozenset[str] = frozenset()
        if existing is not None:
            results = frozenset(path for path, _, _ in await blocking(self._house.datastore.listing, existing.name))
        return PushRequest(
            text=text,
            file_name=options.file_name,
            name=options.name,
            job=existing.name if existing is not None else None,
            merge=options.merge if existing is not None or not options.document_job else None,
            skip_existing=options.skip_existing,
            replay=options.replay,
            files={to: FileRef(file.digest, file.size, file.mode) for to, file in options.files.items()},
            existing=existing,
            existing_results=results,
            tables=tables,
            unread_tables=options.csv_unread,
            beside=options.beside,
        )

    def _existing(self, options: PushOptions, caller: Caller) -> Job | None:
        """The job that a push adds to, which the caller may change. ``merge`` alone adds to the file's own job; if there is none: None."""
        house = self._house
        if options.job or (options.merge and options.document_job and not options.name):
            named = options.job or str(options.document_job)
            row = house.targets.job(named) if options.job else house.reader.job(named)
            only_looks = options.dry_run and caller.role is Role.VIEWER
            if row is not None and not only_looks:
                must_own(caller, row.name, row.owner)
            return None if row is None else house.reader.full_job(row.name)
        if options.name:
            row = house.reader.job(options.name)
            if row is not None:
                raise name_taken(options.name, "" if may_change(caller, row.owner) else row.owner)
        return None

    async def _tentative_name(self, plan: Plan, name: str | None) -> str:
        if plan.extends or name:
            return plan.job_name
        for free in free_names(plan.job_name, await self._names()):
            if not await self._forgotten(free):
                return free
        raise AssertionError("unreachable: names never end")

    async def _names(self) -> set[str]:
        return {row.name for row in await blocking(self._house.reader.jobs)}

    def _summary(self, push_id: str, plan: Plan, job: str, halted: Sequence[str] = ()) -> PushSummary:
        unmade = {path: size for path, size in plan.makes.items() if path not in plan.files}
        return PushSummary(
            push=push_id,
            job=job,
            opened=False,
            extends=plan.extends,
            tasks=plan.tasks,
            new_tasks=plan.new_tasks,
            replaced=plan.replaced,
            kept=plan.kept,
            files=len(plan.files) + len(unmade),
            bytes=plan.bytes + sum(unmade.values()),
            unread_files=list(plan.unread_files),
            warnings=[*plan.warnings, *halted],
            makes=dict(plan.makes),
            reasons=[ReasonOut.model_validate({"task": task, "reason": why, "more": more}) for task, why, more in plan.reasons],
            more_reasons=plan.more_reasons,
            example=plan.example,
            signed=SignedOut.model_validate(plan.signed) if plan.signed else None,
        )

    # ---- opening -----------------------------------------------------------------------------------------------------

    async def open(self, push_id: str, owner: str) -> Opened:
        """Make the job, or extend it. The files must have been uploaded."""
        push = self._planned.get(push_id)
        if push is None or push.owner != owner:
            raise Refusal(404, "this push is not known (any more): pushes expire after an hour, or with the boss; push again")
        if push.opening is None or _failed(push.opening):
            push.opening = asyncio.get_running_loop().create_task(self._open(push))
        return await asyncio.shield(push.opening)

    async def drop(self, push_id: str, owner: str) -> None:
        """Give a planned push up."""
        push = self._planned.get(push_id)
        if push is not None and push.owner == owner and push.opening is None:
            del self._planned[push_id]
            await blocking(self._house.intake.discard, push.plan)

    def _expire(self, push_id: str) -> None:
        push = self._planned.get(push_id)
        if push is None:
            return
        if push.opening is not None and not push.opening.done():
            asyncio.get_running_loop().call_later(self._house.facts.push_lifetime, self._expire, push_id)
            return
        del self._planned[push_id]
        if push.opening is None or _failed(push.opening):
            self._house.intake.discard(push.plan)

    async def _open(self, push: Push) -> Opened:
        row = await self._made(push.submission)
        if row is not None:
            opened = Opened(job=row.name)
        elif push.existing is not None:
            opened = await self._extend(push, *push.existing)
        else:
            opened = Opened(job=await self._make(push))
        await blocking(self._house.intake.discard, push.plan)
        return opened

    async def _make(self, push: Push) -> str:
        uid = secrets.token_hex(6)
        detail = await self._take_name(push, uid)
        if detail.get("repeated"):
            return str(detail["job"])
        try:
            rows = self._house.intake.slices(push.plan)
            while (piece := await blocking(_next, rows)) is not None:
                templates, tasks = piece
                await self._house.ask(lambda reply, t=templates, s=tasks: TasksStaged(uid, t, s, reply))  # type: ignore[misc]
            await self._house.ask(lambda reply: JobOpened(uid, push.plan.files, reply))
        except BaseException:
            self._house.desk.put(StagingDropped(uid))
            raise
        return str(detail["job"])

    async def _take_name(self, push: Push, uid: str) -> Mapping[str, object]:
        """Stage the job under its name; without a name of the user's, under the first that is free."""
        names = iter([push.name]) if push.name else free_names(push.plan.job_name, await self._names())
        for name in names:
            if await self._forgotten(name):
                if push.name:
                    raise _forgotten_name(name)
                continue
            try:
                return await self._house.ask(
                    lambda reply, name=name: JobStaged(uid, name, push.owner, push.submission, reply=reply)  # type: ignore[misc]
                )
            except Refusal as refusal:
                if refusal.status != 409:
                    raise
        raise name_taken(str(push.name))

    async def _forgotten(self, name: str) -> bool:
        """Whether a folder of this name holds files of a job that this database, which came from a back-up, does not know."""
        house = self._house
        if UNTIL not in await blocking(house.reader.context) or await blocking(house.reader.job, name) is not None:
            return False
        return bool(await blocking(house.datastore.taken, [name]))

    async def _extend(self, push: Push, uid: str, expected: int) -> Opened:
        pieces: list[Slice] = await blocking(lambda: list(self._house.intake.slices(push.plan)))
        templates = tuple(itertools.chain.from_iterable(piece[0] for piece in pieces))
        tasks = tuple(itertools.chain.from_iterable(piece[1] for piece in pieces))
        files = push.plan.files
        detail = await self._house.ask(
            lambda reply: JobExtended(uid, expected, templates, tasks, files, push.submission, reply=reply)
        )
        return Opened.model_validate(detail)


def free_names(base: str, taken: Collection[str]) -> Iterator[str]:
    """``base``, ``base-2``, ``base-3``... without those that are taken."""
    return (name for name in itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2))) if name not in taken)


def _halted(existing: Job | None) -> list[str]:
    """What a dry run says of a paused job; a real push says at its end whether that goes on."""
    if existing is None or existing.wanted is not Wanted.PAUSE:
        return []
    replaced = f", or a push replaces the init task that failed ({existing.reason})" if existing.reason else ""
    return [f"job {existing.name} is paused: nothing of it is dealt out until `admin.py resume {existing.name}`{replaced}"]


def name_taken(name: str, other: str = "") -> Refusal:
    """The refusal for a name that a job has already, one that the caller may add to or one of another owner's."""
    whose, add = (f" ({other}'s)", "") if other else ("", f", or add to it with --job {name}")
    return Refusal(409, f"there is a job named {name!r} already{whose}; choose another --name{add}")


def _not_sent(plan: Plan) -> list[Problem]:
    """What of the files that the sender must make was not sent, or has another size."""
    problems = []
    for path, size in plan.makes.items():
        sent = plan.files.get(path)
        if sent is None or sent.size != size:
            found = "was not sent" if sent is None else f"was sent with {sent.size:,} bytes"
            remedy = f"no task yields it, so the sender makes a file of {size:,} bytes (`makes` in the answer to a dry run)"
            problems.append(Problem("", "files", f"{path!r} {found}: {remedy}"))
    return problems[:LIMIT]


def _forgotten_name(name: str) -> Refusal:
    return Refusal(
        409,
        f"the datastore has files of a job {name!r} that this database does not know, because it was restored from a back-up; "
        "choose another --name",
    )


def _failed(task: asyncio.Task[Opened]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _next(rows: Iterator[Slice]) -> Slice | None:
    return next(rows, None)


def _opened_before(row: JobRow) -> PushSummary:
    total = sum(row.counts.values())
    return PushSummary(
        push="",
        job=row.name,
        opened=True,
        extends=False,
        tasks=total,
        new_tasks=0,
        replaced=0,
        kept=total,
        files=0,
        bytes=0,
        unread_files=[],
        warnings=[],
    )
