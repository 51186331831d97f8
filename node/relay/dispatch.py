"""Tells what comes to the relay of this node from what a relay sends to this node as its client.

Both come without a name of the receiver in it: ChannelData, and indications of STUN. They are told
apart by their source: two relays have no allocations at each other.
"""

from collections.abc import Mapping
from typing import Final

from node.net.demux import Demux
from node.relay.leg import RelayLeg
from node.relay.service import RelayService
from protocol.addresses import Address

_DATA_INDICATION: Final = b"\x00\x17"
"""The type of a message that only clients get (RFC 8656, 17)."""


class RelayDispatch:
    """The owner of STUN that names no link of this node, and of all ChannelData."""

    def __init__(self, service: RelayService, legs: Mapping[Address, RelayLeg]) -> None:
        self._service = service
        self._legs = legs

    def listen(self, demux: Demux) -> None:
        """Take them from now on; raises AlreadyOwned."""
        demux.register_stun_server(self)
        demux.register_channel_reader(self.channel_received)

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Take a request or an indication; raises RemoteError."""
        leg = self._legs.get(source) if message.startswith(_DATA_INDICATION) else None
        if leg is not None:
            leg.stun_received(message)
        else:
            self._service.stun_received(message, source, local)

    def channel_received(self, buffer: bytes, size: int, source: Address, local: Address) -> None:
        """Take ChannelData; raises RemoteError."""
        leg = self._legs.get(source)
        if leg is not None:
            leg.channel_received(buffer, size)
        else:
            self._service.channel_received(buffer, size, source, local)
