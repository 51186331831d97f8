"""Relays by which links with a peer came to nothing: for a while they are named last.

So is the direct path, by the id DIRECT: for a while links with that peer go by relays.

They are remembered by peer, so that a peer who spoils links harms no other peer's relays.
"""

from collections import OrderedDict
from typing import Final

from protocol import limits
from protocol.identity import PeerId

DIRECT: Final = PeerId(b"")

_Key = tuple[PeerId, PeerId]


class RelayDoubts:
    """At most RELAY_DOUBTS, each for RELAY_DOUBT_S. Times are seconds of the loop's clock."""

    def __init__(self) -> None:
        self._noted: OrderedDict[_Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, relay_id: PeerId, peer_id: PeerId, now: float) -> None:
        """A relay answered checks with this peer, and did not carry what a link needs."""
        key = relay_id, peer_id
        self._noted[key] = now
        self._noted.move_to_end(key)
        if len(self._noted) > limits.RELAY_DOUBTS:
            self._noted.popitem(last=False)

    def forget(self, relay_id: PeerId, peer_id: PeerId) -> None:
        """It is no worse than others."""
        self._noted.pop((relay_id, peer_id), None)

    def noted_at(self, relay_id: PeerId, peer_id: PeerId, now: float) -> float:
        """When that was last; 0 if never, or long ago."""
        noted_at = self._noted.get((relay_id, peer_id), 0.0)
        return noted_at if now < noted_at + limits.RELAY_DOUBT_S else 0.0
