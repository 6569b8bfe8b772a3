"""How refusals look: one JSON object with one clear sentence under ``error``, or a list of problems; never a traceback."""

from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from boss.ports import DatastoreDown, StoreError
from boss.taskfile.problems import Problem, Refused


class Refusal(Exception):
    """A request that is answered with an HTTP status and one sentence; ``nearest`` are names that were perhaps meant."""

    def __init__(self, status: int, error: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(error)
        self.status, self.error, self.nearest = status, error, tuple(nearest)


def refuse(status: int, error: str, nearest: Sequence[str] = ()) -> JSONResponse:
    """The answer for a refusal."""
    return JSONResponse({"error": error, "nearest": list(nearest)}, status)


def list_problems(problems: Sequence[Problem]) -> JSONResponse:
    """The answer for input with problems: 422, each with its task, field and message."""
    shown = [{"task": problem.task, "field": problem.field, "message": problem.message} for problem in problems]
    return JSONResponse({"problems": shown}, 422)


def install(app: FastAPI) -> None:
    """Give the app an answer for everything that its handlers may raise."""

    @app.exception_handler(Refusal)
    async def refusal(request: Request, error: Refusal) -> JSONResponse:
        return refuse(error.status, error.error, error.nearest)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return list_problems(error.problems)

    @app.exception_handler(DatastoreDown)
    async def datastore_down(request: Request, error: DatastoreDown) -> JSONResponse:
        return refuse(503, f"the datastore does not answer: {error}")

    @app.exception_handler(StoreError)
    async def store_error(request: Request, error: StoreError) -> JSONResponse:
        return refuse(503, f"the database does not answer: {error}")

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        sentence = f"there is no {request.url.path}; /docs lists what there is" if error.status_code == 404 else str(error.detail)
        return refuse(error.status_code, sentence)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return list_problems([_problem(item) for item in error.errors()])


def _problem(item: dict[str, object]) -> Problem:
    place = item.get("loc", ())
    field = ".".join(str(part) for part in place) if isinstance(place, tuple | list) else str(place)
    return Problem("", field, str(item.get("msg", "does not fit")))
