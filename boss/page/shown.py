"""How things are written for people: times, sizes, counts, states. Pure; the filters of the templates."""

from datetime import UTC, datetime
from urllib.parse import quote

#: How a state looks: the kind of colour, always beside its word. States of tasks, jobs, workers and VMs.
KINDS = {
    "succeeded": "good", "joined": "good", "online": "good",
    "running": "busy", "assigned": "busy", "promoting": "busy", "creating": "busy", "booting": "busy", "deleting": "busy",
    "failed": "bad", "lost": "bad",
    "delayed": "warn", "paused": "warn", "offline": "warn", "draining": "warn",
    "ready": "next", "claimed": "next", "expected": "next",
    "waiting": "idle", "staging": "idle",
    "skipped": "mute", "cancelled": "mute", "gone": "mute",
}  # fmt: skip
#: Task states in the order in which bars and legends show them.
ORDER = ("succeeded", "promoting", "running", "assigned", "ready", "delayed", "waiting", "skipped", "cancelled", "failed")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def kind(state: str) -> str:
    """The colour of a state."""
    return KINDS.get(state, "idle")


def count(number: float) -> str:
    """``12,345``; fractions of small numbers are kept."""
    if isinstance(number, float) and not number.is_integer():
        return f"{number:,.1f}" if abs(number) < 100 else f"{number:,.0f}"
    return f"{int(number):,}"


def size(number: float) -> str:
    """Bytes as people read them."""
    value, unit = float(number), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def span(seconds: float | None) -> str:
    """A duration: ``40 ms``, ``2.5 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 0.95:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name} {rest} {small}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def iso(moment: float) -> str:
    """A Unix time for machines; the page's script writes it in the reader's own zone."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(moment: float) -> str:
    """A Unix time in the boss's zone, for whoever has no script."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def percent(part: float, whole: float) -> float:
    """How much of it, from 0 to 100."""
    return 0.0 if whole <= 0 else max(0.0, min(100.0, 100.0 * part / whole))


def segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def bar(counts: dict[str, int], width: float = 1000.0) -> list[tuple[str, str, float, float, int]]:
    """The parts of a progress bar: state, kind, x, width, count; what is there at all can be seen."""
    there = [(state, counts[state]) for state in ORDER if counts.get(state)]
    total = sum(number for _, number in there)
    parts, x = [], 0.0
    for state, number in there:
        wide = width * number / total
        parts.append((state, kind(state), x, max(wide, 3.0), number))
        x += wide
    return parts
