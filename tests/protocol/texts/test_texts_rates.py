"""Rates as people write them."""

import re

import pytest

from protocol.errors import BadInput
from protocol.texts.rates import rate_in, rate_text


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("2M", 2_000_000),
        ("2 MB/s", 2_000_000),
        ("2mb", 2_000_000),
        ("1.5M", 1_500_000),
        ("500k", 500_000),
        ("500kB/s", 500_000),
        ("1G", 1_000_000_000),
        ("10000", 10_000),
        (" off ", None),
        ("OFF", None),
    ],
)
def test_what_people_write(text: str, rate: int | None) -> None:
    assert rate_in(text) == rate


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "write off for no limit"),
        ("0M", "write off for no limit"),
        ("9k", "the least is 10.0 kB/s"),
        ("11G", "more than any line carries"),
        ("999999999999999G", "more than any line carries"),
        ("16Mbit", "that is 2.0 MB/s"),
        ("16 Mbit/s", "that is 2.0 MB/s"),
        ("16mbps", "that is 2.0 MB/s"),
        ("-1", "such as 500k or 2M, or off"),
        ("", "such as 500k or 2M, or off"),
        ("nan", "such as 500k or 2M, or off"),
        ("1e9", "such as 500k or 2M, or off"),
        ("2MiB", "such as 500k or 2M, or off"),
        ("٢M", "such as 500k or 2M, or off"),
        ("2M" * 10_000, "such as 500k or 2M, or off"),
    ],
)
def test_what_means_nothing_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)) as raised:
        rate_in(text)
    assert len(str(raised.value)) < 200


def test_rates_as_people_read_them() -> None:
    assert [rate_text(rate) for rate in (None, 2_000_000, 10_000)] == [
        "off",
        "2.0 MB/s",
        "10.0 kB/s",
    ]
