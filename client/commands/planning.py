"""``push_tasks.py FILE --plan``: what a task file would take, as a small table; nothing is pushed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer

from client import Client
from client.commands.frame import counted, say
from client.commands.tables import clean, lasted, show
from client.planning import PROJECT, plan
from client.pushing import Wishes, read_task_file


def run(file: Path, wishes: Wishes, deadline: float | None, budget: float | None, plot: Path | None) -> int:
    """Make the plan and tell it; 1 if a deadline or budget cannot be kept."""
    with Client() as client:
        found = plan(client.connection, read_task_file(client.connection, file), wishes)
    for line in described(found):
        typer.echo(clean(line))
    ways = found["ways"]
    same = len({(way["makespan"], way["vm_hours"]) for way in ways}) == 1  # VMs that are up at once leave no choice
    priced = any(way["price"] for way in ways)
    columns = ["haste", "makespan", "VM hours", "vCPU hours", "VMs at most", "vCPUs at most", *(["price"] if priced else [])]
    rows = [
        [
            "any" if same else f"{way['haste']:g}",
            lasted(way["makespan"]),
            f"{way['vm_hours']:.2f}",
            f"{way['cpu_hours']:.2f}",
            way["vms"],
            f"{way['cpus']:g}",
            *([f"{way['price']:.2f}"] if priced else []),
        ]
        for way in (ways[:1] if same else ways)
    ]
    show(columns, rows, "nothing to plan", columns)
    verdict, code = choice(ways, deadline, budget)
    if verdict:
        typer.echo(verdict)
    if plot is not None:
        script = [sys.executable, "-m", "simulator", "plot", str(plot.absolute())]
        drawn = subprocess.run(script, check=False, cwd=PROJECT, input=json.dumps(found), capture_output=True, text=True)
        if drawn.returncode:
            say(f"{plot}: {(drawn.stderr.strip().splitlines() or ['it could not be drawn'])[-1]}")
            return 1
    return code


def described(found: dict[str, Any]) -> list[str]:
    """What is told before the table."""
    own = found["own"]
    where = [
        f"{counted(found[kind], 'task')} {said}"
        for kind, said in (
            ("hinted", "as the file says"),
            ("learned", "as such programs have run here"),
            ("supposed", "of which nothing is known (10 s are supposed; `runtime` in the task file says it)"),
        )
        if found[kind]
    ]
    help_ = f"more than {found['enough']} VMs do not help" if found["enough"] else "no one flavor holds all of its tasks"
    size = (
        f"{counted(found['tasks'], 'task')}, {lasted(found['work'])} of work, the longest chain {lasted(found['critical_path'])}"
    )
    peak = f"at most {own['vms']} VMs with an address each and {own['cpus']:g} vCPUs"
    rough = (
        [f"played through in {counted(found['pieces'], 'piece')} of up to {found['together']:,} equal tasks, one after the other"]
        if found["pieces"]
        else []
    )
    lines = [
        f"{size}; at most {found['widest']} at once, {help_}",
        f"run times: {', '.join(where)}",
        f"as the settings are: {lasted(own['makespan'])}, {own['vm_hours']:.2f} VM hours, {peak}",
    ]
    return lines + rough + [f"what bounds it: {sentence}" for sentence in found["cut"][:3]]


def choice(ways: list[dict[str, Any]], deadline: float | None, budget: float | None) -> tuple[str, int]:
    """Which setting keeps a deadline (seconds) and a budget (vCPU hours) best, and the exit code."""
    if deadline is None and budget is None:
        return "", 0
    fit = [
        way
        for way in ways
        if (deadline is None or way["makespan"] <= deadline) and (budget is None or way["cpu_hours"] <= budget)
    ]
    wanted = " and ".join(
        ([f"{lasted(deadline)}"] if deadline is not None else []) + ([f"{budget:g} vCPU hours"] if budget is not None else [])
    )
    if not fit:
        soonest, cheapest = min(way["makespan"] for way in ways), min(way["cpu_hours"] for way in ways)
        return f"within {wanted}: not possible; the soonest is {lasted(soonest)}, the cheapest {cheapest:.2f} vCPU hours", 1
    best = min(
        fit, key=lambda way: (way["cpu_hours"], way["makespan"]) if deadline is not None else (way["makespan"], way["cpu_hours"])
    )
    return f"within {wanted}: haste {best['haste']:g}, {lasted(best['makespan'])} and {best['cpu_hours']:.2f} vCPU hours", 0
