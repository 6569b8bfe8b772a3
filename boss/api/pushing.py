"""The push over HTTP: the task file comes in, is validated, and is opened as a job after its files were uploaded."""

import secrets
import shutil
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from boss.api.answers import Refusal
from boss.api.bodies import Key, PushOptions
from boss.api.door import MARGIN, too_long
from boss.api.house import TheCaller, TheHouse, blocking
from boss.api.pushes import Pushes
from boss.api.roles import Guarded, must_be, needs
from boss.api.shapes_house import AccessOut
from boss.api.shapes_push import Opened, PushSummary
from boss.core.tokens import LOCAL, Role
from boss.taskfile.problems import Problem, Refused, quoted

router = APIRouter(tags=["push"], route_class=Guarded)

#: How many CSV files may come along with a task file.
MAX_CSV = 1000

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["tasks"],
                    "properties": {
                        "options": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "description": "PushOptions as JSON",
                        },
                        "tasks": {"type": "string", "format": "binary", "description": "the task file"},
                        "signature": {
                            "type": "string",
                            "format": "binary",
                            "description": "the signed document of the job, its signature before it (docs/signed-jobs.md)",
                        },
                        "csv": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "the CSV files that its foreach name, by their file names or by `options.csv`",
                        },
                    },
                }
            }
        },
    }
}


def pushes_of(request: Request) -> Pushes:
    """The planned pushes of this app."""
    pushes: Pushes = request.app.state.pushes
    return pushes


ThePushes = Annotated[Pushes, Depends(pushes_of)]


@router.post("/pushes", openapi_extra=needs(Role.VIEWER, **_BODY))
async def plan(request: Request, house: TheHouse, pushes: ThePushes, caller: TheCaller) -> PushSummary:
    """Validate a task file (part ``tasks``) with what the sender wants of it (part ``options``). Changes nothing yet.

    A viewer may do so with ``dry_run`` only. The CSV files that it names come as parts ``csv``.
    """
    async with request.form(max_files=2 + MAX_CSV, max_fields=2, max_part_size=MARGIN) as form:
        tasks = form.get("tasks")
        if not isinstance(tasks, UploadFile):
            raise Refusal(422, "send the task file as the part `tasks` of multipart/form-data, with a file name")
        options = _options(await _text(form.get("options")))
        if not options.dry_run:
            must_be(caller, Role.RESEARCHER)
        tables = _tables(form.getlist("csv"), options)
        if sum(part.size or 0 for part in (tasks, *tables.values())) > house.facts.max_task_file:
            raise HTTPException(413, too_long(house.facts.max_task_file))
        signature = form.get("signature")
        if signature is not None and not isinstance(signature, UploadFile):
            raise Refusal(422, "send the signed document as a part `signature` with a file name")
        received = house.facts.received / f"received-{secrets.token_hex(16)}"
        stored = {name: received / f"{number}.csv" for number, name in enumerate(tables)}
        try:
            await blocking(_store, tasks.file, received / "tasks.json")
            for name, part in tables.items():
                await blocking(_store, part.file, stored[name])
            signed = None if signature is None else received / "signed"
            if signature is not None:
                await blocking(_store, signature.file, received / "signed")
            return await pushes.plan(options, received / "tasks.json", stored, caller, signed)
        finally:
            await blocking(shutil.rmtree, received, ignore_errors=True)


def _tables(parts: list[UploadFile | str], options: PushOptions) -> dict[str, UploadFile]:
    """The CSV files that came along, by the names that the task file has for them. Raises Refusal or Refused."""
    files = [part for part in parts if isinstance(part, UploadFile)]
    if len(files) != len(parts):
        raise Refusal(422, "send each CSV file as a part `csv` with a file name (curl: -F csv=@params.csv)")
    names = [part.filename or "" for part in files] if options.csv is None else options.csv
    if len(names) != len(files):
        sent = "1 part `csv` was" if len(files) == 1 else f"{len(files)} parts `csv` were"
        message = f"names {len(names)} files, but {sent} sent"
        raise Refused([Problem("", "options.csv", message)])
    tables = dict(zip(names, files, strict=True))
    if len(tables) != len(files):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused([Problem("", "csv", f"{quoted(twice)} was sent twice")])
    return tables


async def _text(part: UploadFile | str | None) -> str | bytes:
    return await part.read() if isinstance(part, UploadFile) else part or "{}"


def _options(text: str | bytes) -> PushOptions:
    try:
        return PushOptions.model_validate_json(text)
    except ValidationError as error:
        places = [(".".join(str(part) for part in item["loc"]), item["msg"]) for item in error.errors()]
        raise Refused([Problem("", f"options.{place}" if place else "options", message) for place, message in places]) from None


def _store(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


@router.post("/pushes/{push}/open", openapi_extra=needs(Role.RESEARCHER))
async def open_push(push: str, pushes: ThePushes, caller: TheCaller) -> Opened:
    """Make the job (or extend it) now that its files are uploaded; asked again, it answers the same job."""
    return await pushes.open(push, caller.name)


@router.delete("/pushes/{push}", status_code=204, openapi_extra=needs(Role.RESEARCHER))
async def drop(push: str, pushes: ThePushes, caller: TheCaller) -> Response:
    """Give a planned push up."""
    await pushes.drop(push, caller.name)
    return Response(status_code=204)


@router.post("/certificates", openapi_extra=needs(Role.VIEWER))
def certificate(house: TheHouse, caller: TheCaller, body: Key) -> AccessOut:
    """An hour's access to the datastore for a key of the caller's own: viewers fetch, researchers also send files to be pushed."""
    try:
        return AccessOut.of(
            house.issuer.access(
                body.public_key, caller.name, caller.role, caller.expires, "" if caller.token == LOCAL else caller.token
            )
        )
    except ValueError as error:
        raise Refusal(422, f"no certificate: {error}") from None
