"""Requirements of the original's dialects that nobody yields and that do not lie in the job's folder: no error, but worth a note.

Rules:
- The original wanted such files on the datastore before; they may still come there by hand, so a push is not refused for them.
- Each path is told once, with the first task that names it. Those that lie beside the task file come first: they were most likely
  forgotten, and there is a remedy.
"""

import shlex
from collections.abc import Collection, Iterator

from boss.taskfile.problems import quoted

#: How many paths are told.
_TOLD = 20


class Missing:
    """What was looked for in vain. ``beside`` are the requirements that the sender has found beside the task file."""

    def __init__(self, beside: Collection[str]) -> None:
        self._beside = beside
        self._found: dict[str, tuple[str, str, int]] = {}  # by path: the first task and field that name it, and how many do

    def add(self, task: str, field: str, path: str) -> None:
        """One more task that reads such a file."""
        first, place, count = self._found.get(path, (task, field, 0))
        self._found[path] = first, place, count + 1

    def notes(self) -> Iterator[str]:
        """A sentence for each path, of a bounded number."""
        told = sorted(self._found.items(), key=lambda item: item[0] not in self._beside)
        for path, (task, field, count) in told[:_TOLD]:
            others = f" ({count - 1:,} more task{'s' * (count > 2)} read it too)" if count > 1 else ""
            yield f"{task}: {field}: {quoted(path)} is yielded by no task and is not in the job's folder{others}{self._remedy(path)}"
        if len(told) > _TOLD:
            yield f"{len(told) - _TOLD:,} more requirements are yielded by no task and are not in the job's folder"

    def _remedy(self, path: str) -> str:
        option = f"--files {shlex.quote(path)}"
        if path in self._beside:
            return f"; it lies beside the task file: push it with {option}"
        return f": what is not there when the task runs makes it fail in phase fetch (a local file is pushed with {option})"
