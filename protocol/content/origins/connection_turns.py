"""Whose request has the next connection to a server: downloads take turns, none keeps it.

Each turn moves its download's tag by one over its weight, and by less if it ended early; of those
that wait the least tag is next (start-time fair queueing, as the download limits have it). One that
is new, or has asked for nothing for a while, begins one turn before the others: a small mod needs
two short ones, and should not wait for a round of many large ones.

A turn lasts as long as its request while no other download waits. Once one waits that has none, or
fewer by two, a turn that has lasted for long ends, and what it has not brought is asked for anew in
the next one.

A server that needs longer than a turn for its first byte must not end in turns that bring nothing:
so these are longer each time, but not where a download waits whose turns bring something.
"""

from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from protocol import limits
from protocol.rates.rate_shares import alike


class TurnShare:
    """One download's claim to connections; `weight` is asked each time, and is 1 at least."""

    def __init__(self, weight: Callable[[], int] = alike) -> None:
        self.weight = weight


class ConnectionTurn:
    """A request that waits for a connection, or has one."""

    __slots__ = ("brings", "is_ending", "is_kept", "is_long", "share", "since")

    def __init__(self, share: TurnShare, *, is_long: bool) -> None:
        self.share = share
        self.is_long = self.is_kept = is_long
        self.since = 0.0
        """When it got its connection."""
        self.brings = False
        """Whether bytes of the answer's body came."""
        self.is_ending = False

    def brought(self) -> None:
        """Bytes of the answer's body came."""
        self.brings = True


_DOUBLINGS: Final = 4
_UNUSED_MOST: Final = 0.75
"""What a short turn costs less than a whole one."""


def is_long(size: int) -> bool:
    """Whether an answer of so many bytes, which can only be read to its end, counts as long."""
    return size > limits.RANGE_BYTES_MIN


class ConnectionTurns:
    """The requests to one server, of which `most` at once have a connection. `now` is monotonic.

    Long ones end with their answer, as that has no part that could be asked for later: one of the
    connections at least is for others.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[ConnectionTurn, None] = {}
        self._begun: dict[ConnectionTurn, None] = {}
        self._tags: WeakKeyDictionary[TurnShare, float] = WeakKeyDictionary()
        self._in_vain: WeakKeyDictionary[TurnShare, int] = WeakKeyDictionary()
        """How many turns in a row had to end and had brought nothing."""
        self._tag = 0.0
        """The tag of the last that began, before it did."""

    @property
    def is_idle(self) -> bool:
        """Whether there is no request at all."""
        return not (self._begun or self._waiting)

    @property
    def any_waits(self) -> bool:
        """Whether a request waits."""
        return bool(self._waiting)

    def others_wait(self, share: TurnShare) -> bool:
        """Whether another download waits for a connection."""
        return any(turn.share is not share for turn in self._waiting)

    def ask(self, share: TurnShare, *, is_long: bool = False) -> ConnectionTurn:
        """A request waits from now on, until it is begun."""
        if all(turn.share is not share for turn in (*self._begun, *self._waiting)):
            self._tags[share] = max(
                self._tags.get(share, float("-inf")), self._tag - 1 / share.weight()
            )
        turn = ConnectionTurn(share, is_long=is_long)
        self._waiting[turn] = None
        return turn

    def begin(self, now: float) -> ConnectionTurn | None:
        """The request that has a connection from now on; None while there is none for another."""
        turn = next(iter(self._in_order()), None)
        if turn is None or len(self._begun) >= self._most:
            return None
        del self._waiting[turn]
        self._begun[turn] = None
        turn.since = now
        tag = self._tags[turn.share]
        self._tag = max(self._tag, tag)
        self._tags[turn.share] = tag + 1 / turn.share.weight()
        return turn

    def keep(self, turn: ConnectionTurn, *, is_long: bool) -> bool:
        """Let a turn last until its answer's end; False: too many long ones do, so it must end."""
        if is_long and not turn.is_long and not self._has_room_for_long():
            return False
        turn.is_kept, turn.is_long = True, is_long
        return True

    def leave(self, turn: ConnectionTurn, now: float) -> None:
        """A request has ended, begun or not."""
        if turn in self._begun:
            unused = 1 - (now - turn.since) / limits.ORIGIN_TURN_S
            self._tags[turn.share] -= min(max(unused, 0.0), _UNUSED_MOST) / turn.share.weight()
        self._waiting.pop(turn, None)
        self._begun.pop(turn, None)
        if turn.brings:
            self._in_vain.pop(turn.share, None)
        elif turn.is_ending:
            self._in_vain[turn.share] = min(self._in_vain.get(turn.share, 0) + 1, _DOUBLINGS)

    def give_way(self, now: float) -> ConnectionTurn | None:
        """The turn that has to end now in favour of another download's; one after another.

        Its download goes behind that one.
        """
        if len(self._begun) < self._most or any(turn.is_ending for turn in self._begun):
            return None
        for waiting in self._in_order():
            found = [turn for turn in self._begun if self._is_over(turn, waiting, now)]
            if found:
                goes = max(found, key=lambda turn: (self._part(turn.share), now - turn.since))
                goes.is_ending = True
                tags = self._tags
                tags[goes.share] = max(tags[goes.share], tags[waiting.share])
                return goes
        return None

    def _in_order(self) -> list[ConnectionTurn]:
        """The requests that wait and may begin."""
        takes_long = self._has_room_for_long()
        may = [turn for turn in self._waiting if takes_long or not turn.is_long]
        return sorted(may, key=lambda turn: (self._tags[turn.share], self._part(turn.share)))

    def _has_room_for_long(self) -> bool:
        return sum(turn.is_long for turn in self._begun) < self._most - 1

    def _is_over(self, turn: ConnectionTurn, waiting: ConnectionTurn, now: float) -> bool:
        """Whether a turn has lasted long enough beside one that waits."""
        share, other = turn.share, waiting.share
        if turn.is_kept or share is other:
            return False
        if self._part(other) and self._part(other, +1) > self._part(share, -1):
            return False
        times = min(self._in_vain.get(share, 0), self._in_vain.get(other, 0))
        lasted = (now - turn.since) / limits.ORIGIN_TURN_S
        tag = self._tags[share] + lasted / share.weight()
        return lasted >= 2.0**times and tag >= self._tags[other]

    def _part(self, share: TurnShare, more: int = 0) -> float:
        """The connections of a download, or so many more, by its weight."""
        count = sum(turn.share is share for turn in self._begun)
        return (count + more) / share.weight()
