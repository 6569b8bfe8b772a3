"""The page's frame: its routes' class, its templates, its files, and the headers that bind what a browser may do with it.

Rules:
- Whoever has no session sees the log-in and the files that it takes, nothing else; a part that a page asks for without one is answered
  401, and the script goes to the log-in.
- No script and no style stands in a page (``CSP``); everything that is shown is escaped by the templates' autoescape.
- A refusal of what a page asks for is a page with its sentence.
"""

import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import jinja2
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup, escape

from boss.api.accounts import Caller, may_change
from boss.api.answers import Refusal
from boss.api.house import House
from boss.api.roles import FIELD, Guarded, needs
from boss.core.tokens import Role
from boss.page import shown
from boss.ports import DatastoreDown, StoreError

HERE = Path(__file__).resolve().parent
#: What a page may do in a browser: its own files, and calls of its own boss.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_TEXT = "; charset=utf-8"
_TYPES = {".css": "text/css" + _TEXT, ".js": "text/javascript" + _TEXT, ".svg": "image/svg+xml", ".txt": "text/plain" + _TEXT}
_FILES = {
    str(path.relative_to(HERE / "static")): (path.read_bytes(), _TYPES[path.suffix])
    for path in sorted((HERE / "static").rglob("*"))
    if path.suffix in _TYPES
}
#: Changes with the files, so that browsers may keep them.
EDITION = hashlib.sha256(b"".join(data for data, _ in _FILES.values())).hexdigest()[:12]

public = APIRouter(include_in_schema=False, route_class=Guarded)


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        ticked=ticked,
        kind=shown.kind,
        count=shown.count,
        size=shown.size,
        span=shown.span,
        iso=shown.iso,
        clock=shown.clock,
        segment=shown.segment,
    )
    made.globals.update(edition=EDITION, bar=shown.bar, percent=shown.percent, order=shown.ORDER)
    return made


def ticked(sentence: str) -> Markup:
    """A sentence of the boss, in which commands stand between backticks: escaped, and these as code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:  # a backtick of somebody's own
        return escape(sentence)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


class Page(Guarded):
    """A route of the page: without a session it leads to the log-in, and its refusals are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the log-in."""
        handle = super().get_route_handler()

        async def paged(request: Request) -> Response:
            if visitor(request) is None:
                return _to_log_in(request)
            try:
                return await handle(request)
            except Refusal as refusal:
                return trouble(request, refusal.status, refusal.error)
            except DatastoreDown as error:
                return trouble(request, 503, f"the datastore does not answer: {error}")
            except StoreError as error:
                return trouble(request, 503, f"the database does not answer: {error}")

        return paged


TEMPLATES = _environment()


def visitor(request: Request) -> Caller | None:
    """Who looks, as the door has found it; None before the log-in."""
    return cast("Caller | None", request.scope.get("state", {}).get("caller"))


def render(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """A page of a template, for whoever looks."""
    who = visitor(request)
    house: House = request.app.state.house
    values |= {
        "who": who,
        "is_admin": who is not None and who.role is Role.ADMIN,
        "is_researcher": who is not None and who.role.covers(Role.RESEARCHER),
        "may_change": lambda owner: who is not None and may_change(who, owner),
        "path": request.url.path,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "version": house.facts.version,
        "now": house.view().taken,
    }
    return HTMLResponse(TEMPLATES.get_template(template).render(values), status, HEADERS)


def trouble(request: Request, status: int, sentence: str) -> HTMLResponse:
    """A page with what is wrong."""
    return render(request, "trouble.html", status, sentence=sentence, code=status)


def _to_log_in(request: Request) -> Response:
    if request.headers.get("hx-request") or request.headers.get("accept", "").startswith("text/event-stream"):
        return Response(status_code=401, headers=HEADERS)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/login" if path == "/" else f"/login?next={shown.segment(path)}", 303, HEADERS)


@public.get("/login", openapi_extra=needs(None))
async def login(request: Request) -> Response:
    """Where a token is shown; the script sends it to the API, as every program does."""
    return render(request, "login.html")


@public.get("/docs", openapi_extra=needs(None))
async def docs(request: Request) -> Response:
    """Every call of the API, from its own description. (The pages that FastAPI has for this load scripts from another host.)"""
    document: dict[str, Any] = request.app.openapi()
    calls: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            kind = (call.get("tags") or ["other"])[0]
            calls.setdefault(kind, []).append({"method": method.upper(), "path": path, "id": call["operationId"], **_told(call)})
    return render(request, "calls.html", calls=calls, about=document["info"].get("description", ""))


def _told(call: dict[str, Any]) -> dict[str, Any]:
    """What is said of one call: its summary, its description, who may, its parameters and what its body is."""
    contents = call.get("requestBody", {}).get("content", {})
    bodies = [
        f"{kind} {content.get('schema', {}).get('$ref', '').rpartition('/')[2]}".strip() for kind, content in contents.items()
    ]
    return {
        "summary": call.get("summary", ""),
        "description": call.get("description", ""),
        "role": call.get(FIELD) or "anybody",
        "parameters": call.get("parameters", []),
        "bodies": bodies,
    }


@public.get("/static/{name:path}", openapi_extra=needs(None))
async def static(name: str) -> Response:
    """One of the page's own files, by its exact name."""
    found = _FILES.get(name)
    if found is None:
        return Response("there is no such file\n", 404, media_type="text/plain")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return Response(found[0], media_type=found[1], headers=headers)
