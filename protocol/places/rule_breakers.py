"""Peers that broke the protocol on a link: they get no other link for a while."""

from protocol import limits
from protocol.identity import PeerId
from protocol.places.remembered import RememberedPeers


class RuleBreakers:
    """Whose links ended by their fault, each for RULE_BREAKER_S. Times are of one monotonic clock.

    An identity is cheap, an address less so: where several of one public network are among them,
    a peer of no worth from there gets no link either.
    """

    def __init__(self) -> None:
        self._peers = RememberedPeers(limits.RULE_BREAKERS, limits.RULE_BREAKER_S)

    def add(self, peer_id: PeerId, network: bytes, now: float) -> None:
        """This peer has broken a rule; `network` is as `tenure.network_of` gives it."""
        self._peers.add(peer_id, network, now)

    def holds(self, peer_id: PeerId, now: float) -> bool:
        """Whether this peer is one of them."""
        return self._peers.times(peer_id, now) > 0

    def holds_many_of(self, network: bytes, now: float) -> bool:
        """Whether several of this network are; private networks, which are empty, have none."""
        return self._peers.of_network(network, now) >= limits.RULE_BREAKERS_OF_NETWORK
