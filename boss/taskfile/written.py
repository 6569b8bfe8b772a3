"""The fields that a task of the native format and the defaults have in common, as they are written.

Rules:
- Each text keeps its place (``inputs[0]``, ``defaults.env.SEED``), so that whatever is found out later can name it.
- What cannot be read is told and left out.
"""

import re
from dataclasses import dataclass, field

from boss.taskfile import quantities
from boss.taskfile.entry import Placed
from boss.taskfile.fields import Form, described
from boss.taskfile.inputs import WrittenInput, read_inputs
from boss.taskfile.problems import quoted
from worker.texts import shown

SHARED_FIELDS = (
    "command",
    "commands",
    "inputs",
    "outputs",
    "after",
    "cpus",
    "memory",
    "gpus",
    "disk",
    "timeout",
    "runtime",
    "retries",
    "env",
    "priority",
)
#: Variables that every task gets; nobody else may set them.
GIVEN_VARIABLES = ("ECLOUD_JOB", "ECLOUD_TASK", "ECLOUD_ATTEMPT", "ECLOUD_CPUS", "ECLOUD_INIT")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class Written:
    """What was read.

    ``commanded``: a command is there, readable or not. ``outputs_read``: all outputs could be read.
    """

    commanded: bool = False
    outputs_read: bool = True
    commands: list[Placed] = field(default_factory=list)
    inputs: list[WrittenInput] = field(default_factory=list)
    outputs: list[tuple[str, str, bool]] = field(default_factory=list)
    after: list[Placed] = field(default_factory=list)
    env: dict[str, Placed] = field(default_factory=dict)
    needs: dict[str, float] = field(default_factory=dict)
    timeout: float | None = None
    runtime: float | None = None
    retries: int | None = None
    priority: int | None = None


def read_written(form: Form) -> Written:
    outputs = _read_outputs(form)
    given = form.data.get("outputs", [])
    written = Written(
        commanded="command" in form.data or "commands" in form.data,
        outputs_read=isinstance(given, list) and len(given) == len(outputs),
        commands=_read_commands(form),
        inputs=read_inputs(form),
        outputs=outputs,
        after=form.texts("after", "task ids"),
        env=_read_env(form),
        timeout=form.duration("timeout"),
        runtime=form.duration("runtime"),
        retries=form.whole("retries", 0, 1000),
        priority=form.whole("priority", -1_000_000, 1_000_000),
    )
    counts = {
        "cpus": form.amount("cpus", above=True),
        "memory": form.memory("memory", above=True),
        "gpus": form.amount("gpus", above=False),
        "disk": form.memory("disk", above=False),
    }
    written.needs = {name: count for name, count in counts.items() if count is not None}
    return written


def _read_commands(form: Form) -> list[Placed]:
    if "command" in form.data and "commands" in form.data:
        form.wrong("commands", "stands beside command: write one of them")
    if isinstance(form.data.get("command"), list):
        form.wrong("command", "is a list: several commands are written in `commands`")
        return []
    if isinstance(form.data.get("commands"), str):
        form.wrong("commands", "is one text: one command is written in `command`")
        return []
    if form.data.get("commands") == []:
        form.wrong("commands", "is an empty list: the task has nothing to run")
    command = form.text("command")
    return form.texts("commands", "commands") if command is None else [(form.prefix + "command", command)]


def _read_outputs(form: Form) -> list[tuple[str, str, bool]]:
    outputs = []
    for place, item in form.items("outputs", "paths"):
        holder, key, optional = Form({place: item}, form.task, form.prefix, form.problems), place, False
        if isinstance(item, dict):
            holder, key = Form(item, form.task, f"{form.prefix}{place}.", form.problems), "path"
            holder.check_fields(("path", "optional"))
            optional = holder.flag("optional") or False
            if "path" not in item:
                holder.wrong("path", "is missing")
        path = holder.text(key)
        if path is not None:
            outputs.append((form.prefix + place, path, optional))
    return outputs


def _read_env(form: Form) -> dict[str, Placed]:
    value = form.data.get("env", {})
    if not isinstance(value, dict):
        form.wrong("env", f'must be an object such as {{"SEED": "1"}}, not {described(value)}')
        return {}
    env = {}
    inner = Form(value, form.task, f"{form.prefix}env.", form.problems)
    for name, given in value.items():
        amount = quantities.number(given)
        if not _VARIABLE.fullmatch(name):
            inner.wrong(quoted(name), "is no name of a variable: letters, digits and _, not beginning with a digit")
        elif name in GIVEN_VARIABLES:
            inner.wrong(name, "is set by ecloud itself")
        elif amount is not None:
            env[name] = inner.prefix + name, shown(amount)
        elif given == "":
            env[name] = inner.prefix + name, ""
        elif isinstance(given, bool):
            inner.wrong(name, f'must be a text: write "{shown(given)}"')
        elif (text := inner.text(name)) is not None:
            env[name] = inner.prefix + name, text
    return env
