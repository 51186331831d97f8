"""Which links may send content now: the line of a node goes round by turns.

Were all to send at once, the line would go to those with most links. So few do. What a peer has not
had yet goes before what it has had, networks take turns before their peers do, and what counts is
the time for which a turn was held.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from protocol import limits
from protocol.identity import PeerId
from protocol.places.forgetting import forget_least


@dataclass(slots=True, eq=False)
class LineTurn:
    """A turn of one link. Times are seconds of one monotonic clock.

    `network` is that of its peer, as `tenure.network_of` gives it. `again`: for what the peer has
    had. `began_at` is None while it waits; `moved_at` is when its link last took something. One
    that has `lapsed` holds up no other, but counts for its network until it ends.
    """

    peer_id: PeerId
    network: bytes
    again: bool
    began_at: float | None = None
    moved_at: float = 0.0
    lapsed: bool = False

    @property
    def party(self) -> bytes:
        """Whose part of the line it is; each peer of a private network is one."""
        return self.network or self.peer_id


class LineTurns:
    """The turns that are held and those that are waited for."""

    def __init__(self) -> None:
        self._waiting: dict[LineTurn, None] = {}
        self._held: dict[LineTurn, None] = {}
        self._used_s: dict[bytes, float] = {}
        self._least_s = 0.0

    @property
    def waiting(self) -> Collection[LineTurn]:
        """Those that are waited for."""
        return self._waiting.keys()

    def are_others(self, turn: LineTurn | None) -> bool:
        """Whether one but this is held or waited for."""
        return bool(self._waiting) or any(one is not turn for one in self._held)

    def ask(self, turn: LineTurn) -> None:
        """A link wants to send."""
        self._waiting[turn] = None

    def begin(self, now: float) -> Iterator[LineTurn]:
        """Those that begin now."""
        for held in self._held:
            held.lapsed |= now - held.moved_at >= limits.LINE_LAPSE_S
        while turn := self._next():
            del self._waiting[turn]
            self._held[turn] = None
            turn.began_at = turn.moved_at = now
            self._least_s = max(self._least_s, self._used(turn.party))
            yield turn

    def is_over(self, turn: LineTurn, now: float) -> bool:
        """Whether it ends for another; if not, its link has moved and sends on."""
        turn.moved_at = now
        if turn.lapsed:
            return True
        if all(one.again for one in self._waiting) and not turn.again:
            return False
        first = any(not one.again for one in (*self._waiting, *self._held))
        is_late = turn.began_at is not None and now - turn.began_at >= limits.LINE_SLICE_S
        return (turn.again and first) or (is_late and bool(self._waiting))

    def end(self, turn: LineTurn, now: float) -> None:
        """It is held, or waited for, no longer."""
        self._waiting.pop(turn, None)
        if turn in self._held:
            del self._held[turn]
            began_at = now if turn.began_at is None else turn.began_at
            for user in {turn.party, bytes(turn.peer_id)}:
                self._used_s[user] = self._used(user) + now - began_at
        if not self._held and not self._waiting:
            self._used_s.clear()  # an idle line owes no user anything
            self._least_s = 0.0
        forget_least(self._used_s, limits.PEER_BUDGETS)

    def _next(self) -> LineTurn | None:
        live = [one for one in self._held if not one.lapsed]
        if len(live) >= limits.LINE_TURNS or not self._waiting:
            return None
        first_only = any(not one.again for one in (*self._waiting, *live))
        crowds = Counter(one.party for one in self._held)
        parties = {one.party for one in (*self._waiting, *live) if one.again is not first_only}
        free = [
            one
            for one in self._waiting
            if one.again is not first_only
            and (len(parties) == 1 or crowds[one.party] < limits.LINE_TURNS_OF_A_NETWORK)
        ]
        return min(free, key=lambda one: self._rank(one, crowds), default=None)

    def _rank(self, turn: LineTurn, crowds: Counter[bytes]) -> tuple[int, float, float]:
        party = turn.party
        return crowds[party], self._used(party), self._used(turn.peer_id)

    def _used(self, who: bytes) -> float:
        """The seconds that count; who was away has saved up none."""
        return max(self._least_s, self._used_s.get(who, 0.0))
