"""What the experiment `follow` counts over time, and its picture."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_SHARES: Final = (0.5, 0.9, 0.99)
_CLOSER: Final = 1.05
"""Moments are noted closely at first, then each so many times as late as the one before."""


@dataclass(slots=True)
class Moments:
    """What was so far, at moments since the version was shared."""

    seconds: list[float] = field(default_factory=list)
    have: list[int] = field(default_factory=list)
    publisher_bytes: list[int] = field(default_factory=list)
    followers_bytes: list[int] = field(default_factory=list)

    def is_due(self, now_s: float) -> bool:
        """Whether another one is to be noted."""
        return not self.seconds or now_s >= _CLOSER * self.seconds[-1]

    def note(self, now_s: float, have: int, publisher_bytes: int, followers_bytes: int) -> None:
        """One more: how many have the version, and what was sent since it was shared."""
        self.seconds.append(round(now_s, 3))
        self.have.append(have)
        self.publisher_bytes.append(publisher_bytes)
        self.followers_bytes.append(followers_bytes)

    def as_json(self, first_there_s: Sequence[float]) -> dict[str, Any]:
        """All of them, and of how many followers a session had begun by each."""
        first = sorted(first_there_s)
        return {
            "seconds": self.seconds,
            "have": self.have,
            "have_been_there": [bisect_right(first, one) for one in self.seconds],
            "publisher_bytes": self.publisher_bytes,
            "followers_bytes": self.followers_bytes,
        }


def times_of(what: str, seconds: Sequence[float], people: int) -> dict[str, float | None]:
    """When it was so for 50, 90 and 99 % of all people; None where it never was for so many."""
    ordered = sorted(seconds)
    places = {share: math.ceil(share * people) - 1 for share in _SHARES}
    return {
        f"{what}p{share * 100:.0f}_s": round(ordered[place], 3) if place < len(ordered) else None
        for share, place in places.items()
    }


def draw_legs(figure: Any, title: str, followers: int, rows: list[dict[str, Any]]) -> None:
    """The shares that have the version over time, above the bytes that were sent."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for number, row in enumerate(rows):
        over, colour = row["over_time"], f"C{number}"
        links = f"{row['links']} links open" if row["links"] else "no link open"
        shares = [100 * one / followers for one in over["have"]]
        above.step(
            over["seconds"],
            shares,
            where="post",
            linewidth=2,
            color=colour,
            label=f"{links}: have it",
        )
        for who, style in (("publisher", "-"), ("followers", "--")):
            sent = [one / 1e6 for one in over[f"{who}_bytes"]]
            name = "the publisher" if who == "publisher" else "all followers"
            below.plot(over["seconds"], sent, style, color=colour, label=f"{links}: {name}")
    longest = max((row["over_time"] for row in rows), key=lambda over: float(over["seconds"][-1]))
    there = [100 * one / followers for one in longest["have_been_there"]]
    above.step(
        longest["seconds"], there, ":", where="post", color="0.3", label="have been there since"
    )
    above.set_ylabel("followers (%)")
    above.set_ylim(0, 102)
    above.set_title(title)
    below.set_yscale("log")
    below.set_ylabel("sent since then (MB)")
    below.set_xscale("log")
    below.set_xlim(0.25, 1.05 * longest["seconds"][-1])
    below.xaxis.set_major_formatter("{x:g}")
    below.yaxis.set_major_formatter("{x:g}")
    below.set_xlabel("time since the version is shared (virtual seconds)")
    low, high = below.get_ylim()
    below.set_ylim(low / 8, high)  # room for what the lines are
    for axes, place in ((above, "upper left"), (below, "lower right")):
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small", loc=place, ncols=2 if axes is below else 1)
