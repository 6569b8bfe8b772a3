"""What became of a job, as the API answers it: for reports, and for provenance. The rules are those of ``boss.api.shapes``."""

from pydantic import BaseModel

from boss.api.shapes import Plain, ResultFile
from boss.api.shapes_task import MadeOf


class PastAttemptOut(Plain):
    """One execution of a task, without what it has written."""

    number: int
    worker: str
    state: str
    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    assigned: float
    started: float | None
    finished: float | None
    usage: dict[str, float]


class PastTaskOut(Plain):
    """One task with all its attempts. ``after`` are the ``index`` of the tasks that it waited for, ``template`` is one of ``entries``."""

    index: int
    id: str
    state: str
    template: int
    finished: float | None
    after: list[int]
    attempts: list[PastAttemptOut]


class EntryOut(BaseModel):
    """An entry of the task file: its id as it is written there (``run-{T}``), and the cpus that each of its tasks asks for."""

    name: str
    cpus: float
    init: bool


class HistoryPage(BaseModel):
    """Tasks by place in the job, and the entries that they are of, by number; ``next`` goes into ``after``, null at the end."""

    tasks: list[PastTaskOut]
    entries: dict[int, EntryOut]
    next: int | None


class MachineOut(BaseModel):
    """A worker that ran attempts of a job, and its VM. ``cpus`` is null where nobody knows any more.

    ``provider`` is ``local`` for processes of the boss's own machine. Without a VM ``pool``, ``flavor`` and ``provider`` are empty and
    ``created`` is null; ``ended`` is null while the VM is there. ``first`` is when the first task of any job was
    dealt to it, ``others`` what tasks of other jobs had there, in CPU seconds by their ``cpus``.
    """

    id: str
    pool: str
    provider: str
    flavor: str
    state: str
    cpus: float | None
    created: float | None
    ended: float | None
    first: float | None
    others: float


class DefinitionOut(BaseModel):
    """An entry of the task file as it is written there (``{T}`` stands for a parameter), defaults filled in; ``parameters`` are names."""

    name: str
    commands: list[str]
    inputs: list[str]
    outputs: list[str]
    env: dict[str, str]
    needs: dict[str, float]
    timeout: float
    retries: int
    init: bool
    parameters: list[str]


class MadeOut(BaseModel):
    """How a task's result was made: what ran, from which files, to which. ``attempt`` is the accepted one, 0 where there is none.

    ``files`` is null where only the datastore knows them.
    """

    index: int
    id: str
    template: int
    state: str
    attempt: int
    reason: str
    worker: str
    exit_code: int | None
    started: float | None
    finished: float | None
    commands: list[str]
    params: dict[str, str | int | float | bool]
    files: list[ResultFile] | None
    made_of: MadeOf | None


class ProvenancePage(BaseModel):
    """How results were made, by place in the job, and the entries by number; ``next`` goes into ``after``, null at the end."""

    tasks: list[MadeOut]
    entries: dict[int, DefinitionOut]
    next: int | None
