"""Signed jobs, as placement sees them: who takes only work that somebody trusted has signed, and why a task waits for that.

Rules:
- Trust is a matter of resources (``worker.trust``): a machine that verifies has a mark, and one for each key that it trusts; a task that
  is signed has a mark with its key and how long that counts. ``placement.needs_on`` holds the two together, so that dealing, scaling,
  looking ahead and explaining need not know of it.
- A signature that is not good any more starts nothing, on whatever machine: whoever signed has agreed to so much and no more.
- What a worker refuses in phase ``verify`` is not tried again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from boss.core.model import Flavor, Pool, Resources, Signature, Task
from worker.signed import stamp
from worker.trust import MARK, VERIFIES, marks, trusts, without_marks

#: How the mark of a signed task begins; the key's fingerprint and the end of its time (Unix seconds) follow.
SIGNED: Final = f"{MARK}signed "
#: What a machine would have to offer that verifies, for a task that nobody whom it trusts has signed. Nobody does.
OUT_OF_REACH: Final = 1e9

Shape = tuple[tuple[str, float], ...]


def mark_of(signature: Signature) -> str:
    """The mark of a task that is signed so; among its needs it counts nothing."""
    return f"{SIGNED}{signature.key} {signature.expires:.0f}"


def _signed(shape: Shape) -> tuple[str, float] | None:
    """Key and end of the signature of tasks of this shape (the mark sorts last); None where there is none."""
    if not shape or not shape[-1][0].startswith(SIGNED):
        return None
    key, _, end = shape[-1][0].removeprefix(SIGNED).partition(" ")
    return key, float(end)


def keeps_out(shape: Shape, total: Resources) -> bool:
    """Whether a machine with these resources does not run tasks of this shape, for want of a signature that it trusts."""
    if VERIFIES not in total:
        return False
    signed = _signed(shape)
    return signed is None or trusts(signed[0]) not in total


def is_over(shape: Shape, wall: float) -> bool:
    """Whether the time of the signature of tasks of this shape is over."""
    signed = _signed(shape)
    return signed is not None and signed[1] <= wall


def offered(pool: Pool, resources: Resources) -> Resources:
    """What a machine of a pool offers, with its marks."""
    return {**without_marks(resources), **marks(pool.signers)} if pool.signers and resources else resources


# ---- sentences -------------------------------------------------------------------------------------------------------


def over(task: Task) -> list[str]:
    """That the signature's time is over, and the remedy."""
    signature = task.template.signed
    assert signature is not None
    return [
        f"It was signed by {signature.signer}, for the time until {stamp(signature.expires)}: nothing of it is started any more.",
        push_signed(task.job.name, "keep-succeeded"),
    ]


def unsigned(shape: Shape, pools: Iterable[tuple[Pool, list[Flavor]]], holds: Mapping[str, bool]) -> str:
    """That all that could hold tasks of this shape takes signed work only; ``holds`` says which pools could, trust aside."""
    names = [pool.name for pool, _ in pools if holds.get(pool.name)]
    whom = ", ".join(sorted({key.name for pool, _ in pools for key in pool.signers if holds.get(pool.name)}))
    signed = _signed(shape)
    how = "it is not signed" if signed is None else f"it is signed with {signed[0]}"
    where = f"pool {', '.join(names)} takes" if len(names) == 1 else f"pools {', '.join(names)} take" if names else "hosts take"
    by = f" by {whom}" if whom else ""
    return f"No worker that could hold it may run it: {where} only jobs that are signed{by}, and {how}."


def push_signed(job: str, merge: str = "replace") -> str:
    """How a job comes to be signed after all."""
    return f"`push_tasks.py FILE --job {job} --merge {merge} --sign KEY` pushes it again, signed with a key that is trusted."


def refused(task: Task, worker: str) -> list[str]:
    """What to do about a task that a worker has refused to run."""
    return [
        f"Nothing of it was run: {worker} compares what it is told with what was signed. It is not tried again by itself.",
        f"If it was changed by a later push: {push_signed(task.job.name)}",
        "If not, somebody has changed what this boss, its broker or its datastore says: find out who (docs/threat-model.md).",
    ]
