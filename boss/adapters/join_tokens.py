"""Join tokens: what a VM shows at the join door. Stateless: a claim group, how many servers it is for, until when; and a proof (HMAC).

Rules:
- The key lies in a file of mode 0600 beside the authority's; whoever can read it can let machines in.
- A token tells nothing but these facts, and opens nothing but the door: which claims are free, and whose key is whose, the core knows.
- One of another cluster, of another key or with one bit changed is ``BadToken``, without a word about which.
"""

import base64
import binascii
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from boss.adapters.keys import write_private

#: A token is shorter than this many characters.
LONGEST = 1000


class BadToken(Exception):
    """Not a token of this boss."""


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What a good token says: the claim ``group``, for how many servers, and whether its time is ``over``."""

    group: str
    uses: int
    over: bool


class JoinTokens:
    """Makes and reads the tokens of one cluster; the key is kept in ``file``. ``clock`` tells Unix seconds."""

    def __init__(self, file: Path, cluster: str, clock: Callable[[], float] = time.time) -> None:
        if not file.exists():
            write_private(file, secrets.token_hex(32).encode())
        self._key = bytes.fromhex(file.read_text().strip())
        self._cluster = cluster
        self._clock = clock

    def make(self, group: str, uses: int, seconds: float) -> str:
        """A token for the servers of a claim group, good for so many seconds."""
        facts = json.dumps([self._cluster, group, uses, int(self._clock() + seconds)], separators=(",", ":")).encode()
        return f"{_text(facts)}.{_text(self._proof(facts))}"

    def read(self, text: str) -> JoinToken:
        """What a token says. Raises BadToken."""
        facts, _, proof = text.partition(".")
        try:
            if len(text) > LONGEST or not hmac.compare_digest(self._proof(_bytes(facts)), _bytes(proof)):
                raise BadToken
            cluster, group, uses, until = json.loads(_bytes(facts))
        except (ValueError, binascii.Error):
            raise BadToken from None
        if cluster != self._cluster:
            raise BadToken
        return JoinToken(group, uses, self._clock() >= until)

    def _proof(self, facts: bytes) -> bytes:
        return hmac.digest(self._key, facts, sha256)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Raises ValueError for what is not exactly as ``_text`` writes it."""
    data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if _text(data) != text:
        raise ValueError("not base64url")
    return data
