"""``metrics``: the JSON file among a task's outputs whose numbers become columns of the job's table.

Rules:
- It is one file, no folder and no glob, and one of the task's outputs yields it: by its name, in its folder, or through its glob.
- It holds for every row of a grid; the first row for which it does not is told.
"""

from boss.core.templates import rows
from boss.taskfile.entry import Entry, Texts
from boss.taskfile.files import path_problem
from boss.taskfile.outputs import place_of
from boss.taskfile.paths import fitting, unreadable
from boss.taskfile.problems import quoted
from datastore.layout import is_folder, is_pattern
from worker.texts import Text


def check_metrics(entry: Entry, texts: Texts) -> None:
    """Tell when the metrics of an entry's tasks cannot be: once, for the first row that shows it."""
    metrics = entry.template.metrics
    if not metrics or "metrics" in texts.failed or not texts.failed.isdisjoint(entry.output_places):
        return
    outputs = [place_of(spec) for spec in entry.template.outputs]
    wrong = _first_wrong(entry, metrics, outputs)
    if wrong is not None:
        texts.fail("metrics", wrong)


def _first_wrong(entry: Entry, metrics: Text, outputs: list[Text]) -> str | None:
    """What is wrong with the first row that is wrong."""
    grid = entry.template.grid
    same = metrics in outputs  # then only the path itself can be wrong, which the outputs tell
    columns = [] if same else [rows(text, grid) for text in outputs]
    for path in rows(metrics, grid):
        if is_folder(path) or is_pattern(path):
            return f"{quoted(path)} is a folder or glob: name the one file that holds the numbers"
        if same:
            continue
        if (reason := path_problem(path)) is not None:
            return f"{quoted(path)} {reason}"
        yielded = [next(column) for column in columns]
        if not any(not unreadable(output) and fitting(output)(path) for output in yielded):
            if any(path_problem(output) for output in yielded):
                return None  # that is told of the outputs
            if not yielded:
                return f"{quoted(path)} is not yielded: add it to the task's outputs"
            listed = ", ".join([quoted(output) for output in yielded[:3]] + ["..."] * (len(yielded) > 3))
            return f"{quoted(path)} is yielded by none of the task's outputs ({listed}): add it to them"
    return None
