"""Why a task ran again: what became of the attempts before the one that is told of. From the stored attempts alone."""

from collections.abc import Iterator, Sequence

from boss.core.model import Attempt

#: Attempts before that are told one by one: the latest.
FEW = 2


def why_again(attempts: Sequence[Attempt], current: int) -> list[str]:
    """A sentence for each of the last attempts before the current one, the latest first; how many there were, where more."""
    before = [one for one in attempts if one.number < current]
    said = [_sentence(one) for one in reversed(before[-FEW:])]
    if len(before) > FEW:
        kinds = ", ".join(_counted(before[:-FEW]))
        said.append(f"Before that there were {len(before) - FEW} more attempt(s): {kinds}.")
    return said


def _sentence(one: Attempt) -> str:
    reason = f": {one.reason}" if one.reason else ""
    match one.state:
        case "failed":
            phase = f" in phase {one.phase}" if one.phase not in ("", "run") else ""
            return f"It runs again because attempt {one.number} failed on {one.worker}{phase}{reason}."
        case "lost":
            return (
                f"It runs again because attempt {one.number} was lost with {one.worker}{reason}; that takes none of its retries."
            )
        case "recalled":
            return f"Attempt {one.number} was taken back from {one.worker} before it began, for a worker that had room at once."
        case "cancelled":
            return f"Attempt {one.number} was cancelled on {one.worker}{reason}; somebody had it run again (`retry_failed`)."
        case "succeeded":
            return (
                f"Attempt {one.number} had succeeded on {one.worker}; it was run again by `redo_task` or by a push that changed it."
                " `admin.py audit` tells an admin who that was."
            )
        case _:
            return f"Attempt {one.number} on {one.worker} came to nothing{reason}."


def _counted(attempts: Sequence[Attempt]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for one in attempts:
        counts[one.state] = counts.get(one.state, 0) + 1
    yield from (f"{count} {state}" for state, count in counts.items())
