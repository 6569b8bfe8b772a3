"""Hostile worlds whose workers beat as seldom as those of a large fleet: every promise holds there, too."""

from dataclasses import replace

from simulator.hostile.plan import plan_of
from simulator.hostile.shrinking import run

SEEDS = 120


def test_every_promise_holds_where_workers_beat_seldom() -> None:
    accepted = 0
    for seed in range(SEEDS):
        plan = plan_of(seed)
        policy = replace(plan.policy, heartbeat=1.0, offline_after=3.0, heartbeat_rate=0.2, worker_lease=120.0)
        verdict = run(replace(plan, policy=policy, longest_lease=240.0))
        assert verdict.broken is None, f"seed {seed}: {verdict.broken}"
        accepted += verdict.accepted
    assert accepted > SEEDS, "hardly anything was accepted: these worlds do no work"
