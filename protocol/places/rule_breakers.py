"""Peers that broke the protocol on a link: they get no other link for a while."""

from collections import Counter, OrderedDict

from protocol import limits
from protocol.identity import PeerId


class RuleBreakers:
    """Whose links ended by their fault, each for RULE_BREAKER_S. Times are of one monotonic clock.

    An identity is cheap, an address less so: where several of one public network are among them,
    a peer of no worth from there gets no link either.
    """

    def __init__(self) -> None:
        self._broke: OrderedDict[PeerId, tuple[float, bytes]] = OrderedDict()
        self._of_network: Counter[bytes] = Counter()

    def add(self, peer_id: PeerId, network: bytes, now: float) -> None:
        """This peer has broken a rule; `network` is as `tenure.network_of` gives it."""
        self._forget(peer_id)
        while len(self._broke) >= limits.RULE_BREAKERS:
            self._forget(next(iter(self._broke)))
        self._broke[peer_id] = (now + limits.RULE_BREAKER_S, network)
        self._of_network[network] += 1

    def holds(self, peer_id: PeerId, now: float) -> bool:
        """Whether this peer is one of them."""
        self._forget_old(now)
        return peer_id in self._broke

    def holds_many_of(self, network: bytes, now: float) -> bool:
        """Whether several of this network are; private networks, which are empty, have none."""
        self._forget_old(now)
        return bool(network) and self._of_network[network] >= limits.RULE_BREAKERS_OF_NETWORK

    def _forget_old(self, now: float) -> None:
        while self._broke:
            peer_id, (until, _) = next(iter(self._broke.items()))
            if now < until:
                return
            self._forget(peer_id)

    def _forget(self, peer_id: PeerId) -> None:
        _, network = self._broke.pop(peer_id, (0.0, None))
        if network is not None:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]
