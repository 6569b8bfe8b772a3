"""People of the hostile world: they push, change their minds, and ask again when they get no answer.

Rules:
- Whoever gets no answer within a few seconds, or "unknown, ask again", asks again. A push is repeated under its own submission key.
- When all is calm, people resume what is paused, open what they have closed, and ask for nothing more.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from boss.core.model import OutputSpec, TaskSpec, Template
from boss.core.requests import (
    Answer,
    FailedRetried,
    FleetClosed,
    FleetOpened,
    JobExtended,
    JobOpened,
    JobPaused,
    JobResumed,
    JobStaged,
    Request,
    StagingDropped,
    TasksCancelled,
    TasksRedone,
    TasksStaged,
    WhyAsked,
    WorkersDrained,
    WorkersWanted,
)
from simulator.hostile.plan import Act, JobPlan

if TYPE_CHECKING:
    from simulator.hostile.world import World

#: Seconds until somebody asks again.
PATIENCE = 4.0


class People:
    """All who use this cluster. ``pushed`` are the jobs that somebody was told to have been taken."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.uids: dict[str, int] = {}
        self.pushed: dict[str, str] = {}  #: job's name -> its uid, as answered
        self.extensions = 0

    # ---- asking ----------------------------------------------------------------------------------------------------

    def ask(self, request: Callable[[int], Request], done: Callable[[Answer], None] | None = None, again: bool = True) -> None:
        """Ask until there is an answer."""
        world, answered = self.world, [False]

        def receive(answer: Answer) -> None:
            if answered[0]:
                return
            if world.chance.fault("answer lost"):
                return  # it waits, and asks again
            if answer.code == 503:
                return
            answered[0] = True
            if done is not None:
                done(answer)

        def attempt() -> None:
            if answered[0]:
                return
            if world.boss is not None:
                world.boss.ask(request, receive)
            if again:
                world.clock.after(PATIENCE, attempt)

        attempt()

    # ---- pushing ---------------------------------------------------------------------------------------------------

    def push(self, job: JobPlan) -> None:
        """What the API does with a push: stage, send the rows, open. Whoever gets no answer drops it and pushes again, by the same key."""
        if any(kept.name == job.name and kept.state == "open" for kept in self.world.disk.tables.jobs.values()):
            return self._taken(job)
        number = self.uids[job.name] = self.uids.get(job.name, 0) + 1
        uid = f"{job.name}x{number}"
        requests: list[Callable[[int], Request]] = [
            lambda reply: JobStaged(uid, job.name, job.owner, f"push of {job.name}", job.priority, reply),
            lambda reply: TasksStaged(uid, job.templates(), job.specs(), reply),
            lambda reply: JobOpened(uid, {}, reply),
        ]

        def go_on(answer: Answer | None) -> None:
            if answer is None or answer.code != 200:
                if self.world.boss is not None:
                    self.world.boss.put(StagingDropped(uid))
                self.world.clock.after(1.0, self.push, job)
            elif answer.detail.get("repeated"):
                self._taken(job)
            elif requests:
                self._ask_once(requests.pop(0), go_on)
            else:
                self._taken(job)

        self._ask_once(requests.pop(0), go_on)
        return None

    def _taken(self, job: JobPlan) -> None:
        """Somebody was told that the job is there."""
        if self.world.chance.fault("answer lost"):
            self.world.clock.after(2.0, self.push, job)
            return
        uid = next((uid for uid, kept in self.world.disk.tables.jobs.items() if kept.name == job.name), "")
        self.pushed[job.name] = uid
        self.world.witness("pushed", job, uid)

    def _ask_once(self, request: Callable[[int], Request], done: Callable[[Answer | None], None]) -> None:
        """Ask once; None when there is no answer in time."""
        over = [False]

        def end(answer: Answer | None) -> None:
            if not over[0]:
                over[0] = True
                done(answer)

        if self.world.boss is not None:
            self.world.boss.ask(request, end)
        self.world.clock.after(PATIENCE, end, None)

    # ---- meddling --------------------------------------------------------------------------------------------------

    def do(self, act: Act) -> None:
        """One act."""
        name = self.world.plan.jobs[act.job].name
        self.world.tell(f"somebody asks: {act.kind} {name} {act.pattern}")
        getattr(self, act.kind)(name, act.pattern)

    def pause(self, job: str, pattern: str) -> None:
        """Deal out nothing new."""
        self.ask(lambda reply: JobPaused(job, reply), lambda answer: self._meddled(answer, "paused", job))

    def resume(self, job: str, pattern: str) -> None:
        """Go on."""
        self.world.witness("resumes", job)
        self.ask(lambda reply: JobResumed(job, reply))

    def cancel(self, job: str, pattern: str) -> None:
        """Some tasks."""
        self.ask(lambda reply: TasksCancelled(job, pattern, reply))

    def cancel_all(self, job: str, pattern: str) -> None:
        """The whole job."""
        self.ask(lambda reply: TasksCancelled(job, "*", reply))

    def redo(self, job: str, pattern: str) -> None:
        """Run finished tasks again."""
        self.world.witness("reopens", job)
        self.ask(lambda reply: TasksRedone(job, pattern, reply))

    def redo_below(self, job: str, pattern: str) -> None:
        """And what is below them."""
        self.world.witness("reopens", job)
        self.ask(lambda reply: TasksRedone(job, pattern, reply, descendants=True))

    def redo_stale(self, job: str, pattern: str) -> None:
        """What is stale."""
        self.world.witness("reopens", job)
        self.ask(lambda reply: TasksRedone(job, "*", reply, stale=True))

    def retry(self, job: str, pattern: str) -> None:
        """What has failed."""
        self.world.witness("reopens", job)
        self.ask(lambda reply: FailedRetried(job, pattern, reply))

    def retry_all(self, job: str, pattern: str) -> None:
        """Everything that has failed or was cancelled."""
        self.world.witness("reopens", job)
        self.ask(lambda reply: FailedRetried(job, "*", reply, named=True))

    def drain_worker(self, job: str, pattern: str) -> None:
        """All workers, politely."""
        self.ask(lambda reply: WorkersDrained((), False, reply))

    def terminate_worker(self, job: str, pattern: str) -> None:
        """All workers, at once."""
        self.world.witness("terminates", False)
        self.ask(lambda reply: WorkersDrained((), True, reply), lambda _answer: self.world.witness("terminates", True))

    def instantiate(self, job: str, pattern: str) -> None:
        """Two more VMs by hand."""
        self.ask(lambda reply: WorkersWanted(2, keep=6.0, reply=reply), again=False)

    def close_fleet(self, job: str, pattern: str) -> None:
        """Nobody comes, everybody goes."""
        self.ask(lambda reply: FleetClosed(False, reply))

    def open_fleet(self, job: str, pattern: str) -> None:
        """VMs may come again."""
        self.ask(FleetOpened)

    def why(self, job: str, pattern: str) -> None:
        """Why does it wait?"""
        self.ask(lambda reply: WhyAsked(job, "t0", reply))

    def extend(self, job: str, pattern: str) -> None:
        """A merge: one task is replaced, one is new and depends on it."""
        boss = self.world.boss
        uid = self.pushed.get(job)
        kept = self.world.disk.tables.jobs.get(uid or "")
        if boss is None or kept is None or uid is None or not kept.tasks:
            return
        count, number = len(kept.tasks), len(kept.templates)
        self.extensions += 1
        replaced = count - 1
        init = kept.templates[kept.tasks[replaced][0][1]].init
        templates = (
            Template(number, "x", ("new",), outputs=(OutputSpec(f"out/{replaced}"),), retries=1, init=init),
            Template(number + 1, "y", ("new",), retries=1),
        )
        specs = (TaskSpec(replaced, f"t{replaced}", number), TaskSpec(count, f"t{count}", number + 1, 0, (replaced,)))
        key = f"{uid}-{self.extensions}"
        self.world.witness("reopens", job)
        self.ask(lambda reply: JobExtended(uid, count, templates, specs, {}, key, reply))

    def _meddled(self, answer: Answer, moment: str, job: str) -> None:
        if answer.code == 200:
            self.world.witness(moment, job)

    # ---- calm ------------------------------------------------------------------------------------------------------

    def calm_down(self) -> None:
        """Open the fleet, resume every job that is paused; look again after a while."""
        if self.world.boss is not None:
            if "fleet_closed" in self.world.disk.tables.context:
                self.open_fleet("", "")
            for job in self.world.disk.tables.jobs.values():
                if job.wanted == "pause" and job.standing[5] is None:
                    self.resume(job.name, "*")
        self.world.clock.after(8.0, self.calm_down)
