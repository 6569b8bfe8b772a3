"""What of a worker's word is believed: whoever holds its certificate may say anything. Pure. Part of the reactor.

Rules:
- What can be read may still be nonsense: an outcome that there is none of, times beyond all clocks, texts without end, more cpus than the
  machine that it runs on. It is brought to what can be; an honest worker's word passes unchanged.
- Names of attempts and paths of results go on to the datastore, so what no attempt or file can be called stops here.
- A worker speaks of what it was given. Of others' attempts it can say nothing that counts.
"""

import re
from collections.abc import Iterable, Mapping

from boss.core.model import Resources
from datastore.layout import PathRefused, check_path
from worker.protocol import MAX_TAIL, Result

#: By how much a worker's clock may be off before the boss's own times are taken instead, in seconds.
CLOCK = 86_400.0
#: How much longer than since it was assigned an attempt may claim to have run, in seconds: clocks do not tick alike.
SLACK = 60.0
#: The longest word, sentence and tail that are kept of what a worker says, in characters.
WORD, SENTENCE, TAIL = 200, 4000, 4 * MAX_TAIL
#: How many figures of usage, and kinds of resources, one worker may tell.
FIGURES = 32

#: No digest has more characters than this.
LONGEST_DIGEST = 128

_OUTCOMES = frozenset({"succeeded", "failed", "cancelled"})
_ATTEMPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.[0-9]{1,9}\.[0-9]{1,9}")


def attempt_name(text: str) -> bool:
    """Whether an attempt can be called that: ``<job uid>.<task index>.<number>``."""
    return _ATTEMPT.fullmatch(text) is not None


def began(at: float, assigned: float, wall: float) -> float:
    """When an attempt was started, or, if that cannot be, when it was assigned. Unix seconds."""
    return at if assigned - CLOCK <= at <= wall + CLOCK else assigned


def result(said: Result, assigned: float, wall: float) -> Result:
    """A result as far as it can be true of an attempt that was assigned at this time; ``wall`` is now."""
    started, finished = said.started, said.finished
    if started:
        started = began(started, assigned, wall)
    longest = max(0.0, wall - assigned) + SLACK
    if started and finished - started > longest:
        finished = started + longest
    if finished and not assigned - CLOCK <= finished <= wall + CLOCK:
        finished = started or wall
    believed = said._replace(
        outcome=said.outcome if said.outcome in _OUTCOMES else "failed",
        phase=said.phase[:WORD],
        reason=said.reason[:SENTENCE],
        started=started,
        finished=finished,
        usage=figures(said.usage),
        stdout=said.stdout[-TAIL:],
        stderr=said.stderr[-TAIL:],
    )
    if said.outcome not in _OUTCOMES:
        shown = said.outcome[:40]
        return believed._replace(phase="infrastructure", reason=f"its worker says that it ended as {shown!r}, which is nothing")
    return believed


def wrong_file(files: Iterable[tuple[str, int, str]]) -> str:
    """What is wrong with a manifest, in a sentence; empty when files can be called like that."""
    for path, size, digest in files:
        try:
            folder = check_path(path).endswith("/")
        except PathRefused as error:
            return f"its worker names a result whose path {error}: {path[:80]!r}"
        if folder or size < 0 or not (0 < len(digest) <= LONGEST_DIGEST and digest.isalnum()):
            return f"its worker names a result that is no file with a size and a digest: {path[:80]!r}"
    return ""


def resources(said: Mapping[str, float], promised: Resources) -> dict[str, float]:
    """What a worker offers: nothing below zero, and of what its machine was promised to have no more than that."""
    return {name: max(0.0, min(count, promised.get(name, count))) for name, count in figures(said).items()}


def figures(said: Mapping[str, float]) -> dict[str, float]:
    """Named numbers, as far as anybody would tell some."""
    short = {name: number for name, number in said.items() if len(name) <= WORD}
    return short if len(short) <= FIGURES else dict(list(short.items())[:FIGURES])
