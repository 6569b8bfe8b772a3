"""What has happened to jobs, failed tasks, workers and VMs, as lines of the log with their ids as fields.

Rules:
- Called on the loop's thread for each announcement, so what is not worth a line costs one comparison.
- Failures are told one by one up to a few a second; of a flood the number is told.
"""

import logging
import time
from collections.abc import Callable, Mapping

log = logging.getLogger("boss.events")

#: Failures that are told one by one in so many seconds.
EACH, WINDOW = 20, 10.0
_BAD = frozenset({"failed", "lost"})
#: Fields of announcements that go into the log, by the log's names for them.
_FIELDS = {"job": "job", "id": "task", "attempt": "attempt", "worker": "worker", "vm": "vm", "pool": "pool"} | {
    name: name for name in ("state", "phase", "exit_code")
}


class Chronicle:
    """Hears announcements. ``clock`` tells seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._told = self._untold = 0

    def hear(self, kind: str, facts: Mapping[str, object]) -> None:
        """One announcement."""
        state = facts.get("state")
        if kind == "task":
            if state == "failed" or (state == "delayed" and facts.get("reason")):
                self._failure(facts)
            return
        name, reason = facts.get(kind, ""), facts.get("reason")
        level = logging.WARNING if state in _BAD else logging.INFO
        more = (", draining" if facts.get("draining") else "") + (f": {reason}" if reason else "")
        log.log(level, "%s %s is %s%s", kind, name, state, more, extra=_fields(facts))

    def _failure(self, facts: Mapping[str, object]) -> None:
        now = self._clock()
        if now - self._since >= WINDOW:
            if self._untold:
                log.warning(
                    "%d more attempts have failed in %.0f s", self._untold, now - self._since, extra={"count": self._untold}
                )
            self._since, self._told, self._untold = now, 0, 0
        if self._told >= EACH:
            self._untold += 1
            return
        self._told += 1
        sentence = "attempt %s of %s:%s failed on %s: %s"
        words = (facts.get("attempt"), facts.get("job"), facts.get("id"), facts.get("worker"), facts.get("reason"))
        log.warning(sentence, *words, extra=_fields(facts))


def _fields(facts: Mapping[str, object]) -> dict[str, object]:
    return {field: facts[name] for name, field in _FIELDS.items() if facts.get(name) not in (None, "")}
