"""What one turn of the loop has to make durable: the rows that the reactor touched, each once, however often it was touched."""

from array import array
from dataclasses import dataclass, field

from boss.core.deeds import Entry
from boss.core.model import Attempt, InputSet, Job, Task, Template, Vm, Worker
from boss.core.tokens import Token


@dataclass(slots=True)
class Changes:
    """A unit of work. The objects are the live ones: the store reads them in the same thread, before anything else happens.

    Dicts are used as ordered sets, keyed by identity in the domain. ``new_jobs``, ``new_tasks``, ``new_templates`` and
    ``new_attempts`` are inserted; what is in the plain sets existed before and is updated. An object in a ``new`` set is
    never in the other one. ``redefined_tasks`` (always in ``tasks`` too) also got another template, row, rank or dependencies.
    ``dropped_jobs`` are removed with all their rows. ``context`` and ``tokens`` values of None are removed. ``new_input_sets`` are
    ``(job, number, set)``; ``read_results`` says of a new attempt which results it reads, as ``index, number`` of one attempt after
    the other. Entries of the ``audit`` from before ``audit_before`` (Unix time) are removed.
    """

    new_jobs: dict[str, Job] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    dropped_jobs: set[str] = field(default_factory=set)
    new_templates: list[tuple[str, Template]] = field(default_factory=list)
    new_tasks: dict[tuple[str, int], Task] = field(default_factory=dict)
    tasks: dict[tuple[str, int], Task] = field(default_factory=dict)
    redefined_tasks: dict[tuple[str, int], Task] = field(default_factory=dict)
    new_attempts: dict[str, Attempt] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    new_input_sets: list[tuple[str, int, InputSet]] = field(default_factory=list)
    read_results: dict[str, "array[int]"] = field(default_factory=dict)
    new_workers: dict[str, Worker] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    new_vms: dict[str, Vm] = field(default_factory=dict)
    vms: dict[str, Vm] = field(default_factory=dict)
    context: dict[str, str | None] = field(default_factory=dict)
    tokens: dict[str, Token | None] = field(default_factory=dict)
    audit: list[Entry] = field(default_factory=list)
    audit_before: float = 0.0

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)
