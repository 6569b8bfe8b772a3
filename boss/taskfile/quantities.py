"""Amounts of memory and time as people write them. Each function returns None for what it cannot read."""

import math
import re

_MEMORY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGTP]?)(?:i?B|i)?\s*", re.IGNORECASE)
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: More than any machine has, and still exact as a float.
MAX_BYTES = 2**53
#: A hundred years.
MAX_SECONDS = 100 * 365 * 86400


def memory(value: object) -> int | None:
    """Bytes: a plain number, or ``2G`` = ``2GiB`` = 2^30 x 2, ``500M``, ``1.5T``."""
    if isinstance(value, str):
        found = _MEMORY.fullmatch(value)
        if not found:
            return None
        value = float(found[1]) * 1024 ** " KMGTP".index(found[2].upper() or " ")
    amount = number(value)
    return None if amount is None or not 0 <= amount <= MAX_BYTES else round(amount)


def duration(value: object) -> float | None:
    """Seconds: a plain number, or ``90s``, ``5m``, ``1.5h``, ``2d``."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not found:
            return None
        value = float(found[1]) * _SECONDS[found[2]]
    amount = number(value)
    return None if amount is None or not 0 <= amount <= MAX_SECONDS else float(amount)


def number(value: object) -> float | int | None:
    """A finite number of ordinary size; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if -(2**63) <= value < 2**63 else None
