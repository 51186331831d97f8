"""The places of a search for holders: a link counts against others only once its peer has served.

Calls under way and links by which nothing has come yet share one bound, links by which chunks have
come have another. Where one of them is reached, the peer whose time is over gives its place to the
next holder: a call that is slow, a link that has brought nothing, and one that has brought nothing
since its last chunk. It is called again when all others had their turn, and each turn is twice as
long as the one before, until one was of SILENT_S: so a slow line is told from a silent peer.
"""

from collections.abc import Iterator
from math import inf

from protocol import limits
from protocol.identity import PeerId


class HolderPlaces:
    """Who holds a place. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._calling: dict[PeerId, float] = {}
        """Peers that are being called, and since when."""
        self._unproved: dict[PeerId, float] = {}
        """Linked peers that have sent no chunk, and when they linked."""
        self._proved: dict[PeerId, float] = {}
        """Linked peers that have, and when they sent the last one."""
        self._served_at = -inf
        self._turns: dict[PeerId, int] = {}
        """How often a peer gave its place."""

    @property
    def has_room(self) -> bool:
        """Whether one more holder may be called."""
        return not self._lacks_unproved and not self._lacks_proved

    def call(self, peer_id: PeerId, now: float) -> None:
        """A holder is being called."""
        self._calling[peer_id] = now

    def linked(self, peer_id: PeerId, now: float) -> None:
        """A call has become a link."""
        self._calling.pop(peer_id, None)
        self._unproved[peer_id] = now

    def proved(self, peer_id: PeerId, now: float) -> None:
        """A chunk that this peer sent was what was asked for."""
        if peer_id in self._proved or self._unproved.pop(peer_id, None) is not None:
            self._proved[peer_id] = self._served_at = now

    def leave(self, peer_id: PeerId) -> None:
        """No link came of a call, or the download has no use for it."""
        for group in (self._calling, self._unproved, self._proved):
            group.pop(peer_id, None)

    def gives_way_at(self) -> float | None:
        """When a peer has had its time; None where there is room."""
        return min((until for until, _ in self._ends()), default=None)

    def give_way(self, now: float) -> tuple[PeerId, bool] | None:
        """Take the place of one whose time is over: who, and whether it has another turn."""
        until, peer_id = min(self._ends(), default=(inf, PeerId(b"")))
        if now < until:
            return None
        self.leave(peer_id)
        turns = self._turns[peer_id] = self._turns.get(peer_id, 0) + 1
        return peer_id, limits.HOLDER_PROOF_S * 2.0 ** (turns - 1) < limits.SILENT_S

    @property
    def _lacks_unproved(self) -> bool:
        return len(self._calling) + len(self._unproved) >= limits.PROVIDERS_TRIED

    @property
    def _lacks_proved(self) -> bool:
        return len(self._proved) >= limits.PROVIDERS_TRIED

    def _ends(self) -> Iterator[tuple[float, PeerId]]:
        """Until when the peers keep the places of which there are no more."""
        if self._lacks_proved:
            for peer_id, since in self._proved.items():
                yield since + limits.STALL_S, peer_id
        if self._lacks_unproved:
            for peer_id, since in self._calling.items():
                yield since + self._patience_s(peer_id, limits.LINK_SLOW_S), peer_id
            for peer_id, since in self._unproved.items():
                serving_s = min(
                    max(self._served_at - since, 0.0) + limits.HOLDER_PROOF_S, limits.STALL_S
                )
                yield since + self._patience_s(peer_id, serving_s), peer_id

    def _patience_s(self, peer_id: PeerId, first_s: float) -> float:
        return min(first_s * 2.0 ** self._turns.get(peer_id, 0), limits.SILENT_S)
