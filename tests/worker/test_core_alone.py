"""A worker whose boss is silent: how long it waits, and what becomes of what it has finished."""

from collections.abc import Sequence

from tests.worker.conversation import Conversation, attempt, done
from worker import events as ev
from worker import protocol as wire
from worker.core import PATIENCE, Core, Identity
from worker.deposits import RETRY

A, B, C = attempt("a"), attempt("b"), attempt("c")


def test_an_idle_worker_without_an_answer_of_its_boss_leaves_after_its_lease() -> None:
    talk = Conversation(lease=60.0)
    assert talk.core.deadline() == talk.now + 60.0
    assert talk.after(59.0) == []
    assert talk.after(1.0) == [ev.Exit("no answer of the boss for 60 s")]


def test_the_lease_counts_from_the_end_of_the_last_attempt_and_waits_for_what_is_held() -> None:
    talk = Conversation(lease=60.0)
    talk.connect()
    talk.start(A)
    talk.tell(ev.Disconnected())
    assert talk.after(3600.0) == []
    talk.tell(ev.Ended("a.0.1", done("a")))
    assert talk.after(3600.0) == []  # the result is not delivered yet
    talk.tell(ev.Connected())
    talk.tell(talk.say(wire.Acknowledge, ("a.0.1",)), ev.Disconnected())
    assert talk.after(59.0) == []
    assert talk.after(1.0) == [ev.Exit("no answer of the boss for 7260 s")]


def test_patience_has_an_end_even_while_something_runs() -> None:
    talk = Conversation()
    talk.connect()
    talk.start(A)
    talk.tell(ev.Disconnected())
    assert talk.after(PATIENCE - 1) == []
    effects = talk.after(1.0)
    assert effects == [ev.Kill("a.0.1", "no answer of the boss for 172800 s", grace=False)]


def granted(name: str, **more: object) -> wire.Assignment:
    """An assignment with the proof that opens the datastore."""
    return attempt(name, grant="proof", **more)


def deposits(effects: Sequence[ev.Effect]) -> list[str]:
    """The attempts whose results are put there."""
    return [effect.assignment.attempt for effect in effects if isinstance(effect, ev.Deposit)]


def test_a_result_without_files_goes_to_the_datastore_when_the_boss_is_silent_for_a_part_of_the_lease_and_once() -> None:
    talk = Conversation(lease=60.0)
    talk.connect()
    talk.start(granted("a"), granted("b"), granted("c", outputs=(wire.Output("o", "o"),)))
    effects = talk.tell(ev.Ended("a.0.1", done("a")), ev.Ended("b.0.1", done("b", outcome="failed", exit_code=1)))
    assert not deposits(effects), "the boss may be there"
    assert not deposits(talk.after(14.0))
    assert talk.core.deadline() <= talk.now + 1.0
    assert deposits(talk.after(1.0)) == ["a.0.1"], "what failed is run again, and what has outputs is there with them"
    talk.tell(ev.Delivered("a.0.1", done("a")))
    assert not deposits(talk.after(10.0))


def test_trouble_with_the_datastore_is_tried_again_and_what_is_acknowledged_meanwhile_is_not() -> None:
    talk = Conversation(lease=60.0)
    talk.connect()
    talk.start(granted("a"), granted("b"))
    talk.tell(ev.Ended("a.0.1", done("a")), ev.Ended("b.0.1", done("b")))
    assert deposits(talk.after(15.0)) == ["a.0.1", "b.0.1"]
    talk.tell(ev.StageFailed("a.0.1", "upload", "no route", False), ev.StageFailed("b.0.1", "upload", "no grant", True))
    assert not deposits(talk.after(RETRY - 1.0))
    assert talk.core.deadline() <= talk.now + 1.0
    assert deposits(talk.after(1.0)) == ["a.0.1"]
    talk.tell(ev.StageFailed("a.0.1", "upload", "no route", False))
    talk.tell(talk.say(wire.Acknowledge, ("a.0.1", "b.0.1")))
    assert not deposits(talk.after(RETRY + 1.0))


def test_a_process_that_is_started_again_begins_no_new_lease() -> None:
    def life(heard: float, finished: Sequence[wire.Result] = ()) -> Core:
        return Core(Identity("s2"), {"cpus": 1}, 5.0, 60.0, 1000.0, finished, longest=500.0, heard=heard)

    assert life(990.0).lease_end() == 1050.0
    assert life(990.0, [done("a")]).lease_end() == 1490.0, "it holds a result"
    assert life(1200.0).lease_end() == 1060.0, "the future counts as now"
    over = life(400.0, [done("a")])
    assert any(isinstance(effect, ev.Exit) for effect in over.handle(ev.Turned(), 1000.0))
