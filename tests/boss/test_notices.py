"""What is worth telling, to whom, and when: pure, and on a loop with a real store."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from boss.core.events import BrokerConnected, WorkerSaid
from boss.core.model import Wanted
from boss.core.requests import ContextSet, JobPaused, TasksRedone
from boss.core.view import View, VmView
from boss.loop import Loop, Outside
from boss.notices.notice import Kind, Notice, Severity, from_text, harmless, made, to_text
from boss.notices.noting import FACT, STANDING, WAITING, Noting, Row
from boss.notices.outbox import FIRST_RETRY, LONGEST_GATHER, LONGEST_RETRY, Outbox
from boss.notices.targets import Target, Telling
from boss.notices.watching import CALM, Disk, Left, Standing, ownerless
from tests.boss.test_loop import Boss
from tests.core.scene import policy
from worker.protocol import Result, Results

OPS = Target("ops", webhook="https://chat.example.org/x")
PEOPLE = Target("people", mail=("owner", "ops@example.org"))


def notice(number: int = 1, kind: Kind = Kind.JOB_DONE, owner: str = "ada") -> Notice:
    return made(f"1-{number}", kind, 1000.0, "ising", f"job ising-{number} is done", owner)


# ---- words ------------------------------------------------------------------------------------------------------------


def test_what_others_have_written_becomes_one_harmless_line() -> None:
    assert harmless("a\r\nBcc: eve@example.org\x1b[2J\u202e\u2028\x00 b\ud800") == "a Bcc: eve@example.org [2J b"
    assert harmless("x" * 500) == "x" * 197 + "..."
    one = made("1", Kind.FAILURES, 1.0, "a\nb", "c\rd", "e\tf", "g\x7fh", {"name": "i\nj", "count": 3})
    assert (one.about, one.text, one.owner, one.remedy, one.facts) == ("a b", "c d", "e f", "g h", {"name": "i j", "count": 3})


def test_a_notice_is_the_same_after_it_lay_in_the_database() -> None:
    first = made("1-1", Kind.LEAK, 5.5, "cloud", "a thing", facts={"id": "x"})
    assert from_text(to_text(first, ["ops"])) == (first, ["ops"])
    for wrong in ("", "[]", "{}", '{"for": 3}', json.dumps({"for": [], "kind": "new in a later version"})):
        with pytest.raises(ValueError):
            from_text(wrong)


# ---- for whom ---------------------------------------------------------------------------------------------------------


def test_a_target_gets_the_kinds_the_severity_and_the_people_that_it_asked_for() -> None:
    assert OPS.wants(notice())
    assert not replace(OPS, kinds=frozenset({"disk"})).wants(notice())
    assert not replace(OPS, severity=Severity.WARNING).wants(notice())
    assert replace(OPS, severity=Severity.WARNING).wants(notice(kind=Kind.DISK))
    assert not replace(OPS, owners=frozenset({"bob"})).wants(notice())


def test_the_owner_gets_mail_about_their_own_jobs_and_nobody_else_does() -> None:
    telling = Telling((OPS, PEOPLE), people={"ada": "ada@example.org", "bob": "bob@example.org"})
    assert telling.units(notice()) == ["ops", "people ada@example.org", "people ops@example.org"]
    assert telling.units(notice(owner="eve@evil.example")) == ["ops", "people ops@example.org"], "a name is no address"
    assert telling.units(notice(kind=Kind.DISK, owner="")) == ["ops", "people ops@example.org"]
    assert telling.target("people ada@example.org") == PEOPLE
    assert telling.target("gone x") is None
    assert Telling((replace(OPS, kinds=frozenset({"disk"})),)).asks_for(Kind.DISK, Kind.LEAK)
    assert not Telling((replace(OPS, severity=Severity.ERROR),)).asks_for(Kind.JOB_DONE, Kind.JOB_FAILED)


# ---- when -------------------------------------------------------------------------------------------------------------


def outbox() -> Outbox:
    return Outbox(gather=10.0, retry_for=1000.0, jitter=lambda _unit: 0.5)


def test_what_comes_at_once_goes_into_one_message() -> None:
    box = outbox()
    for number in range(500):
        box.put("ops", notice(number), 100.0 + number / 100)
    assert box.due(109.9) == []
    assert box.next() == 110.0
    (batch,) = box.due(110.0)
    assert len(batch.notices) == 500
    assert box.due(110.0) == [], "it is under way"
    box.delivered(batch, 111.0)
    assert box.next() is None


def test_a_flood_is_a_few_messages_and_calm_brings_quick_ones_back() -> None:
    box, sent, now = outbox(), [], 0.0
    while now < 7200.0:  # something every second, for two hours
        box.put("ops", notice(), now)
        for batch in box.due(now):
            sent.append((now, len(batch.notices)))
            box.delivered(batch, now)
        now += 1.0
    assert len(sent) < 20
    assert max(later[0] - earlier[0] for earlier, later in pairwise(sent)) <= LONGEST_GATHER + 1
    for batch in box.due(now + LONGEST_GATHER):
        box.delivered(batch, now + LONGEST_GATHER)
    quiet = now + 3 * LONGEST_GATHER
    box.put("ops", notice(), quiet)
    assert box.next() == quiet + 10.0


def test_a_message_that_does_not_arrive_is_tried_again_later_and_later_and_stays_the_same() -> None:
    box = outbox()
    box.put("ops", notice(1), 0.0)
    now, waits = 10.0, []
    (first,) = box.due(now)
    box.put("ops", notice(2), now)
    for _ in range(7):
        assert not box.failed(first, now)
        look = box.next()
        assert look is not None
        waits.append(look - now)
        now = look
        assert box.due(now) == [first], "what came meanwhile waits for the next one"
    assert waits[:4] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY, 8 * FIRST_RETRY]
    assert all(wait <= LONGEST_RETRY for wait in waits)


def test_it_is_given_up_when_it_is_worth_nothing_any_more_or_never_will_arrive_and_the_next_one_goes() -> None:
    box = outbox()
    box.put("ops", notice(1), 0.0, age=995.0)
    (first,) = box.due(10.0)
    box.put("ops", notice(2), 10.0)
    assert box.failed(first, 11.0)
    (second,) = box.due(30.0)
    assert second.notices == (notice(2),)
    assert box.failed(second, 30.0, for_good=True)
    assert box.waiting() == 0


def test_a_receiver_that_asks_for_time_gets_it_and_keeps_no_other_waiting() -> None:
    box = outbox()
    box.put("people a@x", notice(1), 0.0)
    box.put("people b@x", notice(2), 0.0)
    first, second = box.due(10.0)
    assert not box.failed(first, 10.0, wait=300.0)
    box.delivered(second, 10.0)
    assert box.next() == 310.0


# ---- what stands ------------------------------------------------------------------------------------------------------


def look(standing: Standing, now: float, used: float = 0.0, paused: bool = False) -> list[str]:
    disk = Disk("the disk of the boss", int(1000 * (1 - used)), 1000)
    return [one.kind.value for one in standing.look(now, 1, {"cloud": "no valid host"} if paused else {}, [disk], 0.9)]


def test_what_stands_is_told_once_and_again_only_after_it_was_over_for_long() -> None:
    standing = Standing()
    assert look(standing, 0.0, 0.89) == []
    assert look(standing, 10.0, 0.91, paused=True) == ["pool_paused", "disk"]
    assert look(standing, 20.0, 0.95, paused=True) == []
    assert look(standing, 30.0, 0.5) == []
    assert look(standing, 40.0, 0.95, paused=True) == [], "it swings"
    assert look(standing, 50.0 + CALM, 0.5) == []
    assert look(standing, 60.0 + CALM, 0.95, paused=True) == ["pool_paused", "disk"]


def test_a_disk_just_below_the_bound_has_no_room_yet() -> None:
    standing = Standing()
    assert look(standing, 0.0, 0.91) == ["disk"]
    for hour in range(1, 5):
        assert look(standing, hour * CALM * 0.9, 0.89) == []
    assert standing.seen


def test_what_stood_in_an_earlier_life_is_not_told_again() -> None:
    first = Standing()
    look(first, 0.0, 0.95)
    again = Standing.of(first.text())
    assert look(again, 100.0, 0.95) == []
    for wrong in (None, "", "[1]", '{"a": "b"}', "nothing"):
        assert Standing.of(wrong).seen == {}


def test_a_leak_is_what_two_looks_have_found_without_an_owner() -> None:
    standing = Standing()
    one, other = Left("openstack", "server", "id-1", "ecloud-cloud-9"), Left("openstack", "volume", "id-2", "")
    assert standing.look_for_leaks(0.0, 1, [one]) == []
    assert [found.facts["id"] for found in standing.look_for_leaks(900.0, 1, [one, other])] == ["id-1"]
    assert [found.facts["id"] for found in standing.look_for_leaks(1800.0, 1, [one, other])] == ["id-2"]
    assert standing.look_for_leaks(2700.0, 1, [one, other]) == []


def test_what_a_claim_or_its_group_owns_is_no_leak() -> None:
    vm = VmView("cloud-2", "joined", "cloud", "m1", "", None, "", 0.0, group="cloud-1")
    view = View(0.0, 1, 0.0, vms=(vm,))
    things = [
        ("openstack", "server", name, name, claim) for name, claim in (("a", "cloud-2"), ("b", "cloud-1"), ("c", "cloud-7"))
    ]
    assert [left.id for left in ownerless(things, view)] == ["c"]


# ---- in the loop's commits ----------------------------------------------------------------------------------------------


class Hearer:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.left_out = 0
        self.standing: list[str | None] = []

    def loaded(self, epoch: int, standing: str | None) -> None:
        self.standing.append(standing)

    def take(self, rows: Sequence[Row], left_out: int = 0) -> None:
        self.rows += rows
        self.left_out += left_out

    @property
    def kinds(self) -> list[str]:
        return [row[0].kind.value for row in self.rows]


class Told(Boss):
    """A loop that is turned by hand, and notes what is worth telling."""

    def __init__(self, folder: Path, telling: Telling = Telling((OPS,), burst=3)) -> None:  # noqa: B008 (frozen)
        super().__init__(folder)
        self.hearer = Hearer()
        outside = Outside(self.store, self.outsider, self.outsider, {"local": self.outsider})
        noting = Noting(telling, self.hearer)
        self.loop = Loop(outside, policy(), self.store.open(), self.clock, noting=noting)
        self.loop._load()
        self.turn(BrokerConnected())

    def ends(self, attempt: str, outcome: str = "succeeded") -> None:
        self.turn(WorkerSaid("local-1", Results("s1", (Result(attempt, outcome, phase="run", exit_code=0),))))

    def facts(self) -> dict[str, str]:
        return {name: value for name, value in self.store.load().context.items() if name.startswith(FACT)}


def test_a_job_that_ended_is_told_by_the_commit_that_ended_it(tmp_path: Path) -> None:
    boss = Told(tmp_path)
    boss.push()
    boss.join()
    assert boss.hearer.kinds == []
    boss.store.fail_before = True
    boss.ends("u1.0.1")
    assert (boss.hearer.kinds, boss.facts()) == ([], {}), "nothing has happened"
    boss.ends("u1.0.1")
    assert boss.hearer.kinds == ["job_done"]
    (row,) = boss.facts().values()
    told, units = from_text(row)
    assert (told.text, units) == ("job job of ada is done: 1 task in 1 s", ["ops"])
    boss.store.close()


def test_a_commit_whose_answer_was_lost_is_told_once(tmp_path: Path) -> None:
    boss = Told(tmp_path)
    boss.push()
    boss.join()
    boss.store.fail_after = True
    boss.ends("u1.0.1")
    boss.ends("u1.0.1")
    assert len({row[0].id for row in boss.hearer.rows}) == 1
    assert boss.hearer.rows[0][0].about == "job"
    boss.store.close()


def test_a_boss_that_was_killed_before_it_told_does_so_in_its_next_life_and_then_never_again(tmp_path: Path) -> None:
    first = Told(tmp_path)
    first.push()
    first.join()
    first.ends("u1.0.1", "failed")
    first.store.close()
    second = Told(tmp_path)
    assert second.hearer.kinds == ["job_failed"]
    assert second.hearer.rows[0][0].id == first.hearer.rows[0][0].id
    second.turn(ContextSet(dict.fromkeys(second.facts())))  # everybody has been told
    second.store.close()
    third = Told(tmp_path)
    assert third.hearer.kinds == []
    third.store.close()


def test_jobs_that_ended_before_anybody_was_to_be_told_are_not_told(tmp_path: Path) -> None:
    silent = Boss(tmp_path)
    silent.push()
    silent.join()
    silent.finish("u1.0.1")
    silent.store.close()
    boss = Told(tmp_path)
    assert boss.hearer.kinds == []
    assert boss.ask(TasksRedone("job", "t0")).code == 200
    boss.store.close()


def test_a_job_that_is_opened_again_and_ends_again_is_told_again(tmp_path: Path) -> None:
    boss = Told(tmp_path)
    boss.push()
    boss.join()
    boss.ends("u1.0.1")
    assert boss.ask(TasksRedone("job", "t0")).code == 200
    boss.ends("u1.0.2", "failed")
    assert boss.hearer.kinds == ["job_done", "job_failed"]
    boss.store.close()


def test_many_failures_of_a_job_are_told_once(tmp_path: Path) -> None:
    boss = Told(tmp_path)
    boss.push(8)
    boss.join()
    for index in range(7):
        boss.ends(f"u1.{index}.1", "failed")
    assert boss.hearer.kinds == ["failures"]
    assert "3 attempts have failed within 5 min" in boss.hearer.rows[0][0].text
    boss.store.close()


def test_a_job_that_the_boss_has_paused_is_told_and_one_that_a_person_paused_is_not(tmp_path: Path) -> None:
    boss = Told(tmp_path)
    boss.push()
    assert boss.ask(JobPaused("job")).code == 200
    assert boss.hearer.kinds == []
    job = boss.loop._state.jobs["u1"]
    for reason in ("init task env failed", "init task env failed", ""):
        job.wanted, job.reason = Wanted.PAUSE, reason
        boss.loop._state.touch_job(job)
        boss.turn(ContextSet({"a": reason}))
    assert boss.hearer.kinds == ["job_paused"]
    assert boss.hearer.rows[0][0].text == "job job of ada is paused: init task env failed"
    boss.store.close()


def test_nobody_is_noted_for_what_nobody_wants_to_know(tmp_path: Path) -> None:
    boss = Told(tmp_path, Telling((replace(OPS, kinds=frozenset({"job_failed"})),)))
    boss.push()
    boss.join()
    boss.ends("u1.0.1")
    assert (boss.hearer.kinds, boss.facts()) == ([], {})
    boss.store.close()


def test_when_too_much_waits_the_rest_is_counted_and_the_loop_goes_on(tmp_path: Path) -> None:
    boss = Told(tmp_path)
    boss.turn(ContextSet({f"{FACT}x-{number}": to_text(notice(number), ["ops"]) for number in range(WAITING)}))
    boss.push()
    boss.join()
    boss.ends("u1.0.1")
    assert boss.hearer.left_out == 1
    assert boss.loop.view().tasks == {"succeeded": 1}
    boss.store.close()


def test_what_stood_is_handed_over_at_a_load(tmp_path: Path) -> None:
    first = Told(tmp_path)
    first.turn(ContextSet({STANDING: '{"disk x": 5.0}'}))
    first.store.close()
    second = Told(tmp_path)
    assert second.hearer.standing == ['{"disk x": 5.0}']
    second.store.close()
