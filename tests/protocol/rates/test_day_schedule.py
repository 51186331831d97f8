"""Rates by the hour of the day."""

import re

import pytest

from protocol.errors import BadInput
from protocol.rates.day_schedule import DAY_MIN, DaySchedule

EVENING = DaySchedule("08:00-23:00 1M, 23:00-08:00 off")
M = 1_000_000


@pytest.mark.parametrize(
    ("hour", "minute", "rate"),
    [(8, 0, M), (22, 59, M), (23, 0, None), (23, 59, None), (0, 0, None), (7, 59, None)],
)
def test_a_part_begins_with_its_minute_and_may_pass_midnight(
    hour: int, minute: int, rate: int | None
) -> None:
    assert EVENING.rate_at(hour * 60 + minute, otherwise=5 * M) == rate


def test_a_minute_without_a_part_has_the_usual_rate() -> None:
    morning = DaySchedule("6:00-9:30 500k")
    assert morning.rate_at(9 * 60 + 29, otherwise=M) == 500_000
    assert morning.rate_at(9 * 60 + 30, otherwise=M) == M
    assert morning.rate_at(0, otherwise=None) is None
    assert not DaySchedule("")
    assert DaySchedule(" ").rate_at(0, otherwise=M) == M


def test_every_minute_of_a_whole_day() -> None:
    day = DaySchedule("00:00-24:00 2M")
    assert {day.rate_at(minute, otherwise=None) for minute in range(DAY_MIN)} == {2 * M}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("08:00-12:00 1M, 11:59-13:00 2M", "overlap"),
        ("22:00-02:00 1M, 01:00-03:00 2M", "overlap"),
        ("01:00-03:00 2M, 22:00-02:00 1M", "overlap"),
        ("00:00-24:00 1M, 12:00-13:00 2M", "overlap"),
        ("08:00-08:00 1M", "a whole day is 00:00-24:00"),
        ("24:00-08:00 1M", "write 00:00"),
        ("08:00-24:01 1M", "24:01"),
        ("08:60-09:00 1M", "08:60"),
        ("25:00-26:00 1M", "25:00"),
        ("08:00-23:00", "such as 08:00-23:00 1M"),
        ("8-23 1M", "such as 08:00-23:00 1M"),
        ("08:00-23:00 0", "write off for no limit"),
        ("08:00-23:00 fast", "is no rate"),
        ("08:00-23:00 1M,", "such as 08:00-23:00 1M"),
        (",".join(["00:00-00:01 1M"] * 49), "at most 48 parts"),
    ],
)
def test_what_is_no_schedule_says_why(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        DaySchedule(text)
