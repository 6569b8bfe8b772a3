"""Of a folder or glob a worker is told how many files there must be: with fewer the task would come to a wrong result."""

from boss.core.deals import assignment_of
from boss.core.model import InputSpec, OutputSpec
from tests.builders import attempt, job, link, task, template
from worker.grid import Axis
from worker.texts import Field


def least(*inputs: str, outputs: tuple[OutputSpec, ...]) -> dict[str, float]:
    """What is told of the inputs of a task that waits for three rows of one with these outputs."""
    make = template(0, name=("make-", Field("i")), grid=(Axis("i", (0, 1, 2)),), outputs=outputs)
    read = template(1, name="read", inputs=tuple(InputSpec(path) for path in inputs))
    of = job(templates=[make, read], files={})
    for row in range(3):
        task(of, f"make-{row}", template=make, row=row)
    last = task(of, "read", (0, 1, 2), template=read)
    link(of)
    return assignment_of(last, attempt(last)).least


def test_files_that_dependencies_surely_yield_are_counted() -> None:
    named = OutputSpec(("w-", Field("i"), ".txt"))
    below = OutputSpec("x", ("d/", Field("i"), "/f"))
    assert least("w-*.txt", "d/", "*.txt", outputs=(named, below)) == {"w-*.txt": 3, "d/": 3, "*.txt": 3}


def test_what_may_be_missing_or_is_named_one_by_one_is_not_counted() -> None:
    maybe = OutputSpec(("w-", Field("i"), ".txt"), None, optional=True)
    several = OutputSpec(("d/", Field("i"), "/"))
    assert least("w-*.txt", "d/", outputs=(maybe, several)) == {}
    assert least("w-1.txt", outputs=(OutputSpec(("w-", Field("i"), ".txt")),)) == {}
