"""The places of a search for holders: a link counts against others only once its peer has served.

Calls under way and links by which nothing has come yet share one bound, links by which chunks have
come have another. Where the first is reached, the link that has brought nothing for longest gives
its place to the next holder; it is called once more when all others had their turn, and then has
SILENT_S.
"""

from protocol import limits
from protocol.identity import PeerId


class HolderPlaces:
    """Who holds a place. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._calling: set[PeerId] = set()
        self._unproved: dict[PeerId, float] = {}
        """Linked peers that have sent no chunk, and when they linked."""
        self._proved: set[PeerId] = set()
        self._had_a_turn: set[PeerId] = set()

    @property
    def has_room(self) -> bool:
        """Whether one more holder may be called."""
        unproved = len(self._calling) + len(self._unproved)
        return max(unproved, len(self._proved)) < limits.PROVIDERS_TRIED

    def call(self, peer_id: PeerId) -> None:
        """A holder is being called."""
        self._calling.add(peer_id)

    def linked(self, peer_id: PeerId, now: float) -> None:
        """A call has become a link."""
        self._calling.discard(peer_id)
        self._unproved[peer_id] = now

    def proved(self, peer_id: PeerId) -> None:
        """A chunk that this peer sent was what was asked for."""
        if self._unproved.pop(peer_id, None) is not None:
            self._proved.add(peer_id)

    def leave(self, peer_id: PeerId) -> None:
        """No link came of a call, or the download has no use for it."""
        self._calling.discard(peer_id)
        self._unproved.pop(peer_id, None)
        self._proved.discard(peer_id)

    def gives_way_at(self) -> float | None:
        """When a peer has had its time; None if none will give way."""
        if len(self._proved) >= limits.PROVIDERS_TRIED:
            return None
        return min(map(self._until, self._unproved), default=None)

    def give_way(self, now: float) -> tuple[PeerId, bool] | None:
        """Take the place of one whose time is over: who, and whether it has another turn."""
        at = self.gives_way_at()
        if at is None or now < at:
            return None
        peer_id = min(self._unproved, key=self._until)
        self.leave(peer_id)
        again = peer_id not in self._had_a_turn
        self._had_a_turn.add(peer_id)
        return peer_id, again

    def _until(self, peer_id: PeerId) -> float:
        if peer_id in self._had_a_turn:
            patience_s = limits.SILENT_S
        else:
            patience_s = limits.STALL_S if self._proved else limits.HOLDER_PROOF_S
        return self._unproved[peer_id] + patience_s
