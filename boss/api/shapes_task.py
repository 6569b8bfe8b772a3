"""One task in full, and the graph of a job, as the API answers them. The rules are those of ``boss.api.shapes``."""

from pydantic import BaseModel

from boss.api.shapes import Plain, TaskOut


class AttemptOut(Plain):
    """One execution. ``stdout`` and ``stderr`` are tails (at most 4 KiB) of what was written (``*_size`` bytes in all)."""

    number: int
    state: str
    worker: str
    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    assigned: float
    started: float | None
    finished: float | None
    usage: dict[str, float]
    stdout: str
    stderr: str
    stdout_size: int
    stderr_size: int
    stored_logs: bool


class InputOut(BaseModel):
    """An input: where it lies in the job's folder, and where in the attempt's."""

    source: str
    to: str


class OutputOut(BaseModel):
    """An output: where it lies in the attempt's folder, and where in the job's."""

    path: str
    to: str
    optional: bool


class SourceOut(BaseModel):
    """A file that an attempt was made of: pushed (``task`` is empty), or accepted from attempt ``attempt`` of a task.

    ``sha256`` is empty where it is not known; then ``path`` is the input as it is written.
    """

    path: str
    sha256: str
    task: str
    attempt: int


class MadeOf(BaseModel):
    """What an attempt was made of: the one that made the result, or the last one. At most 10,000 files are named; ``more`` are not."""

    attempt: int
    files: list[SourceOut]
    more: int


class SignatureOut(BaseModel):
    """Who has signed a task's definition: name, and the key's fingerprint.

    ``expires`` (Unix seconds) is until when that counts, ``document`` the sha256 of the signed document.
    """

    signer: str
    key: str
    expires: float
    document: str


class TaskDetail(TaskOut):
    """A task with its definition as it runs, defaults filled in. ``memory`` null: the worker's memory x cpus / slots.

    ``dependencies`` are the ids of the tasks that it waits for (``after``: the same), ``dependents`` of those that wait for it.
    ``newer`` are paths among its files that are newer on the datastore than what is told here: the database came from a back-up.
    """

    commands: list[str]
    inputs: list[InputOut]
    outputs: list[OutputOut]
    env: dict[str, str]
    cpus: float
    memory: float | None
    needs: dict[str, float]
    timeout: float
    retries: int
    priority: int
    init: bool
    after: list[str]
    dependencies: list[str]
    dependents: list[str]
    failures: int
    losses: int
    attempts: list[AttemptOut]
    made_of: MadeOf | None
    newer: list[str] = []
    signed: SignatureOut | None = None


class Node(BaseModel):
    """A task in a graph."""

    id: str
    state: str


class Edge(BaseModel):
    """``target`` waits for ``source``."""

    source: str
    target: str


class Graph(BaseModel):
    """A job's tasks and who waits for whom, as ``networkx.node_link_graph`` reads it."""

    directed: bool = True
    multigraph: bool = False
    graph: dict[str, str]
    nodes: list[Node]
    edges: list[Edge]
