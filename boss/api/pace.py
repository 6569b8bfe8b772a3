"""How often somebody may do something: so many times a minute, counted by a key (an address, a digest), in bounded memory.

Rules:
- Beyond the limit nothing is counted: whoever keeps trying is not locked out for longer than a minute.
- Of an IPv6 address the first half counts: one host has a whole network of them.
- Only so many keys are remembered; the one that was quiet for longest is forgotten first.
"""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

#: Seconds in which the limit counts, and how many keys are remembered.
WINDOW = 60.0
KEYS = 4096


class Pace:
    """Counts what each key does, and says whether it may do more: ``limit`` times within a minute. Used by one thread."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def may(self, key: str) -> bool:
        """Count one more; False, and nothing counted, beyond the limit."""
        return not self.wait(key)

    def wait(self, key: str) -> float:
        """Count one more and return 0; beyond the limit nothing is counted, and this is how many seconds to wait."""
        now = self._clock()
        times = self._times.setdefault(key, deque(maxlen=self._limit))
        self._times.move_to_end(key)
        while len(self._times) > KEYS:
            self._times.popitem(last=False)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if len(times) >= self._limit:
            return max(1.0, times[0] + WINDOW - now)
        times.append(now)
        return 0.0


def network(address: str) -> str:
    """What of an address is counted: all of it, or an IPv6 address's first 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return address
