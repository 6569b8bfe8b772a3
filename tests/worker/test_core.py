"""The worker's brain as conversations. Each list of effects is complete: nothing else was said or done."""

import pytest

from tests.worker.conversation import Conversation, attempt, done, recalled, results, sent
from worker import events as ev
from worker import protocol as wire
from worker.core import LAST_WAIT
from worker.errands import FETCHERS
from worker.ledger import Entry, Step
from worker.outbox import LINGER, REPEAT, START_LINGER
from worker.trust import VERIFIES


def explained(result: wire.Result) -> wire.Result:
    """A result whose reason is the one line in its log."""
    said = f"ecloud: {result.reason}\n"
    return result._replace(stderr=said, stderr_size=result.stderr_size + len(said))


A, B, C = attempt("a"), attempt("b"), attempt("c")
NEEDS_INPUT = attempt("in", inputs=(wire.Input("x", "x"),))
HAS_OUTPUT = attempt("out", outputs=(wire.Output("y", "y"),))


def test_hello_tells_who_and_what_is_offered() -> None:
    hello = Conversation().connect()
    assert hello == wire.Hello("s1", 0, 0, {"cpus": 4, "memory": 8 << 30}, {}, "10.0.0.7", 42, "worker-test")


def test_an_attempt_is_started_and_its_result_kept_before_it_is_said() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    assert talk.tell(ev.Ended("a.0.1", done("a"))) == [ev.Keep((done("a"),)), results(done("a"))]
    assert talk.tell(talk.say(wire.Acknowledge, ("a.0.1",))) == [ev.Forget(("a.0.1",))]
    assert talk.after(REPEAT) == [ev.Send(wire.Heartbeat("s1", 1, 2, {}))]


def test_a_start_is_said_only_if_the_attempt_lasts() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    assert talk.after(START_LINGER) == [ev.Send(wire.Started("s1", {"a.0.1": 5.0}))]
    assert talk.after(START_LINGER) == []


def test_results_linger_while_more_work_waits_and_travel_together() -> None:
    talk = Conversation(cpus=2.0)
    talk.connect()
    talk.assign(A, B, C, attempt("d"), attempt("e"))
    talk.tell(ev.Began("a.0.1", 5.0), ev.Began("b.0.1", 5.0))
    assert talk.tell(ev.Ended("a.0.1", done("a"))) == [ev.Start(C)]
    talk.now += LINGER / 2
    assert talk.tell(ev.Ended("b.0.1", done("b"))) == [ev.Start(attempt("d"))]
    assert talk.core.deadline() == pytest.approx(talk.now + LINGER / 2)
    assert talk.after(LINGER / 2) == [ev.Keep((done("a"), done("b"))), results(done("a"), done("b"))]


def test_a_repeated_assignment_never_starts_twice_whatever_became_of_it() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    talk.after(START_LINGER)
    assert talk.assign(A) == []
    assert talk.after(START_LINGER) == [ev.Send(wire.Started("s1", {"a.0.1": 5.0}))]
    talk.tell(ev.Ended("a.0.1", done("a")))
    assert talk.assign(A) == [results(done("a"))]
    talk.tell(talk.say(wire.Acknowledge, ("a.0.1",)))
    assert talk.assign(A) == []


def test_a_result_is_said_again_until_it_is_acknowledged() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    talk.tell(ev.Ended("a.0.1", done("a")))
    assert sent(talk.after(REPEAT), wire.Results) == [wire.Results("s1", (done("a"),))]
    assert sent(talk.after(REPEAT), wire.Results) == [wire.Results("s1", (done("a"),))]


def test_nothing_is_said_while_the_link_is_down_and_all_of_it_after() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A, B)
    talk.tell(ev.Disconnected())
    assert talk.tell(ev.Ended("a.0.1", done("a"))) == [ev.Keep((done("a"),))]
    assert talk.after(100.0) == []
    hello, said, began = talk.tell(ev.Connected())
    assert isinstance(hello, ev.Send) and isinstance(hello.message, wire.Hello)
    assert hello.message.held == {"a.0.1": "finished", "b.0.1": "running"}
    assert said == results(done("a"))
    assert began == ev.Send(wire.Started("s1", {"b.0.1": 5.0}))


def test_what_the_spool_held_is_said_at_the_first_hello() -> None:
    talk = Conversation(finished=[done("old")])
    hello, said = talk.tell(ev.Connected())
    assert isinstance(hello, ev.Send) and isinstance(hello.message, wire.Hello)
    assert hello.message.held == {"old.0.1": "finished"}
    assert said == results(done("old"))
    assert talk.tell(talk.say(wire.Acknowledge, ("old.0.1",))) == [ev.Forget(("old.0.1",))]


def test_a_cancel_kills_what_runs_and_drops_what_waits() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    talk.start(A)
    talk.assign(B)
    dropped = wire.Result("b.0.1", "cancelled", reason="enough")
    assert talk.tell(talk.say(wire.Cancel, ("a.0.1", "b.0.1"), "enough")) == [
        ev.Kill("a.0.1", "enough"),
        ev.Keep((dropped,)),
        results(dropped),
    ]
    assert talk.tell(talk.say(wire.Cancel, ("a.0.1",), "enough")) == []
    killed = done("a", outcome="failed", phase="run", exit_code=None, signal=15)
    reported = killed._replace(outcome="cancelled", phase="", reason="enough")
    assert talk.tell(ev.Ended("a.0.1", killed)) == [ev.Keep((reported,)), results(reported)]


def test_a_cancel_of_an_attempt_that_never_arrived_is_answered_and_bars_it() -> None:
    talk = Conversation()
    talk.connect()
    answer = wire.Result("a.0.1", "cancelled", reason="cancelled")
    assert talk.tell(talk.say(wire.Cancel, ("a.0.1",), "")) == [ev.Keep((answer,)), results(answer)]
    assert talk.assign(A) == [results(answer)]
    talk.tell(talk.say(wire.Acknowledge, ("a.0.1",)))
    assert talk.tell(talk.say(wire.Cancel, ("a.0.1",), "")) == []


def test_a_cancel_of_a_finished_attempt_is_answered_by_its_result() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    talk.tell(ev.Ended("a.0.1", done("a")))
    assert talk.tell(talk.say(wire.Cancel, ("a.0.1",), "late")) == [results(done("a"))]


def test_a_recall_gives_back_what_was_not_started_and_says_so() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    talk.start(A)
    talk.assign(B)
    assert talk.tell(talk.say(wire.Recall, ("a.0.1", "b.0.1"))) == [ev.Forget(("b.0.1",)), recalled("b")]
    assert talk.assign(B) == [recalled("b")]
    assert talk.tell(talk.say(wire.Recall, ("a.0.1",))) == [recalled()]
    assert talk.tell(talk.say(wire.Recall, ("never.0.1",))) == [recalled("never")]


def test_a_recall_during_a_fetch_removes_the_folder_only_after_its_end() -> None:
    talk = Conversation()
    talk.connect()
    assert talk.assign(NEEDS_INPUT) == [ev.Fetch(NEEDS_INPUT)]
    assert talk.tell(talk.say(wire.Recall, ("in.0.1",))) == [ev.Halt("in.0.1"), recalled("in")]
    assert talk.tell(ev.StageFailed("in.0.1", "fetch", "stopped", True)) == [ev.Forget(("in.0.1",))]


def test_inputs_are_fetched_first_and_a_few_ahead() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    many = [attempt(f"in{number}", inputs=(wire.Input("x", "x"),)) for number in range(3 * FETCHERS)]
    assert talk.assign(*many) == [ev.Fetch(each) for each in many[:FETCHERS]]
    assert talk.tell(ev.Fetched("in0.0.1")) == [ev.Fetch(many[FETCHERS]), ev.Start(many[0])]
    for number in range(1, FETCHERS + 1):
        assert talk.tell(ev.Fetched(f"in{number}.0.1")) == [ev.Fetch(many[FETCHERS + number])]
    assert talk.tell(ev.Fetched(f"in{FETCHERS + 1}.0.1")) == []  # one less fetches, one more waits fetched: enough


def test_attempts_start_in_the_order_given_even_when_fetched_later() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    talk.start(A)
    talk.assign(NEEDS_INPUT, B)
    talk.tell(ev.Fetched("in.0.1"))
    talk.tell(ev.Disconnected())
    assert talk.tell(ev.Ended("a.0.1", done("a")))[0] == ev.Start(NEEDS_INPUT)


def test_a_fetch_that_cannot_succeed_fails_the_attempt_in_that_phase() -> None:
    talk = Conversation()
    talk.connect()
    talk.assign(NEEDS_INPUT)
    failed = explained(wire.Result("in.0.1", "failed", "fetch", reason="no such file: x"))
    assert talk.tell(ev.StageFailed("in.0.1", "fetch", "no such file: x", True)) == [ev.Keep((failed,)), results(failed)]


def test_a_worker_that_runs_signed_work_only_has_every_attempt_verified_before_it_starts() -> None:
    talk = Conversation(cpus=2, **{VERIFIES: 1.0})
    assert VERIFIES in talk.connect().resources
    first, second = attempt("a"), attempt("b")  # without inputs: nothing is to be fetched
    assert talk.assign(first, second) == [ev.Fetch(first), ev.Fetch(second)]
    assert talk.tell(ev.Fetched("a.0.1")) == [ev.Start(first)]
    effects = talk.tell(ev.StageFailed("b.0.1", "verify", "its env: ...", final=True))
    (kept,) = [effect for effect in effects if isinstance(effect, ev.Keep)]
    assert (kept.results[0].outcome, kept.results[0].phase) == ("failed", "verify")


def test_connection_trouble_is_tried_again_with_growing_waits() -> None:
    talk = Conversation()
    talk.connect()
    talk.assign(NEEDS_INPUT)
    trouble = ev.StageFailed("in.0.1", "fetch", "unreachable", False, jitter=1.0)
    assert talk.tell(trouble) == []
    assert talk.core.deadline() == talk.now + 0.5
    assert talk.after(0.5) == [ev.Fetch(NEEDS_INPUT)]
    assert talk.tell(trouble) == []
    assert talk.after(0.9) == []
    assert talk.after(0.1) == [ev.Fetch(NEEDS_INPUT)]


def test_a_delivery_that_waits_to_be_repeated_is_repeated_and_can_be_cancelled() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(HAS_OUTPUT)
    talk.tell(ev.Ended("out.0.1", done("out")))
    trouble = ev.StageFailed("out.0.1", "upload", "unreachable", False, jitter=1.0)
    assert talk.tell(trouble) == []
    assert talk.after(0.5) == [ev.Deliver(HAS_OUTPUT, done("out")), ev.Send(wire.Started("s1", {"out.0.1": 5.0}))]
    assert talk.tell(trouble) == []
    cancelled = done("out", outcome="cancelled", reason="no")
    assert talk.tell(talk.say(wire.Cancel, ("out.0.1",), "no")) == [ev.Keep((cancelled,)), results(cancelled)]
    assert talk.after(1.0) == []


def test_a_heartbeat_says_what_cannot_be_delivered_and_why_until_it_is() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(HAS_OUTPUT)
    talk.tell(ev.Ended("out.0.1", done("out")))
    full = ev.StageFailed("out.0.1", "upload", "the datastore is full", False, jitter=1.0, full=True)
    assert talk.tell(full) == []
    for _ in range(20):  # however often it is tried again
        told = talk.after(30.0)
        assert ev.Deliver(HAS_OUTPUT, done("out")) in told, "at least every half minute"
        (beat,) = sent(told, wire.Heartbeat)
        assert isinstance(beat, wire.Heartbeat)
        assert (beat.undelivered, beat.trouble, beat.full) == (("out.0.1",), "the datastore is full", True)
        assert talk.tell(full) == []
    talk.after(30.0)
    delivered = done("out", files=(("y", 3, "ab"),))
    assert results(delivered) in talk.tell(ev.Delivered("out.0.1", delivered))
    (beat,) = sent(talk.after(5.0), wire.Heartbeat)
    assert isinstance(beat, wire.Heartbeat)
    assert (beat.undelivered, beat.trouble, beat.full) == ((), "", False)


def test_an_attempt_whose_inputs_are_on_their_way_says_so() -> None:
    talk = Conversation()
    talk.connect()
    talk.assign(NEEDS_INPUT)
    (beat,) = sent(talk.after(5.0), wire.Heartbeat)
    assert isinstance(beat, wire.Heartbeat)
    assert beat.held == {"in.0.1": "fetching"}


def test_outputs_are_delivered_before_the_result_is_said_and_the_room_is_free_meanwhile() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    talk.start(HAS_OUTPUT)
    assert talk.tell(ev.Ended("out.0.1", done("out"))) == [ev.Deliver(HAS_OUTPUT, done("out"))]
    assert talk.assign(A) == [ev.Start(A)]
    delivered = done("out", files=(("y", 3, "ab"),))
    assert talk.tell(ev.Delivered("out.0.1", delivered)) == [ev.Keep((delivered,)), results(delivered)]


def test_a_failed_delivery_fails_the_attempt_and_still_saves_its_long_logs() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(HAS_OUTPUT)
    ran = done("out", stderr_size=wire.MAX_TAIL + 1)
    assert talk.tell(ev.Ended("out.0.1", ran)) == [ev.Deliver(HAS_OUTPUT, ran)]
    failed = ran._replace(outcome="failed", phase="upload", reason="the output y was not made")
    missing = ev.StageFailed("out.0.1", "upload", "the output y was not made", True)
    assert talk.tell(missing) == [ev.Deliver(HAS_OUTPUT, failed)]
    stored = failed._replace(stored_logs=True)
    told = explained(stored)
    assert talk.tell(ev.Delivered("out.0.1", stored)) == [ev.Keep((told,)), results(told)]


def test_the_reason_of_a_failed_delivery_follows_what_the_task_wrote() -> None:
    for wrote, kept in (("half a line", "half a line\n"), ("whole\n", "whole\n"), ("ä" * 2048, ("ä" * 2048)[18:] + "\n")):
        talk = Conversation()
        talk.connect()
        talk.start(HAS_OUTPUT)
        ran = done("out", stderr=wrote, stderr_size=len(wrote.encode()))
        talk.tell(ev.Ended("out.0.1", ran))
        (_, said) = talk.tell(ev.StageFailed("out.0.1", "upload", "the output y was not made", True))
        (message,) = sent([said], wire.Results)
        assert isinstance(message, wire.Results)
        (result,) = message.results
        assert result.stderr == kept + "ecloud: the output y was not made\n"
        assert len(result.stderr.encode()) <= wire.MAX_TAIL and result.stderr_size >= len(result.stderr.encode())


def test_logs_that_cannot_be_stored_do_not_fail_a_success() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    ran = done("a", stdout_size=wire.MAX_TAIL + 1)
    assert talk.tell(ev.Ended("a.0.1", ran)) == [ev.Deliver(A, ran)]
    assert talk.tell(ev.StageFailed("a.0.1", "upload", "refused", True)) == [ev.Keep((ran,)), results(ran)]


def test_a_cancel_breaks_off_a_delivery() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(HAS_OUTPUT)
    talk.tell(ev.Ended("out.0.1", done("out")))
    assert talk.tell(talk.say(wire.Cancel, ("out.0.1",), "no")) == [ev.Halt("out.0.1")]
    cancelled = done("out", outcome="cancelled", reason="no")
    too_late = ev.Delivered("out.0.1", done("out", files=(("y", 3, "ab"),)))
    assert talk.tell(too_late) == [ev.Keep((cancelled,)), results(cancelled)]


def test_what_can_never_fit_fails_at_once_and_says_why() -> None:
    talk = Conversation()
    talk.connect()
    too_large = explained(wire.Result("big.0.1", "failed", "infrastructure", reason="needs 8 cpus, this worker has 4"))
    assert talk.assign(attempt("big", needs={"cpus": 8.0})) == [ev.Keep((too_large,)), results(too_large)]
    no_gpu = explained(wire.Result("g.0.1", "failed", "infrastructure", reason="needs 1 gpus, this worker has 0"))
    assert talk.assign(attempt("g", needs={"gpus": 1.0})) == [ev.Keep((no_gpu,)), results(no_gpu)]


def test_a_replaced_boss_is_not_obeyed_and_a_new_one_counts_from_its_own_beginning() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    talk.epoch, talk.seq = 2, 0
    assert talk.tell(talk.say(wire.Renew, 5.0, 60.0)) == []
    assert talk.tell(ev.Heard(wire.Cancel(1, 99, ("a.0.1",)))) == []
    (beat,) = sent(talk.after(5.0), wire.Heartbeat)
    assert beat == wire.Heartbeat("s1", 2, 1, {"a.0.1": "running"})


def test_a_renewal_sets_the_interval_of_heartbeats() -> None:
    talk = Conversation()
    talk.connect()
    talk.tell(talk.say(wire.Renew, 2.0, 60.0))
    assert talk.core.deadline() == talk.now + 2.0
    assert talk.after(2.0) == [ev.Send(wire.Heartbeat("s1", 1, 1, {}))]


def test_resync_is_answered_by_hello_and_all_results() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    talk.tell(ev.Ended("a.0.1", done("a")))
    hello, said = talk.tell(talk.say(wire.Resync))
    assert isinstance(hello, ev.Send) and isinstance(hello.message, wire.Hello)
    assert (hello.message.epoch, hello.message.seq) == (1, 2)
    assert said == results(done("a"))


def test_a_drained_worker_takes_nothing_new_finishes_what_it_has_and_says_goodbye() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    talk.start(A)
    talk.assign(B)
    assert talk.tell(talk.say(wire.Drain)) == []
    assert talk.assign(C) == [recalled("c")]
    assert talk.tell(ev.Ended("a.0.1", done("a"))) == [ev.Start(B), ev.Keep((done("a"),)), results(done("a"))]
    talk.tell(ev.Began("b.0.1", 5.0), ev.Ended("b.0.1", done("b")))
    assert talk.tell(talk.say(wire.Acknowledge, ("a.0.1",))) == [ev.Forget(("a.0.1",))]
    assert talk.tell(talk.say(wire.Acknowledge, ("b.0.1",))) == [
        ev.Forget(("b.0.1",)),
        ev.Send(wire.Goodbye("s1", "drained by the boss")),
        ev.Exit("drained by the boss"),
    ]
    assert talk.tell() == []


def test_a_worker_told_to_go_by_its_machine_gives_back_what_waits_and_says_that_it_drains() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    talk.start(A)
    talk.assign(B, NEEDS_INPUT)
    assert talk.tell(ev.DrainAsked("SIGTERM")) == [
        ev.Forget(("b.0.1",)),
        ev.Halt("in.0.1"),
        recalled("b", "in"),
        ev.Send(wire.Heartbeat("s1", 1, 2, {"a.0.1": "running"}, draining=True)),
    ]


def test_a_worker_told_to_go_does_not_wait_for_ever_for_its_last_acknowledgement() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    talk.tell(ev.Disconnected())
    talk.tell(ev.DrainAsked("SIGTERM"))
    assert talk.after(3600.0) == []  # it still runs
    assert talk.tell(ev.Ended("a.0.1", done("a"))) == [ev.Keep((done("a"),))]
    assert talk.core.deadline() == talk.now + LAST_WAIT
    assert talk.after(LAST_WAIT - 1) == []
    assert talk.after(1.0) == [ev.Exit("SIGTERM")]


def test_a_stopped_worker_kills_and_leaves_as_soon_as_its_results_are_kept() -> None:
    talk = Conversation(cpus=2.0)
    talk.connect()
    talk.start(A, HAS_OUTPUT)
    talk.tell(ev.Ended("out.0.1", done("out")))
    lost = explained(done("out", outcome="failed", phase="infrastructure", reason="stopped"))
    effects = talk.tell(ev.StopAsked("stopped"))
    assert effects[:2] == [ev.Kill("a.0.1", "stopped", grace=False), ev.Halt("out.0.1")]
    assert ev.Keep((lost,)) in effects
    killed = done("a", outcome="failed", phase="infrastructure", signal=9, exit_code=None, reason="stopped")
    told = explained(killed)
    assert talk.tell(ev.Ended("a.0.1", killed)) == [ev.Keep((told,)), results(told), ev.Exit("stopped")]


def test_following_an_attempt_that_is_not_here_is_no_wish() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    assert talk.tell(talk.say(wire.Follow, "a.0.1", True)) == [ev.Follow("a.0.1", True)]
    assert talk.tell(talk.say(wire.Follow, "other.0.1", True)) == []
    assert talk.tell(talk.say(wire.Follow, "other.0.1", False)) == [ev.Follow("other.0.1", False)]


def test_a_result_always_fits_into_a_message() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(HAS_OUTPUT)
    talk.tell(ev.Ended("out.0.1", done("out")))
    long = done("out", reason="x" * 5000, files=tuple((f"{'p' * 1000}{number}", 1, "0" * 64) for number in range(200)))
    (keep, say) = talk.tell(ev.Delivered("out.0.1", long))
    assert isinstance(keep, ev.Keep) and isinstance(say, ev.Send)
    assert keep.results[0].files is None and len(keep.results[0].reason) == 1000
    assert len(wire.encode(say.message)) == 1


def test_more_attempts_than_a_hello_can_name_are_given_back() -> None:
    talk = Conversation(cpus=1.0)
    talk.connect()
    many = [attempt(f"{number:040d}") for number in range(5000)]
    given_back = sent(talk.assign(*many), wire.Recalled)
    assert sum(len(message.attempts) for message in given_back) > 1000  # type: ignore[union-attr]
    (hello,) = sent(talk.tell(ev.Connected()), wire.Hello)
    assert len(wire.encode(hello)) == 1


def test_an_illegal_step_raises_and_changes_nothing() -> None:
    entry = Entry("a.0.1", 1, A)
    with pytest.raises(ValueError, match=r"a\.0\.1 cannot go from queued to running"):
        entry.advance(Step.RUNNING)
    assert entry.step is Step.QUEUED
