"""When a worker says that it lives: as often as its boss wants, and sooner when the boss should hear of something."""

from tests.worker.conversation import Conversation, attempt, done, sent
from worker import events as ev
from worker import protocol as wire

LONG = attempt("long")
NEXT = attempt("next")
HAS_OUTPUT = attempt("out", outputs=(wire.Output("y", "y"),))


def seldom(interval: float = 40.0) -> Conversation:
    """A worker of one cpu, made to beat every 5 s, whose boss wants to hear of it less often."""
    talk = Conversation(cpus=1.0)
    talk.connect()
    talk.tell(talk.say(wire.Renew, interval, 600.0))
    return talk


def beats(talk: Conversation, seconds: int) -> list[wire.Heartbeat]:
    """The heartbeats that are said while so many seconds pass."""
    said: list[wire.Heartbeat] = []
    for _ in range(seconds):
        said += [beat for beat in sent(talk.after(1.0), wire.Heartbeat) if isinstance(beat, wire.Heartbeat)]
    return said


def test_a_worker_beats_as_seldom_as_its_boss_wants() -> None:
    talk = seldom()
    assert beats(talk, 39) == []
    assert len(beats(talk, 1)) == 1
    assert len(beats(talk, 80)) == 2


def test_a_running_attempt_is_no_news() -> None:
    talk = seldom()
    talk.start(LONG)
    assert beats(talk, 39) == []
    assert [beat.held for beat in beats(talk, 1)] == [{"long.0.1": "running"}]


def test_an_attempt_that_waits_for_room_is_told_soon_and_again_until_it_is_taken_back() -> None:
    talk = seldom()
    talk.start(LONG)
    talk.assign(NEXT)
    told = beats(talk, 15)
    assert [beat.held for beat in told] == [{"long.0.1": "running", "next.0.1": "queued"}] * len(told)
    assert 2 <= len(told) <= 3, "as often as it was made to beat"
    talk.tell(talk.say(wire.Recall, ("next.0.1",)))
    assert beats(talk, 30) == []


def test_what_cannot_be_delivered_is_told_soon_and_once_until_that_changes() -> None:
    talk = seldom()
    talk.start(HAS_OUTPUT)
    talk.tell(ev.Ended("out.0.1", done("out")))
    full = ev.StageFailed("out.0.1", "upload", "the datastore is full", False, jitter=0.0, full=True)
    talk.tell(full)
    (beat,) = beats(talk, 6)
    assert (beat.undelivered, beat.full) == (("out.0.1",), True)
    assert beats(talk, 20) == [], "it is being tried again"
    delivered = done("out", files=(("y", 3, "ab"),))
    talk.tell(ev.Delivered("out.0.1", delivered))
    (beat,) = beats(talk, 6)
    assert (beat.undelivered, beat.full) == ((), False)
    assert beats(talk, 20) == []


def test_a_worker_sleeps_as_long_as_there_can_be_no_news() -> None:
    talk = seldom()
    assert talk.core.deadline() == 1000.0 + 40.0
    talk.start(LONG)
    assert sent(talk.after(1.0), wire.Started)
    assert talk.core.deadline() == 1000.0 + 40.0, "a running attempt is no news"
    talk.assign(NEXT)
    assert talk.core.deadline() <= talk.now + 5.0


def test_a_worker_that_must_go_says_so_at_once() -> None:
    talk = seldom()
    talk.start(LONG)
    (beat,) = sent(talk.tell(ev.DrainAsked("shutdown")), wire.Heartbeat)
    assert isinstance(beat, wire.Heartbeat)
    assert beat.draining


def test_a_boss_that_wants_to_hear_more_often_is_obeyed() -> None:
    talk = seldom(interval=1.0)
    for _ in range(5):
        assert len(beats(talk, 1)) == 1
        talk.tell(talk.say(wire.Renew, 1.0, 600.0))


def test_heartbeats_without_an_answer_become_fewer_and_one_answer_makes_them_as_many_as_before() -> None:
    talk = seldom(interval=2.0)
    assert len(beats(talk, 60)) <= 6, "after 2, 2, 4, 8, 16 and 30 s"
    assert len(beats(talk, 300)) == 10, "one in half a minute at least"
    talk.tell(talk.say(wire.Renew, 2.0, 600.0))
    assert len(beats(talk, 4)) == 2
