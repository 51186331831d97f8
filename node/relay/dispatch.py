"""Tells what comes to the relay of this node from what a relay sends to this node as its client.

Both come without a name of the receiver in it: ChannelData, and indications of STUN. They are told
apart by their source: two relays have no allocations at each other.
"""

from collections.abc import Mapping
from typing import Final

from node.counters import Counters
from node.net.demux import ChannelBuffers, Demux
from node.relay.leg import RelayLeg
from node.relay.service import RelayService
from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.turn.client_peers import RelayedArrival

_DATA_INDICATION: Final = b"\x00\x17"
"""The type of a message that only clients get (RFC 8656, 17)."""


class RelayDispatch:
    """The owner of STUN that names no link of this node, and of all ChannelData.

    What is refused of ChannelData is counted in `counters`.
    """

    def __init__(
        self, service: RelayService, legs: Mapping[Address, RelayLeg], counters: Counters
    ) -> None:
        self._service = service
        self._legs = legs
        self._counters = counters

    def listen(self, demux: Demux) -> None:
        """Take them from now on; raises AlreadyOwned."""
        demux.register_stun_server(self)
        demux.register_channel_reader(self.channels_received)

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Take a request or an indication; raises RemoteError."""
        leg = self._legs.get(source) if message.startswith(_DATA_INDICATION) else None
        if leg is not None:
            leg.stun_received(message)
        else:
            self._service.stun_received(message, source, local)

    def channels_received(self, buffers: ChannelBuffers, local: Address) -> None:
        """Take ChannelData. What one relay sent goes to its client at once, as a socket's would."""
        arrived: dict[RelayLeg, list[RelayedArrival]] = {}
        for buffer, size, source in buffers:
            leg = self._legs.get(source)
            try:
                if leg is None:
                    self._service.channel_received(buffer, size, source, local)
                else:
                    arrived.setdefault(leg, []).extend(leg.channel_received(buffer, size))
            except RemoteError as error:
                self._counters.refuse(error)
        for leg, arrivals in arrived.items():
            leg.hand_over(arrivals)
