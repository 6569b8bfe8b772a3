"""Trials of pools (``doctor --boot``): one VM is made, joins, runs one task and is deleted, step by step."""

import secrets

from fastapi import APIRouter
from pydantic import BaseModel, Field

from boss.api.answers import Refusal
from boss.api.house import House, TheCaller, TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.core import trials
from boss.core.requests import TrialAsked, TrialStopped
from boss.core.tokens import Role

router = APIRouter(route_class=Guarded, tags=["fleet"])


class Wish(BaseModel):
    """Which pool to try (the first one with VMs when empty), and which of its flavors (its first)."""

    pool: str = Field(default="", max_length=100)
    flavor: str = Field(default="", max_length=200)


class TrialOut(BaseModel):
    """One pool's last trial. ``steps`` has the time of day of each step that has happened, of those that ``order`` names.

    ``over`` is when its VM was gone, null while it goes on; ``worked`` whether its task's result has reached the datastore; ``unrun`` says
    why it has worked without a task, where it has. ``stage`` is the step that did not come, ``reason`` why, ``advice`` where to look.
    """

    pool: str
    vm: str
    flavor: str
    owner: str
    job: str
    asked: float
    steps: dict[str, float]
    order: list[str]
    worked: bool
    unrun: str
    stage: str
    reason: str
    advice: str
    over: float | None


@router.post("/trials", openapi_extra=needs(Role.ADMIN))
async def begin(house: TheHouse, caller: TheCaller, body: Wish) -> TrialOut:
    """Make one VM of a pool that is not part of scaling; it joins, runs one task and is deleted, whatever happens."""
    uid = secrets.token_hex(6)
    made = await house.ask(lambda reply: TrialAsked(body.pool, uid, caller.name, body.flavor, reply))
    return await blocking(_one, house, str(made["pool"]))


@router.get("/trials", openapi_extra=needs(Role.VIEWER))
def look(house: TheHouse) -> list[TrialOut]:
    """The last trial of each pool, also when it goes on."""
    return [_told(house, trial) for trial in trials.known(house.reader.context()).values()]


@router.delete("/trials/{pool}", openapi_extra=needs(Role.ADMIN))
async def stop(house: TheHouse, pool: str) -> TrialOut:
    """End a trial that goes on: its VM is deleted now."""
    await house.ask(lambda reply: TrialStopped(pool, reply))
    return await blocking(_one, house, pool)


def _one(house: House, pool: str) -> TrialOut:
    trial = trials.known(house.reader.context()).get(pool)
    if trial is None:
        raise Refusal(404, f"pool {pool!r} was never tried")
    return _told(house, trial)


def _told(house: House, trial: trials.Trial) -> TrialOut:
    return TrialOut(
        pool=trial.pool,
        vm=trial.vm,
        flavor=trial.flavor,
        owner=trial.owner,
        job=trial.job,
        asked=trial.asked,
        steps=dict(trial.steps),
        order=list(trials.STEPS),
        worked=trial.worked,
        unrun=trial.unrun,
        stage=trial.stage,
        reason=trial.reason,
        advice=trials.where_to_look(trial, house.facts.boss_address),
        over=trial.over,
    )
