"""Results that go to the datastore while the boss is silent: what their trouble must not be taken for."""

from tests.worker.conversation import Conversation, attempt, done
from worker import events as ev
from worker import protocol as wire
from worker.errands import FETCHERS


def test_trouble_with_what_the_boss_has_acknowledged_meanwhile_is_no_failed_fetch() -> None:
    talk = Conversation(lease=60.0)
    talk.connect()
    order = attempt("a", grant="proof")
    talk.start(order)
    talk.tell(ev.Ended("a.0.1", done("a")))
    assert ev.Deposit(order, done("a")) in talk.after(15.0)
    talk.tell(talk.say(wire.Acknowledge, ("a.0.1",)))
    assert talk.tell(ev.StageFailed("a.0.1", "upload", "no route", False)) == []
    fetching = talk.assign(*(attempt(f"f{number}", inputs=(wire.Input("in", "in"),)) for number in range(3 * FETCHERS)))
    assert len([effect for effect in fetching if isinstance(effect, ev.Fetch)]) == FETCHERS
