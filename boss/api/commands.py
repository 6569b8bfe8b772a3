"""What can be changed: tasks, jobs, workers, context. Each command becomes one event per target and waits for its commit."""

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter

from boss.api.accounts import Caller
from boss.api.answers import Refusal
from boss.api.bodies import Address, Redone, Targeted, WorkersAsked, WorkersNamed
from boss.api.house import House, TheCaller, TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.api.shapes import Effect, Effects
from boss.api.shapes_house import Checked, Dropped, WorkersTouched
from boss.api.targets import Target
from boss.core.learned import BOOTS_FACT, PROGRAMS_FACT
from boss.core.model import VmState
from boss.core.pools import FACT as POOLS_FACT
from boss.core.requests import (
    ContextSet,
    FailedRetried,
    JobPaused,
    JobResumed,
    Request,
    TasksCancelled,
    TasksRedone,
    WorkersDrained,
    WorkersWanted,
)
from boss.core.restored import FLOOR, UNTIL
from boss.core.scaling import CLOSED
from boss.core.tokens import REVOKED_FACT, Role
from boss.core.usage import JOBS_FACT, TOTAL_FACT

router = APIRouter(tags=["change"], route_class=Guarded)

#: Facts that ``drop_context`` keeps: who the cluster is, which life this is, the names of VMs, which are never given twice, and what a
#: back-up that was restored must not repeat or overwrite; what was used of budgets, and what was learned.
KEPT = frozenset(
    {
        "cluster",
        "epoch",
        "vm_number",
        CLOSED,
        UNTIL,
        FLOOR,
        BOOTS_FACT,
        PROGRAMS_FACT,
        TOTAL_FACT,
        JOBS_FACT,
        REVOKED_FACT,
        POOLS_FACT,
    }
)


async def _each(
    house: House, caller: Caller, body: Targeted, make: Callable[[Target, int], Request], *, jobs_only: bool = False
) -> Effects:
    """Ask once per target; all targets are read first, so that a misspelt one, or one of another's, changes nothing."""
    targets = [await blocking(_resolve, house, caller, text, jobs_only) for text in body.targets]
    done = []
    for target in targets:
        detail = await house.ask(lambda reply, target=target: make(target, reply))  # type: ignore[misc]
        done.append(Effect.model_validate({"job": target.job.name, **detail}))
    return Effects(done=done)


async def _together(
    house: House,
    caller: Caller,
    body: Targeted,
    count: str,
    make: Callable[[str, tuple[str, ...], tuple[int, ...], bool, int], Request],
) -> Effects:
    """Ask once per job, with all its patterns, where the tasks are that they name, and whether one of them is ``JOB:*``.

    Answered target by target, in their order.

    ``count`` is what the boss calls the tasks of the patterns; what it says of the whole stands at the job's first target.
    """
    targets = [await blocking(_resolve, house, caller, text, False) for text in body.targets]
    jobs: dict[str, list[int]] = {}
    for place, target in enumerate(targets):
        jobs.setdefault(target.job.name, []).append(place)
    done: dict[int, Effect] = {}
    for job, places in jobs.items():
        patterns = tuple(targets[place].pattern for place in places)
        at = tuple(targets[place].at for place in places)
        named = any(targets[place].named and targets[place].pattern == "*" for place in places)
        detail = dict(await house.ask(partial(make, job, patterns, at, named)))
        each = detail.pop("each")
        assert isinstance(each, list)
        for place, number in zip(places, each, strict=True):
            said = detail if place == places[0] else {name: type(value)() for name, value in detail.items()}
            done[place] = Effect.model_validate({**said, "job": job, count: number})
    return Effects(done=[done[place] for place in range(len(targets))])


def _resolve(house: House, caller: Caller, text: str, jobs_only: bool) -> Target:
    target = house.targets.resolve(text, changing=caller)
    if jobs_only and not target.whole:
        raise Refusal(422, f"{text} is a task; this works on whole jobs ({target.job.name})", [target.job.name])
    return target


@router.post("/cancel", openapi_extra=needs(Role.RESEARCHER))
async def cancel(house: TheHouse, caller: TheCaller, body: Targeted) -> Effects:
    """End tasks that have not finished; what is being accepted already succeeds."""
    return await _each(
        house, caller, body, lambda target, reply: TasksCancelled(target.job.name, target.pattern, reply, target.at)
    )


@router.post("/pause", openapi_extra=needs(Role.RESEARCHER))
async def pause(house: TheHouse, caller: TheCaller, body: Targeted) -> Effects:
    """Deal out nothing new of these jobs; what runs finishes."""
    return await _each(house, caller, body, lambda target, reply: JobPaused(target.job.name, reply), jobs_only=True)


@router.post("/resume", openapi_extra=needs(Role.RESEARCHER))
async def resume(house: TheHouse, caller: TheCaller, body: Targeted) -> Effects:
    """Deal out these jobs' tasks again."""
    return await _each(house, caller, body, lambda target, reply: JobResumed(target.job.name, reply), jobs_only=True)


@router.post("/redo", openapi_extra=needs(Role.RESEARCHER))
async def redo(house: TheHouse, caller: TheCaller, body: Redone) -> Effects:
    """Run finished tasks again; the old results stay until the new ones are accepted.

    What was made from the old ones is left alone and is stale as soon as the new ones differ, unless ``descendants`` run again too.
    With ``stale`` the stale tasks of the targets are run again, and whatever it takes to make all that they belong to anew.
    All targets of one job are run again as one.
    """

    def make(job: str, patterns: tuple[str, ...], at: tuple[int, ...], named: bool, reply: int) -> Request:
        return TasksRedone(job, patterns[0], reply, body.descendants, patterns[1:], body.stale, at)

    return await _together(house, caller, body, "redone", make)


@router.post("/retry", openapi_extra=needs(Role.RESEARCHER))
async def retry(house: TheHouse, caller: TheCaller, body: Targeted) -> Effects:
    """Run failed tasks again, and what was skipped because of them; cancelled ones too where tasks are named (``JOB:*`` names all).

    All targets of one job are run again as one.
    """

    def make(job: str, patterns: tuple[str, ...], at: tuple[int, ...], named: bool, reply: int) -> Request:
        return FailedRetried(job, patterns[0], reply, named, patterns[1:], at)

    return await _together(house, caller, body, "retried", make)


@router.post("/workers", openapi_extra=needs(Role.ADMIN))
async def instantiate(house: TheHouse, body: WorkersAsked) -> WorkersTouched:
    """Create workers now, whatever waits."""
    return _touched(await house.ask(lambda reply: WorkersWanted(body.count, body.pool, body.keep, reply)))


@router.post("/workers/drain", openapi_extra=needs(Role.ADMIN))
async def drain(house: TheHouse, body: WorkersNamed) -> WorkersTouched:
    """Let workers finish what they have, then end them."""
    return await _drained(house, body, now=False)


@router.post("/workers/terminate", openapi_extra=needs(Role.ADMIN))
async def terminate(house: TheHouse, body: WorkersNamed) -> WorkersTouched:
    """End workers: drained first, unless ``now``; then what they run is run elsewhere."""
    return await _drained(house, body, now=body.now)


async def _drained(house: House, body: WorkersNamed, *, now: bool) -> WorkersTouched:
    if body.all == bool(body.workers):
        raise Refusal(422, "name the workers, or say `all`; one of the two")
    return _touched(await house.ask(lambda reply: WorkersDrained(tuple(body.workers), now, reply)))


def _touched(detail: object) -> WorkersTouched:
    return WorkersTouched.model_validate(detail)


@router.delete("/context", openapi_extra=needs(Role.ADMIN))
async def drop_context(house: TheHouse) -> Dropped:
    """Forget the small facts, but not who the cluster is; refused while servers are claimed."""
    claims = [vm.id for vm in house.view().vms if vm.state not in (VmState.GONE, VmState.FAILED)]
    if claims:
        sentence = f"{len(claims)} VM(s) are claimed ({', '.join(claims[:5])}); `admin.py terminate_workers --all` first"
        raise Refusal(409, sentence)
    names = sorted(set(await blocking(house.reader.context)) - KEPT)
    if names:
        await house.ask(lambda reply: ContextSet(dict.fromkeys(names), reply))
    return Dropped(dropped=names)


@router.put("/context/datastore", openapi_extra=needs(Role.ADMIN))
async def set_datastore(house: TheHouse, body: Address) -> Checked:
    """Use another datastore, after a log-in and a write there; refused while unfinished jobs use the one there is."""
    try:
        house.facts.read_datastore(body.address)
    except ValueError as error:
        raise Refusal(422, str(error)) from None
    known = (await blocking(house.reader.context)).get("datastore_address", house.facts.datastore_address)
    unfinished = [job.name for job in house.view().jobs if job.finished is None]
    if body.address != known and unfinished:
        some = ", ".join(unfinished[:5])
        raise Refusal(409, f"{len(unfinished)} unfinished job(s) use {known} ({some}); wait for them, or cancel them")
    try:
        seen = await blocking(house.facts.check_datastore, body.address)
    except ValueError as error:
        raise Refusal(422, str(error)) from None
    await house.ask(lambda reply: ContextSet({"datastore_address": body.address}, reply))
    return Checked(datastore_address=body.address, seen=seen)
