"""One task: its attempts, evidence and logs, why it waits, what it is made of and what it yields, with a look into its files."""

from fastapi import APIRouter, Request, Response

from boss.api.answers import Refusal
from boss.api.detail import detail_of
from boss.api.house import House, TheHouse, blocking
from boss.api.reading import why
from boss.api.roles import needs
from boss.api.shapes import Why
from boss.api.shapes_task import TaskDetail
from boss.api.streams import written
from boss.core.model import FINAL_STATES, TaskState
from boss.core.tokens import Role
from boss.page.jobs import frame
from boss.page.shown import segment
from boss.page.site import HEADERS, Page, render
from boss.ports import DatastoreDown, Manifest, TaskRow
from datastore import layout

router = APIRouter(include_in_schema=False, route_class=Page)
#: Characters of a log that a page shows (its end), and bytes of a text and of a picture that it shows.
LOG, TEXT, PICTURE = 200_000, 64 * 1024, 8 * 1024 * 1024
#: Bytes of one request for a file that is sent whole.
BLOCK = 4 << 20
#: Results of others whose sizes are looked up for one task's inputs.
MANY = 500
#: What a picture begins with, and how a browser is told what it is. No SVG: it may hold programs.
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"RIFF": "image/webp",
}
_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp")
#: What a file of somebody's may do in a browser: nothing.
CAGED = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def row_of(house: House, job: str, index: int) -> TaskRow:
    """A task by its index. Raises Refusal."""
    row = house.reader.tasks_at(job, [index]).get(index)
    if row is None:
        raise Refusal(404, f"there is no task {index} in job {job!r}")
    return row


@router.get("/jobs/{job}/tasks/{index:int}", openapi_extra=needs(Role.VIEWER))
async def task(request: Request, house: TheHouse, job: str, index: int) -> Response:
    """All of one task."""
    row = await blocking(row_of, house, job, index)
    about = await blocking(frame, request, house, job, "task")
    detail = await blocking(detail_of, house.reader, row)
    reasons: Why | None = None
    if row.state != TaskState.SUCCEEDED:
        reasons = await why(house, f"{row.job}:{row.id}")
    outputs = await blocking(_outputs, house, row)
    return render(
        request,
        "task.html",
        **about,
        row=row,
        task=detail,
        why=reasons,
        outputs=outputs,
        sizes=await blocking(_sizes, house, row, detail),
        final=row.state in FINAL_STATES,
        pictures=_ENDINGS,
        target=f"{row.job}:{row.id}",
    )


def _sizes(house: House, row: TaskRow, detail: TaskDetail) -> dict[str, int]:
    """The bytes of what it was made of, by path, where that is known."""
    if detail.made_of is None:
        return {}
    pushed = house.reader.pushed(row.job)
    sizes = {file.path: pushed[file.path].size for file in detail.made_of.files if file.path in pushed}
    origins = house.reader.origins(row.job, row.index, detail.made_of.attempt)
    made = [pair for pair in origins.results if pair[1]][:MANY] if origins is not None else []
    for _, _, files in house.reader.manifests(row.job, made):
        sizes |= {path: size for path, size, _ in files or ()}
    return sizes


def _outputs(house: House, row: TaskRow) -> Manifest:
    """The accepted files of the task's last success."""
    for attempt in reversed(house.reader.attempts(row.job, row.index)):
        if attempt.state == TaskState.SUCCEEDED:
            for _, _, files in house.reader.manifests(row.job, [(row.index, attempt.number)]):
                return files or ()
    return ()


@router.get("/jobs/{job}/tasks/{index:int}/attempts/{number:int}/{stream}", openapi_extra=needs(Role.VIEWER))
def attempt_log(request: Request, house: TheHouse, job: str, index: int, number: int, stream: str, raw: bool = False) -> Response:
    """What an attempt has written: the end of it in a page, or all of it as text."""
    row = row_of(house, job, index)
    found = next((one for one in house.reader.attempts(job, index) if one.number == number), None)
    if found is None or stream not in ("stdout", "stderr"):
        raise Refusal(404, f"{row.job}:{row.id} has no attempt {number} with a stream {stream!r}")
    text = written(house, row.job, row.id, found, stream)
    if raw:
        return Response(text, media_type="text/plain; charset=utf-8", headers=CAGED)
    return render(
        request,
        "log.html",
        text=text[-LOG:],
        cut=max(0, len(text) - LOG),
        row=row,
        number=number,
        stream=stream,
        job={"name": job},
    )


@router.get("/jobs/{job}/preview", openapi_extra=needs(Role.VIEWER))
def preview(request: Request, house: TheHouse, job: str, path: str) -> Response:
    """A look into a result: the beginning of a text, or a picture."""
    _checked(path)
    (data,) = house.datastore.read_results(house.targets.job(job).name, [(path, 0, TEXT + 1)])
    if data is None:
        raise Refusal(404, f"there is no result {path!r} of job {job}")
    kind = picture_of(data)
    text = None if kind else text_of(data[:TEXT])
    return render(request, "preview.html", path=path, job={"name": job}, picture=bool(kind), text=text, cut=len(data) > TEXT)


@router.get("/jobs/{job}/file", openapi_extra=needs(Role.VIEWER))
def file(house: TheHouse, job: str, path: str, download: bool = False) -> Response:
    """A result as it is: a picture to be shown, or any file to be kept; a browser runs nothing of it."""
    name = house.targets.job(job).name
    size = next((size for one, size, _ in house.datastore.listing(name) if one == path), None)
    if size is None:
        raise Refusal(404, f"there is no result {path!r} of job {job}")
    most = LARGEST if download else PICTURE
    if size > most:
        raise Refusal(
            413, f"{path} has {size:,} bytes, more than the {most:,} that a page takes: `admin.py fetch {name} {path}` does"
        )
    pieces: list[bytes] = []
    while (got := sum(map(len, pieces))) < size:
        (piece,) = house.datastore.read_results(name, [(path, got, BLOCK)])
        if not piece:
            raise DatastoreDown(f"{path} ended after {got:,} of {size:,} bytes; look again")
        pieces.append(piece)
    data = b"".join(pieces)
    kind = picture_of(data)
    if download or kind is None:
        disposition = f"attachment; filename*=UTF-8''{segment(path.rsplit('/', 1)[-1])}"
        return Response(
            data, media_type="application/octet-stream", headers=HEADERS | CAGED | {"Content-Disposition": disposition}
        )
    return Response(data, media_type=kind, headers=CAGED)


#: Bytes of a file that the page sends at most; ``fetch`` has no limit, resumes and verifies.
LARGEST = 64 * 1024 * 1024


def _checked(path: str) -> None:
    """Raises Refusal for what is no path of a result."""
    try:
        layout.check_path(path)
    except layout.PathRefused as error:
        raise Refusal(422, f"a result's path {error}") from None


def picture_of(data: bytes) -> str | None:
    """The type of a picture that browsers show, by what it begins with."""
    kind = next((kind for magic, kind in PICTURES.items() if data.startswith(magic)), None)
    return None if kind == "image/webp" and data[8:12] != b"WEBP" else kind


def text_of(data: bytes) -> str | None:
    """The text that these bytes are; None for what is no text."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return data[: error.start].decode("utf-8") if error.start >= len(data) - 4 else None
