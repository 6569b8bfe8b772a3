"""The report as one HTML file: no script, no other file, no other host. Text is escaped by the template's engine."""

import shlex
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from client.commands.tables import amount, clock, lasted, tally
from client.report import drawing
from client.report.gather import Report
from client.report.texts import tidy
from figures.timeline import axis_of, curve_of, lanes_of

#: By this a report is known, so that it may be made anew without --force.
GENERATOR = "ecloud report"
#: Workers that are listed.
MACHINES = 100
_KINDS = (
    "done",
    "failed",
    "lost",
    "cancelled",
    "open",
    "wait",
    "tried",
    "start",
    "run",
    "boot",
    "idle",
    "others",
    "own",
    "again",
)


def page_of(report: Report) -> str:
    """The whole page."""
    past, cost = report.past, report.cost
    axis = axis_of(past)
    lanes, curve = lanes_of(past, axis), curve_of(past, axis)
    task_parts = [
        ("done", "of attempts whose result counts", cost.done),
        ("open", "under way", cost.open),
        ("failed", "failed", cost.failed),
        ("lost", "lost with their worker", cost.lost),
        ("cancelled", "cancelled", cost.cancelled),
        ("others", "done again later, by redo or a new push", cost.again),
    ]
    vms = cost.vms
    vm_parts = (
        []
        if vms is None
        else [
            ("own", "this job's tasks", vms.own),
            ("others", "tasks of other jobs", vms.others),
            ("boot", "boot, until the first task", vms.boot),
            ("idle", "idle", vms.idle),
        ]
    )
    text = (
        _environment()
        .get_template("report.html.j2")
        .render(
            generator=GENERATOR,
            kinds=[kind for kind in _KINDS if kind != "again"],
            past=past,
            tally=tally(report.job["tasks"]),
            axis=axis,
            curve=curve,
            ran=bool(lanes),
            attempts=sum(lane.attempts for lane in lanes),
            aggregated=any(lane.pieces for lane in lanes),
            grouped=any(lane.workers > 1 for lane in lanes),
            has_vms=any(lane.up for lane in lanes),
            timeline=drawing.timeline(lanes, axis),
            utilisation=drawing.utilisation(curve, axis),
            failures=report.failures,
            cost=cost,
            task_parts=task_parts,
            task_shares=drawing.shares(task_parts) if cost.tasks else "",
            vm_parts=vm_parts,
            vm_shares=drawing.shares(vm_parts) if vms is not None and vms.had else "",
            path=report.path,
            parts=list(drawing.PARTS.items()),
            waterfall=drawing.waterfall(report.path) if report.path else "",
            slowest=report.slowest,
            families=report.families,
            more_families=report.more_families,
            machines=past.machines[:MACHINES],
            more_machines=max(0, len(past.machines) - MACHINES),
            version=report.version,
            cluster=report.cluster,
            zone=time.strftime("%Z"),
        )
    )
    return text.encode("utf-8", "replace").decode("utf-8")  # what UTF-8 cannot hold


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_shown,
    )
    made.filters |= {
        "clock": clock,
        "lasted": lasted,
        "amount": amount,
        "hours": hours,
        "percent": percent,
        "counted": counted,
        "cause": _cause,
        "quoted": lambda text: shlex.quote(str(text)),
    }
    return made


def _shown(value: Any) -> Any:
    return tidy(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def hours(seconds: float) -> str:
    """CPU or VM seconds as hours, with as many digits as say something."""
    count = seconds / 3600
    if count >= 100:
        return f"{count:,.0f}"
    if count >= 0.1:
        return f"{count:.1f}" if count >= 10 else f"{count:.2f}"
    return "0" if not count else f"{count:.4f}" if count >= 0.0001 else "<0.0001"


def percent(part: float) -> str:
    """A share; small ones are not nothing."""
    return "<1 %" if 0 < part < 0.01 else f"{part:.0%}".replace("%", " %")


def counted(count: int, noun: str) -> str:
    """``1 task``, ``2 tasks``, ``2 entries``."""
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else many}"


def _cause(one: dict[str, Any]) -> str:
    where = "" if one["phase"] in ("", "run") else f"{one['phase']}: "
    return where + (one["reason"] or (f"exit code {one['exit_code']}" if one["exit_code"] is not None else "no reason was given"))
