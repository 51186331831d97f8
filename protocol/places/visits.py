"""How often each peer came lately: tenure is for who comes first, not for who comes again.

A peer that loses a place, or gives it up to one of its own kind, can ask for it again at once, and
would always be there before others. So the time in which others leave a place alone counts only
against those that came as often.
"""

from protocol import limits
from protocol.identity import PeerId
from protocol.places.remembered import RememberedPeers


class Visits:
    """The places that peers took in the last VISITS_S. Times are of one monotonic clock.

    An identity is cheap, an address less so: where several others of one public network came, a
    new one from there counts as one that has come before.
    """

    def __init__(self) -> None:
        self._peers = RememberedPeers(limits.VISITORS, limits.VISITS_S)

    def add(self, peer_id: PeerId, network: bytes, now: float) -> None:
        """This peer has taken a place; `network` is as `tenure.network_of` gives it."""
        self._peers.add(peer_id, network, now)

    def times(self, peer_id: PeerId, network: bytes, now: float) -> int:
        """How often this peer came, as far as it counts: at most VISITS_COUNTED."""
        own = self._peers.times(peer_id, now)
        others = self._peers.of_network(network, now) - (own > 0)
        return min(own + (others >= limits.VISITORS_OF_NETWORK), limits.VISITS_COUNTED)
