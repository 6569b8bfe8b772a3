"""What is still to be said to the boss, and when. Pure.

Rules:
- A result is kept (``Keep``) before it is said for the first time, and said again until it is acknowledged.
- ``patient`` means that more work waits here: then results linger, so that many travel in one message. A worker that runs dry
  speaks at once, because the boss's next assignment depends on it.
- The start of a task that finished within ``START_LINGER`` is never said: its result implies it.
- While the link is down nothing is said, and only results and starts are remembered: the next hello tells the rest.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from collections import OrderedDict
from typing import Dict, List

from worker import events as ev
from worker import protocol as wire
from worker.protocol import Result

#: How long results may wait for company while more work waits, in seconds.
LINGER = 0.05
#: How long a start may wait for company, in seconds.
START_LINGER = 0.1
#: When a result that nobody acknowledged is said again, in seconds.
REPEAT = 10.0


class Outbox:
    """Results, starts and give-backs on their way to the boss, for one session."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._fresh: "OrderedDict[str, Result]" = OrderedDict()  # not kept yet
        self._unsaid: "OrderedDict[str, Result]" = OrderedDict()
        self._said: "OrderedDict[str, Result]" = OrderedDict()
        self._said_at: Dict[str, float] = {}
        self._since = 0.0  # when the oldest unsaid result came in
        self._starts: Dict[str, float] = {}
        self._starts_since = 0.0
        self._recalled: List[str] = []
        self._recall_asked = False

    def finished(self, result: Result, now: float) -> None:
        """A result that is neither kept nor said yet."""
        self._starts.pop(result.attempt, None)
        self._fresh[result.attempt] = result
        self.repeat(result, now)

    def repeat(self, result: Result, now: float) -> None:
        """Say a result (again)."""
        if not self._unsaid:
            self._since = now
        self._said.pop(result.attempt, None)
        self._unsaid[result.attempt] = result

    def forget(self, attempt: str) -> None:
        """A result was acknowledged."""
        for results in (self._fresh, self._unsaid, self._said):
            results.pop(attempt, None)
        self._said_at.pop(attempt, None)

    def began(self, attempt: str, at: float, now: float) -> None:
        """An attempt's process was started ``at`` (Unix seconds)."""
        if not self._starts:
            self._starts_since = now
        self._starts[attempt] = at

    def give_back(self, attempt: str) -> None:
        """An attempt was not started, and never will be."""
        self._recalled.append(attempt)

    def answer_recall(self) -> None:
        """A recall was handled: it is answered even if nothing is given back."""
        self._recall_asked = True

    @property
    def unkept(self) -> bool:
        """Whether some result is not in the spool yet."""
        return bool(self._fresh)

    def deadline(self, connected: bool) -> float:
        """When to ``speak`` at the latest; infinite when there is nothing to say."""
        times = [float("inf")]
        if self._fresh or (self._unsaid and connected):
            times.append(self._since + LINGER)
        if connected and self._starts:
            times.append(self._starts_since + START_LINGER)
        if connected and self._said:
            times.append(self._said_at[next(iter(self._said))] + REPEAT)
        return min(times)

    def speak(self, now: float, connected: bool, patient: bool) -> List[ev.Effect]:
        """All that is due now, keeping before saying."""
        effects: List[ev.Effect] = []
        due = not patient or now >= self._since + LINGER
        if self._fresh and due:
            effects.append(ev.Keep(tuple(self._fresh.values())))
            self._fresh.clear()
        if not connected:
            self._recalled, self._recall_asked = [], False
            return effects
        self._collect_repeats(now)
        if self._unsaid and due:
            effects.append(ev.Send(wire.Results(self._session, tuple(self._unsaid.values()))))
            self._said.update(self._unsaid)
            self._said_at.update(dict.fromkeys(self._unsaid, now))
            self._unsaid.clear()
        if self._starts and now >= self._starts_since + START_LINGER:
            effects.append(ev.Send(wire.Started(self._session, self._starts)))
            self._starts = {}
        if self._recalled or self._recall_asked:
            effects.append(ev.Send(wire.Recalled(self._session, tuple(self._recalled))))
            self._recalled, self._recall_asked = [], False
        return effects

    def _collect_repeats(self, now: float) -> None:
        while self._said:
            attempt, result = next(iter(self._said.items()))
            if now < self._said_at[attempt] + REPEAT:
                return
            self.repeat(result, now)
