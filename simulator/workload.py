"""Jobs for the simulator: task rows with the run times that the simulated workers take. From traces of real workflows (WfFormat).

Rules:
- The graph is read as a push reads it (``boss.taskfile.wfformat``); each task asks for one cpu.
- Known run times are hints of the templates; unknown ones stay with the simulated workers, and the boss learns them while it runs. The
  command is the traced program's, so that what is learned of one task is known of others with the same program.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boss.core.model import TaskSpec, Template
from boss.taskfile import wfformat
from boss.taskfile.problems import Problems


@dataclass(slots=True)
class Workload:
    """One job: ``runtimes`` in seconds by index."""

    name: str
    templates: tuple[Template, ...]
    tasks: tuple[TaskSpec, ...]
    runtimes: list[float] = field(default_factory=list)

    @property
    def work(self) -> float:
        """The sum of all run times."""
        return sum(self.runtimes)

    @property
    def critical_path(self) -> float:
        """The longest chain, in seconds."""
        return max(self._ends(), default=0.0)

    @property
    def widest(self) -> int:
        """The most tasks that would run at once if there were a VM for each."""
        ends = self._ends()
        moments = [(end - runtime, 1) for end, runtime in zip(ends, self.runtimes, strict=True) if runtime > 0]
        moments += [(end, -1) for end, runtime in zip(ends, self.runtimes, strict=True) if runtime > 0]
        most = now = 0
        for _, change in sorted(moments):
            now += change
            most = max(most, now)
        return most

    def _ends(self) -> list[float]:
        ends = [0.0] * len(self.tasks)
        for number in in_order([task.dependencies for task in self.tasks]):
            above = max((ends[other] for other in self.tasks[number].dependencies), default=0.0)
            ends[number] = above + self.runtimes[number]
        return ends


def read_trace(path: Path, known: bool = True) -> Workload:
    """The workload of a trace. Raises Refused, ValueError or OSError."""
    document = json.loads(path.read_text())
    if not isinstance(document, dict) or not wfformat.is_trace(document):
        raise ValueError(f"{path}: not a WfFormat document")
    problems = Problems()
    trace = wfformat.read(document, problems)
    problems.raise_if_any()
    programs = _programs(document)
    numbers = {task.id: number for number, task in enumerate(trace.tasks)}
    yielders: dict[str, list[int]] = {}
    for number, task in enumerate(trace.tasks):
        for name in task.outputs:
            yielders.setdefault(name, []).append(number)
    above: list[tuple[int, ...]] = []
    for number, task in enumerate(trace.tasks):
        found = {numbers[parent] for parent in task.parents}
        for name in task.inputs:
            others = [other for other in yielders.get(name, ()) if other != number]
            if len(others) == 1:
                found.update(others)
        above.append(tuple(sorted(found)))
    ranks = _ranks(above)
    templates, specs = [], []
    for number, task in enumerate(trace.tasks):
        command = programs.get(task.id) or re.sub(r"[\d_]+$", "", task.id)
        templates.append(Template(number, task.id, (command,), runtime=max(task.runtime, 0.001) if known else 0.0))
        specs.append(TaskSpec(number, task.id, number, 0, above[number], ranks[number]))
    return Workload(path.stem, tuple(templates), tuple(specs), [task.runtime for task in trace.tasks])


def _programs(document: Mapping[str, Any]) -> dict[str, str]:
    execution = document["workflow"].get("execution") or {}
    found: dict[str, str] = {}
    for task in execution.get("tasks") or ():
        program = (task.get("command") or {}).get("program")
        if isinstance(program, str) and program:
            found[task["id"]] = program
    return found


def in_order(above: Sequence[Sequence[int]]) -> list[int]:
    """The nodes of a graph, each after all that it waits for."""
    below: list[list[int]] = [[] for _ in above]
    missing = [len(others) for others in above]
    for number, others in enumerate(above):
        for other in others:
            below[other].append(number)
    order = [number for number, count in enumerate(missing) if not count]
    for number in order:
        for other in below[number]:
            missing[other] -= 1
            if not missing[other]:
                order.append(other)
    if len(order) < len(above):
        raise ValueError("the tasks wait for each other in a circle")
    return order


def _ranks(above: Sequence[Sequence[int]]) -> list[int]:
    """The longest chain below each node."""
    ranks = [0] * len(above)
    for number in reversed(in_order(above)):
        for other in above[number]:
            ranks[other] = max(ranks[other], ranks[number] + 1)
    return ranks
