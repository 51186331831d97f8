"""The peers of one client at a relay, and the channels by which data goes to them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.addresses import Address
from protocol.errors import Malformed, NotPermitted, RelayFailed
from protocol.stun.attributes import Attribute, encode_xor_address
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun
from protocol.turn.channel_data import Gathered, is_one_channel, unwrap, wrap
from protocol.turn.virtual import CHANNELS, preferred_channel

_RENEWED_S: Final = 0.4 * min(limits.RELAY_PERMISSION_S, limits.RELAY_CHANNEL_S)
"""When a channel and its permission are renewed: a renewal may fail and still be repeated."""

RelayedArrival = tuple[bytes, int, Address]
"""A buffer of datagrams from a peer, the size of each but the last, and the peer's address."""


@dataclass(slots=True)
class _Peer:
    """A peer with its channel, which it gets once the relayed address is known.

    `renew_at` is None while a request about it is under way.
    """

    number: bytes = b""
    is_bound: bool = False
    renew_at: float | None = None


class ClientPeers:
    """Which peers are let in. `new_transaction` draws the id of a Send indication."""

    def __init__(self, new_transaction: Callable[[], bytes]) -> None:
        self._new_transaction = new_transaction
        self._peers: dict[Address, _Peer] = {}
        self._by_number: dict[bytes, Address] = {}

    def __iter__(self) -> Iterator[Address]:
        return iter(self._peers)

    def __contains__(self, peer: Address) -> bool:
        return peer in self._peers

    def add(self, peer: Address) -> None:
        """Let a peer in; raises RelayFailed beyond RELAY_CHANNELS."""
        if len(self._peers) >= limits.RELAY_CHANNELS:
            raise RelayFailed("an allocation has no room for another peer")
        self._peers[peer] = _Peer()

    def forget(self, peer: Address) -> None:
        """Take nothing from a peer any more."""
        held = self._peers.pop(peer, None)
        if held is not None:
            self._by_number.pop(held.number, None)

    # Channels -------------------------------------------------------------------------------

    def begin_binding(self, peer: Address, relayed: Address) -> bytes:
        """A request binds the peer's channel, or renews it; the 2 bytes of its number."""
        held = self._peers[peer]
        held.renew_at = None
        held.number = held.number or self._free_number(peer, relayed)
        self._by_number[held.number] = peer
        return held.number

    def bound(self, peer: Address, now: float) -> None:
        """The relay has bound the channel of a peer, if that is still let in."""
        held = self._peers.get(peer)
        if held is not None:
            held.is_bound = True
            held.renew_at = now + _RENEWED_S

    def due(self, now: float) -> list[Address]:
        """Peers whose channels are to be renewed."""
        return [
            peer
            for peer, held in self._peers.items()
            if held.renew_at is not None and held.renew_at <= now
        ]

    def times(self) -> list[float]:
        """When channels are to be renewed."""
        return [held.renew_at for held in self._peers.values() if held.renew_at is not None]

    def _free_number(self, peer: Address, relayed: Address) -> bytes:
        """The channel number that the peer prefers as well, or the next free one."""
        number = preferred_channel(relayed, peer)
        while number.to_bytes(2) in self._by_number:
            number = CHANNELS[(number + 1 - CHANNELS.start) % len(CHANNELS)]
        return number.to_bytes(2)

    # Data -----------------------------------------------------------------------------------

    def outgoing(self, buffer: bytes, size: int, peer: Address) -> Iterator[Gathered]:
        """Datagrams to a peer, as they go to the relay; raises NotPermitted for an unknown one."""
        held = self._peers.get(peer)
        if held is None:
            raise NotPermitted(f"no channel to {peer} at this relay")
        if held.is_bound:
            yield from wrap(held.number, buffer, size)
            return
        for at in range(0, len(buffer) or 1, size or 1):
            datagram = self._send_indication(buffer[at : at + size], peer)
            yield Gathered([datagram], len(datagram))

    def channel_received(self, buffer: bytes, size: int) -> list[RelayedArrival]:
        """Take ChannelData of the relay; raises NotPermitted, Malformed."""
        if len(buffer) > size and not is_one_channel(buffer, size):
            arrivals: list[RelayedArrival] = []
            for at in range(0, len(buffer), size):
                one = buffer[at : at + size]
                arrivals += self.channel_received(one, len(one))
            return arrivals
        peer = self._by_number.get(buffer[:2])
        if peer is None:
            raise NotPermitted("ChannelData on a channel that is not bound")
        return [(*unwrap(buffer, size), peer)]

    def indicated(self, message: StunMessage) -> list[RelayedArrival]:
        """What an indication of the relay carries; raises NotPermitted, Malformed."""
        if message.method != StunMethod.DATA:
            raise NotPermitted(f"an indication {message.method.name} from a relay")
        peer = message.address(Attribute.XOR_PEER_ADDRESS)
        data = message.get(Attribute.DATA)
        if peer is None or data is None:
            raise Malformed("a Data indication without a peer or data")
        if peer not in self._peers:
            raise NotPermitted(f"data from {peer}, which has no permission")
        return [(data, len(data), peer)]

    def _send_indication(self, data: bytes, peer: Address) -> bytes:
        transaction = self._new_transaction()
        attributes = (
            (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(peer, transaction)),
            (int(Attribute.DATA), data),
        )
        message = StunMessage(StunClass.INDICATION, StunMethod.SEND, transaction, attributes)
        return encode_stun(message, fingerprint=False)
