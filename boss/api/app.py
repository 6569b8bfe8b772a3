"""The boss's HTTP API as one FastAPI app, put together from its ports. Paths begin with /api/v1; OpenAPI at /docs."""

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from boss.api import (
    answers,
    auditing,
    commands,
    ears,
    failing,
    fleet,
    listening,
    log_in,
    machines,
    notifying,
    past,
    pushing,
    reading,
    scraping,
    tokens,
    trials,
)
from boss.api.accounts import Accounts
from boss.api.door import Door
from boss.api.house import ApiFacts, House
from boss.api.loghub import LogHub
from boss.api.noting import Notes
from boss.api.pushes import Pushes
from boss.api.roles import roles_of
from boss.api.sessions import Sessions
from boss.api.shapes import REFUSALS
from boss.ports import Datastore, Desk, Intake, Issuer, Reader

PREFIX = "/api/v1"
ABOUT = """Everything that `admin.py` and `push_tasks.py` can do, for programs.
Each request carries the header `Authorization: Bearer <token>`; on the boss's machine the token is in `api.json` of the state folder.
`x-role` of a call is the role that it takes: viewer, researcher or admin; what changes a job takes its owner or an admin."""


def create_app(
    desk: Desk,
    reader: Reader,
    datastore: Datastore,
    issuer: Issuer,
    intake: Intake,
    facts: ApiFacts,
    hub: LogHub | None = None,
) -> FastAPI:
    """The app that serves these ports. Give the broker ``hub.publish`` so that logs can be followed."""
    accounts = Accounts(desk, facts.tokens)
    house = House(desk, reader, datastore, issuer, intake, facts, hub or LogHub(), accounts)
    app = FastAPI(
        title="ecloud",
        version=facts.version,
        description=ABOUT,
        responses=REFUSALS,
        docs_url=None,  # these load scripts from another host; ``boss.page`` has one of its own
        redoc_url=None,
    )
    app.state.house = house
    app.state.pushes = Pushes(house)
    app.state.sessions = Sessions(accounts)
    answers.install(app)
    for part in (
        reading,
        failing,
        past,
        commands,
        fleet,
        pushing,
        listening,
        machines,
        tokens,
        log_in,
        ears,
        auditing,
        trials,
        notifying,
    ):
        app.include_router(part.router, prefix=PREFIX)
    app.include_router(scraping.router)
    roles_of(app.routes)  # raises for a route that nobody guards
    app.add_middleware(
        Door,
        accounts=accounts,
        max_task_file=facts.max_task_file,
        notes=Notes(desk),
        sessions=app.state.sessions,
        cookie=log_in.cookie_name(facts.api_url),
    )
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI) -> dict[str, object]:
    """The OpenAPI document, with the bearer token that the door asks for."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema
