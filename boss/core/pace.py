"""How long tasks run, as far as was seen: what decides how many short ones may wait on a worker. Seconds, exponential means.

Rules:
- A template with many tasks has a pace of its own; all tasks of a job share one more, for templates with a single task.
- A task that had to be asked back because others ran long before it slows its pace down at once.
"""

from boss.core import usage
from boss.core.model import Task
from boss.core.state import State
from worker.protocol import Result

#: In the place of a template's number: all tasks of a job.
WHOLE_JOB = -1
#: The weight of the newest run time.
WEIGHT = 0.2


def learn(state: State, task: Task, result: Result) -> None:
    """A task of this kind has run from ``started`` to ``finished``."""
    if not result.started or result.finished < result.started:
        return
    seen = result.finished - result.started
    for key in _keys(task):
        old = state.pace.get(key)
        state.pace[key] = seen if old is None else old + WEIGHT * (seen - old)
    state.learned.ran(task, seen)
    usage.add(state, task.job.uid, task.template.needs.get("cpus", 0.0), seen)


def slow_down(state: State, task: Task, seconds: float) -> None:
    """Tasks of this kind kept others waiting: they run at least this long until something shorter is seen."""
    for key in _keys(task):
        state.pace[key] = max(seconds, state.pace.get(key, 0.0))


def expected(state: State, task: Task) -> float | None:
    """How long a task will probably run; None when nothing like it has ended yet."""
    return next((state.pace[key] for key in _keys(task) if key in state.pace), None)


def is_guess(state: State, task: Task) -> bool:
    """Whether what is expected of a task was only seen of other tasks of its job: of its own many, none has ended yet."""
    return _keys(task)[0] not in state.pace


def of(state: State, uid: str, template: int) -> float | None:
    """How long tasks of a job's template run; None when nothing like them has ended yet."""
    own = state.pace.get((uid, template))
    return state.pace.get((uid, WHOLE_JOB)) if own is None else own


def _keys(task: Task) -> list[tuple[str, int]]:
    """Under which names a task's run time is remembered, the closest first."""
    own = [(task.job.uid, task.template.number)] if task.template.grid else []
    return [*own, (task.job.uid, WHOLE_JOB)]
