"""Which links of a node are unchoked: they may send content now, and the others wait (BEP 3).

Were all to send at once, the line would go to those with most links. So there are LINE_TURNS slots,
and while others wait each goes to another link after LINE_SLICE_S:

    slots        who has them while others wait            in which order
    optimistic   one that gives us nothing                 each second time a newcomer, else by time
    regular      those that give us anything               by time, of which more bytes count less
    regular      where none of these waits, anyone         networks by time

A network has one slot at most while others wait; those behind relays, who are one network, of which
anyone can be, have LINE_TURNS_BEHIND_RELAYS, and take turns by time in it, so that slow ones do not
hold up the others. A node that has all of a mod is given nothing, so its line goes round by time:
the same bytes for all who take as fast as it sends, and no more of its time for who does not.

What a peer has not had yet goes before what it has had, which keeps a small part of the line all
the same: new identities have had nothing, and an attacker with enough of them could keep it for
ever.
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
    the peer has had. `gave`: the bytes that the peer gives us, as `Usefulness.gives` counts them.
    `is_new`: nothing is remembered of the peer. `place` is that of its party, and `peer_place` of
    its peer among those behind relays: the least comes first. `began_at` is None while it waits,
    and counts from when others waited as well; `moved_at` is when its link last took something.
    One that has `lapsed` holds up no other. One `by_right` is for what was had, though others wait
    for what they have not had.
    """

    peer_id: PeerId
    network: bytes
    again: bool
    gave: float = 0.0
    is_new: bool = False
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


class Choker:
    """The turns that are held, which are the slots in use, and those that are waited for."""

    def __init__(self) -> None:
        self._waiting: dict[LineTurn, None] = {}
        self._held: dict[LineTurn, None] = {}
        self._parties = TimeShares(limits.LINE_NETWORKS)
        self._behind_relays = TimeShares(limits.LINE_PEERS)
        self._again_at: float | None = 0.0
        self._newcomer_next = True
        """In the optimistic slot, where newcomers without an end would keep all others out."""

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
        self._parties.charge(turn.party, turn.place, held_s / self._weight(turn))
        if turn.network == RELAYED:
            self._behind_relays.charge(turn.peer_id, turn.peer_place, held_s)

    def _weight(self, turn: LineTurn) -> float:
        """Two for the one that gives most, one for those that give nothing."""
        most = max((one.gave for one in (turn, *self._held, *self._waiting)), default=0.0)
        return 1.0 + turn.gave / most if most else 1.0

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
        crowds = self._crowds(now)
        sharing = (*alike, *(one for one in live if one.again is again))
        is_shared = len({one.party for one in sharing}) > 1
        free = [one for one in alike if crowds[one.party] < _most(one, is_shared=is_shared)]
        if not again:
            free = self._of_slot(free, live)
        first = min(free, key=lambda one: (crowds[one.party], one.place), default=None)
        if first is not None and first.network == RELAYED:
            first = _exchanged(first, [one for one in free if one.network == RELAYED])
        return first

    def _of_slot(self, free: list[LineTurn], live: list[LineTurn]) -> list[LineTurn]:
        """Of those that may have the next slot, for whom it is: see the table above."""
        givers = [one for one in free if one.gave]
        others = [one for one in free if not one.gave]
        if not givers or not others:
            return free
        if sum(not one.gave for one in live) >= limits.LINE_TURNS_OPTIMISTIC:
            return givers
        is_new, self._newcomer_next = self._newcomer_next, not self._newcomer_next
        return [one for one in others if one.is_new is is_new] or others

    def _crowds(self, now: float) -> Counter[bytes]:
        """The slots of each party. One turn that nothing is taken of leaves neighbours theirs."""
        crowds = Counter(one.party for one in self._held if not one.lapsed)
        stuck = Counter(one.party for one in self._held if one.lapsed and _counts(one, now))
        for party, count in stuck.items():
            crowds[party] += count - 1
        return crowds


def _most(turn: LineTurn, *, is_shared: bool) -> int:
    """How many slots its network may have."""
    if not is_shared:
        return limits.LINE_TURNS
    if turn.network == RELAYED:
        return limits.LINE_TURNS_BEHIND_RELAYS
    return limits.LINE_TURNS_OF_A_NETWORK


def _exchanged(first: LineTurn, party: list[LineTurn]) -> LineTurn:
    """Of a party, one of which comes first, the peer that had least: it gets that place."""
    turn = min(party, key=lambda one: one.peer_place)
    turn.place, first.place = first.place, turn.place
    return turn


def _counts(lapsed: LineTurn, now: float) -> bool:
    """Whether it counts for its network: those behind relays share no line, and what a link does
    not take is at last not the others' fault.
    """
    began_at = now if lapsed.began_at is None else lapsed.began_at
    return lapsed.network != RELAYED and now - began_at < limits.LINE_FORGOTTEN_S
