"""What other tools, and the original ECLOUD, call the fields of a task: for messages alone, nothing here is understood."""

_FILES_OR_TASKS = "`after` (ids of tasks that must have run) or `inputs` (files that it needs)"

#: By the name elsewhere, in small letters with ``_``: the field's name here, or how several share its meaning.
NAMES = {
    "name": "id",
    "key": "id",
    "task_id": "id",
    "cmd": "command",
    "run": "command",
    "script": "command",
    "shell": "command",
    "steps": "commands",
    "depends": _FILES_OR_TASKS,
    "depends_on": _FILES_OR_TASKS,
    "dependencies": _FILES_OR_TASKS,
    "needs": _FILES_OR_TASKS,
    "requires": _FILES_OR_TASKS,
    "requirements": "inputs",
    "results": "outputs",
    "walltime": "timeout",
    "time": "timeout",
    "time_limit": "timeout",
    "max_time": "timeout",
    "mem": "memory",
    "ram": "memory",
    "ncpus": "cpus",
    "ncores": "cpus",
    "cores": "cpus",
    "threads": "cpus",
    "cpus_per_task": "cpus",
    "ngpus": "gpus",
    "max_retries": "retries",
    "environment": "env",
    "nice": "priority",
    "params": "foreach",
    "parameters": "foreach",
    "matrix": "foreach",
    "sweep": "foreach",
}


def name_here(field: str) -> str:
    """How a field that other tools have is called here, empty if it is none."""
    return NAMES.get(field.lower().replace("-", "_"), "")
