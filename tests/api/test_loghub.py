"""Feeds and followed logs, piece by piece."""

import asyncio

from boss.api.loghub import Feed, LogFeed, LogHub, Seen
from boss.api.streams import fits
from tests.api.rig import chunk


def test_a_feed_hands_over_what_was_put_by_other_threads() -> None:
    async def conversation() -> tuple[list[int], int]:
        feed: Feed[int] = Feed()
        await asyncio.to_thread(lambda: [feed.put(number) for number in range(3)])
        return await feed.get(5)

    assert asyncio.run(conversation()) == ([0, 1, 2], 0)


def test_a_feed_without_news_ends_its_wait_empty() -> None:
    async def conversation() -> tuple[list[int], int]:
        return await Feed[int]().get(0.001)

    assert asyncio.run(conversation()) == ([], 0)


def test_a_slow_reader_loses_what_has_no_room_and_is_told() -> None:
    async def conversation() -> list[tuple[list[int], int]]:
        feed: Feed[int] = Feed(room=2)
        for number in range(5):
            feed.put(number)
        first = await feed.get(5)
        feed.put(9)
        return [first, await feed.get(5)]

    assert asyncio.run(conversation()) == [([0, 1], 3), ([9], 0)]


def test_only_the_worker_that_runs_the_attempt_is_believed() -> None:
    async def conversation() -> list[str]:
        hub, feed = LogHub(), LogFeed()
        hub.follow("u.0.1", "w1", feed)
        hub.publish("w2", chunk("u.0.1", "lie"))
        hub.publish("w1", chunk("u.0.2", "another attempt"))
        hub.publish("w1", chunk("u.0.1", "truth"))
        items, _ = await feed.get(5)
        return [item.data for item in items if item is not None]

    assert asyncio.run(conversation()) == ["truth"]


def test_the_last_to_leave_is_told_so() -> None:
    async def conversation() -> list[bool]:
        hub, one, two = LogHub(), LogFeed(), LogFeed()
        hub.follow("u.0.1", "w1", one)
        hub.follow("u.0.1", "w1", two)
        return [hub.leave("u.0.1", one), hub.leave("u.0.1", two)]

    assert asyncio.run(conversation()) == [False, True]


def test_what_was_seen_is_cut_off_a_chunk() -> None:
    seen = Seen()
    said = [seen.fresh(chunk("a", text, offset)) for text, offset in (("abc", 0), ("abcde", 0), ("cd", 2), ("g", 6))]
    assert said == ["abc", "de", "", "g"]
    assert seen.end("stdout") == 7


def test_letters_of_several_bytes_are_counted_as_bytes() -> None:
    seen = Seen()
    assert [seen.fresh(chunk("a", "äö", 0)), seen.fresh(chunk("a", "ö!", 2))] == ["äö", "!"]


def test_topics_fit_by_prefix_glob_and_mqtt_wildcards() -> None:
    for wanted in ("", "#", "task", "task/", "task/job:*", "task/#", "task/job:a", "+/job:a"):
        assert fits("task/job:a", wanted), wanted
    for wanted in ("job", "task/other:*", "tas"):
        assert not fits("task/job:a", wanted), wanted
