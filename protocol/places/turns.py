"""Which of several searches by many probes has the next turn at a node, which has one at a time.

No search is served for having asked first: those whose peers and networks had least lately come
first, of these the peers of most use, and of equals chance decides.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protocol import limits
from protocol.identity import PeerId
from protocol.randomness import Random


@dataclass(frozen=True, slots=True, eq=False)
class TurnWanted:
    """A search that waits. `network` is that of its peer, as `tenure.network_of` gives it, if the
    peer has proved an address; else it is empty. `ours`: for a call of this node.
    """

    peer_id: PeerId
    network: bytes
    ours: bool


class SearchOrder:
    """`worth` is what a peer is worth to this node at a time, 0 for a newcomer.

    Turns are remembered for SEARCH_TURN_REMEMBERED_S. Times are seconds of one monotonic clock.
    """

    def __init__(self, worth: Callable[[PeerId, float], float], rng: Random) -> None:
        self._worth = worth
        self._rng = rng
        self._had: deque[tuple[float, bytes]] = deque()
        self._counts: Counter[bytes] = Counter()
        self._ours_had_last = False

    def choose(self, waiting: Sequence[TurnWanted], now: float) -> TurnWanted:
        """Whose turn it is of these, one at least; this counts as one of its peer and network.

        Calls of this node and those of peers come by turns, so each have at least half.
        """
        self._forget_old(now)
        others = [one for one in waiting if one.ours is not self._ours_had_last] or waiting
        ranks = [self._rank(one, now) for one in others]
        first = [one for one, rank in zip(others, ranks, strict=True) if rank == min(ranks)]
        chosen = first[self._rng.getrandbits(32) % len(first)]
        self._ours_had_last = chosen.ours
        self._count(chosen.peer_id, now)
        self.count_network(chosen.network, now)
        return chosen

    def count_network(self, network: bytes, now: float) -> None:
        """A turn was that of a peer there; private networks, which are empty, have no bound."""
        if network:
            self._count(network, now)

    def _rank(self, wanted: TurnWanted, now: float) -> tuple[int, float]:
        """The least comes first. A peer of use does not wait for its neighbours' turns."""
        worth = self._worth(wanted.peer_id, now)
        turns = self._counts[wanted.peer_id]
        return (turns if worth else max(turns, self._counts[wanted.network])), -worth

    def _count(self, holder: bytes, now: float) -> None:
        if len(self._had) >= limits.SEARCH_TURNS_REMEMBERED:
            self._forget_first()
        self._had.append((now, holder))
        self._counts[holder] += 1

    def _forget_old(self, now: float) -> None:
        while self._had and self._had[0][0] <= now - limits.SEARCH_TURN_REMEMBERED_S:
            self._forget_first()

    def _forget_first(self) -> None:
        _, holder = self._had.popleft()
        self._counts[holder] -= 1
        if not self._counts[holder]:
            del self._counts[holder]
