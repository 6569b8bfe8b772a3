"""Logging in to the web page: ``POST /session`` with a token, as any other call has it, makes a cookie; ``DELETE /session`` ends it.

Rules:
- The cookie is out of reach of scripts (HttpOnly), comes with no request that another site has caused (SameSite=Strict), and where the
  API speaks TLS goes over nothing else (Secure).
- A wrong token is refused, counted and noted at the door like everywhere.
"""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from boss.api.answers import Refusal
from boss.api.house import TheCaller, TheHouse
from boss.api.roles import Guarded, needs
from boss.api.sessions import LONGEST, WORD_HEADER, Sessions
from boss.core.tokens import Role

router = APIRouter(tags=["accounts"], route_class=Guarded)


class Begun(BaseModel):
    """A session: the word goes into the header ``X-Ecloud-Word`` of every call that is made by its cookie."""

    word: str
    name: str
    role: Role


class Ended(BaseModel):
    """The session is over."""

    ended: bool = True


def cookie_name(url: str) -> str:
    """What the cookie of the boss at this address is called: bosses on one host have several (a cookie knows no port)."""
    parts = urlsplit(url)
    return f"{'__Host-' if parts.scheme == 'https' else ''}ecloud-{parts.port or 443}"


def cookie_of(header: str, name: str) -> str:
    """The value of a cookie in the header ``Cookie``; empty where it is not."""
    for part in header.split(";"):
        key, equals, value = part.strip().partition("=")
        if equals and key == name:
            return value
    return ""


@router.post("/session", openapi_extra=needs(Role.VIEWER))
async def begin(request: Request, response: Response, house: TheHouse, caller: TheCaller) -> Begun:
    """Begin a session of the web page, with the token of this request."""
    if caller.session:
        raise Refusal(409, "a session is begun with a token, not with another session")
    sessions: Sessions = request.app.state.sessions
    cookie, word = sessions.begin(caller)
    secure = house.facts.api_url.startswith("https:") or request.url.scheme == "https"
    response.set_cookie(
        cookie_name(house.facts.api_url), cookie, max_age=int(LONGEST), path="/", secure=secure, httponly=True, samesite="strict"
    )
    return Begun(word=word, name=caller.name, role=caller.role)


@router.delete("/session", openapi_extra=needs(Role.VIEWER))
async def end(request: Request, response: Response, house: TheHouse, caller: TheCaller) -> Ended:
    """End the session by which this request comes: its pages and streams show nothing more."""
    if not caller.session:
        raise Refusal(409, f"this request has a token, and no session to end (a cookie, and the header {WORD_HEADER})")
    sessions: Sessions = request.app.state.sessions
    sessions.end(caller)
    secure = house.facts.api_url.startswith("https:") or request.url.scheme == "https"
    response.delete_cookie(cookie_name(house.facts.api_url), path="/", secure=secure, httponly=True, samesite="strict")
    return Ended()
