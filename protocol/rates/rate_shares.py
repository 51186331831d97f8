"""Whose turn it is where several downloads share one limited rate.

Start-time fair queueing (Goyal, Vin and Cheng 1996): each download's bytes, divided by its weight,
move its tag; of those that want more the least tag goes next, and one that wanted nothing for a
while begins where the others are. So each gets its part however many sources it asks, and what one
cannot use goes to the others. No clock: `now` is monotonic seconds.
"""

from collections.abc import Callable
from typing import Final

from protocol.rates.transfer_rate import TransferRate

_WANTS_S: Final = 0.6
"""So long one that was told to wait has its place: who still wants to asks again sooner."""


def alike() -> int:
    """The weight of downloads of which nothing else is said."""
    return 1


class RateShares:
    """The downloads that share the limit of all peers together."""

    def __init__(self, rate: TransferRate) -> None:
        self._rate = rate
        self._waiting: dict[RateShare, float] = {}
        """Those that want more, and until when that is believed."""
        self._tag = 0.0
        """The tag of the last that went, before it went."""

    def share(self, weight: Callable[[], int] = alike) -> "RateShare":
        """For one more download; `weight` is asked each time, and is 1 at least."""
        return RateShare(self, self._rate, weight)

    def has_turn(self, share: "RateShare", now: float) -> bool:
        """Whether no other one that wants more goes before; it is noted that this one wants."""
        if self._waiting.get(share, now) <= now:
            share.catch_up(self._tag)
        self._waiting[share] = now + _WANTS_S
        for other, until in tuple(self._waiting.items()):
            if until < now:
                del self._waiting[other]
        return all(share.tag <= other.tag for other in self._waiting)

    def went(self, tag: float) -> None:
        """One with this tag goes."""
        self._tag = max(self._tag, tag)

    def passes(self, share: "RateShare") -> None:
        """This one wants no more for now."""
        self._waiting.pop(share, None)


class RateShare:
    """One download's part of the limit."""

    def __init__(self, shares: RateShares, rate: TransferRate, weight: Callable[[], int]) -> None:
        self._shares = shares
        self._rate = rate
        self._weight = weight
        self.tag = 0.0
        """Its bytes by its weight, as far as it wanted to go."""

    def catch_up(self, tag: float) -> None:
        """It wanted nothing for a while: that gives it no claim."""
        self.tag = max(self.tag, tag)

    def room(self, peer: str | bytes, now: float) -> int | None:
        """The bytes that it may ask of a peer now: 0 where it has to wait; None: any.

        Who gets some and asks for less, or for nothing, says so by `spend`.
        """
        room, all_room = self._rate.room(peer, now), self._rate.room_of_all(now)
        if all_room is None:
            return room
        if not self._shares.has_turn(self, now) or not all_room:
            return 0
        if not room:
            self._shares.passes(self)  # its own limit, or its peer's, is what holds it back
        return room

    def spend(self, peer: str | bytes, size: int, now: float) -> None:
        """It asked a peer for so many bytes."""
        all_room = self._rate.room_of_all(now)
        if size:
            self._rate.spend(peer, size, now)
        if size and all_room is not None:
            self._shares.went(self.tag)
            self.tag += size / self._weight()
        if all_room is not None and size < all_room:
            self._shares.passes(self)
