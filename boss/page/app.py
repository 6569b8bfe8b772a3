"""The page, put into the app of the API."""

from collections import OrderedDict

from fastapi import FastAPI

from boss.api.house import House
from boss.api.roles import roles_of
from boss.page import fleet, jobs, live, overview, site, tasks
from boss.page.history import History


def install(app: FastAPI) -> History:
    """Serve the page beside the API. What comes back looks at the boss while it is entered; without that the charts stay empty."""
    house: House = app.state.house
    app.state.history = History(house.desk, house.datastore)
    app.state.failures, app.state.links = OrderedDict(), OrderedDict()
    for part in (site.public, overview.router, jobs.router, tasks.router, fleet.router, live.router):
        app.include_router(part)
    roles_of(app.routes)  # raises for a route that nobody guards
    history: History = app.state.history
    return history
