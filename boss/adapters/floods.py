"""How much each worker may say: budgets that no honest worker reaches, and who is put aside because it went on and on.

Rules:
- A budget is looked at before a message is read: what is beyond it costs next to nothing.
- Each worker has its own, so that one that floods takes nothing from the others. Logs that are followed have another one: they are long.
- What is dropped is counted by worker and told at most once a second, and of so many workers a second at most: where it is the boss that
  cannot keep up, all of them have something dropped, and telling it is more to keep up with. Who is put aside is told first.
- Workers say again what matters, so a drop costs time, never work.
- Whoever has far more dropped than anybody could by mistake is put aside: nothing of it is heard until it has been silent for a while.

Not locked: used on the broker's thread only.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from boss.core.events import MessagesDropped

#: Messages and bytes a second that one worker may send for ever, and how much it may have saved up.
MESSAGES, BYTES = 500.0, 4e6
SAVED_MESSAGES, SAVED_BYTES = 5_000.0, 32e6
#: The same for the output of attempts that somebody follows.
LOG_MESSAGES, LOG_BYTES = 2000.0, 32e6
SAVED_LOG_MESSAGES, SAVED_LOG_BYTES = 10_000.0, 128e6
#: So many messages beyond the budget, or bytes, and the worker is put aside; what is older than a minute does not count.
TOO_MANY, TOO_MUCH = 5_000, 256e6
FORGET = 60.0
#: How long a worker that was put aside must have been silent before it is heard again, in seconds.
SILENCE = 600.0
#: The least time between two words about one worker, in seconds.
TELL = 1.0
#: Workers about whom a word is said within that time, at most.
TOLD = 100
#: Workers whose accounts are kept at most; of more, those that were heard first are forgotten.
ACCOUNTS = 20_000


@dataclass(slots=True)
class _Bucket:
    """Messages and bytes that may come now; both fill up with time."""

    messages: float
    size: float
    per_second: tuple[float, float]
    most: tuple[float, float]

    def refill(self, seconds: float) -> None:
        self.messages = min(self.most[0], self.messages + seconds * self.per_second[0])
        self.size = min(self.most[1], self.size + seconds * self.per_second[1])

    def take(self, size: int) -> str:
        """Empty, or which part of the budget is used up."""
        if self.messages < 1.0:
            return f"more than {self.per_second[0]:,.0f} messages a second"
        if self.size < size:
            return f"more than {self.per_second[1] / 1e6:.0f} MB a second"
        self.messages -= 1.0
        self.size -= size
        return ""


def _said() -> _Bucket:
    return _Bucket(SAVED_MESSAGES, SAVED_BYTES, (MESSAGES, BYTES), (SAVED_MESSAGES, SAVED_BYTES))


def _logs() -> _Bucket:
    return _Bucket(SAVED_LOG_MESSAGES, SAVED_LOG_BYTES, (LOG_MESSAGES, LOG_BYTES), (SAVED_LOG_MESSAGES, SAVED_LOG_BYTES))


@dataclass(slots=True)
class _Account:
    heard: float
    said: _Bucket = field(default_factory=_said)
    logs: _Bucket = field(default_factory=_logs)
    dropped: int = 0
    why: str = ""
    told_at: float = float("-inf")
    over: int = 0  # dropped beyond the budget since ``over_since``
    over_bytes: int = 0
    over_since: float = 0.0
    aside: bool = False


class Floods:
    """The accounts of all workers. ``clock`` tells seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._news: set[str] = set()
        self._told: deque[float] = deque(maxlen=TOLD)  # when the last words were said

    def admits(self, worker: str, size: int, log: bool = False) -> bool:
        """Whether a message of so many bytes is within this worker's budget; if not it is counted as dropped."""
        now = self._clock()
        account = self._account(worker, now)
        silent, account.heard = now - account.heard, now
        if account.aside:
            if silent < SILENCE:
                self._count(worker, account)
                return False
            account.aside = False
            account.over = account.over_bytes = 0
        account.said.refill(silent)
        account.logs.refill(silent)
        why = (account.logs if log else account.said).take(size)
        if not why:
            return True
        account.why = why
        self._count(worker, account)
        if now - account.over_since > FORGET:
            account.over, account.over_bytes, account.over_since = 0, 0, now
        account.over += 1
        account.over_bytes += size
        if account.over >= TOO_MANY or account.over_bytes >= TOO_MUCH:
            account.aside = True
            account.told_at = float("-inf")  # this is news
        return False

    def drop(self, worker: str, why: str) -> int:
        """Count a message that was dropped for another reason; how many there were by now."""
        account = self._account(worker, self._clock())
        account.why = why
        self._count(worker, account)
        return account.dropped

    def dropped(self, worker: str) -> int:
        """How many of a worker's messages were dropped."""
        account = self._accounts.get(worker)
        return 0 if account is None else account.dropped

    def news(self) -> list[MessagesDropped]:
        """What has changed since it was told, at most once a second of each worker."""
        if not self._news or self._is_tired(now := self._clock()):
            return []
        told = []
        for worker in sorted(self._news, key=lambda worker: not self._accounts[worker].aside):
            account = self._accounts[worker]
            if now - account.told_at < TELL:
                continue
            if self._is_tired(now):
                break
            self._told.append(now)
            self._news.discard(worker)
            account.told_at = now
            told.append(MessagesDropped(worker, account.dropped, account.why, account.aside))
        return told

    def _is_tired(self, now: float) -> bool:
        """Whether so much was said within the last second that no more is."""
        return len(self._told) == TOLD and now - self._told[0] < TELL

    def _account(self, worker: str, now: float) -> _Account:
        account = self._accounts.get(worker)
        if account is None:
            if len(self._accounts) >= ACCOUNTS:
                oldest = next(iter(self._accounts))
                del self._accounts[oldest]
                self._news.discard(oldest)
            account = self._accounts[worker] = _Account(now)
        return account

    def _count(self, worker: str, account: _Account) -> None:
        account.dropped += 1
        self._news.add(worker)
