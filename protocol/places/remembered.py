"""Peers of which something is remembered for a while, and how many of them a network has."""

import math
from collections import Counter, OrderedDict

from protocol.identity import PeerId
from protocol.places.tenure import RELAYED


class RememberedPeers:
    """How often each peer was added, until `for_s` seconds after the last time; `most` peers, of
    which the one that was added longest ago is forgotten. Times are of one monotonic clock.
    """

    def __init__(self, most: int, for_s: float) -> None:
        self._most = most
        self._for_s = for_s
        self._peers: OrderedDict[PeerId, tuple[int, float, bytes]] = OrderedDict()
        self._of_network: Counter[bytes] = Counter()
        self._first_until = math.inf

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, peer_id: PeerId, network: bytes, now: float) -> None:
        """Once more; `network` is as `tenure.network_of` gives it."""
        self._forget_old(now)
        times = self._forget(peer_id)
        while len(self) >= self._most:
            self._forget(next(iter(self._peers)))
        self._peers[peer_id] = times + 1, now + self._for_s, network
        self._first_until = next(iter(self._peers.values()))[1]
        self._of_network[network] += 1

    def times(self, peer_id: PeerId, now: float) -> int:
        """How often this peer was added; 0 for one that is not remembered."""
        if now >= self._first_until:
            self._forget_old(now)
        return self._peers[peer_id][0] if peer_id in self._peers else 0

    def of_network(self, network: bytes, now: float) -> int:
        """How many are remembered of a network; none of private ones, which are empty, and none
        RELAYED: a few of these say nothing of the others, who may live anywhere.
        """
        if now >= self._first_until:
            self._forget_old(now)
        return 0 if network in (b"", RELAYED) else self._of_network[network]

    def _forget_old(self, now: float) -> None:
        while now >= self._first_until:
            self._forget(next(iter(self._peers)))
            self._first_until = next(iter(self._peers.values()))[1] if self._peers else math.inf

    def _forget(self, peer_id: PeerId) -> int:
        times, _, network = self._peers.pop(peer_id, (0, 0.0, None))
        if network is not None:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]
        return times
