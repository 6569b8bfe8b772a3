"""Many short tasks with outputs and dependencies. What each file has to hold is known beforehand; each attempt leaves a line outside.

Ten leaves write a file each; their join takes these as inputs, waits for its leaves, and writes their numbers.
"""

import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

JOB = "chaos"
#: Leaves of one join.
FAN = 9


def name(number: int) -> str:
    """The id of the task of that number."""
    return f"t{number}"


def output(number: int) -> str:
    """The one file that it yields; a hundred in a folder."""
    return f"out/{number // 100}/{number}.txt"


def content(number: int) -> bytes:
    """What that file holds."""
    leaves = _leaves(number)
    return "".join(f"{leaf}\n" for leaf in leaves or [number]).encode()


def digest(number: int) -> str:
    """Its sha256."""
    return hashlib.sha256(content(number)).hexdigest()


def document(count: int, journals: Path, seconds: float) -> dict[str, Any]:
    """The task file; each attempt appends ``task attempt`` to the journal of its worker in ``journals``."""
    return {"job": JOB, "tasks": list(_tasks(count, shlex.quote(str(journals)), seconds))}


def _tasks(count: int, journals: str, seconds: float) -> Iterator[dict[str, Any]]:
    for number in range(count):
        file = output(number)
        inputs = [output(leaf) for leaf in _leaves(number)]
        work = f"cat {' '.join(inputs)} > {file}" if inputs else f"echo {number} > {file}"
        yield {
            "id": name(number),
            "command": f'echo "$ECLOUD_TASK $ECLOUD_ATTEMPT" >> {journals}/"$ECLOUD_WORKER"; '
            f"mkdir -p {Path(file).parent}; sleep {seconds:g}; {work}",
            "outputs": [file],
            "memory": "16M",
            "disk": "16M",
            **({"inputs": inputs} if inputs else {}),
        }


def _leaves(number: int) -> list[int]:
    """The tasks whose files a join takes; none for a leaf."""
    return list(range(number - FAN, number)) if number % (FAN + 1) == FAN else []
