#!/usr/bin/env python3
"""How soon, and for how many VM hours, workflows end on VMs that take their time to come up: the boss's own rule beside others.

    benchmarks/elasticity.py TRACES... [--plot docs/elasticity.png] [--json FILE]

Rules:
- The boss's real core runs on a virtual clock (``simulator.elastic``); its scaling is the product's own. Other rules run in its place, on
  the same core.
- Each trace (WfFormat) is pushed as one job to an empty cloud with one slot a VM and at most 50 VMs.
- ``makespan`` is a ratio to boot + max(critical path, work / 50), ``VM time`` one to work + one boot; both are geometric means over the
  traces.
- VM time counts from each create call to the deletion, after the last task too. *Learned* runs know no run time before a task has ended.
- An oscillation is a VM that was deleted less than a boot time before an equal one was created.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rules import BASELINES, MOST
from boss.core.model import Policy, Pool
from boss.taskfile.problems import Refused
from simulator.elastic import ElasticWorld, Run, simple_pool
from simulator.workload import Workload, read_trace

BOOTS = (30.0, 90.0, 300.0)
KNOB = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
#: Goals for (makespan, VM time), with known run times; one setting of the knob for each.
GOALS = {30.0: [(1.08, 1.7)], 90.0: [(1.12, 2.0), (1.25, 1.5)], 300.0: [(1.20, 2.0)]}
#: Seconds that VMs have after the last task to be let go.
TAIL = 4000.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One rule at one boot time, over all traces."""

    boot: float
    rule: str
    haste: float | None
    known: bool
    makespan: float
    vm_time: float
    bought: int
    peak: int
    oscillations: int


def policy(pool: Pool) -> Policy:
    """The policy of the simulated boss: heartbeats are rare, because nothing gets lost there."""
    return Policy(pools=(pool,), heartbeat=60.0, offline_after=200.0, lease=600.0, create_timeout=3600.0)


def own(load: Workload, boot: float, haste: float) -> Run:
    """The product's rule."""
    return _finish(ElasticWorld(policy(simple_pool(MOST, haste, boot_timeout=3600.0)), {("vm", "one"): boot}), load)


def other(load: Workload, boot: float, name: str) -> Run:
    """A baseline: the pool itself may have no VM, so the core's own scaling wants none and, with this cool-down, ends none."""
    pool = simple_pool(0, cooldown=1e12, boot_timeout=3600.0)
    return _finish(ElasticWorld(policy(pool), {("vm", "one"): boot}, rule=BASELINES[name](load, boot)), load)


def _finish(world: ElasticWorld, load: Workload) -> Run:
    world.push(load)
    world.finish()
    return world.settle(TAIL)


def figures(loads: list[Workload], runs: list[Run], boot: float, rule: str, haste: float | None, known: bool) -> Figures:
    """The means over all traces."""
    spans, times = [], []
    for load, run in zip(loads, runs, strict=True):
        spans.append(run.makespan / (boot + max(load.critical_path, load.work / MOST)))
        times.append(run.vm_seconds / (load.work + boot))
    return Figures(
        boot,
        rule,
        haste,
        known,
        _mean(spans),
        _mean(times),
        sum(len(run.bought) for run in runs),
        max(run.peak for run in runs),
        sum(run.oscillations(boot) for run in runs),
    )


def _mean(ratios: list[float]) -> float:
    return exp(sum(map(log, ratios)) / len(ratios))


def measure(paths: list[Path], knob: tuple[float, ...]) -> list[Figures]:
    """All rules at all boot times; prints each as it comes."""
    known, unknown = [read_trace(path) for path in paths], [read_trace(path, known=False) for path in paths]
    found: list[Figures] = []
    for boot in BOOTS:
        print(f"\nboot time {boot:.0f} s                      makespan  VM time   bought  peak  oscillations", flush=True)
        for name in BASELINES:
            found.append(_told(figures(known, [other(load, boot, name) for load in known], boot, name, None, True)))
        for loads, kind in ((known, "haste"), (unknown, "haste, learned")):
            for haste in knob:
                runs = [own(load, boot, haste) for load in loads]
                found.append(_told(figures(loads, runs, boot, f"{kind} {haste:g}", haste, loads is known)))
    return found


def _told(one: Figures) -> Figures:
    print(
        f"{one.rule:36s} {one.makespan:8.3f} {one.vm_time:8.3f} {one.bought:8d} {one.peak:5d} {one.oscillations:8d}", flush=True
    )
    return one


def verdicts(found: list[Figures]) -> list[tuple[bool, str]]:
    """Each claim about the product's rule, and whether it holds."""
    told = []
    for boot in BOOTS:
        ours = [one for one in found if one.boot == boot and one.haste is not None and one.known]
        learned = [one for one in found if one.boot == boot and one.haste is not None and not one.known]
        others = [one for one in found if one.boot == boot and one.haste is None]
        for span, time in GOALS[boot]:
            for kind, those, more in (("known", ours, 1.0), ("learned, 15 % more", learned, 1.15)):
                fit = [one for one in those if one.makespan <= span * more and one.vm_time <= time * more]
                names = ", ".join(f"{one.haste:g}" for one in fit) or "none"
                told.append(
                    (bool(fit), f"boot {boot:.0f} s, {kind}: ({span * more:.2f}, {time * more:.2f}) is reached by haste {names}")
                )
        better = [
            f"{other.rule} than haste {one.haste:g}"
            for one in ours
            for other in others
            if other.makespan < one.makespan and other.vm_time < one.vm_time
        ]
        told.append((not better, f"boot {boot:.0f} s: better in both: {', '.join(better) or 'no other rule'}"))
    swings = sum(one.oscillations for one in found if one.haste is not None)
    told.append((not swings, f"oscillations of the product's rule: {swings}"))
    return told


def plot(found: list[Figures], path: Path) -> None:
    """The frontiers, one panel a boot time."""
    from matplotlib import pyplot  # noqa: PLC0415 (half a second, for whoever wants the picture)

    pyplot.switch_backend("Agg")
    figure, panels = pyplot.subplots(1, len(BOOTS), figsize=(13, 4.2), sharey=True)
    for panel, boot in zip(panels, BOOTS, strict=True):
        for known, label, style in ((True, "ecloud, run times known", "o-"), (False, "ecloud, run times learned", "o--")):
            those = [one for one in found if one.boot == boot and one.haste is not None and one.known is known]
            panel.plot([one.makespan for one in those], [one.vm_time for one in those], style, label=label, markersize=4)
        for number, one in enumerate(one for one in found if one.boot == boot and one.haste is None):
            panel.plot(one.makespan, min(one.vm_time, 6.0), "sv^D<>*"[number % 7], label=one.rule, color="0.35", alpha=0.8)
        for span, time in GOALS[boot]:
            panel.plot(span, time, "x", color="tab:red")
        panel.set_title(f"boot time {boot:.0f} s")
        panel.set_xlabel("makespan / shortest possible")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("VM time / (work + one boot), at most 6")
    panels[0].set_ylim(1.0, 6.1)
    panels[-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> int:
    """0 if every claim holds, 1 if one does not, 2 for wrong input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE", help="WfFormat files, or folders of them")
    parser.add_argument("--plot", type=Path, help="write the frontiers as a picture (needs matplotlib)")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--haste", type=float, action="append", help="only this setting of the knob (may be given several times)")
    chosen = parser.parse_args()
    paths = [path for given in chosen.traces for path in (sorted(given.glob("*.json")) if given.is_dir() else [given])]
    if not paths:
        parser.error("no trace there")
    try:
        found = measure(paths, tuple(chosen.haste or KNOB))
    except (OSError, ValueError, Refused) as error:
        print(f"elasticity.py: {error}", file=sys.stderr)
        return 2
    print()
    claims = verdicts(found)
    for holds, sentence in claims:
        print(f"{'holds' if holds else 'FAILS':6s} {sentence}")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    if chosen.plot:
        plot(found, chosen.plot)
    return 0 if all(holds for holds, _ in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
