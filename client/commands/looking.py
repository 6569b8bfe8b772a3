"""Commands that only look: status, show_*, why."""

import json
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from client import Client
from client.commands.completing import jobs, targets
from client.commands.failing import show_failures, summary
from client.commands.frame import Json, counted, name_job, nothing, print_json, say
from client.commands.tables import ago, amount, clean, clock, jobs_tasks, lasted, newer_files, show, took
from client.commands.tables import tally as counts_in_words
from client.commands.watching import watch_all, watch_job

Targets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TARGET]...", autocompletion=targets, help="JOB, JOB:ID, JOB:GLOB or an id; none: all jobs."),
]
OneTask = Annotated[
    str, typer.Argument(metavar="TASK", autocompletion=targets, help="JOB:ID, or an id: then of the newest job that has it.")
]
OfJob = Annotated[str | None, typer.Option("--job", metavar="JOB", autocompletion=jobs, help="Only this job.")]

TASK_COLUMNS = ("task", "state", "attempt", "exit", "phase", "worker", "took", "reason")


#: Files that ``show_task`` names of those that a result was made of.
ORIGINS = 50


class State(StrEnum):
    """Where a task stands."""

    WAITING = "waiting"
    READY = "ready"
    ASSIGNED = "assigned"
    RUNNING = "running"
    PROMOTING = "promoting"
    DELAYED = "delayed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


QUEUED = (State.WAITING, State.READY, State.DELAYED)
IN_PROGRESS = (State.ASSIGNED, State.RUNNING, State.PROMOTING)


def status(
    named: Annotated[
        str | None, typer.Argument(metavar="[JOB]", autocompletion=jobs, help="Only this job; none: everything.")
    ] = None,
    job: OfJob = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep watching; a job until it has ended.")] = False,
    as_json: Json = False,
) -> None:
    """How things stand: jobs, tasks by state, workers, VMs, the boss."""
    if named is not None and job not in (None, named):
        raise typer.BadParameter(f"{named} and --job {job}: one of the two")
    job = named if job is None else job
    with Client() as client:
        if watch and job:
            raise typer.Exit(watch_job(client, job))
        if watch:
            watch_all(client)
        found = client.status(job, brief=not as_json)
    if as_json:
        print_json(found)
        return
    boss = found["boss"]
    typer.echo(f"boss {boss['version']}, epoch {boss['epoch']}, up {lasted(boss['uptime'])}")
    rate = "" if job else f"; {found['rate']:.1f}/s"  # which is that of all jobs
    typer.echo(f"tasks: {counts_in_words(found['tasks'])}{rate}")
    fleet = found["fleet"]
    typer.echo(f"{counted(fleet['online'], 'worker')} ({fleet['busy']:,} busy), {counted(fleet['vms'], 'VM')}")
    for note in found["notes"]:
        typer.echo(f"note: {clean(note)}")
    _show_jobs(found["jobs"])
    if job and found["tasks"].get("failed"):
        with Client() as client:
            for line in summary(client.failures(job + ":*"), job):
                typer.echo(line)


def show_jobs(
    owner: Annotated[str | None, typer.Option("--owner", metavar="NAME", help="Only this owner's.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that belong to your token's name.")] = False,
    as_json: Json = False,
) -> None:
    """All jobs, oldest first."""
    if owner is not None and mine:
        raise typer.BadParameter("--owner and --mine: one of the two")
    with Client() as client:
        wanted = client.me()["name"] if mine else owner
        found = [job for job in client.jobs() if wanted in (None, job["owner"])]
    if as_json:
        print_json(found)
        return
    _show_jobs(found)
    for job in found:
        if job["state"] == "paused" and job["reason"]:
            typer.echo(f"{job['name']} is paused: {clean(job['reason'])}; go on: ./admin.py resume {job['name']}")


def _show_jobs(jobs: list[dict[str, Any]]) -> None:
    rows = [(job["name"], job["state"], job["owner"], ago(job["created"]), jobs_tasks(job)) for job in jobs]
    show(("job", "state", "owner", "pushed", "tasks"), rows, "no jobs yet: ./push_tasks.py FILE")


def show_tasks(
    targets: Targets = None,
    job: OfJob = None,
    state: Annotated[list[State] | None, typer.Option("--state", help="Only in this state; several allowed.")] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Only those made from an older result than the one there is now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tasks, all or by target, job and state."""
    list_tasks(targets, job, state or [], as_json, stale)


def show_queued(targets: Targets = None, job: OfJob = None, as_json: Json = False) -> None:
    """Tasks that wait: for dependencies, for room, or for their next try."""
    list_tasks(targets, job, QUEUED, as_json)


def show_in_progress(targets: Targets = None, job: OfJob = None, as_json: Json = False) -> None:
    """Tasks that a worker has, or whose results are being accepted."""
    list_tasks(targets, job, IN_PROGRESS, as_json)


def show_failed(
    targets: Targets = None,
    job: OfJob = None,
    one_by_one: Annotated[bool, typer.Option("--list", help="Task by task, as with a target.")] = False,
    by_cause: Annotated[bool, typer.Option("--group", help="By cause, also with a target or --json.")] = False,
    as_json: Json = False,
) -> None:
    """Tasks that failed for good, by cause: exit code and last line of stderr. With a target or --list, one by one."""
    if one_by_one and by_cause:
        raise typer.BadParameter("--list shows the tasks one by one, --group their causes: one of the two")
    if by_cause or not (targets or one_by_one or as_json):
        show_failures([*(targets or []), *([job + ":*"] if job else [])], as_json)
    else:
        list_tasks(targets, job, [State.FAILED], as_json)


def show_succeeded(targets: Targets = None, job: OfJob = None, as_json: Json = False) -> None:
    """Tasks whose results were accepted."""
    list_tasks(targets, job, [State.SUCCEEDED], as_json)


def list_tasks(targets: list[str] | None, job: str | None, states: Sequence[State], as_json: bool, stale: bool = False) -> None:
    """Print the tasks of targets and job that are in these states (none: in all)."""
    named = [*(targets or []), *([job + ":*"] if job else [])]
    with Client() as client:
        tasks = client.tasks(*named, states=states, stale=stale)
    for target in targets or []:
        for task in tasks[:1]:
            name_job(target, task["job"])
    if as_json:
        print_json(tasks)
        return
    rows = [
        (f"{task['job']}:{task['id']}", task["state"], task["attempt"] or "", task["exit_code"], task["phase"], task["worker"], took(task),
         f"stale: {task['stale']}" if task["stale"] else ": ".join(part for part in (task["reason"], task["line"]) if part))
        for task in tasks
    ]  # fmt: skip
    verb = "is stale" if stale else _LACKING.get(tuple(states), "is " + " or ".join(states))
    show(TASK_COLUMNS, rows, nothing(named, verb) if verb else "no tasks")


#: What nothing does or is when a listing of tasks in these states is empty.
_LACKING = {
    (): "",
    QUEUED: "waits",
    IN_PROGRESS: "is in progress",
    (State.FAILED,): "has failed",
    (State.SUCCEEDED,): "has succeeded",
}


def show_task(task: OneTask, as_json: Json = False) -> None:
    """One task in full: definition with defaults, attempts, the end of its stderr."""
    with Client() as client:
        found = client.task(task)
    name_job(task, found["job"])
    if as_json:
        print_json(found)
        return
    for name, value in _described(found):
        typer.echo(f"{name + ':':14}{clean(value)}")
    _show_origins(found["made_of"])
    if found["newer"]:
        say(f"note: {newer_files(found['newer'])}")
    attempts = found["attempts"]
    if attempts:
        columns = ("attempt", "state", "exit", "phase", "worker", "started", "took", "reason")
        rows = [
            (
                one["number"],
                one["state"],
                one["exit_code"],
                one["phase"],
                one["worker"],
                clock(one["started"]),
                took(one),
                one["reason"],
            )
            for one in attempts
        ]
        show(columns, rows, "")
        _show_tail("stderr", attempts[-1])


def _described(task: dict[str, Any]) -> list[tuple[str, object]]:
    needs = {name: count for name, count in task["needs"].items() if name not in ("cpus", "memory", "disk")}
    facts: list[tuple[str, object]] = [
        ("task", f"{task['job']}:{task['id']}"),
        ("state", task["state"] + (f" ({task['reason']})" if task["reason"] else "")),
        *(("stale", task["stale"]) for _ in range(bool(task["stale"]))),
        *(("command", command) for command in task["commands"]),
        *(("parameter", f"{name} = {value}") for name, value in task["params"].items()),
        *(("input", one["source"] + (f" as {one['to']}" if one["to"] != one["source"] else "")) for one in task["inputs"]),
        *(("output", one["path"] + (" (optional)" if one["optional"] else "")) for one in task["outputs"]),
        *(("metrics", path) for path in [task["metrics"]] if path),
        *(("after", name) for name in task["dependencies"]),
        *(("before", name) for name in task["dependents"]),
        *(("env", f"{name}={value}") for name, value in task["env"].items()),
        ("cpus", f"{task['cpus']:g}"),
        ("memory", amount(task["memory"]) if task["memory"] else "the worker's memory x cpus / slots"),
        *(("disk", amount(task["needs"]["disk"])) for _ in range("disk" in task["needs"])),
        *((name, f"{count:g}") for name, count in needs.items()),
        ("timeout", lasted(task["timeout"])),
        ("retries", f"{task['retries']} (failed {task['failures']} times, lost {task['losses']} times with its worker)"),
        ("priority", task["priority"]),
        *(("signed", _signed_by(task["signed"])) for _ in range(bool(task["signed"]))),
    ]
    return facts


def _signed_by(signed: dict[str, Any]) -> str:
    return f"by {signed['key']} ({signed['signer']}), good until {clock(signed['expires'])}"


def _show_origins(made_of: dict[str, Any] | None) -> None:
    """The files that the result was made of."""
    if made_of is None or not made_of["files"]:
        return
    typer.echo(f"made of (attempt {made_of['attempt']}):")
    rows = [
        (one["path"], one["sha256"] or "not known", f"{one['task']}, attempt {one['attempt']}" if one["task"] else "pushed")
        for one in made_of["files"][:ORIGINS]
    ]
    show(("file", "sha256", "from"), rows, "")
    left = len(made_of["files"]) - len(rows) + made_of["more"]
    if left:
        typer.echo(f"and {counted(left, 'more file')}; --json names them")


def _show_tail(stream: str, attempt: dict[str, Any]) -> None:
    tail = attempt[stream]
    if tail:
        cut = len(tail.encode("utf-8", "replace")) < attempt[f"{stream}_size"]
        typer.echo(f"{stream} of attempt {attempt['number']}{', its end' if cut else ''}:")
        typer.echo("\n".join("  " + clean(text) if text else "" for text in tail.rstrip("\n").split("\n")))


def show_graph(job: Annotated[str, typer.Argument(metavar="JOB", autocompletion=jobs)], as_json: Json = False) -> None:
    """A job's tasks and who waits for whom; with --json as networkx.node_link_graph reads it."""
    with Client() as client:
        found = client.job(job).graph()
    if as_json:
        print_json(found)
        return
    needed: dict[str, list[str]] = {node["id"]: [] for node in found["nodes"]}
    for edge in found["edges"]:
        needed[edge["target"]].append(edge["source"])
    rows = [(node["id"], node["state"], _some(needed[node["id"]])) for node in found["nodes"]]
    show(("task", "state", "waits for"), rows, "no tasks")
    say(f"{counted(len(rows), 'task')}, dependencies: {len(found['edges']):,}")


def _some(names: list[str]) -> str:
    """The first few of many names."""
    return " ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def why(task: OneTask, as_json: Json = False) -> None:
    """Why a task waits, ran again or how it ended, and what would help; of a VM, why it is up or going; of a pool, why it has no more."""
    with Client() as client:
        found = client.why(task)
    if found["job"]:
        name_job(task, found["job"])
    if as_json:
        print_json(found)
        return
    name = f"{found['job']}:{found['id']}" if found["job"] else found["id"]
    typer.echo(f"{name} is {found['state']}.")
    for sentence in found["why"]:
        typer.echo(clean(sentence))


def show_workers(as_json: Json = False) -> None:
    """The workers that are not gone."""
    with Client() as client:
        found = client.workers()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            worker["id"],
            worker["state"] + (", draining" if worker["draining"] else "") + _dropped(worker),
            worker["pool"],
            worker["address"],
            f"{worker['slots']:g}",
            ago(worker["last_seen"]),
            ", ".join(worker["running"][:4]) + (f" and {len(worker['running']) - 4} more" if len(worker["running"]) > 4 else ""),
        )
        for worker in found
    ]
    show(("worker", "state", "pool", "address", "slots", "seen", "runs"), rows, "no workers: they come when tasks wait")
    held: dict[str, list[str]] = {}
    for worker in found:
        if worker.get("confinement"):
            said = "; ".join(f"{name}: {how}" for name, how in worker["confinement"].items())
            held.setdefault(said, []).append(worker["id"])
    for said, workers in held.items():
        typer.echo(clean(f"Tasks on {', '.join(workers[:4])}{'...' if len(workers) > 4 else ''} are held to: {said}"))


def _dropped(worker: Mapping[str, Any]) -> str:
    """How many of its messages the boss has dropped, if any."""
    count = worker.get("dropped", 0)  # a boss of an earlier version does not say it
    return f", {count:,} messages dropped ({worker['dropped_why']})" if count else ""


def show_vms(as_json: Json = False) -> None:
    """The claims on servers that are not gone."""
    with Client() as client:
        found = client.vms()
    if as_json:
        print_json(found)
        return
    now = time.time()
    rows = [
        (vm["id"], vm["state"], vm["pool"], vm["flavor"], vm["address"], f"in {lasted(vm['deadline'] - now)}" if vm["deadline"] else "",
         vm["reason"])
        for vm in found
    ]  # fmt: skip
    show(("vm", "state", "pool", "flavor", "address", "deadline", "reason"), rows, "no VMs: they come when tasks wait")


def show_context(as_json: Json = False) -> None:
    """Where boss and datastore are, and which cluster this is."""
    with Client() as client:
        found = client.context()
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        typer.echo(f"{name + ':':19}{clean(value)}")


def listen(
    topic: Annotated[str, typer.Argument(help="task, task/JOB:ID, job/JOB, worker/ID, vm/ID; globs; nothing: everything.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print events as they happen, until Ctrl-C."""
    with Client() as client, client.listen(topic) as events:
        say("listening; Ctrl-C ends it")
        for event in events:
            if event is None:
                continue
            if as_json:
                typer.echo(json.dumps(event, ensure_ascii=False))
            else:
                facts = " ".join(
                    f"{name}={clean(value)}" for name, value in event.items() if name not in _SHOWN and value not in ("", None)
                )
                typer.echo(
                    f"{time.strftime('%H:%M:%S')} {event['topic'] or event['kind']} {event.get('state', '')} {facts}".rstrip()
                )


_SHOWN = frozenset({"topic", "kind", "state", "job", "id"})
