"""Trying whether messages to people arrive. Only admins: a test goes to whomever the settings name."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from boss.api.answers import Refusal
from boss.api.house import TheCaller, TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.core.tokens import Role
from boss.notices.delivery import UnknownTarget

router = APIRouter(tags=["look"], route_class=Guarded)


class Wanted(BaseModel):
    """Which target; empty: all of them."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field("", max_length=40)


class TriedOut(BaseModel):
    """How a test message went: ``to`` is an address, empty for a webhook; ``said`` is what the other side answered."""

    target: str
    to: str
    sent: bool
    said: str


@router.post("/notify/test", openapi_extra=needs(Role.ADMIN))
async def notify_test(house: TheHouse, caller: TheCaller, body: Wanted) -> list[TriedOut]:
    """Send a test message to one target or to all, at once; ``owner`` is whoever asks."""
    try:
        tried = await blocking(house.facts.notify_test, body.target, caller.name)
    except UnknownTarget:
        raise Refusal(
            404, f"there is no target {body.target!r}: the settings name it in [notify.targets.{body.target}]"
        ) from None
    if not tried:
        raise Refusal(409, "nobody is told of anything: the settings have no [notify.targets.NAME] (docs/notifications.md)")
    return [TriedOut(target=one.target, to=one.to, sent=one.sent, said=one.said) for one in tried]
