"""Which links may send content now: the line of a node goes round by turns.

Were all to send at once, the line would go to those with most links. So few do. Networks take turns
by the time for which theirs were held, and in each its peers in the order in which they ask. Those
behind relays are one network, of which anyone can be: in it peers take turns by time as well, so
that slow ones do not hold up the others. What a peer has not had yet goes before what it has had,
which keeps a small part of the line all the same: new identities have had nothing, and an attacker
with enough of them could keep it for ever.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from protocol import limits
from protocol.identity import PeerId
from protocol.places.tenure import RELAYED
from protocol.places.time_shares import TimeShares


@dataclass(slots=True, eq=False)
class LineTurn:
    """A turn of one link. Times are seconds of one monotonic clock.

    `network` is that of its peer, as `tenure.network_of` gives it, or RELAYED. `again`: for what
    the peer has had. `place` is that of its party, and `peer_place` of its peer among those
    behind relays: the least comes first. `began_at` is None while it waits, and counts from when
    others waited as well; `moved_at` is when its link last took something. One that has `lapsed`
    holds up no other. One `by_right` is for what was had, though others wait for what they have
    not had.
    """

    peer_id: PeerId
    network: bytes
    again: bool
    place: float = 0.0
    peer_place: float = 0.0
    began_at: float | None = None
    moved_at: float = 0.0
    lapsed: bool = False
    by_right: bool = False

    @property
    def party(self) -> bytes:
        """Whose part of the line it is; each peer of a private network is one."""
        return self.network or self.peer_id


class LineTurns:
    """The turns that are held and those that are waited for."""

    def __init__(self) -> None:
        self._waiting: dict[LineTurn, None] = {}
        self._held: dict[LineTurn, None] = {}
        self._parties = TimeShares(limits.LINE_NETWORKS)
        self._behind_relays = TimeShares(limits.LINE_PEERS)
        self._again_at: float | None = 0.0

    @property
    def waiting(self) -> Collection[LineTurn]:
        """Those that are waited for."""
        return self._waiting.keys()

    def are_others(self, turn: LineTurn | None) -> bool:
        """Whether one but this is held or waited for."""
        return bool(self._waiting) or any(one is not turn for one in self._held)

    def ask(self, turn: LineTurn, now: float) -> None:
        """A link wants to send. No turn counts from before others waited."""
        if not self._waiting:
            for held in self._held:
                held.began_at = now
        turn.place = self._parties.place(turn.party)
        turn.peer_place = self._behind_relays.place(turn.peer_id)
        self._waiting[turn] = None

    def begin(self, now: float) -> Iterator[LineTurn]:
        """Those that begin now."""
        for held in self._held:
            if not held.lapsed and now - held.moved_at >= limits.LINE_LAPSE_S:
                held.lapsed = True
                self._charge(held, now)
        while turn := self._next(now):
            del self._waiting[turn]
            self._held[turn] = None
            turn.began_at = turn.moved_at = now
            self._parties.began(turn.place)
            if turn.network == RELAYED:
                self._behind_relays.began(turn.peer_place)
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
        return (turn.again and first and not turn.by_right) or (is_late and bool(self._waiting))

    def end(self, turn: LineTurn, now: float) -> None:
        """It is held, or waited for, no longer."""
        self._waiting.pop(turn, None)
        if turn in self._held:
            del self._held[turn]
            if not turn.lapsed:
                self._charge(turn, now)
        if not any(one.network == RELAYED for one in (*self._held, *self._waiting)):
            self._behind_relays.clear()
        if not self._held and not self._waiting:
            self._parties.clear()  # an idle line owes no user anything

    def _charge(self, turn: LineTurn, now: float) -> None:
        """It holds up no other any more."""
        began_at = now if turn.began_at is None else turn.began_at
        held_s = max(now - began_at, limits.LINE_SLICE_S)
        if turn.by_right:
            self._again_at = now + held_s * (limits.LINE_AGAIN_EACH - 1)
        self._parties.charge(turn.party, turn.place, held_s)
        if turn.network == RELAYED:
            self._behind_relays.charge(turn.peer_id, turn.peer_place, held_s)

    def _next(self, now: float) -> LineTurn | None:
        live = [one for one in self._held if not one.lapsed]
        if len(live) >= limits.LINE_TURNS or not self._waiting:
            return None
        if all(one.again for one in (*self._waiting, *live)):
            return self._first(live, now, again=True)
        if self._again_at is not None and now >= self._again_at:
            turn = self._first(live, now, again=True)
            if turn is not None:
                turn.by_right = True
                self._again_at = None  # until it has ended
                return turn
        return self._first(live, now, again=False)

    def _first(self, live: list[LineTurn], now: float, *, again: bool) -> LineTurn | None:
        """Of those that wait for what they had, or had not: whose turn comes next."""
        alike = [one for one in self._waiting if one.again is again]
        crowds = Counter(one.party for one in self._held if _counts(one, now))
        sharing = (*alike, *(one for one in live if one.again is again))
        most = limits.LINE_TURNS
        if len({one.party for one in sharing}) > 1:
            most = limits.LINE_TURNS_OF_A_NETWORK
        free = [one for one in alike if crowds[one.party] < most]
        first = min(free, key=lambda one: (crowds[one.party], one.place), default=None)
        if first is None or first.network != RELAYED:
            return first
        return _exchanged(first, [one for one in free if one.network == RELAYED])


def _exchanged(first: LineTurn, party: list[LineTurn]) -> LineTurn:
    """Of a party, one of which comes first, the peer that had least: it gets that place."""
    turn = min(party, key=lambda one: one.peer_place)
    turn.place, first.place = first.place, turn.place
    return turn


def _counts(held: LineTurn, now: float) -> bool:
    """Whether it counts for its network: what a link does not take is not the others' fault, and
    those behind relays share no line.
    """
    if held.lapsed and held.network == RELAYED:
        return False
    began_at = now if held.began_at is None else held.began_at
    return not held.lapsed or now - began_at < limits.LINE_FORGOTTEN_S
