"""Which role each route takes. A route without one cannot be written down.

Rules:
- Every router of the API is made with ``route_class=Guarded``; every route says ``openapi_extra=needs(Role...)``, which OpenAPI shows too.
- The role is looked at before the body is read. What depends on the job (whose is it?) is ``accounts.must_own``.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from boss.api.accounts import Caller
from boss.api.answers import Refusal
from boss.core.tokens import Role

#: Where a route's role is written, in its part of the OpenAPI document; null: no token is needed.
FIELD = "x-role"


def needs(role: Role | None, **more: Any) -> dict[str, Any]:
    """The ``openapi_extra`` of a route for this role and those above it (None: for anybody), beside whatever else is said there."""
    return {FIELD: role, **more}


class Guarded(APIRoute):
    """A route that looks at its caller's role first. Raises TypeError when it was not given one."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra: Mapping[str, Any] = options.get("openapi_extra") or {}
        if FIELD not in extra:
            raise TypeError(f"the route {path} does not say whom it is for: openapi_extra=needs(Role...)")
        self.role: Role | None = extra[FIELD]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind the guard."""
        handle, role = super().get_route_handler(), self.role

        async def guarded(request: Request) -> Response:
            if role is not None:
                must_be(cast(Caller, request.scope["state"]["caller"]), role)
            return await handle(request)

        return guarded


def must_be(caller: Caller, role: Role) -> None:
    """Raises Refusal unless the caller's role covers this one."""
    if caller.role.covers(role):
        return
    if role is Role.ADMIN:
        raise Refusal(403, f"this is for admins only, you are {caller}: ask an admin")
    raise Refusal(403, f"you are {caller}: viewers see everything and change nothing; the job's owner or an admin may")


def roles_of(routes: Sequence[BaseRoute]) -> dict[tuple[str, str], Role | None]:
    """``(method, path) -> role`` of every route of the API. Raises TypeError for one that has no guard."""
    found: dict[tuple[str, str], Role | None] = {}
    for context in iter_route_contexts(routes):
        route, path = context.original_route, str(context.path)
        if isinstance(route, Guarded):
            found |= {(method, path): route.role for method in sorted(context.methods or ())}
        elif path.startswith(("/api/", "/metrics")):
            raise TypeError(f"the route {path} has no guard: make its router with route_class=Guarded")
    return found
