"""Amounts as people write them."""

import pytest

from boss.taskfile.quantities import duration, memory


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2G", 2**31),
        ("2GiB", 2**31),
        ("2GB", 2**31),
        ("2 Gi", 2**31),
        ("2g", 2**31),
        ("500M", 500 * 2**20),
        ("1.5K", 1536),
        ("1T", 2**40),
        ("1P", 2**50),
        ("1000", 1000),
        ("1000B", 1000),
        (1000, 1000),
        (1e9, 10**9),
        (0, 0),
    ],
)
def test_memory_is_read(text: object, amount: int) -> None:
    assert memory(text) == amount


@pytest.mark.parametrize(
    "text", ["", "G", "2X", "-1G", "1,5G", "2 2G", "1e3", "NaN", "9P" * 9, True, None, -1, float("inf"), float("nan"), 2**60, []]
)
def test_what_is_no_memory_is_none(text: object) -> None:
    assert memory(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("6h", 21600), ("1.5h", 5400), ("2d", 172800), ("45", 45), (45, 45), (0.5, 0.5), (" 2 h ", 7200)],
)
def test_durations_are_read(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2w", "-1h", "1h30m", "1:30", True, None, -1, float("inf"), 10**30, "9" * 400 + "d"])
def test_what_is_no_duration_is_none(text: object) -> None:
    assert duration(text) is None
