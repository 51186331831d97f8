"""Connections that have proved no peer yet: few, for seconds, and shared among networks."""

from collections import Counter
from ipaddress import ip_address

from node.streams.connection import StreamConnection
from protocol import limits
from protocol.errors import BadAddress, RateLimited
from protocol.places.tenure import network_of
from protocol.rate_limit import HostRateLimit


class Arrivals:
    """Those that are in their handshakes, the oldest first."""

    def __init__(self) -> None:
        self._rate = HostRateLimit(
            limits.STREAM_HANDSHAKES_PER_SECOND, limits.STREAM_HANDSHAKE_BURST
        )
        self._networks: dict[StreamConnection, bytes] = {}

    def __len__(self) -> int:
        return len(self._networks)

    def add(self, connection: StreamConnection, now: float) -> None:
        """Let a connection in; the oldest of the network with most goes where all places are taken.

        Raises RateLimited, BadAddress.
        """
        host = connection.remote.host
        self._rate.charge(host, now)
        network = network_of(host) or ip_address(host).packed
        held = Counter(self._networks.values())
        if held[network] >= limits.STREAM_HANDSHAKES_PER_NETWORK:
            self._end_oldest(network)
        elif len(self._networks) >= limits.STREAM_HANDSHAKES:
            self._end_oldest(max(held, key=lambda one: held[one]))
        self._networks[connection] = network

    def _end_oldest(self, network: bytes) -> None:
        oldest = next(one for one, other in self._networks.items() if other == network)
        self.leave(oldest)
        oldest.abort()

    def leave(self, connection: StreamConnection) -> None:
        """A handshake has ended, however."""
        self._networks.pop(connection, None)


REFUSALS = (RateLimited, BadAddress)
"""Why a connection is not let in."""
