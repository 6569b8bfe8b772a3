"""Accounts over HTTP: who am I, and the admin's tokens. A token's text leaves the boss once, in the answer that makes it."""

import secrets
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathPart
from pydantic import BaseModel, ConfigDict, Field

from boss.api.accounts import Accounts, digest_of
from boss.api.answers import Refusal
from boss.api.house import TheCaller, TheHouse
from boss.api.roles import Guarded, needs
from boss.api.targets import nearest, perhaps
from boss.core.requests import TokenMade, TokensRevoked
from boss.core.tokens import LOCAL, Role, Token, check_name

router = APIRouter(tags=["accounts"], route_class=Guarded)

#: The longest life that can be asked for, in seconds: a hundred years.
LONGEST = 100 * 365 * 86400.0


class Me(BaseModel):
    """Whose token this is, and what it may do. ``token`` is its id; ``local`` is the one of the boss's machine."""

    name: str
    role: Role
    token: str
    expires: float | None


class TokenAsked(BaseModel):
    """A token for a name: ``lifetime`` in seconds, null for ever."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    name: str = Field(min_length=1, max_length=200)
    lifetime: float | None = Field(None, ge=1.0, le=LONGEST)


class TokenOut(BaseModel):
    """One token, without its text. Times are Unix seconds; ``used`` is the last request, null for none yet."""

    id: str
    name: str
    role: Role
    created: float | None
    expires: float | None
    expired: bool
    used: float | None


class TokenText(TokenOut):
    """A new token with its text, which is shown here and never again, and the address of the API as people elsewhere should use it."""

    token: str
    api_url: str


class Revoked(BaseModel):
    """The tokens that were taken back; ``jobs`` are the unfinished ones of names that have no token any more: they go on."""

    revoked: list[TokenOut]
    jobs: list[str]


@router.get("/me", openapi_extra=needs(Role.VIEWER))
async def me(caller: TheCaller) -> Me:
    """Whose token this is."""
    return Me(name=caller.name, role=caller.role, token=caller.token, expires=caller.expires)


@router.get("/tokens", openapi_extra=needs(Role.ADMIN))
async def tokens(house: TheHouse) -> list[TokenOut]:
    """All tokens, oldest first; the one of the boss's machine before them. Never their texts."""
    own = [
        TokenOut(id=LOCAL, name=name, role=Role.ADMIN, created=None, expires=None, expired=False, used=None)
        for name in sorted(house.accounts.local_names())
    ]
    return own + [_shown(house.accounts, token) for token in house.accounts.tokens()]


@router.post("/tokens", openapi_extra=needs(Role.ADMIN))
async def create(house: TheHouse, body: TokenAsked) -> TokenText:
    """Make a token for a name. All tokens of one name have one role."""
    try:
        name = check_name(body.name)
    except ValueError as error:
        raise Refusal(422, str(error)) from None
    if name in house.accounts.local_names() and body.role is not Role.ADMIN:
        raise Refusal(409, f"{name} is an admin already (the user of the boss's machine); choose another name")
    text, number = f"ecloud_{secrets.token_urlsafe(32)}", f"tok-{secrets.token_hex(4)}"
    made = await house.ask(lambda reply: TokenMade(number, name, body.role, digest_of(text), body.lifetime, reply))
    return TokenText.model_validate(
        {"id": number, "name": name, "role": body.role, "expired": False, "used": None, "token": text, **made}
        | {"api_url": house.facts.public_url or house.facts.api_url}
    )


@router.delete("/tokens/{which}", openapi_extra=needs(Role.ADMIN))
async def revoke(
    house: TheHouse, caller: TheCaller, which: Annotated[str, PathPart(description="a token's id, or a name: all its tokens")]
) -> Revoked:
    """Take tokens back: they open nothing from now on, and streams that they have open end. Jobs of the name go on."""
    before = house.accounts.tokens()
    found = [token for token in before if which in (token.id, token.name)]
    if not found:
        raise _not_revocable(house.accounts, which)
    if any(token.id == caller.token for token in found) and which != caller.token:
        raise Refusal(409, f"{which} is you: revoke the token that you are using by its id ({caller.token}), if you mean it")
    gone = await house.ask(lambda reply: TokensRevoked(which, reply))
    ids = gone["revoked"]
    assert isinstance(ids, list)
    orphans = {token.name for token in found} - {token.name for token in house.accounts.tokens()} - house.accounts.local_names()
    jobs = [job.name for job in house.view().jobs if job.owner in orphans and job.finished is None]
    return Revoked(revoked=[_shown(house.accounts, token) for token in before if token.id in ids], jobs=jobs)


def _not_revocable(accounts: Accounts, which: str) -> Refusal:
    if which == LOCAL or which in accounts.local_names():
        remedy = "remove api.json from its state folder and start the boss again"
        return Refusal(409, f"the token of the boss's machine ({which}) is not revoked by a command: {remedy}")
    near = nearest(which, [word for token in accounts.tokens() for word in (token.name, token.id)])
    return Refusal(404, f"there is no token with the name or id {which!r}{perhaps(near)}", near)


def _shown(accounts: Accounts, token: Token) -> TokenOut:
    return TokenOut(
        id=token.id,
        name=token.name,
        role=token.role,
        created=token.created,
        expires=token.expires,
        expired=accounts.over(token),
        used=accounts.used(token),
    )
