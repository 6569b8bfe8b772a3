"""How much one worker may say: budgets, who is put aside, and an inbox that nobody fills alone."""

from boss.adapters.floods import (
    LOG_BYTES,
    MESSAGES,
    SAVED_BYTES,
    SAVED_LOG_MESSAGES,
    SAVED_MESSAGES,
    SILENCE,
    TELL,
    TOLD,
    TOO_MANY,
    TOO_MUCH,
    Floods,
)
from boss.adapters.incoming import Incoming
from boss.core.events import BrokerConnected, Event, MessagesDropped, TimePassed, WorkerSaid, WorkerStatusSeen
from boss.inbox import Inbox
from worker.protocol import Goodbye, encode, topic_log, topic_out, topic_status


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def flood(floods: Floods, count: int, worker: str = "w7", size: int = 100, log: bool = False) -> int:
    """Say so much at once; how many were admitted."""
    return sum(floods.admits(worker, size, log) for _ in range(count))


def test_a_worker_may_say_as_much_as_any_honest_one_does_and_no_more() -> None:
    floods = Floods(clock := Clock())
    assert flood(floods, int(SAVED_MESSAGES) + 50) == SAVED_MESSAGES
    clock.now += 2.0
    assert flood(floods, 5000) == 2 * MESSAGES
    [news] = floods.news()
    assert news == MessagesDropped("w7", 50 + 5000 - 1000, "more than 500 messages a second")


def test_what_all_workers_have_dropped_at_once_is_told_bit_by_bit_and_who_is_put_aside_first() -> None:
    floods = Floods(clock := Clock())
    for number in range(3 * TOLD):
        floods.drop(f"w{number}", "the inbox is full")
    assert len(floods.news()) == TOLD and floods.news() == []
    flood(floods, int(SAVED_MESSAGES) + TOO_MANY, "evil")
    assert floods.news() == []
    clock.now += TELL
    second = floods.news()
    assert (second[0].worker, second[0].aside, len(second)) == ("evil", True, TOLD)
    clock.now += TELL
    assert len(floods.news()) == TOLD
    clock.now += TELL
    assert len(floods.news()) == 1 and floods.news() == []


def test_bytes_count_as_well_and_followed_logs_have_a_budget_of_their_own() -> None:
    floods = Floods(Clock())
    assert flood(floods, 200, size=256 * 1024) == SAVED_BYTES // (256 * 1024)
    assert floods.news()[0].why == "more than 4 MB a second"
    assert flood(floods, 1000, log=True) == 1000 < SAVED_LOG_MESSAGES
    assert LOG_BYTES > 10 * 32 * 1024 * 16  # what ten attempts that somebody follows can write


def test_the_budget_of_one_is_not_that_of_another() -> None:
    floods = Floods(Clock())
    flood(floods, 15_000)
    assert flood(floods, 1000, "w8") == 1000
    assert floods.dropped("w8") == 0 < floods.dropped("w7")


def test_one_that_goes_on_and_on_is_put_aside_until_it_has_been_silent() -> None:
    floods = Floods(clock := Clock())
    flood(floods, int(SAVED_MESSAGES) + TOO_MANY)
    [news] = floods.news()
    assert news.aside and news.count == TOO_MANY
    for _ in range(100):  # it goes on, slowly: it would be heard if it had been silent
        clock.now += SILENCE / 2
        assert flood(floods, 1) == 0
    clock.now += SILENCE
    assert flood(floods, 1) == 1
    assert not floods.news()[0].aside


def test_few_messages_that_are_huge_put_a_worker_aside_too() -> None:
    floods = Floods(Clock())
    flood(floods, int((SAVED_BYTES + TOO_MUCH) / 256_000) + 2, size=256_000)
    assert floods.news()[0].aside


def test_an_excess_now_and_then_puts_nobody_aside() -> None:
    floods = Floods(clock := Clock())
    for _ in range(100):
        flood(floods, int(SAVED_MESSAGES) + TOO_MANY // 2)
        clock.now += 61.0
    assert not any(news.aside for news in floods.news())


def test_news_come_once_a_second_and_the_last_count_is_told() -> None:
    floods = Floods(clock := Clock())
    floods.drop("w7", "not JSON")
    assert [news.count for news in floods.news()] == [1]
    floods.drop("w7", "not JSON")
    assert floods.news() == []
    clock.now += 1.0
    assert [news.count for news in floods.news()] == [2]
    assert floods.news() == []


# ---- where messages arrive -----------------------------------------------------------------------------------------


class Desk:
    """What was put, who was shut out, and which topics were cleared."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.shut_out: list[str] = []
        self.cleared: list[str] = []
        self.incoming = Incoming(lambda worker, chunk: None, self.shut_out.append, self.cleared.append)

    def put(self, event: Event) -> bool:
        self.events.append(event)
        return True


def test_who_goes_on_and_on_is_shut_out_and_that_is_told() -> None:
    desk = Desk()
    for _ in range(int(SAVED_MESSAGES) + TOO_MANY + 5000):  # those within the budget cannot be read either; it fills up meanwhile
        desk.incoming.read(topic_out("c", "w7"), b"{", desk.put)
    desk.incoming.tell(desk.put)
    assert desk.shut_out == ["w7"]
    [news] = [event for event in desk.events if isinstance(event, MessagesDropped)]
    assert news.aside and news.count >= SAVED_MESSAGES + TOO_MANY


def test_a_flood_of_statuses_is_a_flood() -> None:
    desk = Desk()
    for _ in range(int(SAVED_MESSAGES) + 500):
        desk.incoming.read(topic_status("c", "w7"), b"online", desk.put)
    assert len([event for event in desk.events if isinstance(event, WorkerStatusSeen)]) <= SAVED_MESSAGES + 100


def test_what_a_worker_has_retained_is_taken_away_and_does_not_count_as_said() -> None:
    desk = Desk()
    (payload,) = encode(Goodbye("s"))
    desk.incoming.read(topic_out("c", "w7"), payload, desk.put, retained=True)
    desk.incoming.read(topic_log("c", "w7", "x/y/z"), b"x", desk.put, retained=True)
    desk.incoming.read(topic_log("c", "w7", "x/y/z"), b"", desk.put, retained=True)  # our own word
    desk.incoming.read(topic_status("c", "w7"), b"online", desk.put, retained=True)  # as it should be
    assert desk.events == [WorkerStatusSeen("w7", True)]
    assert desk.cleared == [topic_out("c", "w7"), topic_log("c", "w7", "x/y/z")]
    assert desk.incoming.floods.dropped("w7") == 2


def test_a_flood_of_empty_words_to_be_kept_is_a_flood_too() -> None:
    desk = Desk()
    for _ in range(int(SAVED_MESSAGES) + TOO_MANY + 5000):
        desk.incoming.read(topic_out("c", "w7"), b"", desk.put, retained=True)
    desk.incoming.tell(desk.put)
    assert desk.shut_out == ["w7"] and desk.cleared == []


def test_a_topic_is_cleared_once_until_the_broker_has_done_it_even_of_a_worker_that_was_put_aside() -> None:
    desk = Desk()
    topic = topic_log("c", "w7", "x")
    for _ in range(int(SAVED_LOG_MESSAGES) + TOO_MANY + 10_000):
        desk.incoming.read(topic, b"x", desk.put, retained=True)
    assert desk.cleared == [topic]
    desk.incoming.read(topic, b"", desk.put, retained=True)  # the broker's echo: done, and no reason to do it again
    assert desk.cleared == [topic]
    desk.incoming.read(topic, b"x", desk.put, retained=True)
    assert desk.cleared == [topic, topic]


def test_no_worker_fills_the_inbox_for_the_others() -> None:
    inbox = Inbox(limit=100, share=10)
    said = [inbox.put(WorkerSaid("w7", Goodbye("s"))) for _ in range(50)]
    assert said.count(True) == 10
    assert not inbox.put(WorkerStatusSeen("w7", True))
    assert all(inbox.put(WorkerSaid(f"w{n}", Goodbye("s"))) for n in range(8, 20))
    assert inbox.put(TimePassed())
    assert len(inbox.drain(0.0)) == 10 + 12 + 1
    assert inbox.put(WorkerSaid("w7", Goodbye("s")))  # what was taken out makes room


def test_what_is_sifted_waits_before_what_comes_later_and_counts_as_before() -> None:
    inbox = Inbox(limit=3, share=2)
    said = [WorkerSaid("w7", Goodbye("s")), BrokerConnected(), WorkerSaid("w7", Goodbye("t"))]
    assert all(inbox.put(event) for event in said)

    def look(event: Event) -> bool:
        inbox.put(TimePassed())  # while it is looked at
        return isinstance(event, BrokerConnected)

    inbox.sift(look)
    assert not inbox.put(WorkerSaid("w7", Goodbye("u"))) and not inbox.put(WorkerSaid("w8", Goodbye("s")))
    inbox.sift(lambda _event: False)
    assert inbox.drain(0.0) == [said[0], said[2], *[TimePassed()] * 3]
    assert inbox.empty() and inbox.put(WorkerSaid("w7", Goodbye("u")))
