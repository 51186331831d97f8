"""Rates as people write them: bytes a second, such as 500k or 2M, or off for no limit."""

import re

from protocol import limits
from protocol.errors import BadInput
from protocol.texts.amounts import size_text

Rate = int | None
"""Bytes a second; None: no limit."""

OFF = "off"
_KILO = 1000
_UNITS = ("", "k", "m", "g")
_RATE = re.compile(
    r"(?P<count>[0-9]{1,15}(\.[0-9]{1,6})?)\s*(?P<unit>[kmg])?(b?(/s)?)", re.IGNORECASE
)
_BITS = re.compile(
    r"(?P<count>[0-9]{1,15}(\.[0-9]{1,6})?)\s*(?P<unit>[kmg])?(bits?|bits?/s|bps)", re.IGNORECASE
)
_SHOWN = 40


def rate_in(text: str) -> Rate:
    """The rate that a person means; raises BadInput with what to write instead."""
    word = text.strip()
    if word.lower() == OFF:
        return None
    found = _RATE.fullmatch(word)
    if found is None:
        raise BadInput(f"{text[:_SHOWN]!r} is no rate: {_meant(word)}")
    rate = _value(found)
    if not rate:
        raise BadInput("at 0 bytes a second nothing would ever come: write off for no limit")
    if rate < limits.RATE_LIMIT_MIN:
        raise BadInput(
            f"{size_text(rate)}/s is so slow that peers would take this node for gone: the least is"
            f" {size_text(limits.RATE_LIMIT_MIN)}/s"
        )
    if rate > limits.RATE_LIMIT_MAX:
        raise BadInput(f"{size_text(rate)}/s is more than any line carries: write off for no limit")
    return rate


def rate_text(rate: Rate) -> str:
    """A rate as people read it: 2.0 MB/s, or off."""
    return OFF if rate is None else f"{size_text(rate)}/s"


def _value(found: re.Match[str]) -> int:
    return int(float(found["count"]) * _KILO ** _UNITS.index((found["unit"] or "").lower()))


def _meant(word: str) -> str:
    bits = _BITS.fullmatch(word)
    if bits is not None:
        return f"rates are bytes a second, and that is {size_text(_value(bits) / 8)}/s"
    return "write bytes a second, such as 500k or 2M, or off for no limit"
