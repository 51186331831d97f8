"""Amounts as people write them: bytes such as 500MB, times such as 5m, rates such as 2M."""

import re
from typing import Any

import click

from protocol import limits
from protocol.errors import BadInput
from protocol.texts.rates import rate_in


class Size(click.ParamType[int]):
    """Bytes, as people write them: 500MB, 30 GB, 1000000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes; a usage error for anything else."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r} is no size such as 500MB or 30GB{_meant(value)}", param, ctx)
        unit = (found["unit"] or "B").upper()
        return int(float(found["count"]) * 1000 ** _UNITS.index(unit))


class Duration(click.ParamType[float]):
    """Seconds, as people write times: 90, 30s, 5m, 5 min, 1h, 0."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds; a usage error for anything else, and for more than a week."""
        if isinstance(value, int | float):
            return float(value)
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r} is no time such as 30s, 5m or 1h", param, ctx)
        seconds = float(found["count"]) * _SECONDS[(found["unit"] or "s")[0].lower()]
        if seconds > limits.GET_WAIT_MAX_S:
            self.fail(f"{value!r} is longer than a week", param, ctx)
        return seconds


class LimitRate(click.ParamType[str]):
    """Bytes a second as the node reads them: 500k, 2M, off; with `config` also that word."""

    name = "rate"

    def __init__(self, *, config: bool = False) -> None:
        self._config = config

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; a usage error for what is no rate."""
        text = str(value).strip()
        if not (self._config and text.lower() == "config"):
            try:
                rate_in(text)
            except BadInput as error:
                self.fail(str(error), param, ctx)
        return text


def _meant(size: str) -> str:
    """For 5GiB, which units there are."""
    binary = re.search(r"([kmgt])i?b?$", size.strip(), re.IGNORECASE)
    return f"; write {binary[1].upper()}B, 1000 of the unit before" if binary else ""


_UNITS = ("B", "KB", "MB", "GB", "TB")
_SIZE = re.compile(r"(?P<count>\d{1,12}(\.\d{1,3})?)\s*(?P<unit>[kmgt]?b)?", re.IGNORECASE)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(
    r"(?P<count>\d{1,7}(\.\d{1,3})?)\s*(?P<unit>s|sec|m|min|h|d)?", re.IGNORECASE
)
