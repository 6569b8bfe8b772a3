"""Names for the shell's Tab key: jobs, tasks, workers, VMs, asked of the boss within a second, or none.

Rules:
- The shell waits while this asks: after PATIENCE seconds, and whenever anything is wrong, there is simply nothing to offer.
- Nothing is printed but names. What a shell would read otherwise than it stands (quotes, spaces, control characters) is not offered.
- bash takes a ``:`` for the end of a word. So the words are joined again before they are read, and what stands before the last ``:`` is
  taken off what is offered, because bash keeps it.
"""

import contextlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from client import Client
from client.commands.tables import clean

#: Seconds that a Tab may take, and names that it offers at most.
PATIENCE = 1.0
MOST = 100
#: What a name may consist of to be offered.
_PLAIN = re.compile(r"[\w.,:@%+=/-]+")
#: How the variable is called by which a shell asks, and what it holds when bash does.
_ASKED, _BASH = re.compile(r"_.+_COMPLETE"), "complete_bash"


def jobs(incomplete: str) -> list[str]:
    """Names of jobs, the newest first."""
    return _offered(lambda client: [job["name"] for job in reversed(client.jobs())], incomplete)


def targets(incomplete: str) -> list[str]:
    """Names of jobs; behind ``JOB:``, or where only one job is left, its tasks."""

    def ask(client: Client) -> Iterable[str]:
        job, colon, part = incomplete.partition(":")
        if not colon:
            names = [one["name"] for one in reversed(client.jobs()) if one["name"].startswith(incomplete)]
            if len(names) != 1:
                return names
            job, part = names[0], ""
        pattern = re.sub(r"([*?\[])", r"[\1]", part) + "*"
        question: dict[str, Any] = {"target": f"{job}:{pattern}", "limit": MOST}
        return [f"{job}:{task['id']}" for task in client.connection.get("/tasks", question)["tasks"]]

    return _offered(ask, incomplete)


def workers(incomplete: str) -> list[str]:
    """Ids of workers."""
    return _offered(lambda client: [one["id"] for one in client.workers()], incomplete)


def vms(incomplete: str) -> list[str]:
    """Ids of VMs."""
    return _offered(lambda client: [one["id"] for one in client.vms()], incomplete)


def _offered(ask: Callable[[Client], Iterable[str]], incomplete: str) -> list[str]:
    found: list[str] = []

    def work() -> None:
        with contextlib.suppress(Exception), Client() as client:
            names = [
                name for name in ask(client) if name.startswith(incomplete) and name == clean(name) and _PLAIN.fullmatch(name)
            ]
            found.extend(names[:MOST])

    asking = threading.Thread(target=work, daemon=True)  # a boss that hangs does not keep the shell
    asking.start()
    asking.join(PATIENCE)
    return list(found)


# ---- bash --------------------------------------------------------------------------------------------------------------


def in_bash(app: Callable[[], object]) -> bool:
    """Answer bash's Tab with ``app`` if that is what this process was started for; whether it was."""
    asked = any(value == _BASH for name, value in os.environ.items() if _ASKED.fullmatch(name))
    if not (asked and "COMP_WORDS" in os.environ and os.environ.get("COMP_CWORD", "").isdecimal()):
        return False
    words, at, kept = joined(os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"]))
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(at)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        app()
    for line in filter(None, said.getvalue().splitlines()):
        print(line.removeprefix(kept))
    return True


def joined(words: list[str], at: int) -> tuple[list[str], int, str]:
    """The words with those put together that a ``:`` has parted; the place of the current one; what of it bash keeps."""
    found: list[str] = []
    place = 0
    for number, word in enumerate(words):
        parted = bool(found) and number > 1 and (set(word) == {":"} or words[number - 1].endswith(":"))
        if parted:
            found[-1] += word
        else:
            found.append(word)
        if number == at:
            place = len(found) - 1
    if at >= len(words):  # nothing is typed of it yet
        place = len(found)
    current = found[place] if place < len(found) else ""
    return found, place, current[: current.rfind(":") + 1]
