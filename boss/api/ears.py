"""Listeners over HTTP: an admin lets programs read events at the broker, by certificates for keys of theirs, and takes them back."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathPart
from pydantic import BaseModel, ConfigDict, Field

from boss.api.answers import Refusal
from boss.api.house import TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.api.targets import nearest, perhaps
from boss.core.tokens import Role
from boss.listeners import ListenerKnown, ListenerTaken

router = APIRouter(tags=["accounts"], route_class=Guarded)

#: How long a listener's certificate is valid without another wish, and at most, in seconds.
MONTH = 30 * 86400.0
LONGEST = 5 * 365 * 86400.0


class ListenerAsked(BaseModel):
    """A listener: ``public_key`` is an ECDSA key in OpenSSH's form (``ssh-keygen -t ecdsa -m PKCS8``); ``lifetime`` in seconds."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
    public_key: str = Field(min_length=20, max_length=1000)
    lifetime: float = Field(MONTH, ge=60.0, le=LONGEST)


class ListenerOut(BaseModel):
    """A listener. Times are Unix seconds."""

    name: str
    issued: float
    expires: float

    @classmethod
    def of(cls, known: ListenerKnown) -> "ListenerOut":
        """From what the port says."""
        return cls(name=known.name, issued=known.issued, expires=known.expires)


class ListenerMade(BaseModel):
    """What a listener needs: its certificate and the CA of the broker's (PEM), where the broker is, what to subscribe to.

    ``remark`` says what is left to be done at a broker that is not the boss's own; empty where nothing is.
    """

    name: str
    expires: float
    certificate: str
    ca: str
    host: str
    port: int
    topic: str
    remark: str


class ListenerGone(BaseModel):
    """A listener that was taken back."""

    name: str
    remark: str


@router.get("/listeners", openapi_extra=needs(Role.ADMIN))
def listeners(house: TheHouse) -> list[ListenerOut]:
    """Who may read events at the broker."""
    return [ListenerOut.of(one) for one in house.facts.listeners.known()]


@router.post("/listeners", openapi_extra=needs(Role.ADMIN))
async def create_listener(house: TheHouse, body: ListenerAsked) -> ListenerMade:
    """Let a program read events at the broker, and nothing else."""
    try:
        pem, expires = await blocking(house.facts.listeners.make, body.name, body.public_key, body.lifetime)
    except ListenerTaken as error:
        raise Refusal(409, str(error)) from None
    except ValueError as error:
        raise Refusal(422, f"public_key: {error}") from None
    place = house.facts.broker
    return ListenerMade(
        name=body.name,
        expires=expires,
        certificate=pem,
        ca=place.ca,
        host=place.host,
        port=place.port,
        topic=place.topic,
        remark=place.remark,
    )


@router.delete("/listeners/{name}", openapi_extra=needs(Role.ADMIN))
async def revoke_listener(house: TheHouse, name: Annotated[str, PathPart(max_length=100)]) -> ListenerGone:
    """Take a listener back: it hears nothing from now on."""
    gone = await blocking(house.facts.listeners.revoke, name)
    if gone is None:
        near = nearest(name, [one.name for one in await blocking(house.facts.listeners.known)])
        raise Refusal(404, f"there is no listener {name!r}{perhaps(near)}", near)
    return ListenerGone(name=name, remark=house.facts.broker.remark)
